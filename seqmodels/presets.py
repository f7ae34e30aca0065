"""Named architectures of about equal size, for a config's ``model`` section.

Each is a plain dict that a config may change: nothing is decided elsewhere.
"""

from typing import Any

from seqmodels.errors import ConfigError, nearest

_ATTENTION = {
    "kind": "attention",
    "heads": 4,
    "window": None,
    "positions": "rotary",
    "kv_heads": None,
    "score": "scaled_dot",
    "qk_norm": False,
    "rotary_scaling": None,
    "trained_length": None,
    "position_range": None,
    "plain": False,
}
_CONVOLUTION = {
    "kind": "convolution",
    "kernel": 7,
    "dilation": 1,
    "stride": 1,
    "groups": 1,
    "gated": False,
}
_NEIGHBOURHOOD = {
    "kind": "neighbourhood_attention",
    "kernel": 7,
    "dilation": 1,
    "stride": 1,
    "heads": 4,
}
_RECURRENT = ("rnn", "lstm", "gru")
_Mixers = dict[str, tuple[dict[str, Any], int]]


def _near_and_far(mixer: dict[str, Any], squares: int) -> _Mixers:
    """Two in turn: one block sees 7 neighbours, two see 55 positions, 6 + 6 * 8 + 1."""
    return {"near": (mixer, squares), "far": (mixer | {"dilation": 8}, squares)}


def _doubling(levels: int) -> _Mixers:
    """Temporal convolutional network (Bai et al. 2018): kernels of 3, dilations 1, 2, 4, ..."""
    return {
        f"dilated{2**level}": (_CONVOLUTION | {"kernel": 3, "dilation": 2**level}, 4)
        for level in range(levels)
    }


# The mixers in their order, each with the parameters of its block in units of D^2.
_PRESETS: dict[str, _Mixers] = {
    "rnn": {"rnn": ({"kind": "rnn", "activation": "tanh"}, 2)},
    "lstm": {"lstm": ({"kind": "lstm"}, 8)},
    "gru": {"gru": ({"kind": "gru"}, 6)},
    "bidirectional": {"both": ({"kind": "bidirectional", "mixer": {"kind": "gru"}}, 14)},
    "conv": {
        "conv": (_CONVOLUTION, 8),
        "dilated": (_CONVOLUTION | {"dilation": 8}, 8),
    },
    "tcn": _doubling(levels=12),
    "separable": _near_and_far(_CONVOLUTION | {"groups": None}, 1),
    "gated": _near_and_far(_CONVOLUTION | {"gated": True}, 15),
    "neighbourhood": _near_and_far(_NEIGHBOURHOOD, 5),
    "local": {"local": (_ATTENTION | {"window": 16}, 4)},
    "global": {"global": (_ATTENTION, 4)},
    "transformer": {"global": (_ATTENTION, 4)},
    "hybrid": {
        "gru": ({"kind": "gru"}, 6),
        "local": (_ATTENTION | {"window": 16}, 4),
        "global": (_ATTENTION, 4),
    },
}
_WITH_MLP = ("transformer",)
_MLP_SQUARES = 8
PRESETS = tuple(_PRESETS)


def preset(
    name: str, *, parameters: int, depth: int, causal: bool, pooling: str | None, **changes: Any
) -> dict[str, Any]:
    """The ``model`` section of a preset, sized to about a number of parameters.

    The width is the multiple of 8 at which the blocks come nearest to
    ``parameters``; embedding and head, which differ little, are not counted.

    Args:
      name: one of PRESETS.
      parameters: the number of parameters that the blocks should have.
      depth: the number of blocks; of "hybrid" at least 3, one of each of its mixers.
      causal: whether convolutions and attention see earlier positions only.
      pooling: "mean" or "last" for many-to-one tasks, None for many-to-many.
      **changes: keys of the section to set otherwise, such as ``dropout=0.1``.

    >>> preset("lstm", parameters=130_000, depth=1, causal=True, pooling=None)["width"]
    128
    """
    if name not in _PRESETS:
        raise ConfigError(f"mixer={name!r} is not a preset; {nearest(name, _PRESETS)}")
    if name == "bidirectional" and causal:
        raise ConfigError(
            "mixer='bidirectional' sees later positions, and this task's outputs may not depend on "
            "them; take 'gru'"
        )
    if name == "hybrid":
        depth = max(depth, len(_PRESETS[name]))
    chosen = dict(list(_PRESETS[name].items())[:depth])
    mlp = name in _WITH_MLP
    squares = [squares + _MLP_SQUARES * mlp for _, squares in chosen.values()]
    total = sum(squares[index % len(squares)] for index in range(depth))
    section = {
        "width": max(8, 8 * round((parameters / total) ** 0.5 / 8)),
        "depth": depth,
        "pattern": tuple(chosen),
        "mixers": {key: _with_causal(mixer, causal) for key, (mixer, _) in chosen.items()},
        "norm": "layer",
        "norm_position": "pre",
        "mlp": "gelu" if mlp else "none",
        "mlp_expansion": 4.0 if mlp else None,
        "dropout": 0.0,
        "positions": "none",
        "max_length": None,
        "pooling": pooling,
        "dtype": "float32",
        "patch": None,
        "scan": None,
    }
    for key in changes:
        if key not in section:
            raise ConfigError(f"preset: model.{key} does not exist; {nearest(key, section)}")
    return section | changes


def _with_causal(mixer: dict[str, Any], causal: bool) -> dict[str, Any]:
    """A mixer's section, with what it sees where it can see both sides."""
    has_direction = mixer["kind"] in (*_RECURRENT, "bidirectional")
    return mixer if has_direction else mixer | {"causal": causal}
