"""The atlas: sixteen mixers on all questions that are judged by accuracy, at 64.

python sweep.py --config=experiments/atlas/sixteen.py --workdir=sweeps/atlas-sixteen
--match=parameters --target=75300 --workers=2
"""

from typing import Any

from configs.atlas import FAMILIES, get_config
from experiments.atlas.points import ACCURACIES, tuned

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Those of three tasks are also among the points of configs/atlas.py, of the same names."""
    return tuned((*ACCURACIES, "digits"), FAMILIES)
