"""Checksums of a state's arrays: what is restored is, bit by bit, what was saved."""

import zlib
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather


def checksums(state: Any) -> dict[str, str]:
    """The CRC-32 of each array of a tree, by its place in it.

    It is taken over the array's type, its shape and its values in order, so it doesn't depend on
    which part of the array lies on which device or process. It finds every single flipped bit, and
    all but one in 2^32 of other changes. All processes of a run must ask, and all get the same.

    >>> list(checksums({"a": np.zeros(2, np.float32), "b": [np.int32(1)]}))
    ['a', 'b/0']
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): _checksum(whole_array(leaf))
        for path, leaf in leaves
    }


def text_checksum(text: str) -> str:
    """The CRC-32 of a text."""
    return f"{zlib.crc32(text.encode()):08x}"


def _checksum(array: np.ndarray) -> str:
    start = zlib.crc32(f"{array.dtype} {array.shape}".encode())
    # As bytes, because not every type of an array's is known to the buffers that zlib reads.
    values = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return f"{zlib.crc32(values, start):08x}"


def whole_array(array: Any) -> np.ndarray:
    """An array's values in order, wherever its parts lie; all processes of a run must ask."""
    if isinstance(array, jax.Array):
        if array.is_fully_replicated:
            # Of a part, because an array that has been read as a whole keeps what was read.
            return np.asarray(array.addressable_data(0))
        if not array.is_fully_addressable:
            return np.asarray(process_allgather(array, tiled=True))
    return np.asarray(array)
