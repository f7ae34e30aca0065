"""Scaled dot-product attention: the one seam between layers and its forms.

    out_i = sum_j softmax_j(scale * q_i . k_j) v_j     over the keys j that query i may see

:data:`ATTENTION` says which form serves which call. Which keys a query may see is stated in
:mod:`seqmodels.ops.attention.visibility` alone.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from seqmodels.arrays import Array, Bool, Float, Int
from seqmodels.ops.attention.across import attention_across
from seqmodels.ops.attention.blocked import blocked_attention
from seqmodels.ops.attention.blocks import LOWEST, for_each_head
from seqmodels.ops.attention.kernels import KERNELS
from seqmodels.ops.attention.local import local_attention
from seqmodels.ops.attention.visibility import allowed, reach
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.parts import parts

FEW_SCORES = 128 * 128
"""Up to so many scores a head, M * L, the form that holds them all is the fastest."""

FEW_QUERIES = 64
"""Up to so many, too few to fill blocks, its M * L scores are linear in the length anyway."""

LOCAL_SPAN = 1024
"""Up to so many keys about a query the local form holds one block's scores at once."""


def attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L G K"],
    value: Float[Array, "B L G Kv"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    scale: float | None = None,
    slopes: tuple[float, ...] | None = None,
    form: str | None = None,
) -> Float[Array, "B M H Kv"]:
    """Attends from M queries to L keys; query i stands at position ``offset + i``, key j at j.

    ``causal`` lets a query see the keys up to its own position. Window W is W
    keys, the query's own included (causal), or W on each side and itself; None
    is all of them. ``mask`` is True where a key is valid. A query that may see
    no key gets 0 and passes no gradient. ``scale`` (above 0) defaults to
    K ** -0.5. Scores, softmax and sums are float32 whatever the inputs.

    Keys and values may have fewer heads, G, each shared by H / G heads of the queries in
    order (Ainslie et al. 2023), and values another width than keys. ``slopes``, one a head,
    subtract ``slope * |i - j|`` from the scaled scores (ALiBi, Press et al. 2022).

    Memory is linear in the length. ``offset`` may be traced, one for all rows or one a row
    (decoding into a preallocated cache). ``form`` names one in ATTENTION; it raises ParameterError
    where that one can't serve.
    """
    seen = (causal, window, mask, offset)
    return _attend(query, key, value, *seen, scale, slopes, form, log_sum=False)


