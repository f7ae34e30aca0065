"""Named architectures of about equal size, for a config's ``model`` section.

Each is a plain dict that a config may change, with what differs from the model's defaults.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from seqmodels.config import construct_kind
from seqmodels.errors import ConfigError, nearest
from seqmodels.mixers import MIXERS
from seqmodels.parameters import count_parameters

# What could see both sides says that it does; where it must not, that is left out.
_ATTENTION = {"kind": "attention", "causal": False}
_CONVOLUTION = {"kind": "convolution", "causal": False}
_NEIGHBOURHOOD = {"kind": "neighbourhood_attention", "causal": False}
_LOCAL = _ATTENTION | {"window": 16}
_Mixers = dict[str, dict[str, Any]]


def _near_and_far(mixer: dict[str, Any]) -> _Mixers:
    """Two in turn: one block sees 7 neighbours, two see 55 positions, 6 + 6 * 8 + 1."""
    return {"near": mixer, "far": mixer | {"dilation": 8}}


def _doubling(mixer: dict[str, Any], levels: int) -> _Mixers:
    """Temporal convolutional network (Bai et al. 2018): dilations 1, 2, 4, ..."""
    farther = [{"dilation": 2**level} if level else {} for level in range(levels)]
    return {f"dilated{2**level}": mixer | distance for level, distance in enumerate(farther)}


PRESETS: dict[str, _Mixers] = {
    "rnn": {"rnn": {"kind": "rnn"}},
    "lstm": {"lstm": {"kind": "lstm"}},
    "gru": {"gru": {"kind": "gru"}},
    "bidirectional": {"both": {"kind": "bidirectional", "mixer": {"kind": "gru"}}},
    "conv": {"conv": _CONVOLUTION, "dilated": _CONVOLUTION | {"dilation": 8}},
    "tcn": _doubling(_CONVOLUTION | {"kernel": 3}, levels=12),
    "temporal_block": _doubling({"kind": "temporal_block", "causal": False}, levels=12),
    "separable": _near_and_far(_CONVOLUTION | {"groups": None}),
    "gated": _near_and_far(_CONVOLUTION | {"gated": True}),
    "neighbourhood": _near_and_far(_NEIGHBOURHOOD),
    "local": {"local": _LOCAL},
    "global": {"global": _ATTENTION},
    "transformer": {"global": _ATTENTION},
    "long_convolution": {"long": {"kind": "long_convolution"}},
    "hyena": {"hyena": {"kind": "hyena"}},
    "hybrid": {
        "gru": {"kind": "gru"},
        "local": _LOCAL,
        "global": _ATTENTION,
    },
    "mingru": {"mingru": {"kind": "mingru"}},
    "minlstm": {"minlstm": {"kind": "minlstm"}},
    "lru": {"lru": {"kind": "lru"}},
    "rglru": {"rglru": {"kind": "rglru"}},
    "griffin": {"first": {"kind": "rglru"}, "second": {"kind": "rglru"}, "local": _LOCAL},
    "s4d": {"s4d": {"kind": "s4d"}},
    "s5": {"s5": {"kind": "s5"}},
    "mamba": {"mamba": {"kind": "mamba"}},
    "linear_attention": {"linear": {"kind": "linear_attention"}},
    "retention": {"retention": {"kind": "retention"}},
    "gla": {"gla": {"kind": "gla"}},
    "mamba2": {"mamba2": {"kind": "mamba2", "state_size": 64}},
    "mamba3": {"mamba3": {"kind": "mamba3", "state_size": 64}},
    "mlstm": {"mlstm": {"kind": "mlstm"}},
    "slstm": {"slstm": {"kind": "slstm"}},
    "deltanet": {"deltanet": {"kind": "deltanet"}},
    "gated_deltanet": {"gated_deltanet": {"kind": "gated_deltanet"}},
    "kda": {"kda": {"kind": "kda"}},
    "deltaproduct": {"deltaproduct": {"kind": "deltaproduct"}},
    "rwkv7": {"rwkv7": {"kind": "rwkv7", "decay_rank": 32, "gate_rank": 32}},
}
"""By name the mixers of each, in their order."""
MLPS = {"transformer": 4.0, "griffin": 4.0}
"""Those with an MLP, and its expansion."""
_WHOLE = ("hybrid", "griffin")
"""Those that have each of their mixers, however deep."""
_WIDE = 1024
"""A width at which the parameters that are not as many as D^2 don't count."""
_FILTERS = ("long_convolution", "hyena")
"""Kinds with filters as long as the sequence."""
_COUNTED = (*_FILTERS, "s4d", "s5", "mamba", "mamba2", "mamba3", "rwkv7")
"""Those of one kind, many of whose parameters are not as many as D^2."""


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

    The width is the multiple of 8 at which the blocks come nearest to ``parameters``; embedding and
    head, which differ little, are not counted. "hybrid" and "griffin" have a block of each of their
    3 mixers at least. Causal convolutions and attention see earlier positions only. Many-to-one
    tasks take the pooling "mean" or "last", many-to-many None. ``length`` is that of filters as
    long as the sequence; None leaves their default. ``changes`` are keys of the section to set
    beside these, such as ``dropout=0.1``.

    >>> preset("lstm", parameters=130_000, depth=1, causal=True, pooling=None)["width"]
    128
    """
    if name not in PRESETS:
        raise ConfigError(f"mixer={name!r} is not a preset; {nearest(name, PRESETS)}")
    if name in _WHOLE:
        depth = max(depth, len(PRESETS[name]))
    chosen = dict(list(PRESETS[name].items())[:depth])
    mixers = {key: _directed(mixer, causal, length) for key, mixer in chosen.items()}
    expansion = MLPS.get(name)
    if name in _COUNTED:
        width = _counted_width(name, length, parameters / depth)
    else:
        squares = _squares(name)[:depth]
        total = sum(squares[index % len(squares)] + 2 * (expansion or 0) for index in range(depth))
        width = (parameters / total) ** 0.5
    return {
        "width": max(8, 8 * round(width / 8)),
        "depth": depth,
        "pattern": tuple(chosen),
        "mixers": mixers,
        **({"mlp": "gelu", "mlp_expansion": expansion} if expansion else {}),
        **({"pooling": pooling} if pooling is not None else {}),
        **changes,
    }


@cache
def _squares(name: str) -> list[float]:
    """The parameters of a preset's mixers in units of D^2, to a tenth."""
    counts = [
        count_parameters(
            lambda rngs, mixer=mixer: construct_kind(MIXERS, mixer, name, width=_WIDE, rngs=rngs)
        )
        for mixer in PRESETS[name].values()
    ]
    return [round(count / _WIDE**2, 1) for count in counts]


def _counted_width(name: str, length: int | None, parameters: float) -> float:
    """The width at which a block of one kind has so many: ``a D^2 + b D + c``."""
    (mixer,) = PRESETS[name].values()
    mixer, widths = _directed(mixer, True, length), (64, 128, 256)
    counts = [
        count_parameters(
            lambda rngs, width=width: construct_kind(MIXERS, mixer, name, width=width, rngs=rngs)
        )
        for width in widths
    ]
    a, b, c = np.polyfit(widths, counts, 2)
    return float((math.sqrt(max(0, b**2 - 4 * a * (c - parameters))) - b) / (2 * a))


def _directed(mixer: dict[str, Any], causal: bool, length: int | None) -> dict[str, Any]:
    if length is not None and mixer["kind"] in _FILTERS:
        mixer = mixer | {"max_length": length}
    return {key: value for key, value in mixer.items() if not (causal and key == "causal")}
