"""Named architectures of about equal size, for a config's ``model`` section.

Each is a plain dict that a config may change, with what differs from the model's defaults.
"""

import math
from typing import Any

from seqmodels.errors import ConfigError, nearest

# What could see both sides says that it does; where it must not, that is left out.
_ATTENTION = {"kind": "attention", "causal": False}
_CONVOLUTION = {"kind": "convolution", "causal": False}
_NEIGHBOURHOOD = {"kind": "neighbourhood_attention", "causal": False}
_Mixers = dict[str, tuple[dict[str, Any], int]]


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


# The mixers in their order, each with the parameters of its block in units of D^2.
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
    "local": {"local": (_ATTENTION | {"window": 16}, 4)},
    "global": {"global": (_ATTENTION, 4)},
    "transformer": {"global": (_ATTENTION, 4)},
    "long_convolution": {"long": ({"kind": "long_convolution"}, 2)},
    "hyena": {"hyena": ({"kind": "hyena"}, 4)},
    "hybrid": {
        "gru": ({"kind": "gru"}, 6),
        "local": (_ATTENTION | {"window": 16}, 4),
        "global": (_ATTENTION, 4),
    },
}
DEFAULT_LENGTH = 1024
_FILTERS = {"long_convolution": (None, 0), "hyena": (64, 10_500)}
"""Filters as long as the sequence: parameters a feature, None for as many as positions, and those
beside them."""
_WITH_MLP = ("transformer",)
_MLP_SQUARES = 8
PRESETS = tuple(_PRESETS)


def preset(
    name: str,
    *,
    parameters: int,
    depth: int,
    causal: bool,
    pooling: str | None,
    length: int | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The ``model`` section of a preset, sized to about a number of parameters.

    The width is the multiple of 8 at which the blocks come nearest to
    ``parameters``; embedding and head, which differ little, are not counted. "hybrid" has a block
    of each of its 3 mixers at least. Causal convolutions and attention see earlier positions only.
    Many-to-one tasks take the pooling "mean" or "last", many-to-many None. ``length`` is that of
    filters as long as the sequence; None leaves their default. ``changes`` are keys of the section
    to set beside these, such as ``dropout=0.1``.

    >>> preset("lstm", parameters=130_000, depth=1, causal=True, pooling=None)["width"]
    128
    """
    if name not in _PRESETS:
        raise ConfigError(f"mixer={name!r} is not a preset; {nearest(name, _PRESETS)}")
    if name == "hybrid":
        depth = max(depth, len(_PRESETS[name]))
    chosen = dict(list(_PRESETS[name].items())[:depth])
    mlp = name in _WITH_MLP
    squares = [squares + _MLP_SQUARES * mlp for _, squares in chosen.values()]
    total = sum(squares[index % len(squares)] for index in range(depth))
    mixers = {key: _directed(mixer, causal, length) for key, (mixer, _) in chosen.items()}
    each, beside = _FILTERS.get(name, (0, 0))
    linear = depth * (length or DEFAULT_LENGTH if each is None else each)
    left = max(0, parameters - depth * beside)
    width = (math.sqrt(linear**2 + 4 * total * left) - linear) / (2 * total)
    return {
        "width": max(8, 8 * round(width / 8)),
        "depth": depth,
        "pattern": tuple(chosen),
        "mixers": mixers,
        **({"mlp": "gelu", "mlp_expansion": 4.0} if mlp else {}),
        **({"pooling": pooling} if pooling is not None else {}),
        **changes,
    }


def _directed(mixer: dict[str, Any], causal: bool, length: int | None) -> dict[str, Any]:
    if length is not None and mixer["kind"] in _FILTERS:
        mixer = mixer | {"max_length": length}
    return {key: value for key, value in mixer.items() if not (causal and key == "causal")}
