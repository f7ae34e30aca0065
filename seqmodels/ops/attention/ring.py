"""Ring attention: the queries of each device meet the keys of one device after another.

Keys, values and their mask are passed on from device to device (Liu et al. 2023, arXiv
2310.01889), and what queries have taken of each part is added up as blocks of one device are
(:mod:`seqmodels.ops.attention.blocks`), in float32. Outputs and log-sum-exps are all that is kept
for the backward pass: it passes keys and values round once more, and after them the gradients that
they have been given so far. Memory is linear in a part's length, and the next keys are under way
while queries meet these.

Under a causal mask device i of n would see i + 1 parts, and all would wait for the last. So the
second half of each part changes places with that of the device as far from the other end. Of 2n
stripes device i then has numbers 2i and 2n - 1 - 2i, which always add up to 2n - 1, as if dealt
from both ends: of another device's two stripes its own see two pairs of four, whole ones. It sends
half of a part once, where dealing them out in order of the devices would send nearly all of it.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Int
from seqmodels.ops.attention.blocked import (
    Keys,
    Starts,
    attend_queries,
    gradients_of_queries,
    no_gradients,
    no_sums,
    pick,
    put,
)
from seqmodels.ops.attention.blocks import (
    Band,
    Rows,
    block_size,
    finish,
    from_blocks,
    from_sums,
    to_blocks,
)
from seqmodels.ops.exchange import AXIS, place
from seqmodels.ops.forms import Form, Operation


class Ring(NamedTuple):
    """What is static."""

    band: Band
    """Of a stripe."""
    pairs: tuple[tuple[int, int], ...]
    """Which of a device's stripes of queries may see which of another's of keys."""
    hops: int
    """Over how many devices keys are passed on."""


def _by_blocks(causal, window, scale, slopes, log_sum, query, key, value, mask):
    """As ``attention`` in dot_product.py, of a part of a sequence's positions on each device.

    Causal, without a window, they must be an even number.
    """
    (B, length, H, _), hops = query.shape, lax.axis_size(AXIS) - 1
    if causal and window is None:
        cut, joined, length = _stripes, _unstriped, length // 2
        pairs = ((1, 0), (0, 0), (1, 1))  # no earlier stripe's queries see a later one's keys
    else:
        cut, joined, pairs = _whole_part, _only_part, ((0, 0),)
        if causal:
            hops = min(hops, -(-(window - 1) // length))
    size = block_size(B * H, length)

    def blocks(x):
        return jnp.concatenate([to_blocks(stripe, size) for stripe in cut(x)])

    def from_stripes(restored, x):
        return joined([restored(stripe, length) for stripe in jnp.split(x, 1 + max(pairs)[0])])

    if mask is not None:
        mask = blocks(mask[:, :, None, None])[:, :, 0, :, 0]
    ring = Ring(Band(causal, window, 0, length, scale, slopes), pairs, hops)
    out, sums = _attend(*map(blocks, (query, key, value)), mask, ring)
    out = from_stripes(from_blocks, out)
    return (out, from_stripes(from_sums, sums)) if log_sum else out


def _whole_part(x):
    return [x]


def _only_part(stripes):
    return stripes[0]


def _stripes(x):
    """[B, L, ...] as the device's earlier stripe and its later one."""
    first, second = jnp.split(x, 2, axis=1)
    return _in_order(first, _mirrored(second))


def _unstriped(stripes):
    first, second = _in_order(*stripes)
    return jnp.concatenate([first, _mirrored(second)], axis=1)


def _sent_on(tree, by):
    """What the device so many before it has, those of the last coming to the first."""
    n = lax.axis_size(AXIS)
    pairs = [(part, (part + by) % n) for part in range(n)]
    return lax.ppermute(tree, AXIS, pairs) if by % n else tree


def _mirrored(x):
    """What the device as far from the other end has."""
    n = lax.axis_size(AXIS)
    return lax.ppermute(x, AXIS, [(part, n - 1 - part) for part in range(n)])


def _in_order(first, second):
    """Of the second half of the devices stripe 2i is the later one."""
    is_later = 2 * place() >= lax.axis_size(AXIS)
    return [jnp.where(is_later, *both) for both in ((second, first), (first, second))]


