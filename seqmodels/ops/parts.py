"""Into how many parts the current mesh splits rows, positions or features."""

from typing import Literal

import jax

Axis = Literal["data", "sequence", "model"]
"""An axis of a mesh: of rows, of positions, of features and heads."""


def parts(axis: Axis) -> int:
    """So many devices share what lies along an axis; 1 without a mesh, and where the code that is
    traced is a part's already.
    """
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if axis in mesh.manual_axes else mesh.shape.get(axis, 1)
