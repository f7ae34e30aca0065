"""The atlas's source text at 256, as longer.py has the other tasks.

python sweep.py --config=experiments/atlas/longer_text.py --workdir=sweeps/atlas-longer_text
--match=parameters --target=75300 --workers=2
"""

from typing import Any

from configs.atlas import get_config
from experiments.atlas.points import longer

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Eight mixers."""
    return longer(("text",))