def attention_and_sums(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L G K"],
    value: Float[Array, "B L G Kv"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    scale: float | None = None,
    slopes: tuple[float, ...] | None = None,
    form: str | None = None,
) -> tuple[Float[Array, "B M H Kv"], Float[Array, "B M H"]]:
    """As :func:`attention`, and ``log sum_j exp(score_ij)``, by which other keys' sums are added.

    It is very low where no key is seen.
    """
    seen = (causal, window, mask, offset)
    return _attend(query, key, value, *seen, scale, slopes, form, log_sum=True)


def _attend(query, key, value, causal, window, mask, offset, scale, slopes, form, log_sum):
    if window is not None and window < 1:
        raise ValueError(f"window is {window}; it counts keys: at least 1, or None for all of them")
    if scale is not None and not scale > 0:
        raise ValueError(f"scale is {scale}; it must be above 0: put a sign into the query")
    if query.shape[2] % key.shape[2]:
        raise ValueError(f"{query.shape[2]} heads can't share {key.shape[2]} heads of keys equally")
    traced = not isinstance(offset, int)
    if not traced and offset < 0:
        raise ValueError(
            f"offset is {offset}; it counts the keys before the first query: at least 0"
        )
    key, value, mask, offset = _crop(query, key, value, mask, offset, causal, window)
    if query.shape[2] % parts("model") == 0 and key.shape[2] % parts("model"):
        # Each device its heads' own, or gradients would be added up in every step of a loop.
        key, value = (for_each_head(x, query.shape[2]) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    settings = (causal, window, offset, scale, slopes, log_sum)
    return ATTENTION(query, key, value, mask, *settings, form=form)


def _crop(query, key, value, mask, offset, causal, window):
    """Leaves out keys at either end that no query sees; the offset returned goes with the rest."""
    M, L = query.shape[1], key.shape[1]
    before, after = reach(causal, window)
    span = min(before, L) + M + min(after, L)
    if isinstance(offset, int):
        start = max(min(offset - before, L - 1), 0)
        stop = max(min(offset + M + after, L), start + 1)
        cut = partial(lax.slice_in_dim, start_index=start, limit_index=stop, axis=1)
    elif span < L and offset.ndim == 0:
        start = jnp.clip(offset - before, 0, L - span)
        cut = partial(lax.dynamic_slice_in_dim, start_index=start, slice_size=span, axis=1)
    else:
        return key, value, mask, offset
    return cut(key), cut(value), None if mask is None else cut(mask), offset - start


def _whole(query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False):
    """All B * H * M * L scores at once."""
    seen = {"causal": causal, "window": window, "mask": mask, "offset": offset}
    scores, visible = _scores(query, key, **seen, scale=scale, slopes=slopes)
    weights = jnp.where(visible, jax.nn.softmax(scores, axis=-1), 0.0)
    out = jnp.einsum(
        "bhml,blhk->bmhk",
        weights.astype(value.dtype),
        for_each_head(value, query.shape[2]),
        preferred_element_type=jnp.float32,
    ).astype(query.dtype)
    return (out, jax.nn.logsumexp(scores, axis=-1).swapaxes(1, 2)) if log_sum else out


def attention_weights(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L G K"],
    *,
    causal: bool,
    window: int | None = None,
    mask: Bool[Array, "B L"] | None = None,
    offset: int | Int[Array, ""] | Int[Array, "B"] = 0,
    scale: float | None = None,
    slopes: tuple[float, ...] | None = None,
) -> Float[Array, "B H M L"]:
    """How much of each key's value a query takes; 0 everywhere for one that sees no key."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores, visible = _scores(query, key, causal, window, mask, offset, scale, slopes)
    return jnp.where(visible, jax.nn.softmax(scores, axis=-1), 0.0)


def _scores(query, key, causal, window, mask, offset, scale, slopes):
    """All scores [B, H, M, L], very low where they count for nothing; and where they count."""
    key = for_each_head(key, query.shape[2])
    scores = scale * jnp.einsum("bmhk,blhk->bhml", query, key, preferred_element_type=jnp.float32)
    rows = jnp.reshape(jnp.asarray(offset), (-1, 1, 1, 1))  # [B or 1, 1, 1, 1]
    query_position = rows + jnp.arange(query.shape[1]).reshape(1, 1, -1, 1)
    key_position = jnp.arange(key.shape[1]).reshape(1, 1, 1, -1)
    if slopes is not None:
        distance = jnp.abs(query_position - key_position).astype(jnp.float32)
        scores = scores - jnp.array(slopes).reshape(1, -1, 1, 1) * distance
    visible = allowed(query_position, key_position, causal, window)  # [B or 1, 1, M, L]
    if mask is not None:
        visible = visible & mask[:, None, None, :]
    # A finite floor: a row of -inf alone would be NaN, and so would its gradient.
    return jnp.where(visible, scores, LOWEST), visible


def _with_keys_repeated(form: Form) -> Form:
    def run(query, key, value, *rest):
        heads = query.shape[2]
        return form.run(query, for_each_head(key, heads), for_each_head(value, heads), *rest)

    return form._replace(run=run)


def _are_few(query, key, *rest):
    M, L = query.shape[1], key.shape[1]
    return M <= FEW_QUERIES or M * L <= FEW_SCORES


def _no_window(query, key, value, mask, causal, window, offset, *rest):
    if window is None:
        return "it takes a window"
    return None if isinstance(offset, int) else "the offset isn't known while tracing"


def _is_narrow(query, key, value, mask, causal, window, *rest):
    return sum(reach(causal, window)) < min(LOCAL_SPAN, key.shape[1])


ATTENTION = Operation(
    "attention",
    {
        "whole": Form(_whole, suits=_are_few),
        **{name: _with_keys_repeated(form) for name, form in KERNELS.items()},
        "local": _with_keys_repeated(Form(local_attention, refusal=_no_window, suits=_is_narrow)),
        "blocked": Form(blocked_attention),
    },
    across=attention_across,
)
"""Of (query, key, value, mask, causal, window, offset, scale, slopes, log_sum)."""
