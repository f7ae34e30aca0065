"""The atlas's source text, which is judged by bits a byte and so is swept by itself.

python sweep.py --config=experiments/atlas/text.py --workdir=sweeps/atlas-text
--match=parameters --target=75300 --workers=2
"""

from typing import Any

from configs.atlas import FAMILIES, get_config
from experiments.atlas.points import tuned

__all__ = ["get_config", "sweep"]


def sweep() -> list[dict[str, Any]]:
    """Sixteen mixers at 64."""
    return tuned(("text",), FAMILIES)
