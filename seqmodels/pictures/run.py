"""Pictures of a trained run: what it sees, what it writes, where it errs."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from seqmodels.arrays import Float
from seqmodels.drawing import literal, new_figure, save
from seqmodels.errors import UserError
from seqmodels.evaluation.length_picture import draw_lengths
from seqmodels.evaluation.lengths import Asked, LengthScores, evaluate_lengths
from seqmodels.evaluation.runs import LoadedRun, load
from seqmodels.generation.decoding import Sampling
from seqmodels.generation.run import write_for
from seqmodels.pictures.attention_maps import Map, attention_maps
from seqmodels.pictures.receptive_field import receptive_field
from seqmodels.pictures.states import draw_half_lives, draw_norms, half_lives, norms
from seqmodels.tasks.base import Batch

SAMPLES = 8
"""Written digits a class."""
POINTS = 12
"""Lengths at which strings are scored."""
BEYOND = 3
"""Up to so many times the training length."""
LARGEST_MAP = 256
"""Positions beyond which a map's pixels can't be told apart."""
NAMED = 40
"""Up to so many tokens are named along an axis of a map."""
SHADES = {"cmap": "Blues", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
"""Of shares from 0 to 1."""


def draw_pictures(workdir: str, checkpoint: str) -> list[Path]:
    """Writes a run's pictures as PNGs into ``pictures`` in its folder, and names each.

    Always the receptive field; attention maps, where there is attention over at most
    LARGEST_MAP positions; half-lives, where mixers have decays, and norms over the length, where
    their states are matrices; for strings, exact match against the length; for digits that are
    written, samples of each class.
    """
    run = load(workdir, checkpoint, devices=1)
    folder = run.workdir.path / "pictures"
    try:
        folder.mkdir(exist_ok=True)
        (folder / ".try").touch()
        (folder / ".try").unlink()
    except OSError as error:
        raise UserError(
            f"{folder} can't be written ({error.strerror}); pictures are files: copy the run to "
            "where you may write"
        ) from None
    drawn = [_draw_receptive_field(run, folder / "receptive-field.png")]
    spec = run.experiment.task.spec
    maps = [m for m in attention_maps(run) if max(m.weights.shape[1:]) <= LARGEST_MAP]
    if maps:
        drawn.append(_draw_attention(run, maps, folder / "attention.png"))
    if layers := half_lives(run):
        drawn.append(draw_half_lives(run, layers, folder / "half-lives.png"))
    if layers := norms(run):
        drawn.append(draw_norms(run, layers, folder / "state-norms.png"))
    if spec.shape == "sequence-to-sequence" and hasattr(run.experiment.task, "shortest"):
        drawn.append(draw_lengths(run, scores_by_length(run)))
    if spec.shape == "one-to-many":
        drawn.append(_draw_written_digits(run, folder / "written.png"))
    for path in drawn:
        print(path)
    return drawn


def fields(run: LoadedRun) -> list[Float[np.ndarray, "*L"]]:
    """What the middle output of the first 1, 2, ... blocks sees, as shares of the most."""
    task, model = run.experiment.task, run.experiment.model
    batch = task.batch("train", 0, 1, run.experiment.train.length)
    depths = range(1, model.facts.depth + 1)
    found = [receptive_field(model, run.params, batch, depth) for depth in depths]
    return [field / max(field.max(), 1e-30) for field in found]


def _draw_receptive_field(run: LoadedRun, path: Path) -> Path:
    shown = fields(run)
    title = f"{run.workdir.path.name}: what the middle output sees after each block"
    if shown[0].ndim == 3:
        title += " (the middle slice)"
        shown = [field[len(field) // 2] for field in shown]
    rank = shown[0].ndim
    figure = new_figure(2.2 * len(shown) + 1.0 if rank == 2 else 7.0, 3.0, title + "\n")
    if rank == 1:
        axes = figure.subplots()
        image = axes.imshow(np.stack(shown), aspect="auto", **SHADES)
        axes.set_yticks(range(len(shown)), [str(depth) for depth in range(1, len(shown) + 1)])
        axes.set_xlabel("input position")
        axes.set_ylabel("blocks")
        every = axes
    else:
        every = figure.subplots(1, len(shown), squeeze=False)[0]
        for depth, (axes, field) in enumerate(zip(every, shown, strict=True), start=1):
            image = axes.imshow(field, **SHADES)
            axes.set_title(f"{depth} block" + "s" * (depth > 1), fontsize=9)
            axes.set_xlabel("column")
        every[0].set_ylabel("row")
    figure.colorbar(image, ax=every, label="gradient, share of the largest")
    return save(figure, path)


def _draw_attention(run: LoadedRun, maps: list[Map], path: Path) -> Path:
    """A row of panels a layer, a panel a head."""
    heads = max(len(layer.weights) for layer in maps)
    queries, keys = (max(layer.weights.shape[axis] for layer in maps) for axis in (1, 2))
    side = 2.2 if max(queries, keys) > NAMED else 0.13 * max(queries, keys) + 1.2
    title = f"{run.workdir.path.name}: how much each position takes from each other"
    figure = new_figure(side * heads + 1.2, (side + 0.4) * len(maps) + 0.5, title + "\n")
    grid = figure.subplots(len(maps), heads, squeeze=False)
    for row, layer in zip(grid, maps, strict=True):
        for head, axes in enumerate(row):
            if head >= len(layer.weights):
                axes.set_visible(False)
                continue
            image = axes.imshow(layer.weights[head], **SHADES)
            of_many = f", head {head + 1}" if len(layer.weights) > 1 else ""
            axes.set_title(literal(layer.title) + of_many, fontsize=7)
            axes.tick_params(labelsize=6, length=1.5)
            _name(axes.xaxis, layer.columns)
            _name(axes.yaxis, layer.rows)
        row[0].set_ylabel("looking", fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("looked at", fontsize=8)
    figure.colorbar(image, ax=grid, label="weight", shrink=0.8 / len(maps))
    return save(figure, path)


def _name(axis: Any, names: list[str] | None) -> None:
    if names is not None and len(names) <= NAMED:
        axis.set_ticks(range(len(names)), [literal(name) for name in names])


def scores_by_length(run: LoadedRun) -> dict[int, LengthScores]:
    """Scores of test strings of several lengths, up to BEYOND times the training length.

    Those are left out that the model doesn't serve.
    """
    task, trained = run.experiment.task, run.experiment.train.length
    longest = run.experiment.model.facts.longest

    def is_served(length: int) -> bool:
        batch = task.batch("test", 0, 1, length)
        return longest is None or max(batch.inputs.shape[1], batch.targets.shape[1]) <= longest

    spaced = {round(n) for n in np.linspace(1, BEYOND * trained, POINTS)} | {trained}
    return dict(evaluate_lengths(run, Asked("test", tuple(filter(is_served, sorted(spaced))))))


def _draw_written_digits(run: LoadedRun, path: Path) -> Path:
    task = run.experiment.task
    length, classes = run.experiment.train.length, task.spec.input_size
    names = np.repeat(np.arange(classes, dtype=np.int32), SAMPLES)
    nothing = np.zeros((len(names), length), np.int32)
    batch = Batch(names, nothing, nothing.astype(np.float32))
    greys = write_for(run, batch, Sampling(1.0), jax.random.key(0))
    side = round(length**0.5)
    images = np.asarray(greys).reshape(classes, SAMPLES, side, side)
    title = f"{run.workdir.path.name}: written"
    figure = new_figure(0.55 * classes + 0.6, 0.55 * SAMPLES + 0.8, title)
    grid = figure.subplots(SAMPLES, classes)
    for digit in range(classes):
        for sample in range(SAMPLES):
            axes = grid[sample, digit]
            axes.imshow(images[digit, sample], cmap="gray_r", vmin=0, vmax=task.spec.outputs - 1)
            axes.set_xticks([])
            axes.set_yticks([])
        grid[0, digit].set_title(str(digit), fontsize=9)
    return save(figure, path)
