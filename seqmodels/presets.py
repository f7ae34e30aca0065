"""Named architectures of about equal size, for a config's ``model`` section.

Each is a plain dict that a config may change, with what differs from the model's defaults.
"""

import math
from typing import Any, NamedTuple

from seqmodels.errors import ConfigError, nearest

# What could see both sides says that it does; where it must not, that is left out.
_ATTENTION = {"kind": "attention", "causal": False}
_CONVOLUTION = {"kind": "convolution", "causal": False}
_NEIGHBOURHOOD = {"kind": "neighbourhood_attention", "causal": False}


class _Part(NamedTuple):
    """A mixer's settings, and the parameters of its block in units of D^2 and of D."""

    settings: dict[str, Any]
    squares: float
    rows: float = 0


_Mixers = dict[str, tuple[Any, ...]]
_LOCAL = _ATTENTION | {"window": 16}
# Griffin's block (E = 4/3 D): 2 E D, its gates' 2 E^2 and E D.
_RECURRENT = {"kind": "rglru"}, 3 * 4 / 3 + 2 * (4 / 3) ** 2


def _near_and_far(mixer: dict[str, Any], squares: int) -> _Mixers:
    """Two in turn: one block sees 7 neighbours, two see 55 positions, 6 + 6 * 8 + 1."""
    return {"near": (mixer, squares), "far": (mixer | {"dilation": 8}, squares)}


def _doubling(levels: int) -> _Mixers:
    """Temporal convolutional network (Bai et al. 2018): kernels of 3, dilations 1, 2, 4, ..."""
    farther = [{"dilation": 2**level} if level else {} for level in range(levels)]
    return {
        f"dilated{2**level}": (_CONVOLUTION | {"kernel": 3} | distance, 4)
        for level, distance in enumerate(farther)
    }


# The mixers in their order, as parts.
_PRESETS: dict[str, _Mixers] = {
    "rnn": {"rnn": ({"kind": "rnn"}, 2)},
    "lstm": {"lstm": ({"kind": "lstm"}, 8)},
    "gru": {"gru": ({"kind": "gru"}, 6)},
    "bidirectional": {"both": ({"kind": "bidirectional", "mixer": {"kind": "gru"}}, 14)},
    "conv": {"conv": (_CONVOLUTION, 8), "dilated": (_CONVOLUTION | {"dilation": 8}, 8)},
    "tcn": _doubling(levels=12),
    "separable": _near_and_far(_CONVOLUTION | {"groups": None}, 1),
    "gated": _near_and_far(_CONVOLUTION | {"gated": True}, 15),
    "neighbourhood": _near_and_far(_NEIGHBOURHOOD, 5),
    "local": {"local": (_LOCAL, 4)},
    "global": {"global": (_ATTENTION, 4)},
    "transformer": {"global": (_ATTENTION, 4)},
    "hybrid": {
        "gru": ({"kind": "gru"}, 6),
        "local": (_LOCAL, 4),
        "global": (_ATTENTION, 4),
    },
    "mingru": {"mingru": ({"kind": "mingru"}, 2)},
    "minlstm": {"minlstm": ({"kind": "minlstm"}, 3)},
    "lru": {"lru": ({"kind": "lru"}, 6)},
    "rglru": {"rglru": _RECURRENT},
    "griffin": {"first": _RECURRENT, "second": _RECURRENT, "local": (_LOCAL, 4)},
    "s4d": {"s4d": ({"kind": "s4d"}, 2, 130)},
    "s5": {"s5": ({"kind": "s5"}, 3)},
    "mamba": {"mamba": ({"kind": "mamba"}, 6.25, 105)},
}
_WITH_MLP = ("transformer", "griffin")
_WHOLE = ("hybrid", "griffin")
_MLP_SQUARES = 8
PRESETS = tuple(_PRESETS)


def preset(
    name: str, *, parameters: int, depth: int, causal: bool, pooling: str | None, **changes: Any
) -> dict[str, Any]:
    """The ``model`` section of a preset, sized to about a number of parameters.

    The width is the multiple of 8 at which the blocks come nearest to ``parameters``; embedding and
    head, which differ little, are not counted. "hybrid" and "griffin" have a block of each of their
    3 mixers at least. Causal convolutions and attention see earlier positions only. Many-to-one
    tasks take the pooling "mean" or "last", many-to-many None. ``changes`` are keys of the section
    to set beside these, such as ``dropout=0.1``.

    >>> preset("lstm", parameters=130_000, depth=1, causal=True, pooling=None)["width"]
    128
    """
    if name not in _PRESETS:
        raise ConfigError(f"mixer={name!r} is not a preset; {nearest(name, _PRESETS)}")
    if name in _WHOLE:
        depth = max(depth, len(_PRESETS[name]))
    chosen = {key: _Part(*part) for key, part in list(_PRESETS[name].items())[:depth]}
    mlp = name in _WITH_MLP
    parts = [list(chosen.values())[index % len(chosen)] for index in range(depth)]
    squares = sum(part.squares + _MLP_SQUARES * mlp for part in parts)
    half = sum(part.rows for part in parts) / 2
    width = (math.sqrt(half**2 + squares * parameters) - half) / squares
    return {
        "width": max(8, 8 * round(width / 8)),
        "depth": depth,
        "pattern": tuple(chosen),
        "mixers": {key: _directed(part.settings, causal) for key, part in chosen.items()},
        **({"mlp": "gelu", "mlp_expansion": 4.0} if mlp else {}),
        **({"pooling": pooling} if pooling is not None else {}),
        **changes,
    }


def _directed(mixer: dict[str, Any], causal: bool) -> dict[str, Any]:
    return {key: value for key, value in mixer.items() if not (causal and key == "causal")}
