"""The dimension letters of this codebase, and the array types that carry them.

Every annotation uses these letters and no others for these things::

    B  batch            L  length (several axes, ``*L``, where the input is a grid)
    D  model width      H  heads            G  heads of keys and values, where fewer
    K  width of keys    U  width of values  E  inner width of a mixer
    N  state size       W  window           C  chunk or block
    F  MLP width        V  vocabulary       P  labelled positions
    M  queries          S  source

Shapes are checked at run time in the tests alone (jaxtyping with beartype,
switched on by ``tests/conftest.py``), so an annotation costs nothing in a run.
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, Shaped

State = PyTree[Array]
"""A mixer's or a model's recurrent state: any tree of arrays with B as the first axis."""

AnyArray = Array | np.ndarray
"""An array on a device, or a NumPy array on its way there."""

Params = dict[str, Any]
"""A model's parameters: a plain nested dict of float32 arrays."""

__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Float",
    "Int",
    "Key",
    "Params",
    "PyTree",
    "Shaped",
    "State",
]
