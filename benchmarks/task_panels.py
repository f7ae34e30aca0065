"""Draws an example of each task: strips of tokens by kind, what is asked for below; images."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from task_entries import Entry

from seqmodels.tasks.base import Batch, Task, WritingTask, until

OF_BYTES = ("text", "source_package", "same_file", "tfds_pairs")
"""Tasks whose tokens are bytes, and one more that parts or ends them."""
COLUMNS, CELLS = 2, 32
COLORS = ("#CFE3F5", "#FBD9B5", "#D3EBCB", "#E7D4EE", "#F5F0B5", "#DDDDDD")
PALE = "#F4F4F4"
ASKED = "#B22222"

Example = tuple[Entry, Task, Batch]


def draw_panels(path: str, examples: dict[str, Example]) -> None:
    """One panel a task, in columns, each from top to bottom in the order given."""
    rows = math.ceil(len(examples) / COLUMNS)
    figure = Figure(figsize=(11.0, 0.82 * rows), dpi=110, layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).T.flat)
    for axes in panels:
        axes.axis("off")
        axes.set_xlim(0, CELLS)
        axes.set_ylim(2.2, -1.0)
    for axes, (kind, example) in zip(panels, examples.items(), strict=False):
        draw_panel(axes, kind, example)
    figure.savefig(path)


def draw_panel(axes: Axes, kind: str, example: Example) -> None:
    """One task's example, or several where they are images."""
    _, task, batch = example
    axes.text(0, -0.25, kind, fontsize=9, fontweight="bold", va="bottom")
    if task.spec.inputs == "features" and batch.inputs[0].size > 40:
        side = math.isqrt(batch.inputs[0].size)
        for place, (image, target) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
            draw_image(axes, 7 * place, image.reshape(side, side))
            answer(axes, 7 * place + 3.8, 1.0, str(target))
    elif task.spec.inputs == "features":
        draw_numbers(axes, batch)
    elif task.spec.shape == "one-to-many":
        side = math.isqrt(batch.targets.shape[1])
        for place, (source, image) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
            left = 7 * place
            axes.text(left + 0.3, 1.0, str(source), fontsize=9, va="center")
            arrow(axes, left + 0.9, 1.0)
            draw_image(axes, left + 2.3, image.reshape(side, side))
    else:
        draw_tokens(axes, kind, example)


def draw_tokens(axes: Axes, kind: str, example: Example) -> None:
    """The tokens, those that are labelled framed, and the targets under them or beside."""
    entry, task, batch = example
    real = np.ones(batch.inputs.shape[1], bool) if batch.mask is None else batch.mask[0]
    tokens = batch.inputs[0][real]
    words, colors = names(entry, task)
    if kind in OF_BYTES:
        words = [chr(byte) if 32 < byte < 127 else "·" for byte in range(256)] + ["|"]
    if isinstance(task, WritingTask) and not entry.kinds:
        words = [task.show_source(np.array([token])) or "·" for token in range(len(words))]
    strip(axes, 0, [words[token] for token in tokens], [colors[token] for token in tokens])
    legend(axes, kind, entry)
    if batch.targets.ndim == 1:
        answer(axes, len(tokens) + 0.3, 0.5, str(batch.targets[0]))
    elif isinstance(task, WritingTask):
        end = task.spec.end
        assert end is not None
        written = until(batch.targets[0], end)
        if kind == "dates":
            shown = list(task.show_target(batch.targets[0]))
        else:
            shown = [words[token] for token in written]
        strip(axes, 1.15, shown, ["white"] * len(shown), ASKED)
    else:
        places = np.arange(len(tokens)) if batch.positions is None else batch.positions[0]
        for place, target, weight in zip(places, batch.targets[0], batch.weights[0], strict=True):
            if weight > 0:
                axes.add_patch(
                    Rectangle((place + 0.04, 0.04), 0.92, 0.92, fill=False, edgecolor=ASKED, lw=1.3)
                )
                cell_text(axes, place, 1.15, words[target], ASKED)


def names(entry: Entry, task: Task) -> tuple[list[str], list[str]]:
    """What each token is called and its colour."""
    size = max(task.spec.input_size, task.spec.outputs)
    words = entry.words.split() or [str(token) for token in range(size)]
    colors = [
        PALE if name in ("blank", "filler") else COLORS[index % len(COLORS)]
        for index, (name, count) in enumerate((entry.kinds or {}).items())
        for _ in range(count)
    ] or [COLORS[0]] * size
    return words + [str(token) for token in range(len(words), size)], colors


def legend(axes: Axes, kind: str, entry: Entry) -> None:
    """The kinds of tokens, each in its colour, right of the task's name."""
    place = 0.44 * len(kind) + 1.2
    for index, name in enumerate(entry.kinds or {}):
        if name == "end":
            continue
        color = PALE if name in ("blank", "filler") else COLORS[index % len(COLORS)]
        axes.text(
            place, -0.25, name, fontsize=6.5, va="bottom",
            bbox={"facecolor": color, "edgecolor": "#999999", "lw": 0.4, "pad": 1.2},
        )  # fmt: skip
        place += 0.3 * len(name) + 1.1


def strip(axes: Axes, top: float, words: list[str], colors: list[str], ink: str = "black") -> None:
    """A row of cells with a word in each."""
    for place, (word, color) in enumerate(zip(words, colors, strict=True)):
        axes.add_patch(Rectangle((place, top), 1, 1, facecolor=color, edgecolor="#999999", lw=0.5))
        cell_text(axes, place, top, word, ink)


def cell_text(axes: Axes, place: float, top: float, word: str, ink: str) -> None:
    """A word in a cell, smaller where it is long."""
    size = {1: 8.5, 2: 7.5}.get(len(word), 5.2)
    axes.text(place + 0.5, top + 0.52, word, fontsize=size, color=ink, ha="center", va="center")


def answer(axes: Axes, place: float, middle: float, text: str) -> None:
    """An arrow and the one answer."""
    arrow(axes, place, middle)
    axes.text(place + 1.4, middle, text, fontsize=9, color=ASKED, va="center")


def arrow(axes: Axes, place: float, middle: float) -> None:
    """Says that what follows is asked for."""
    style = {"arrowstyle": "->", "color": ASKED}
    axes.annotate("", (place + 1.1, middle), (place, middle), arrowprops=style)


def draw_numbers(axes: Axes, batch: Batch) -> None:
    """Numbers as bars, the marked ones filled, and the answer."""
    for place, (number, mark) in enumerate(batch.inputs[0].tolist()):
        color = COLORS[1] if mark else PALE
        height = 1.4 * number
        axes.add_patch(
            Rectangle(
                (place, 1.9 - height), 1, height, facecolor=color, edgecolor="#999999", lw=0.5
            )
        )
        axes.text(place + 0.5, 1.85 - height, f"{number:.1f}", fontsize=5, ha="center")
    answer(axes, len(batch.inputs[0]) + 0.3, 1.2, f"{batch.targets[0]:.2f}")


def draw_image(axes: Axes, left: float, image: np.ndarray) -> None:
    """Grey values, as high as the panel."""
    position = axes.inset_axes((left / CELLS, 0.0, 0.115, 0.76))
    position.imshow(image, cmap="gray", interpolation="nearest")
    position.set_xticks([])
    position.set_yticks([])
