"""Parameters in one file that programs in any language read: safetensors, by dotted names.

Such a file begins with a number of 8 bytes, little-endian: the length of a JSON object that gives
each array's ``dtype``, ``shape`` and, counted from the object's end, ``data_offsets``. Then the
arrays lie there, in C order.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from seqmodels.arrays import Params
from seqmodels.errors import UserError
from seqmodels.json_files import write_whole
from seqmodels.output import in_a_line
from seqmodels.training.checksums import whole_array

SUFFIX = ".safetensors"

Named = dict[str, np.ndarray]
"""Arrays by dotted name."""


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree of parameters by their dotted names.

    >>> named({"blocks": {0: {"bias": 1.0}}})
    {'blocks.0.bias': 1.0}
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def named_arrays(params: Params) -> Named:
    """Parameters by their dotted names, in this machine's memory; all processes must ask."""
    return {name: whole_array(leaf) for name, leaf in named(params).items()}


def nested(arrays: Mapping[str, Any]) -> Params:
    """The tree of leaves by dotted names; what is numbered in it are blocks of a list.

    >>> nested({"blocks.0.bias": 1.0, "head.bias": 2.0})
    {'blocks': {0: {'bias': 1.0}}, 'head': {'bias': 2.0}}
    """
    tree: Params = {}
    for name, leaf in arrays.items():
        *parents, last = (int(part) if part.isdecimal() else part for part in name.split("."))
        section: Any = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = leaf
    return tree


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays: of their names, types, shapes and values, in the order of names."""
    whole = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{name} {array.dtype.str} {array.shape}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def write_parameters(file: Path, arrays: Named) -> None:
    """Writes arrays wholly or not at all.

    Raises:
      UserError: the file can't be written.
    """
    write_whole(file, safetensors.numpy.save(arrays))


def read_parameters(file: Path) -> Named:
    """The arrays of a file.

    Raises:
      UserError: it can't be read, or holds something else.
    """
    try:
        if not file.is_file():
            raise UserError(f"{file}: no such file; name one that export wrote")
        return safetensors.numpy.load(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} can't be read ({error.strerror})") from None
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} is cut short or no safetensors file of numbers ({in_a_line(error)}); export "
            "the run again"
        ) from None
