"""Pictures of runs of two steps: they are drawn, and show what the model does."""

import pytest

from seqmodels.experiments.evaluation import evaluate_run
from seqmodels.experiments.pictures import BEYOND, draw_pictures, fields, scores_by_length
from seqmodels.experiments.runs import load_run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "mixer", "names"),
    [
        ("digits", "conv", ["receptive-field.png"]),
        ("digits_grid", "hybrid", ["receptive-field.png", "attention.png"]),
        ("digits_grid", "vit,layout=solid", ["receptive-field.png", "attention.png"]),
        ("reverse", "gru", ["receptive-field.png", "attention.png", "by-length.png"]),
        ("digits_from_class", "gru", ["receptive-field.png", "written.png"]),
    ],
)
def test_pictures_are_drawn(run, file, mixer, names):
    drawn = draw_pictures(run(file, mixer), "best")
    assert [path.name for path in drawn] == names
    for path in drawn:
        assert path.read_bytes().startswith(PNG)


@pytest.mark.slow
def test_fields_grow_with_the_blocks(run):
    found = fields(load_run(run("digits", "conv"), "best", devices=1))
    assert [int((field > 0).sum()) for field in found] == [
        7,
        7 * 7,
    ]  # of 55 places each eighth is between two kernels
    found = fields(load_run(run("digits_grid", "conv"), "best", devices=1))
    seen = [(field > 0).sum(axis=(0, 1)) for field in found]
    assert seen == [9, 25, 49, 64]  # 8 of the 9 places that four blocks reach lie on the grid


@pytest.mark.slow
def test_strings_are_scored_at_each_length_as_evaluation_does(run):
    folder = run("reverse", "gru")
    scores = scores_by_length(load_run(folder, "best", devices=1))
    assert (min(scores), max(scores)) == (1, 5 * BEYOND)
    expected = evaluate_run(folder, "best", ["test"])["test"]["exact_match"]
    assert scores[5].metrics["exact_match"].mean == pytest.approx(expected)
