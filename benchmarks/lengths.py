"""Trains what configs/length.py names, scores it by length, and writes the table and the plot.

    python benchmarks/lengths.py --runs=runs/length --seeds=3 --document=docs/lengths.md

A run that has finished is not trained again, and lengths that are stored are not scored again.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from document import replace_table
from matplotlib.figure import Figure

from seqmodels import cli
from seqmodels.errors import UserError
from seqmodels.tasks.chance import WORDS, levels
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from seqmodels.training.workdir import Workdir

RUNS = flags.DEFINE_string("runs", "runs/length", "folder of the runs")
SEEDS = flags.DEFINE_integer("seeds", 3, "seeds of each", 1)
EXAMPLES = flags.DEFINE_integer("examples", 200, "sequences of each length", 1)
DOCUMENT = flags.DEFINE_string("document", None, "file whose table is replaced")
IMAGE = flags.DEFINE_string("image", "docs/images/lengths.png", "where the plot goes")

LENGTHS = [64 * 2**i for i in range(7)]
# Each with its name in the table and how it is drawn: a colour of Okabe and Ito, and a marker.
SHOWN = {
    "none": ("attention, no positions", "#000000", "o"),
    "sinusoidal": ("attention, sinusoidal", "#000000", "x"),
    "rotary": ("attention, rotary", "#0072B2", "o"),
    "rotary_linear": ("attention, rotary, linear scaling", "#0072B2", "s"),
    "rotary_ntk": ("attention, rotary, NTK scaling", "#0072B2", "^"),
    "randomised": ("attention, rotary, randomised", "#56B4E9", "D"),
    "relative": ("attention, relative", "#CC79A7", "o"),
    "alibi": ("attention, ALiBi", "#CC79A7", "s"),
    "local": ("local attention, window 16", "#E69F00", "o"),
    "dilated": ("dilated convolution", "#009E73", "o"),
    "lstm": ("LSTM", "#D55E00", "o"),
    "gru": ("GRU", "#D55E00", "s"),
}


def run(command: list[str], log: Path) -> None:
    """A script in a process of its own; what it prints is added to a file."""
    output = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    with log.open("a") as file:
        file.write(output.stdout + output.stderr)
    if output.returncode:
        reason = (output.stderr.strip().splitlines() or ["killed"])[-1]
        raise UserError(f"{' '.join(command)}: {reason}")


def scores(mixer: str, seed: int) -> list[float]:
    """Test accuracy of one run at each length."""
    folder = Path(RUNS.value) / f"{mixer}-{seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    log, workdir = folder.parent / f"{folder.name}.log", Workdir(folder)
    if workdir.results() is None:
        config = [f"--config=configs/length.py:mixer={mixer}", f"--config.seed={seed}"]
        run(["train.py", *config, f"--workdir={folder}"], log)
    stored: Any = workdir.read("lengths.json")
    if stored is None:
        lengths = ",".join(map(str, LENGTHS))
        flags = [f"--lengths={lengths}", f"--examples={EXAMPLES.value}"]
        run(["evaluate.py", f"--workdir={folder}", *flags], log)
        stored = workdir.read("lengths.json")
    (by_split,) = stored.values()
    found = [by_split["test"][str(n)]["metrics"]["accuracy"]["mean"] for n in LENGTHS]
    print(f"{folder.name}: {' '.join(f'{100 * value:.1f}' for value in found)}", flush=True)
    return found


def table(found: dict[str, np.ndarray]) -> str:
    """Mean over seeds and, of several, their range, in per cent."""
    lines = [f"| | {' | '.join(f'{n:,}' for n in LENGTHS)} |", "|---" * (len(LENGTHS) + 1) + "|"]
    for mixer, values in found.items():
        cells = [f"{100 * v.mean():.1f}" for v in values.T]
        if SEEDS.value > 1:
            ranges = [f" ({100 * v.min():.1f} to {100 * v.max():.1f})" for v in values.T]
            cells = [cell + between for cell, between in zip(cells, ranges, strict=True)]
        lines.append(f"| `{mixer}`: {SHOWN[mixer][0]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    """Means against the length, with the range of the seeds."""
    figure = Figure(figsize=(8.5, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    for mixer, values in found.items():
        name, color, marker = SHOWN[mixer]
        axes.fill_between(LENGTHS, values.min(axis=0), values.max(axis=0), color=color, alpha=0.12)
        axes.plot(
            LENGTHS, values.mean(axis=0), label=name, color=color, marker=marker, ms=4, lw=1.2
        )
    task = build_experiment(load_whole("configs/length.py:mixer=gru").config).task
    held = {n: levels(task, "test", n) for n in LENGTHS}
    for name, dash in zip(held[LENGTHS[0]], (":", "-."), strict=True):
        line = [held[n][name] for n in LENGTHS]
        axes.plot(LENGTHS, line, label=WORDS[name], color="gray", linestyle=dash, lw=1)
    axes.axvline(LENGTHS[0], color="gray", linestyle="--", lw=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(LENGTHS, [f"{n:,}" for n in LENGTHS])
    axes.set_title("Recall in context, trained at length 64: test", fontsize=10)
    axes.set_xlabel("length")
    axes.set_ylabel("accuracy, test")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Trains, scores, draws."""
    found = {
        mixer: np.array([scores(mixer, seed) for seed in range(SEEDS.value)]) for mixer in SHOWN
    }
    draw(found, Path(IMAGE.value))
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "lengths", table(found))


if __name__ == "__main__":
    cli.run(main)
