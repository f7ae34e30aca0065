"""Scores by length: against plain evaluation, in chunks, by slices, and in how few programs."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from seqmodels.errors import UserError
from seqmodels.evaluation.intervals import score
from seqmodels.evaluation.lengths import (
    Asked,
    LengthScores,
    effective_length,
    evaluate_lengths,
    read_lengths,
)
from seqmodels.evaluation.lengths_run import lengths_run
from seqmodels.evaluation.runs import load
from seqmodels.evaluation.scoring import chunked_scorer, whole_scorer
from seqmodels.evaluation.splits import evaluate_run
from seqmodels.tasks.buckets import pad
from seqmodels.tasks.chance import levels
from seqmodels.tasks.generated.recall import Recall
from tests.command_line import read_json
from tests.run_folders import loaded
from tests.soaking import soak_only

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(event) if "backend_compile" in event else None
)


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("10,20,...,40", "the factor 2 and by the step 10; write 10,20,40 or 10,20,30,40"),
        ("3,6,...,96", "write 3,6,12,24,48,96 or 3,6,9,...,96"),
        ("10,30,...,90", "the factor 3 and by the step 20; write 10,30,90 or 10,30,50,70,90"),
        ("5,100,200,...,800", "write 100,200,400,800 or 100,200,300,400,500,600,700,800"),
    ],
)
def test_dots_that_go_on_in_two_ways_are_refused_with_both(text, ways):
    with pytest.raises(UserError, match=re.escape(ways)):
        read_lengths(text)
    doubled, added = ways.partition("write ")[2].split(" or ")
    assert read_lengths(doubled) != read_lengths(added), "what is written out is told apart"


def test_dots_that_one_way_leads_through_go_that_way():
    assert read_lengths("8,16,...,32") == (8, 16, 32), "powers of two double"
    assert read_lengths("10,20,...,20") == (10, 20)
    assert read_lengths("10,20,...,10485760")[2:4] == (40, 80), "steps would be a million"
    assert read_lengths("100,200,300,...,600") == (100, 200, 300, 400, 500, 600)


@pytest.mark.parametrize("text", ["", "0,8", "8,x", "8,...", "...,8", "8,...,64", "8,4,...,64",
                                  "8,16,...", "8,16,...,100", "8,9,...,8", "²",
                                  "9" * 5000])  # fmt: skip
def test_lengths_that_can_not_be_read(text):
    with pytest.raises(UserError, match="is not a list of lengths"):
        read_lengths(text)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Five answers of one example are right or wrong together in half of the examples."""
    random = np.random.default_rng(0)
    for metric, truth, draw in [
        ("accuracy", 0.9, lambda shape: random.random(shape) < 0.9),
        ("loss", 1.0, lambda shape: random.exponential(size=shape)),
    ]:
        held = 0
        for _ in range(2000):
            answers = draw((100, 5)).astype(float)
            together = random.random(100) < 0.5
            answers[together] = answers[together, :1]
            found = score(metric, answers.sum(axis=1), np.full(100, 5.0))
            assert found is not None
            held += found.low <= truth <= found.high
        assert 0.92 < held / 2000 < 0.98, metric


def test_intervals_at_the_ends():
    assert score("accuracy", np.ones(100), np.ones(100)).low == pytest.approx(0.963, abs=1e-3)
    assert score("accuracy", np.zeros(3), np.array([1.0, 0, 0])).examples == 1
    assert score("accuracy", np.zeros(3), np.zeros(3)) is None


@pytest.mark.slow
def test_a_length_scores_what_evaluation_says(run):
    folder = run("recall", "gru")
    whole = evaluate_run(folder, "best", ["test"])["test"]
    scores = dict(evaluate_lengths(loaded(folder), Asked("test", (20, 32, 100))))
    for metric, expected in whole.items():
        found = scores[32].metrics[metric]
        assert found.mean == pytest.approx(expected, rel=1e-5)
        assert found.low <= found.mean <= found.high
        assert found.examples == 8
    assert scores[20].by_position.keys() == {"loss", "accuracy"}
    for metric, bins in scores[20].by_position.items():
        found, counts = list(bins.values()), [one.examples for one in bins.values()]
        mean = np.average([one.mean for one in found], weights=counts)
        assert mean == pytest.approx(scores[20].metrics[metric].mean, rel=1e-4)
    assert list(scores) == [20, 32, 100]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mixer", "lengths"),
    [
        ("languages", "lstm", (1, 9, 40)),  # one question
        soak_only("recall", "local", (20, 33)),  # some positions
        ("text", "conv", (7, 30)),  # every position
    ],
)
def test_chunks_score_what_whole_sequences_do(run, file, mixer, lengths):
    one = loaded(run(file, mixer))
    task, model = one.experiment.task, one.experiment.model
    by_target = task.spec.shape == "many-to-many"
    whole_score = whole_scorer(model, task, one.mesh, by_target)
    chunk_scores = [chunked_scorer(model, task, one.mesh, by_target, chunk) for chunk in (4, 64)]
    longest = task.batch("test", 0, 3, lengths[-1])
    for length in lengths:
        batch = task.batch("test", 0, 3, length)
        whole = whole_score(one.params, pad(batch, longest))
        for score_chunks in chunk_scores:
            chunks = score_chunks(one.params, batch)
            for part, expected in zip(chunks, whole, strict=True):
                assert part.keys() == expected.keys()
                for metric in expected:
                    found = np.asarray(part[metric])
                    padded = np.asarray(expected[metric])
                    wanted = padded[:, :, : found.shape[2]] if found.ndim == 3 else padded
                    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=metric)


