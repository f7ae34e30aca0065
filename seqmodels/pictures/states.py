"""What a run's states keep: the half-lives of their decays, and the norms of matrices over time."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import Array, Float
from seqmodels.drawing import BLUE, ORANGE, literal, log_ticks, mark_log_axis, new_figure, save
from seqmodels.errors import UserError
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.observing import observed
from seqmodels.tasks.base import Batch

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of a head's half-lives, over its features and the positions of a batch."""
POSITIONS, ROWS = 2**14, 8
"""Of a batch at most."""
BEYOND = 2
"""Norms are those of sequences so many times as long as in training, where there are such."""
SHORTEST, LONGEST = 0.1, 1000
"""Half-lives that are told apart: from so many positions to so many lengths of training."""
ACROSS = 3
"""Panels beside each other."""


class Layer(NamedTuple):
    """What one mixer shows of itself."""

    title: str
    numbers: Float[np.ndarray, "H _"]
    """Each head's: quantiles of half-lives in positions, or norms by position."""


def half_lives(run: LoadedRun) -> list[Layer]:
    """The half-lives ``log 2 / -log a`` of every mixer that has decays a, on test sequences.

    A mixer without heads counts as one.
    """
    return list(_seen(run, "log_decay", _quantiles, (run.experiment.train.length,)))


def norms(run: LoadedRun) -> list[Layer]:
    """The Frobenius norms of every mixer's matrix states, the mean of some test sequences."""
    trained = run.experiment.train.length
    return list(_seen(run, "state_norm", _mean_row, (BEYOND * trained, trained)))


def _quantiles(log_decay: Float[Array, "B L H *features"]) -> Float[Array, "H quantiles"]:
    of_head = jnp.moveaxis(log_decay, 2, 0).reshape(log_decay.shape[2], -1)
    # No mean of two, of which one may be infinite.
    found = jnp.nanquantile(of_head, jnp.array(QUANTILES), axis=1, method="nearest")
    return (math.log(2) / -found).T


def _mean_row(norms: Float[Array, "B L H"]) -> Float[Array, "H L"]:
    return jnp.nanmean(norms, axis=0).T


def _seen(run: LoadedRun, what: str, summary: Any, lengths: tuple[int, ...]) -> Iterator[Layer]:
    """A summary of what is observed by a name, at the first of the lengths that can be read."""
    model, names = run.experiment.model, []
    batch = next(_batches(run, lengths))

    def record(params, batch):
        _, seen = observed(model.apply)(params, batch)
        names[:] = [name for name in seen if name.endswith(f".{what}")]
        return [summary(seen[name]) for name in names]

    params = jax.device_put(run.params, jax.devices()[0])
    made = jax.jit(record)(params, batch)
    for name, numbers in zip(names, made, strict=True):
        if ".backward." in name and what == "state_norm":  # made from the sequence's end
            numbers = numbers[:, ::-1]
        yield Layer(_title(name), np.asarray(numbers))