def _starts(ring: Ring, part: Int[Array, ""]) -> list[Int[Array, ""]]:
    """Where the stripes of a device begin."""
    length, n = ring.band.length, lax.axis_size(AXIS)
    if len(ring.pairs) == 1:
        return [part * length]
    both = (2 * part, 2 * n - 1 - 2 * part)
    return [jnp.minimum(*both) * length, jnp.maximum(*both) * length]


def _meet(ring: Ring, hop, kept, step, carry: Any) -> Any:
    """Runs ``carry = step(i, a, keys, starts, carry)`` over the blocks of queries, pair by pair.

    ``kept`` are the key, value and mask that have come over ``hop`` devices. Block i of a stripe
    is block a of all, and begins at ``starts`` where its keys' stripe does at 0.
    """
    here = place()
    there = (here - hop) % lax.axis_size(AXIS)
    queries, others = zip(*ring.pairs, strict=True)
    own, theirs = _starts(ring, here), _starts(ring, there)
    apart = jnp.stack([own[a] - theirs[b] for a, b in ring.pairs])
    queries, others = jnp.array(queries), jnp.array(others)
    blocks = len(kept[0]) // (1 + max(ring.pairs)[0])

    def of_block(number, carry):
        pair, i = number // blocks, number % blocks
        start = apart[pair]
        starts = Starts(start.reshape(1, 1), start, start)
        key, value, mask = kept
        keys = Keys(key, value, mask, blocks, others[pair] * blocks)
        return step(i, queries[pair] * blocks + i, keys, starts, carry)

    return lax.fori_loop(0, len(ring.pairs) * blocks, of_block, carry)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(query, key, value, mask, ring):
    return _attend_forward(query, key, value, mask, ring)[0]


def _attend_forward(query, key, value, mask, ring):

    def of_block(i, a, keys, starts, sums):
        so_far = jax.tree.map(lambda x: pick(x, a), sums)
        taken = attend_queries(i, pick(query, a), keys, starts, ring.band, so_far)
        return jax.tree.map(lambda x, block: put(x, a, block), sums, taken)

    def step(carry, hop):
        kept, sums = carry
        following = _sent_on(kept, 1)
        return (following, _meet(ring, hop, kept, of_block, sums)), None

    carry = ((key, value, mask), no_sums(query, value.shape[-1]))
    (kept, sums), _ = lax.scan(step, carry, jnp.arange(ring.hops))
    sums = _meet(ring, ring.hops, kept, of_block, sums)
    out, log_sum = finish(sums, query.dtype)
    return (out, log_sum), (query, key, value, mask, out, log_sum)


def _attend_backward(ring, saved, gradients_of):
    query, key, value, mask, out, log_sum = saved
    all_rows = Rows.of(query, out, log_sum, *gradients_of)
    nothing = no_gradients(key, value)

    def of_block(i, a, keys, starts, carry):
        d_query, d_keys = carry
        rows = jax.tree.map(lambda x: pick(x, a), all_rows)
        more, d_keys = gradients_of_queries(i, rows, keys, starts, ring.band, d_keys)
        return put(d_query, a, pick(d_query, a) + more), d_keys

    def meet(hop, kept, d_query, coming):
        """Adds what the queries give to what comes meanwhile, of queries that met them before."""
        d_query, d_keys = _meet(ring, hop, kept, of_block, (d_query, nothing))
        return d_query, jax.tree.map(jnp.add, coming, d_keys)

    def step(carry, hop):
        kept, d_query, d_keys = carry
        following, coming = _sent_on((kept, d_keys), 1)
        return (following, *meet(hop, kept, d_query, coming)), None

    # A device's own keys are the last, so that their gradients come home to be completed.
    carry = (_sent_on((key, value, mask), 1), jnp.zeros(query.shape, jnp.float32), nothing)
    (kept, d_query, d_keys), _ = lax.scan(step, carry, jnp.arange(1, ring.hops + 1))
    kept, coming = _sent_on(kept, -ring.hops - 1), _sent_on(d_keys, -ring.hops)
    d_query, d_keys = meet(0, kept, d_query, coming)
    d_key, d_value = (x.swapaxes(-1, -2) for x in d_keys)
    scale = ring.band.scale
    return (
        (scale * d_query).astype(query.dtype),
        (scale * d_key).astype(key.dtype),
        d_value.astype(value.dtype),
        None,
    )


_attend.defvjp(_attend_forward, _attend_backward)

RING = Operation("ring attention", {"blocked": Form(_by_blocks)})
"""Of (causal, window, scale, slopes, log_sum, query, key, value, mask)."""
