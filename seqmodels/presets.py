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
    "plain": False,
}
_CONVOLUTION = {"kind": "convolution", "kernel": 7, "stride": 1, "groups": 1, "gated": False}
# What differs between them: the mixers in their order, the parameters of one block in
# units of D^2, and whether blocks have an MLP.
_PRESETS: dict[str, tuple[dict[str, dict[str, Any]], int, bool]] = {
    "rnn": ({"rnn": {"kind": "rnn", "activation": "tanh"}}, 2, False),
    "lstm": ({"lstm": {"kind": "lstm"}}, 8, False),
    "gru": ({"gru": {"kind": "gru"}}, 6, False),
    # Two in turn: one block sees 7 neighbours, two see 55 positions, 6 + 6 * 8 + 1.
    "conv": (
        {"conv": _CONVOLUTION | {"dilation": 1}, "dilated": _CONVOLUTION | {"dilation": 8}},
        8,
        False,
    ),
    "local": ({"local": _ATTENTION | {"window": 16}}, 4, False),
    "global": ({"global": _ATTENTION}, 4, False),
    "transformer": ({"global": _ATTENTION}, 12, True),
}
PRESETS = tuple(_PRESETS)


def preset(
    name: str, *, parameters: int, depth: int, causal: bool, pooling: str | None, **changes: Any
) -> dict[str, Any]:
    """The ``model`` section of a preset, sized to about a number of parameters.

    The width is the multiple of 8 at which ``depth`` blocks come nearest to
    ``parameters``; embedding and head, which differ little, are not counted.

    Args:
      name: one of PRESETS.
      parameters: the number of parameters that the blocks should have.
      depth: the number of blocks.
      causal: whether convolutions and attention see earlier positions only.
      pooling: "mean" or "last" for many-to-one tasks, None for many-to-many.
      **changes: keys of the section to set otherwise, such as ``dropout=0.1``.

    >>> preset("lstm", parameters=130_000, depth=1, causal=True, pooling=None)["width"]
    128
    """
    if name not in _PRESETS:
        raise ConfigError(f"mixer={name!r} is not a preset; {nearest(name, _PRESETS)}")
    mixers, squares, mlp = _PRESETS[name]
    mixers = dict(list(mixers.items())[:depth])
    both_sides = {} if name in ("rnn", "lstm", "gru") else {"causal": causal}
    section = {
        "width": max(8, 8 * round((parameters / (depth * squares)) ** 0.5 / 8)),
        "depth": depth,
        "pattern": tuple(mixers),
        "mixers": {key: mixer | both_sides for key, mixer in mixers.items()},
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
