"""The atlas's source text for a GPU, as full.py has the other tasks.

python sweep.py --config=experiments/atlas/full_text.py --workdir=sweeps/atlas-full_text
--match=parameters --target=75300 --workers=2
"""

from typing import Any

from configs.atlas import MIXERS, get_config
from experiments.atlas.points import tuned

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Every mixer."""
    return tuned(("text",), MIXERS, length=(64, 256, 1024))
