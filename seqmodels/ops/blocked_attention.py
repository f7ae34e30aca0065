"""Attention in blocks of queries and keys: memory linear in the length, in both passes."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.visibility import allowed

BLOCK = 128


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def _attend(query, key, value, mask, causal, window, offset, scale):
    return _forward(query, key, value, mask, causal, window, offset, scale)[0]


def _key_range(i, key_blocks, causal, window, offset):
    """First and last-plus-one block of keys that query block i can see."""
    first, last = offset + i * BLOCK, offset + i * BLOCK + BLOCK - 1
    low = 0
    high = key_blocks
    if causal:
        high = jnp.clip(last // BLOCK + 1, 0, key_blocks)
    if window is not None:
        reach = window - 1 if causal else window
        low = jnp.clip((first - reach) // BLOCK, 0, key_blocks)
        if not causal:
            high = jnp.clip((last + window) // BLOCK + 1, 0, key_blocks)
    return low, high


def _scores(q, k, i, j, mask, causal, window, offset, scale):
    s = scale * jnp.einsum("bhmk,bhlk->bhml", q, k, preferred_element_type=jnp.float32)
    rows = offset + i * BLOCK + jnp.arange(BLOCK)
    columns = j * BLOCK + jnp.arange(BLOCK)
    visible = allowed(rows[:, None], columns[None, :], causal, window)[None, None]
    visible = visible & lax.dynamic_slice_in_dim(mask, j * BLOCK, BLOCK, 1)[:, None, None, :]
    return jnp.where(visible, s, -jnp.inf)


def _block(x, i):
    return lax.dynamic_slice_in_dim(x, i * BLOCK, BLOCK, 2)


def _forward(query, key, value, mask, causal, window, offset, scale):
    B, H, M, K = query.shape
    key_blocks = key.shape[2] // BLOCK

    def one(i):
        q = _block(query, i)

        def step(j, carry):
            top, total, out = carry
            s = _scores(q, _block(key, j), i, j, mask, causal, window, offset, scale)
            new = jnp.maximum(top, s.max(-1))
            p = jnp.exp(s - new[..., None])
            shrink = jnp.exp(top - new)
            v = _block(value, j)
            out = out * shrink[..., None] + jnp.einsum(
                "bhml,bhlk->bhmk", p.astype(v.dtype), v, preferred_element_type=jnp.float32
            )
            return new, total * shrink + p.sum(-1), out

        start = (
            jnp.full((B, H, BLOCK), jnp.finfo(jnp.float32).min),
            jnp.zeros((B, H, BLOCK)),
            jnp.zeros((B, H, BLOCK, K)),
        )
        top, total, out = lax.fori_loop(
            *_key_range(i, key_blocks, causal, window, offset), step, start
        )
        empty = total == 0
        out = out / jnp.where(empty, 1.0, total)[..., None]
        return out.astype(query.dtype), jnp.where(
            empty, jnp.inf, top + jnp.log(jnp.where(empty, 1.0, total))
        )

    out, lse = lax.map(one, jnp.arange(M // BLOCK))
    out = jnp.moveaxis(out, 0, 2).reshape(B, H, M, K)
    return out, jnp.moveaxis(lse, 0, 2).reshape(B, H, M)


def _attend_forward(query, key, value, mask, causal, window, offset, scale):
    out, lse = _forward(query, key, value, mask, causal, window, offset, scale)
    return out, (query, key, value, mask, out, lse)


def _attend_backward(causal, window, offset, scale, saved, d_out):
    query, key, value, mask, out, lse = saved
    delta = jnp.sum(d_out.astype(jnp.float32) * out.astype(jnp.float32), -1)
    key_blocks = key.shape[2] // BLOCK

    def add(x, update, j):
        return lax.dynamic_update_slice_in_dim(x, _block(x, j) + update, j * BLOCK, 2)

    def one(i, carry):
        dq, dk, dv = carry
        q, do = _block(query, i), _block(d_out, i)
        log_sum = lax.dynamic_slice_in_dim(lse, i * BLOCK, BLOCK, 2)
        dd = lax.dynamic_slice_in_dim(delta, i * BLOCK, BLOCK, 2)

        def step(j, carry):
            dq_block, dk, dv = carry
            k, v = _block(key, j), _block(value, j)
            p = jnp.exp(
                _scores(q, k, i, j, mask, causal, window, offset, scale) - log_sum[..., None]
            )
            dp = jnp.einsum("bhmk,bhlk->bhml", do, v, preferred_element_type=jnp.float32)
            ds = (p * (dp - dd[..., None]) * scale).astype(q.dtype)
            p = p.astype(q.dtype)
            f32 = jnp.float32
            dv = add(dv, jnp.einsum("bhml,bhmk->bhlk", p, do, preferred_element_type=f32), j)
            dk = add(dk, jnp.einsum("bhml,bhmk->bhlk", ds, q, preferred_element_type=f32), j)
            return (
                dq_block + jnp.einsum("bhml,bhlk->bhmk", ds, k, preferred_element_type=f32),
                dk,
                dv,
            )

        dq_block, dk, dv = lax.fori_loop(
            *_key_range(i, key_blocks, causal, window, offset),
            step,
            (jnp.zeros(q.shape, jnp.float32), dk, dv),
        )
        return lax.dynamic_update_slice_in_dim(dq, dq_block, i * BLOCK, 2), dk, dv

    zeros = [jnp.zeros(x.shape, jnp.float32) for x in (query, key, value)]
    dq, dk, dv = lax.fori_loop(0, query.shape[2] // BLOCK, one, tuple(zeros))
    return dq.astype(query.dtype), dk.astype(key.dtype), dv.astype(value.dtype), None


_attend.defvjp(_attend_forward, _attend_backward)


def blocked_attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
    scale: float,
) -> Float[Array, "B M H K"]:
    """:func:`seqmodels.ops.attention.attention` a block at a time; saves only the output and log-sum-exp."""
    M, L = query.shape[1], key.shape[1]
    mask = jnp.ones((key.shape[0], L), bool) if mask is None else mask
    mask = jnp.pad(mask, ((0, 0), (0, -L % BLOCK)))
    query, key, value = (
        jnp.pad(x.swapaxes(1, 2), ((0, 0), (0, 0), (0, -x.shape[1] % BLOCK), (0, 0)))
        for x in (query, key, value)
    )
    out = _attend(query, key, value, mask, causal, window, offset, scale)
    return out[:, :, :M].swapaxes(1, 2)
