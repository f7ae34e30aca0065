"""Attention of each position of a grid to the positions around it.

    out_i = sum_o softmax_o(scale * q_i . (k_{i + o} + r_o)) v_{i + o}     over a kernel's offsets o

(Ramachandran et al. 2019). One offset is taken at a time: the keys, shifted by it, meet all
queries in one product of features, and the scores that are kept are one number for each
output, head and offset. Nothing has the size of all pairs of positions.
"""

import itertools
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import AnyArray, Array, Bool, Float
from seqmodels.ops.by_parts import POSITIONS, WHOLE, by_parts, shares
from seqmodels.ops.neighbours import halo
from seqmodels.ops.parts import parts


class Neighbourhood(NamedTuple):
    """Which positions an output attends to: static."""

    kernel: tuple[int, ...]
    """How many along each axis."""
    dilation: int
    """The distance between them."""
    edges: tuple[tuple[int, int], ...]
    """How far before an output the first lies, and how far after it the last, on each axis."""
    stride: int
    """The distance between the positions that have an output."""


def neighbourhood_attention(
    query: Float[AnyArray, "B *M H K"],
    key: Float[AnyArray, "B *L H K"],
    value: Float[AnyArray, "B *L H K"],
    relative: Float[AnyArray, "O H K"],
    mask: Bool[AnyArray, "B *L"] | None,
    around: Neighbourhood,
) -> Float[Array, "B *M H K"]:
    """Attends from each position (or each ``stride``-th, M = ceil(L / stride)) to its neighbours.

    Where the keys begin before the first query the edges are 0: then M = L - reach.
    ``relative`` holds r_o for every offset, in the order of the kernel's flattened axes. Positions
    beyond the grid's ends and masked ones are left out; a query that sees none gets 0
    and passes no gradient. Scores, softmax and sums are float32.

    Parts of the first axis take keys and values of their neighbours, where all have equally many
    queries; else, or where keys begin before the first query, the compiler puts them together.
    """
    mask = jnp.ones((1, *key.shape[1:-2]), bool) if mask is None else jnp.asarray(mask)
    query, key, value, relative = map(jnp.asarray, (query, key, value, relative))
    run = _across if parts("sequence") > 1 else _by_offsets
    return run(query, key, value, relative, mask, around)


def _by_offsets(query, key, value, relative, mask, around):
    valid = _valid(mask, query.shape[1:-2], around)
    return _attend(query, key, value, relative, valid, around)