@pytest.mark.slow
def test_one_program_a_bucket(run):
    one_run = loaded(run("recall", "gru"))

    def programs(*asked: Asked) -> int:
        before = len(COMPILED)
        for each in asked:
            list(evaluate_lengths(one_run, each))
        return len(COMPILED) - before

    programs(Asked("test", (16,)))  # small helpers of JAX
    one = programs(Asked("test", (64,)))
    assert programs(Asked("test", (33, 40, 47, 50, 60, 64))) == one
    assert programs(Asked("test", (20, 31, 32, 40, 64))) == 2 * one
    # A recurrent state is as large for every length, and so is a chunk.
    programs(Asked("test", (32,), chunk=16))
    single = programs(Asked("test", (32,), chunk=16))
    assert programs(Asked("test", (32, 50, 100, 1000), chunk=16)) == single


class Halves(Recall):
    """Recall whose examples have a number each, and whose targets have one."""

    def fields(self, batch):
        rows = np.arange(len(batch.inputs))
        return {"half": rows % 2, "place": np.tile(np.arange(4), (len(rows), 1))}


@pytest.mark.slow
def test_slices_divide_the_examples(run):
    one = loaded(run("recall", "gru"))
    task = Halves(seed=0, evaluation_examples=8)
    one = one._replace(experiment=one.experiment._replace(task=task))
    found = dict(evaluate_lengths(one, Asked("test", (32,))))[32]
    total, parts = found.metrics["accuracy"], found.slices
    assert [s.examples for s in parts["half"].values()] == [4, 4]
    assert list(parts["place"]) == ["0", "1", "2", "3"]
    assert all(s.examples == 8 for s in parts["place"].values())
    for values in parts.values():
        assert np.mean([s.mean for s in values.values()]) == pytest.approx(total.mean)


def test_effective_length_stops_at_the_first_that_falls_short():
    def scores(*means):
        return {
            8 * 2**i: LengthScores(
                {"accuracy": score("accuracy", np.full(9, m), np.ones(9))}, {}, {}, {}
            )
            for i, m in enumerate(means)
        }

    assert effective_length(scores(1.0, 0.95, 0.5, 1.0), "accuracy", 0.9, True) == 16
    assert effective_length(scores(0.5, 1.0), "accuracy", 0.9, True) is None
    assert effective_length(scores(0.5, 0.95), "accuracy", 0.9, False) == 8


@pytest.mark.slow
def test_what_is_printed_and_kept(run, capsys):
    folder = run("recall", "gru")
    lengths_run(folder, "best", ["test"], "16,32,...,64", examples=5, devices=1)
    shown = capsys.readouterr().out
    assert "length 64: accuracy" in shown
    assert "chance" in shown
    assert "shown" in shown
    assert "effective length: below 16 (accuracy at least 0.9" in shown
    stored = read_json(Path(folder) / "lengths.json")
    ((_, splits),) = stored.items()
    assert list(splits["test"]) == ["16", "32", "64"]
    assert splits["test"]["16"]["metrics"]["accuracy"]["examples"] == 5
    by_position = splits["test"]["64"]["by_position"]
    assert by_position.keys() == {"loss", "accuracy"}
    assert all(1 <= int(place) <= 64 for place in by_position["loss"])
    task = load(folder, "best", devices=1).experiment.task
    held = {name: splits["test"]["16"][name] for name in ("chance", "shown_chance")}
    assert held == levels(task, "test", 16)
    assert (Path(folder) / "pictures/by-length.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mixer", "arguments", "message"),
    [
        ("recall", "gru", {"lengths": "4,32"}, "lengths=4,32: length=4 can't be made by the task"),
        ("digits", "conv", {"lengths": "64,128"}, "lengths=64,128: length=128 can't be made"),
        ("digits_grid", "conv", {"lengths": "64"}, "lengths=64: length=64"),
        ("digits", "conv", {"lengths": "64", "chunk": 8}, "stream=N carries a state"),
        ("recall", "gru", {"lengths": "32", "splits": ["train"]}, "its examples are endless"),
        ("recall", "gru", {"lengths": "32", "splits": ["tset"]}, "split=tset"),
    ],
)
def test_what_can_not_be_scored_is_refused_before_anything_is(run, file, mixer, arguments, message):
    folder, arguments = run(file, mixer), {"splits": ["test"]} | arguments
    with pytest.raises(UserError, match=message):
        lengths_run(folder, "best", **arguments)
