"""Attention whose positions several devices share.

A window that reaches no farther than the next part is given its neighbours' keys. A kernel that
takes whole sequences has them, of a share of the heads. Otherwise keys go round
(:mod:`seqmodels.ops.attention.ring`). Queries that stand elsewhere than the keys, such as those to
a source or to what is kept, or whose parts can't be halved, or for which another form is named,
each see all keys, which are gathered.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.ops.attention.blocks import for_each_head
from seqmodels.ops.attention.kernels import KERNELS, by_heads, kernel_serves
from seqmodels.ops.attention.ring import RING
from seqmodels.ops.attention.visibility import reach
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares
from seqmodels.ops.exchange import AXIS, place
from seqmodels.ops.neighbours import halo
from seqmodels.ops.parts import parts


def attention_across(
    run: partial, query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False
):
    """As ``attention`` in dot_product.py; ``run`` computes what one device is given, by its form.

    Queries that can't be shared equally, such as one, are left to the compiler with all the keys.
    """
    rows, length = query.shape[:2]
    count = shares("sequence", length)
    if count == 1:
        return run(query, key, value, mask, causal, window, offset, scale, slopes, log_sum)
    if window is not None and window >= max(length, key.shape[1]):
        window = None
    settings = (causal, window, scale, slopes, log_sum)
    arrays = (query, key, value, mask)
    is_itself = key.shape[1] == length and isinstance(offset, int) and offset == 0
    is_halved = length // count % 2 == 0 or not causal or window is not None
    form = run.keywords["form"]
    if is_itself and max(reach(causal, window)) <= length // count:
        local = partial(_near, run, *settings)
    elif is_itself and form in (None, *KERNELS) and _is_for_a_kernel(*arrays, *settings):
        local = partial(_by_heads, run, *settings)
    elif is_itself and form in (None, *RING.forms) and is_halved:
        local = partial(RING, *settings)
    else:
        offset = jnp.asarray(offset) if causal or window is not None or slopes is not None else None
        of_offset = WHOLE if offset is None or offset.ndim == 0 else ROWS
        specs = (POSITIONS, ROWS, ROWS, ROWS, of_offset)
        local = partial(_gathered, run, *settings)
        return by_parts(local, (rows, length), specs, POSITIONS)(*arrays, offset)
    return by_parts(local, (rows, length), (POSITIONS,) * 4, POSITIONS)(*arrays)


def _near(run, causal, window, scale, slopes, log_sum, query, key, value, mask):
    """From a part's queries to its keys and to those of its neighbours that a window reaches."""
    before, after = reach(causal, window)
    mask = jnp.ones(key.shape[:2], bool) if mask is None else mask  # past the ends there are none
    key, value, mask = (halo(x, before, after) for x in (key, value, mask))
    return run(query, key, value, mask, causal, window, before, scale, slopes, log_sum)


def _gathered(run, causal, window, scale, slopes, log_sum, query, key, value, mask, offset):
    """From a part's queries to all keys, wherever the queries stand if that says nothing."""
    offset = 0 if offset is None else offset + place() * query.shape[1]
    return run(query, key, value, mask, causal, window, offset, scale, slopes, log_sum)


def _is_for_a_kernel(query, key, value, mask, *settings):
    """Whether one serves whole sequences of a share of the heads."""
    count, (B, _, heads, _) = parts("sequence"), query.shape
    if heads % count:
        return False
    arrays = (
        jax.ShapeDtypeStruct((B, x.shape[1], heads // count, x.shape[3]), x.dtype)
        for x in (query, key, value)
    )
    causal, window, *rest = settings
    return kernel_serves(*arrays, mask, causal, window, 0, *rest)


def _by_heads(run, causal, window, scale, slopes, log_sum, query, key, value, mask):
    """Parts of the positions are exchanged for parts of the heads, and back."""
    if key.shape[2] % (lax.axis_size(AXIS) * parts("model")):
        key, value = (for_each_head(x, query.shape[2]) for x in (key, value))

    def whole(x):
        return lax.all_to_all(x, AXIS, 2, 1, tiled=True)

    def local(query, key, value, mask):
        seen = (causal, window, 0, scale, slopes, log_sum)
        out = run(whole(query), whole(key), whole(value), mask, *seen)
        return lax.all_to_all(out, AXIS, 1, 2, tiled=True)

    mask = None if mask is None else lax.all_gather(mask, AXIS, axis=1, tiled=True)
    return by_heads(local)(query, key, value, mask)


def additive_across(run, query, key, value, vector, positions, mask, causal, window):
    """As ``additive_attention`` in additive.py: each part's queries with all keys, gathered."""
    rows, length = query.shape[:2]

    def local(query, key, value, vector, positions, mask):
        return run(query, key, value, vector, positions, mask, causal, window)

    if shares("sequence", length) == 1:
        return local(query, key, value, vector, positions, mask)
    positions = jnp.broadcast_to(positions, (rows, length))
    specs = (POSITIONS, ROWS, ROWS, WHOLE, POSITIONS, ROWS)
    local = by_parts(local, (rows, length), specs, POSITIONS)
    return local(query, key, value, vector, positions, mask)
