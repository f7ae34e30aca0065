"""The points of the atlas beside those of configs/atlas.py: text, greater lengths, a GPU's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.atlas import THREE
from experiments.cells import RATE, cells
from seqmodels.sweeps.points import product, staged
from seqmodels.sweeps.records import read_records

RUNS = Path(__file__).parent / "results.json"
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SEEDS = (0, 1, 2)
TRAINED, LONGER = 64, 256
ACCURACIES = (*THREE, "needle")
"""Tasks of any length that are judged by an accuracy."""
EIGHT = ("gru", "conv", "local", "global", "hyena", "lru", "mamba2", "gated_deltanet")
"""Those that are trained at the greater length too."""
LENGTHS = (64, 256, 1024, 4096, 16_384)
"""Where trained runs are asked."""


def tuned(tasks: Sequence[str], mixers: Sequence[str], **arguments: Any) -> list[dict[str, Any]]:
    """Five rates in stages, and three seeds of the best."""
    cell = {"task": tasks, "mixer": mixers, "short": ("on",), **arguments}
    return staged(product(cell, {RATE: RATES, "seed": SEEDS}))


def longer(tasks: Sequence[str], file: Path = RUNS) -> list[dict[str, Any]]:
    """Eight mixers at the greater length, three seeds at the rate that was found at 64; a cell that
    has not been run there yet is left out."""
    found = cells(read_records(file))
    points = []
    for task in tasks:
        for mixer in EIGHT:
            cell = found.get(f"task={task},mixer={mixer},short=on")
            if cell is not None:
                rate = cell.chosen[0]["overrides"][RATE]
                own = {"task": (task,), "mixer": (mixer,), "short": ("on",), "length": (LONGER,)}
                points += product(own, {RATE: (rate,), "seed": SEEDS})
    return points
