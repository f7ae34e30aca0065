"""Draws the figures of docs/architectures.md, and its table of parameters by kernel.

    python benchmarks/figures.py --runs=runs/architectures --document=docs/architectures.md

The runs are those of benchmarks/architectures.py.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from document import replace_table
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from seqmodels import cli
from seqmodels.evaluation.runs import load
from seqmodels.model import count_parameters
from seqmodels.pictures.receptive_field import extent, receptive_field
from seqmodels.pictures.run import scores_by_length
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole

RUNS = flags.DEFINE_string("runs", "runs/architectures", "folder of the runs")
IMAGES = flags.DEFINE_string("images", "docs/images", "folder of the pictures")
DOCUMENT = flags.DEFINE_string("document", "docs/architectures.md", "file whose table is replaced")

LENGTH, DEPTH, WIDTH = 64, 5, 16
CONVOLUTION = {"kind": "convolution", "kernel": 3, "causal": False}
ATTENTION = {"kind": "attention", "causal": False, "positions": "none"}
STACKS: dict[str, list[dict[str, Any]]] = {
    "convolutions, k = 3": [CONVOLUTION],
    "dilated 1, 2, 4, ...": [CONVOLUTION | {"dilation": 2**level} for level in range(DEPTH)],
    "RNN": [{"kind": "rnn", "activation": "tanh"}],
    "attention": [ATTENTION],
}
CURVES = {
    "seq2seq-state": ("GRU, final state alone", "#D55E00", "s"),
    "seq2seq-additive": ("GRU, additive attention", "#0072B2", "o"),
    "encoder-decoder": ("Transformer", "#009E73", "^"),
}


def fields(mixers: list[dict[str, Any]]) -> list[np.ndarray]:
    """What one output of 1, 2, ... untrained blocks sees: the middle one, or an RNN's last."""
    config = load_whole("configs/digits.py:mixer=conv").config.unlock()
    config.model.update(width=WIDTH, depth=DEPTH, positions="none", dropout=0.0)
    config.model.pattern = tuple(f"mixer{i}" for i in range(len(mixers)))
    config.model.mixers = ConfigDict(dict(zip(config.model.pattern, mixers, strict=True)))
    experiment = build_experiment(config.lock())
    params = experiment.model.init(jax.random.key(0))
    batch = experiment.task.batch("train", 0, 1, LENGTH)
    place = (LENGTH - 1,) if experiment.model.facts.causal else None
    depths = range(1, DEPTH + 1)
    return [receptive_field(experiment.model, params, batch, d, place) for d in depths]


def draw_fields(path: Path) -> None:
    """A panel a stack, a row a depth; the number says how far apart the ends of the view lie."""
    figure = Figure(figsize=(9.0, 5.0), dpi=120, layout="constrained")
    figure.suptitle("What one output sees after each block (untrained, gradients)\n", fontsize=10)
    for axes, (name, mixers) in zip(figure.subplots(2, 2).flat, STACKS.items(), strict=True):
        found = fields(mixers)
        shares = np.stack([field / field.max() for field in found])
        # A logarithm, as the far ends of a view are faint; what is not seen at all stays white.
        shown = np.where(shares > 0, np.log10(np.maximum(shares, 1e-4)), np.nan)
        image = axes.imshow(
            shown, aspect="auto", cmap="Blues", vmin=-5, vmax=0, interpolation="nearest"
        )
        axes.set_title(name, fontsize=9)
        seen = [f"{depth}: {extent(field)[0]}" for depth, field in enumerate(found, start=1)]
        axes.set_yticks(range(DEPTH), seen)
        axes.set_ylabel("blocks: positions seen", fontsize=8)
        axes.set_xlabel("input position", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.colorbar(
        image, ax=figure.axes, label="gradient, share of the largest, log10", shrink=0.8
    )
    figure.savefig(path)


def draw_by_length(path: Path) -> None:
    """Exact match on reversed strings, against the length, of three runs."""
    figure = Figure(figsize=(6.5, 3.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, (label, color, marker) in CURVES.items():
        run = load(Path(RUNS.value) / name, "best", devices=1)
        scores = {n: s.metrics["exact_match"].mean for n, s in scores_by_length(run).items()}
        print(name, {length: round(100 * score, 1) for length, score in scores.items()})
        axes.plot(
            list(scores), list(scores.values()), label=label, color=color, marker=marker, ms=4
        )
        axes.axvline(run.experiment.train.length, color="gray", linestyle="--", lw=1)
    axes.set_title("Strings reversed without a mistake (trained up to length 20)", fontsize=10)
    axes.set_xlabel("length of the source")
    axes.set_ylabel("exact match, test")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path)


def kernels_table() -> str:
    """Parameters of convolution and of local attention in its place, by the kernel."""
    lines = ["| kernel | convolution | local attention |", "|---|---|---|"]
    for kernel in (3, 5, 7):
        counts = [
            count_parameters(
                build_experiment(
                    load_whole(f"configs/digits_grid.py:mixer={mixer},kernel={kernel}").config
                ).model
            )
            for mixer in ("conv", "local")
        ]
        lines.append(f"| {kernel}×{kernel} | {counts[0]:,} | {counts[1]:,} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draws and counts."""
    images = Path(IMAGES.value)
    draw_fields(images / "receptive-fields.png")
    replace_table(DOCUMENT.value, "kernels", kernels_table())
    draw_by_length(images / "reverse-by-length.png")


if __name__ == "__main__":
    cli.run(main)
