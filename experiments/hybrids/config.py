"""Hybrids of Gated DeltaNet and attention by ratio: recall against state and cost.

python sweep.py --config=experiments/hybrids/config.py --workdir=sweeps/hybrids
--match=parameters --target=61300 --workers=2

Four blocks, of which 0, 1, 2 or 4 are of attention, with a short convolution in all; 16 pairs among
128 positions.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import product, read_arguments, staged

PATTERNS: dict[str, tuple[str, ...]] = {
    "1:0": ("gated_deltanet",),
    "3:1": ("gated_deltanet", "gated_deltanet", "global", "gated_deltanet"),
    "1:1": ("gated_deltanet", "global"),
    "0:1": ("global",),
}
"""By the ratio of linear blocks to those of attention."""
_RATES = (1e-3, 3e-3, 1e-2)


def sweep() -> list[dict[str, Any]]:
    """Every ratio."""
    tuned = {"optimizer.learning_rate": _RATES, "seed": (0, 1, 2)}
    return staged(product({"ratio": tuple(PATTERNS)}, tuned))


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: ratio=1:0|3:1|1:1|0:1."""
    pattern = PATTERNS[read_arguments(arg, ratio=tuple(PATTERNS)).ratio]
    kinds = {"gated_deltanet": "gated_deltanet", "global": "attention"}
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "recall", "vocabulary": 128, "pairs": 16, "evaluation_examples": 500}
    config.model = {
        "width": 48,
        "depth": 4,
        "pattern": pattern,
        "mixers": {name: {"kind": kinds[name], "heads": 2} for name in dict.fromkeys(pattern)},
        "short_convolution": 4,
    }
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 80}
    config.train = {
        "steps": 800,
        "batch_size": 32,
        "length": 128,
        "evaluate_every": 200,
        "decode_step": True,  # its cost and the state are what the ratio is held against
    }
    return config.lock()
