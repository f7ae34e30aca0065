"""Sentences made from numbers: each with its interval, and none that the seeds don't carry."""

import json
import statistics

import numpy as np
import pytest

from seqmodels.report.comparison import comparisons
from seqmodels.report.findings import findings, in_order
from seqmodels.report.intervals import BOOTSTRAP_FROM, difference, interval
from seqmodels.report.reading import find
from seqmodels.report.scaling_findings import scaling_findings
from seqmodels.report.styles import Styles
from seqmodels.report.writing import figures_in, report_sections
from tests.report.folders import (
    give_cost,
    run_folder,
    scaling_folder,
    sweep_folder,
    write_json,
)


def test_an_interval_is_student_s_and_ends_where_the_score_does():
    found = interval([0.90, 0.96, 0.99], (0, 1))
    margin = 4.302653 * statistics.stdev([0.90, 0.96, 0.99]) / 3**0.5
    assert (found.mean, found.n) == (pytest.approx(0.95), 3)
    assert found.low == pytest.approx(0.95 - margin)
    assert found.high == 1
    assert interval([0.02, 0.05], (0, None)).low == 0
    assert interval([0.5], (0, 1))[1:] == (None, None, 1)
    assert interval([]) is None


def test_ten_seeds_are_resampled():
    """Skewed values have an interval that is longer on their side."""
    values = [1.0] * (BOOTSTRAP_FROM - 1) + [0.0]
    found = interval(values, (0, 1))
    assert found == interval(values, (0, 1)), "the same samples each time"
    drawn = np.random.default_rng(5).binomial(10, 0.1, 100_000) / 10  # how often the 0 is drawn
    assert found.low == pytest.approx(1 - np.quantile(drawn, 0.975), abs=0.02)
    assert found.high == 1


def three_mixers(folder, tests, validation=None):
    """Runs at length 64 by mixer and seed."""
    for mixer, scores in tests.items():
        for seed, score in enumerate(scores):
            run = run_folder(folder / f"{mixer}-{seed}", mixer, seed, accuracy=score)
            if validation:
                results = json.loads((run / "results.json").read_text())
                results["validation"]["accuracy"] = validation[mixer]
                write_json(run / "results.json", results)
    (comparison,) = comparisons(find([str(folder)], pytest.fail))
    return comparison


def texts(comparison):
    return [one.text for one in in_order(findings(comparison, {"": "here"}))]


def test_each_sentence_has_its_interval_and_a_price(tmp_path):
    tests = {"lstm": (0.25, 0.27, 0.26), "global": (0.96, 0.99, 0.98), "rnn": (0.008, 0.007, 0.009)}
    comparison = three_mixers(tmp_path, tests)
    assert texts(comparison) == [
        "On recall at length 64, global reaches 97.7% accuracy (93.9 to 100.0%, n=3); a run takes "
        "30 s.",
        "On recall at length 64, global beats lstm by 71.7 ± 1.4 points, seed by seed (n=3).",
        "On recall at length 64, rnn does no better than chance: 0.8% lies in its interval.",
    ]
    assert {one.figure for one in findings(comparison, {"": "here"})} == {"here"}


def test_of_one_seed_nothing_is_compared(tmp_path):
    told = texts(three_mixers(tmp_path, {"lstm": (0.25,), "global": (0.98,)}))
    assert told == [
        "Each score is of one seed: a difference may be chance. "
        "Two seeds or more have an interval.",
        "On recall at length 64, global reaches 98.0% accuracy (one seed); a run takes 30 s.",
    ]


def test_what_the_seeds_do_not_tell_apart_is_said_to_be_so(tmp_path):
    told = texts(three_mixers(tmp_path, {"lstm": (0.5, 0.7, 0.6), "gru": (0.6, 0.6, 0.7)}))
    assert any("gru and lstm are not told apart: 3.3 ± 28.7 points between them" in t for t in told)


def test_the_best_is_chosen_on_validation_and_its_test_score_is_told(tmp_path):
    tests = {"lstm": (0.70, 0.71), "gru": (0.80, 0.81)}
    told = texts(three_mixers(tmp_path, tests, {"lstm": 0.9, "gru": 0.8}))
    assert told[0].startswith("On recall at length 64, lstm reaches 70.5% accuracy")
    assert "gru beats lstm by 10.0 ± 0.0 points" in told[1]


def test_differences_are_of_pairs_that_drew_the_same_data(tmp_path):
    comparison = three_mixers(tmp_path, {"a": (0.5, 0.6, 0.7), "b": (0.4, 0.5, 0.6)})
    a, b = (group.runs for group in comparison.groups)
    found = difference(a, b, "accuracy")
    assert (found.n, found.mean) == (3, pytest.approx(0.1))
    other = [run._replace(facts=run.facts | {"batches": {"train": "x"}}) for run in b[:2]]
    assert difference(a, [*other, b[2]], "accuracy") is None, "one pair is left"


def test_the_best_of_constant_state_stands_beside_one_that_grows(tmp_path):
    folder = sweep_folder(tmp_path, ("lstm", "global"), (64, 128), rates=(0.003,))
    for file in folder.glob("trials/*/results.json"):
        point = json.loads((file.parent / "trial.json").read_text())["arguments"]
        state = 1024 if point["mixer"] == "lstm" else 64 * point["length"]
        give_cost(file.parent, step_seconds=0.04, state_bytes=state)
    (comparison,) = comparisons(find([str(folder)], pytest.fail))
    first, *_ = texts(comparison)
    assert first.startswith("On recall at length 128, global reaches 57.5% accuracy (51.1 to 63.9%")
    assert "; a training step takes 40 ms. The best of constant state, lstm, reaches 30.5%" in first
    assert first.endswith("with 1 KiB of state.")


def test_a_scaling_says_what_length_costs(tmp_path):
    folder = scaling_folder(tmp_path / "scaling")
    (scaling,) = find([str(folder)], pytest.fail).scalings
    told = [one.text for one in scaling_findings(scaling.content, {"step_seconds": "step"})]
    assert told == [
        "At 2,048 positions a training step of conv takes 2 times what one of lstm takes.",
        "A training step of global takes longer than one of lstm from 310 positions on.",
        "global goes up to 1,024 positions here: at 2,048 it does not fit: needs 41 GiB.",
    ]


def test_what_crosses_twice_is_not_said_to_cross_once(tmp_path):
    folder = scaling_folder(tmp_path / "scaling")
    content = find([str(folder)], pytest.fail).scalings[0].content
    back = {"quantity": "step_seconds", "cheaper_below": "lstm", "cheaper_above": "global"}
    content["crossovers"].append(back | {"length": 900})
    assert not any("takes longer" in one.text for one in scaling_findings(content, {}))


def test_every_finding_leads_to_a_figure_of_its_section(tmp_path):
    sweep_folder(tmp_path / "recall", ("gru", "lstm"), (64, 128))
    scaling_folder(tmp_path / "scaling")
    _, *sections = report_sections(find([str(tmp_path)], pytest.fail), Styles())
    for section in sections:
        figures = {figure.name for drawn in section.figures for figure in figures_in(drawn)}
        assert section.findings
        assert {one.figure for one in section.findings} <= figures
