"""What a config's values are: plain numbers, words and tuples, that fit an annotation in all parts.

Every part of a value is looked at, of whatever depth: a check that takes a sample lets a config
pass that fails in the middle of a run.
"""

import inspect
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
from beartype import BeartypeConf
from beartype.door import is_bearable
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError
from seqmodels.json_files import DEEPEST

LARGEST_FLOAT = 2.0**128
"""Floats of a config are below it, as all is computed in 32 bits."""
LARGEST = 2**63
"""Whole numbers of a config are below it: array libraries take no others."""


def plain(value: Any, path: str, depth: int = 0) -> Any:
    """A value as JSON gives it back, but for tuples: NumPy's numbers and arrays as Python's.

    The path is what messages call it; it lies in ``depth`` containers.

    Raises:
      ConfigError: it is neither number, word, None, nor a container of such.

    >>> plain({"width": np.int64(8), "kernel": [np.float32(0.5), None]}, "model")
    {'width': 8, 'kernel': (0.5, None)}
    """
    if depth > DEEPEST:
        raise ConfigError(f"{path[:80]} is nested more than {DEEPEST} levels deep, or holds itself")
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping | ConfigDict):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{path} has the key {key!r}; keys are words")
        return {key: plain(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(item, path, depth + 1) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(
        f"{path}={reprlib.repr(value)} is a {type(value).__name__}; a value is a number, a word, "
        "None, a tuple or a dict of such"
    )


def require_finite(value: Any, path: str) -> None:
    """Refuses NaN, floats beyond 32 bits and whole numbers beyond 64, also inside of containers."""
    if isinstance(value, Mapping | ConfigDict):
        for key, item in value.items():
            require_finite(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            require_finite(item, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}={value} is not finite")
    elif isinstance(value, float) and abs(value) >= LARGEST_FLOAT:
        raise ConfigError(f"{path}={value} does not fit in a float of 32 bits, below 3.4e38")
    elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
        bits = value.bit_length()
        raise ConfigError(f"{path} is a whole number of {bits} bits; at most 63 and a sign fit")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value, with all that it holds, is of an annotated type.

    A list passes for a tuple, since JSON knows no tuples, and a whole number for a float; True
    and False pass for no number.

    >>> fits((256, 3), tuple[int, ...]), fits((256, "a"), tuple[int, ...])
    (True, False)
    """
    kind, options = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in options)
    if kind is typing.Literal:
        return any(value == option and type(value) is type(option) for option in options)
    if kind is tuple:
        if not isinstance(value, list | tuple):
            return False
        if options[-1:] == (...,):
            return all(fits(item, options[0]) for item in value)
        return len(value) == len(options) and all(map(fits, value, options))
    if kind is not None and inspect.isclass(kind) and issubclass(kind, Mapping):
        if not isinstance(value, Mapping):
            return False
        return all(fits(k, options[0]) and fits(v, options[1]) for k, v in value.items())
    if isinstance(value, bool) and hint in (int, float):
        return False
    return is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))


def describe(hint: Any) -> str:
    """An annotated type in words."""
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(hint))
    options = typing.get_args(hint)
    if typing.get_origin(hint) is Mapping or hint is ConfigDict:
        return "a section"
    if options and typing.get_origin(hint) is not tuple:
        return " or ".join(dict.fromkeys(describe(o) for o in options))
    if hint is type(None):
        return "None"
    return hint.__name__ if inspect.isclass(hint) and not options else str(hint)
