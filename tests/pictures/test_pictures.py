"""Pictures of runs: they are drawn, and show what the model does."""

from pathlib import Path

import pytest

from seqmodels.evaluation.runs import LoadedRun
from seqmodels.evaluation.splits import evaluate_run
from seqmodels.pictures import run as pictures
from seqmodels.pictures.run import BEYOND, draw_pictures, fields
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT
from tests.run_folders import loaded
from tests.soaking import SOAK

PNG = b"\x89PNG\r\n\x1a\n"


def assert_drawn(drawn: list[Path], *names: str) -> None:
    assert [path.name for path in drawn] == list(names)
    for path in drawn:
        assert path.read_bytes().startswith(PNG)


def keeps(monkeypatch, name):
    """What a function of the module returns while pictures are drawn."""
    kept, function = [], getattr(pictures, name)

    def call(run):
        kept.append(function(run))
        return kept[-1]

    monkeypatch.setattr(pictures, name, call)
    return kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mixer", "depth", "others"),
    [
        ("digits_grid", "hybrid", 2, ["attention.png"]),
        ("digits_grid", "vit,layout=solid", 1, ["attention.png"]),
        ("digits_from_class", "gru", None, ["half-lives.png", "written.png"]),
    ],
)
def test_pictures_are_drawn(run, file, mixer, depth, others):
    drawn = draw_pictures(run(file, mixer, depth), "best")
    assert_drawn(drawn, "receptive-field.png", *others)


@pytest.mark.slow
def test_fields_grow_with_the_blocks(run, monkeypatch):
    kept = keeps(monkeypatch, "fields")
    assert_drawn(draw_pictures(run("digits", "conv"), "best"), "receptive-field.png")
    assert [int((field > 0).sum()) for field in kept[0]] == [
        7,
        7 * 7,
    ]  # of 55 places each eighth is between two kernels
    found = fields(loaded(run("digits_grid", "conv")))
    seen = [(field > 0).sum(axis=(0, 1)) for field in found]
    assert seen == [9, 25, 49, 64]  # 8 of the 9 places that four blocks reach lie on the grid


@pytest.mark.slow
def test_strings_are_scored_at_each_length_as_evaluation_does(run, monkeypatch):
    """To the length trained at; where SOAK is set to those beyond."""
    beyond = BEYOND if SOAK else 1
    monkeypatch.setattr(pictures, "BEYOND", beyond)
    folder = run("reverse", "gru")
    kept = keeps(monkeypatch, "scores_by_length")
    names = ("receptive-field.png", "attention.png", "half-lives.png", "by-length.png")
    assert_drawn(draw_pictures(folder, "best"), *names)
    (scores,) = kept
    assert (min(scores), max(scores)) == (1, 5 * beyond)
    expected = evaluate_run(folder, "best", ["test"])["test"]["exact_match"]
    assert scores[5].metrics["exact_match"].mean == pytest.approx(expected)


def test_strings_are_no_longer_than_the_model_serves(monkeypatch):
    """Learned positions for 9: of what is written the end is one token more."""
    ends = [("model.positions", "learned"), ("model.max_length", "9")]
    experiment = build_experiment(load_whole(f"{ROOT}/configs/reverse.py:length=5", ends).config)
    asked = []
    monkeypatch.setattr(pictures, "evaluate_lengths", lambda run, what: asked.append(what) or ())
    pictures.scores_by_length(LoadedRun(Workdir("no-such-run"), experiment, 0, {}, make_mesh(1)))
    assert asked[0].lengths == (1, 2, 4, 5, 6, 7)
