"""Attention within a window, one block of queries at a time against all the keys that it reaches.

Time and memory are linear in L * W and in L: a block of C queries meets one
span of C + W keys (rounded up to blocks), so no partial softmax is merged, and
its gradients for keys are finished once the following blocks have passed.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.ops.attention.blocks import (
    Band,
    Rows,
    attend_block,
    block_gradients,
    block_scores,
    finish,
    from_blocks,
    from_sums,
    to_blocks,
)
from seqmodels.ops.attention.visibility import allowed, reach


def local_attention(
    query, key, value, mask, causal, window, offset, scale, slopes=None, log_sum=False
):
    """As ``attention`` in dot_product.py, for a window much narrower than the sequence.

    The length is folded into the batch as segments when batch and heads are too
    few to fill a block's worth of scores: each segment brings the keys just
    outside it along, as devices would that share a sequence.
    """
    (B, M, H, _), L = query.shape, key.shape[1]
    size = local_block_size(window)
    before, after = (-(-side // size) for side in reach(causal, window))
    halo = before + after
    blocks = -(-M // size)
    room = block_scores() // (B * H * (1 + halo) * size * size)
    segments = max(1, min(room, blocks // (8 * (1 + halo))))
    length = -(-blocks // segments) * size

    # A segment's keys begin `before` blocks ahead of its queries and end `after` blocks later.
    begin = offset - before * size
    valid = jnp.ones((B, L), bool) if mask is None else mask
    out, sums = _attend(
        to_blocks(_segments(query, 0, length, 0, segments), size),
        to_blocks(_segments(key, begin, length, halo * size, segments), size),
        to_blocks(_segments(value, begin, length, halo * size, segments), size),
        _segments(valid, begin, length, halo * size, segments),
        Band(causal, window, before * size, L, scale, slopes),
    )
    out = from_blocks(out, length).reshape(B, segments * length, H, value.shape[-1])[:, :M]
    if not log_sum:
        return out
    return out, from_sums(sums, length).reshape(B, segments * length, H)[:, :M]


def _segments(x, begin, length, halo, segments):
    """[B, L, ...] from position ``begin`` on as [B * segments, length + halo, ...], zero-padded.

    Each segment ends with the ``halo`` positions that the next one starts with.
    """
    stop = begin + segments * length + (halo if segments == 1 else length)
    edges = [(0, 0, 0), (-begin, stop - x.shape[1], 0)] + [(0, 0, 0)] * (x.ndim - 2)
    x = lax.pad(x, jnp.zeros((), x.dtype), edges)
    if segments == 1:
        return x
    x = x.reshape(x.shape[0], segments + 1, length, *x.shape[2:])
    x = jnp.concatenate([x[:, :-1], x[:, 1:, :halo]], 2)
    return x.reshape(-1, *x.shape[2:])


def local_block_size(window: int) -> int:
    """Queries a block: narrow blocks waste less of each span, wide ones multiply faster."""
    return 32 if window <= 32 else 64 if window <= 256 else 128


def _span(x, i, blocks):
    """Blocks i.. of keys [N, B, H, C, K], side by side: [B, H, blocks * C, K]."""
    x = lax.dynamic_slice_in_dim(x, i, blocks, 0)
    N, B, H, C, K = x.shape
    return x.transpose(1, 2, 0, 3, 4).reshape(B, H, N * C, K)


def _visible(mask, i, size, blocks, band):
    """A block's queries against its span of keys: [B, 1, C, blocks * C]."""
    queries, keys = band.offset + jnp.arange(size), jnp.arange(blocks * size)
    visible = allowed(queries[:, None], keys[None, :], band.causal, band.window)
    valid = lax.dynamic_slice_in_dim(mask, i * size, blocks * size, 1)
    return visible[None, None] & valid[:, None, None, :]


def _bias(size, blocks, band):
    """A block's queries to its span of keys, wherever it lies: [1, H, C, blocks * C], or None."""
    return band.bias(band.offset + jnp.arange(size)[None], jnp.arange(blocks * size)[None])


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(query, key, value, mask, band):
    return _attend_forward(query, key, value, mask, band)[0]


def _attend_forward(query, key, value, mask, band):
    N, _, _, C, _ = query.shape
    blocks = len(key) - N + 1

    def attend(carried):
        i, q = carried
        visible = _visible(mask, i, C, blocks, band)
        k, v = _span(key, i, blocks), _span(value, i, blocks)
        bias = _bias(C, blocks, band)
        return finish(attend_block(q, k, v, visible, bias, band.scale), q.dtype)

    out, log_sum = lax.map(attend, (jnp.arange(N), query))
    return (out, log_sum), (query, key, value, mask, out, log_sum)


def _attend_backward(band, saved, gradients_of):
    query, key, value, mask, out, log_sum = saved
    N, B, H, C, _ = query.shape
    blocks = len(key) - N + 1

    def gradients(waiting, carried):
        i, rows = carried
        visible = _visible(mask, i, C, blocks, band)
        d_query, *d_span = block_gradients(
            rows,
            rows.transposed(),
            _span(key, i, blocks),
            _span(value, i, blocks),
            visible,
            _bias(C, blocks, band),
            band.scale,
        )
        # The span's first block has now met all of its queries; the others wait for the next ones.
        d_span = [
            jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, C))) + y
            for x, y in zip(waiting, d_span, strict=True)
        ]
        done = [x[..., :C].swapaxes(-1, -2) for x in d_span]
        return [x[..., C:] for x in d_span], (
            (band.scale * d_query).astype(query.dtype),
            (band.scale * done[0]).astype(key.dtype),
            done[1].astype(value.dtype),
        )

    rows = Rows.of(query, out, log_sum, *gradients_of)
    waiting = [jnp.zeros((B, H, x.shape[-1], (blocks - 1) * C)) for x in (key, value)]
    waiting, (d_query, d_key, d_value) = lax.scan(gradients, waiting, (jnp.arange(N), rows))

    def append(done, rest):
        rest = rest.reshape(*rest.shape[:3], blocks - 1, C).transpose(3, 0, 1, 4, 2)
        return jnp.concatenate([done, rest.astype(done.dtype)])

    return d_query, append(d_key, band.scale * waiting[0]), append(d_value, waiting[1]), None


_attend.defvjp(_attend_forward, _attend_backward)