def _across(query, key, value, relative, mask, around):
    """Each part of the first axis, with its neighbours' edges of keys, values and mask."""
    edge, reach = around.edges[0], (around.kernel[0] - 1) * around.dilation
    length, stride = key.shape[1], around.stride
    if sum(edge) != reach or length % stride or shares("sequence", length // stride) == 1:
        return _by_offsets(query, key, value, relative, mask, around)
    within = around._replace(edges=((0, 0), *around.edges[1:]))

    def local(query, key, value, relative, mask):
        key, value, mask = (halo(x, *edge) for x in (key, value, mask))
        return _by_offsets(query, key, value, relative, mask, within)

    mask = jnp.broadcast_to(mask, key.shape[:-2])
    specs = (POSITIONS, POSITIONS, POSITIONS, WHOLE, POSITIONS)
    run = by_parts(local, key.shape, specs, POSITIONS)
    return run(query, key, value, relative, mask)


def _starts(around):
    """Where the slice of each offset begins in the padded grid: [offsets, axes]."""
    places = list(itertools.product(*map(range, around.kernel)))
    return jnp.array(places, jnp.int32) * around.dilation


def _pad(x, around):
    return jnp.pad(x, ((0, 0), *around.edges) + ((0, 0),) * (x.ndim - 1 - len(around.edges)))


def _span(x, start, made, stride):
    """What outputs [*M] meet of a padded grid at one offset: [B, *M, ...]."""
    spans = [(count - 1) * stride + 1 for count in made]
    rest = x.ndim - 1 - len(made)
    begin = (0, *start, *(0,) * rest)
    x = lax.dynamic_slice(x, begin, (x.shape[0], *spans, *x.shape[x.ndim - rest :]))
    return x[(slice(None), *(slice(None, None, stride),) * len(made))]


def _add_span(x, start, update, stride):
    """Adds what :func:`_span` would take out."""
    axes = update.ndim - 3  # of the grid: update is [B, *M, H, K]
    zeros = jnp.zeros((), x.dtype)
    update = lax.pad(update, zeros, [(0, 0, 0), *[(0, 0, stride - 1)] * axes, (0, 0, 0), (0, 0, 0)])
    begin = (0, *start, 0, 0)
    return lax.dynamic_update_slice(x, lax.dynamic_slice(x, begin, update.shape) + update, begin)


def _valid(mask, made, around):
    """Which offsets of each output lie on the grid and are real: [offsets, B or 1, *M]."""
    padded = _pad(mask, around)
    return lax.map(lambda start: _span(padded, start, made, around.stride), _starts(around))


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attend(query, key, value, relative, valid, around):
    return _forward(query, key, value, relative, valid, around)[0]


def _forward(query, key, value, relative, valid, around):
    made, starts = query.shape[1:-2], _starts(around)
    keys, values = _pad(key, around), _pad(value, around)
    q = query.astype(jnp.float32) / math.sqrt(query.shape[-1])

    def score(offset):
        start, r = offset
        k = _span(keys, start, made, around.stride).astype(jnp.float32)
        return jnp.sum(q * (k + r.astype(jnp.float32).reshape((1,) * (k.ndim - 2) + r.shape)), -1)

    scores = lax.map(score, (starts, relative))  # [offsets, B, *M, H]
    scores = jnp.where(valid[..., None], scores, jnp.finfo(jnp.float32).min)
    weights = jnp.where(valid[..., None], jax.nn.softmax(scores, axis=0), 0.0)

    def add(out, offset):
        start, weight = offset
        v = _span(values, start, made, around.stride).astype(jnp.float32)
        return out + weight[..., None] * v, None

    out, _ = lax.scan(add, jnp.zeros(query.shape, jnp.float32), (starts, weights))
    return out.astype(query.dtype), (query, key, value, relative, weights)


def _backward(around, saved, d_out):
    query, key, value, relative, weights = saved
    made, starts, stride = query.shape[1:-2], _starts(around), around.stride
    keys, values = _pad(key, around), _pad(value, around)
    scale = 1 / math.sqrt(query.shape[-1])
    q, d_out = query.astype(jnp.float32), d_out.astype(jnp.float32)

    def by_value(d_values, offset):
        start, weight = offset
        v = _span(values, start, made, stride).astype(jnp.float32)
        d_values = _add_span(d_values, start, weight[..., None] * d_out, stride)
        return d_values, jnp.sum(d_out * v, -1)

    like = jnp.zeros(_grown(keys.shape, stride, made, around), jnp.float32)
    d_values, d_weights = lax.scan(by_value, like, (starts, weights))
    d_scores = scale * weights * (d_weights - jnp.sum(weights * d_weights, 0, keepdims=True))

    def by_score(carry, offset):
        d_query, d_keys = carry
        start, d_score, r = offset
        k = _span(keys, start, made, stride).astype(jnp.float32)
        k = k + r.astype(jnp.float32).reshape((1,) * (k.ndim - 2) + r.shape)
        product = d_score[..., None] * q
        carry = (d_query + d_score[..., None] * k, _add_span(d_keys, start, product, stride))
        return carry, jnp.sum(product, axis=range(product.ndim - 2))

    carry = (jnp.zeros(query.shape, jnp.float32), like)
    (d_query, d_keys), d_relative = lax.scan(by_score, carry, (starts, d_scores, relative))
    return (
        d_query.astype(query.dtype),
        _crop(d_keys, key.shape, around).astype(key.dtype),
        _crop(d_values, value.shape, around).astype(value.dtype),
        d_relative.astype(relative.dtype),
        None,
    )


_attend.defvjp(_forward, _backward)


def _grown(shape, stride, made, around):
    """A padded grid's shape with room for the gaps after the last strided output."""
    reach = [(size - 1) * around.dilation for size in around.kernel]
    axes = [
        max(length, count * stride + far)
        for length, count, far in zip(shape[1 : 1 + len(made)], made, reach, strict=True)
    ]
    return (shape[0], *axes, *shape[1 + len(made) :])


def _crop(x, shape, around):
    starts = [before for before, _ in around.edges]
    cuts = (slice(s, s + n) for s, n in zip(starts, shape[1 : 1 + len(starts)], strict=True))
    return x[(slice(None), *cuts)]
