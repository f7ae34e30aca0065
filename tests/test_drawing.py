"""Pictures of anything, whatever it is called."""

import io

import PIL.Image
import pytest

from seqmodels.drawing import literal, new_figure, save
from seqmodels.training.curve import draw_learning_curve

NAMES = ["$NAME", "x^", "$x^$", r"a\$b$", r"\frac", "_hidden", "日本", "caf\udce9", "a\tb\nc", "{%"]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_no_formula_and_no_label(name):
    figure = new_figure(6.0, 4.0, name)
    axes = figure.subplots()
    lines = axes.plot([0, 1], [1, 2], label=literal(name))
    axes.set_title(literal(name))
    axes.set_xticks([0], [literal(name)])
    assert axes.get_legend_handles_labels()[0] == lines
    figure.savefig(io.BytesIO()) if name != "日本" else None


def test_a_learning_curve_of_any_name_and_any_events(tmp_path):
    events = tmp_path / "metrics.jsonl"
    events.write_text(
        '{"step": 1, "split": "train", "seconds": 1.0, "loss": 2.0, "accuracy": 0.1}\n'
        '{"step": 2, "split": "train", "seconds": 1.0, "loss": NaN, "accuracy": 0.1}\n'
        '{"step": 2, "split": "validation", "seconds": 1.0}\n'
    )
    for number, title in enumerate(["$x^ 日本", "_"]):
        picture = tmp_path / f"{number}.png"
        draw_learning_curve(events, picture, "accuracy", title, {})
        with PIL.Image.open(picture) as drawn:
            assert drawn.size == (960, 384)


def test_a_picture_is_whole_or_absent(tmp_path):
    (tmp_path / "a.png").write_bytes(b"before")
    figure = new_figure(1.0, 1.0, "")

    def full(path, **_) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    figure.savefig = full
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.png'"):
        save(figure, tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"before"