def _batches(run: LoadedRun, lengths: tuple[int, ...]) -> Iterator[Batch]:
    """Test sequences of those of the lengths that the task has and the model serves."""
    task, model = run.experiment.task, run.experiment.model
    for length in lengths:
        try:
            batch = task.batch("test", 0, max(1, min(ROWS, POSITIONS // length)), length)
            jax.eval_shape(model.apply, run.params, batch)
        except UserError:
            continue
        yield batch


def _title(name: str) -> str:
    """Where in a model something was observed, such as encoder.blocks.0.mixer.log_decay."""
    before, _, after = name.rpartition("blocks.")
    number, *parts = after.split(".")
    side = [before.removesuffix("."), f"block {int(number) + 1}"]
    return ", ".join([*filter(None, side), *({"forward", "backward"} & set(parts))])


def draw_half_lives(run: LoadedRun, layers: list[Layer], path: Path) -> Path:
    """A column a head: how long half of what its state holds is left."""
    trained = run.experiment.train.length
    columns = sum(len(layer.numbers) + 1 for layer in layers)
    title = f"{run.workdir.path.name}: after how many positions half of a state is left"
    figure = new_figure(min(12.0, 5.5 + 0.2 * columns), 3.4, title + "\n")
    axes = figure.subplots()
    shown = np.concatenate([layer.numbers for layer in layers])
    inside = shown[(shown >= SHORTEST) & (shown <= LONGEST * trained)]
    low, high = float(min(*inside, trained)), float(max(*inside, trained))
    place, middles = 0.0, []
    for number, layer in enumerate(layers):
        places = place + np.arange(len(layer.numbers))
        place = places[-1] + 2
        middles.append(places.mean())
        if number % 2:
            axes.axvspan(places[0] - 1, places[-1] + 1, color="0.95", zorder=0)
        few, lower, middle, upper, most = np.clip(layer.numbers, low, high).T
        axes.vlines(places, few, most, color=BLUE, lw=1, label="5% to 95%")
        axes.vlines(places, lower, upper, color=BLUE, lw=5, alpha=0.4, label="middle half")
        axes.plot(places, middle, "o", color=BLUE, ms=4, label="median")
    axes.axhline(trained, color=ORANGE, linestyle="--", label=f"length in training: {trained:,}")
    axes.set_xlim(-1, place - 1)
    axes.set_xticks(middles, [literal(layer.title) for layer in layers])
    axes.tick_params(axis="x", length=0, labelrotation=90 if len(layers) > 8 else 0)
    if max(len(layer.numbers) for layer in layers) > 1:
        axes.set_xlabel("heads, from the first to the last")
    axes.set_yscale("log")
    axes.set_ylim(low / 1.5, high * 1.5)
    ticks = [tick for tick in log_ticks([low, high]) if low / 1.5 <= tick <= high * 1.5]
    mark_log_axis(axes.yaxis, ticks, [f"{tick:,g}" for tick in ticks])
    axes.set_ylabel("half-life, positions")
    axes.grid(axis="y", alpha=0.3)
    _explain(figure, axes)
    return save(figure, path)


def draw_norms(run: LoadedRun, layers: list[Layer], path: Path) -> Path:
    """A panel a layer, a line a head."""
    trained = run.experiment.train.length
    across = min(ACROSS, len(layers))
    down = -(-len(layers) // across)
    title = f"{run.workdir.path.name}: size of what each head's state holds"
    figure = new_figure(3.0 * across + 2.0, 2.4 * down + 0.5, title + "\n")
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    colours = _colours(max(len(layer.numbers) for layer in layers))
    for axes, layer in zip(grid.flat, layers, strict=False):
        places = np.arange(1, layer.numbers.shape[1] + 1)
        for head, (line, colour) in enumerate(zip(layer.numbers, colours, strict=False), start=1):
            axes.plot(places, line, color=colour, lw=1.2, label=f"head {head}")
        if len(places) > trained:
            axes.axvline(
                trained, color=ORANGE, linestyle="--", label=f"length in training: {trained:,}"
            )
        axes.set_title(literal(layer.title), fontsize=9)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(layers) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("position")
    for axes in grid[:, 0]:
        axes.set_ylabel("Frobenius norm")
    _explain(figure, *grid.flat)
    return save(figure, path)


def _explain(figure: Any, *panels: Any) -> None:
    """A legend beside the panels, of each word once."""
    named = {}
    for axes in panels:
        lines, texts = axes.get_legend_handles_labels()
        named |= dict(zip(texts, lines, strict=True))
    figure.legend(named.values(), named, loc="outside right center", frameon=False, fontsize=8)


def _colours(heads: int) -> Any:
    """From dark to light, in the order of heads."""
    from matplotlib import colormaps  # here, because the import takes a second

    return colormaps["viridis"](np.linspace(0, 0.85, heads))
