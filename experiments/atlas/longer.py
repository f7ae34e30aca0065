"""The atlas at 256: eight mixers at the rate that was found at 64.

python sweep.py --config=experiments/atlas/longer.py --workdir=sweeps/atlas-longer
--match=parameters --target=75300 --workers=2

Those of results.json; collect the runs at 64 first.
"""

from typing import Any

from configs.atlas import get_config
from experiments.atlas.points import ACCURACIES, longer

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Tasks that are judged by accuracy."""
    return longer(ACCURACIES)
