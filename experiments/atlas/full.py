"""The atlas for a GPU: all mixers, at 64, 256 and 1,024.

python sweep.py --config=experiments/atlas/full.py --workdir=sweeps/atlas-full
--match=parameters --target=75300 --workers=2
"""

from typing import Any

from configs.atlas import MIXERS, get_config
from experiments.atlas.points import ACCURACIES, tuned

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Every task that is judged by accuracy and has any length."""
    return tuned(ACCURACIES, MIXERS, length=(64, 256, 1024))
