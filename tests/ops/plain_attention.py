"""Attention in NumPy's float64, with a visibility of its own: what every form is held against.

Nothing of it is compiled, so that a case costs the program of the form alone.
"""

import jax
import numpy as np

BATCH, HEADS, HEAD_WIDTH = 2, 2, 4


def inputs(queries: int, keys: int, dtype=np.float32) -> list[np.ndarray]:
    """Query, key, value and the output's gradient."""
    random = np.random.default_rng(queries * 1000 + keys)
    shapes = [(BATCH, length, HEADS, HEAD_WIDTH) for length in (queries, keys, keys, queries)]
    return [random.normal(size=shape).astype(np.float32).astype(dtype) for shape in shapes]


def random_mask(keys: int) -> np.ndarray:
    """About a third of the keys masked, and in the second row all of them."""
    mask = np.random.default_rng(keys).random((BATCH, keys)) < 0.7
    mask[1] = False
    return mask


def plain_attention(
    query,
    key,
    value,
    gradient,
    *,
    causal,
    window=None,
    mask=None,
    offset=0,
    scale=None,
    slopes=None,
) -> tuple[np.ndarray, ...]:
    """The output, and the gradients of query, key and value; heads of keys may be shared.

    The offset is one for all rows, or an array of one a row.
    """
    shared = query.shape[2] // key.shape[2]

    def heads_first(x):
        return np.asarray(x).astype(np.float64).swapaxes(1, 2)

    q, k, v, d_out = map(heads_first, (query, key, value, gradient))  # [B, H, L, K]
    k, v = (np.repeat(x, shared, axis=1) for x in (k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    places = np.reshape(offset, (-1, 1, 1, 1)) + np.arange(q.shape[2]).reshape(1, 1, -1, 1)
    ahead = np.arange(k.shape[2]).reshape(1, 1, 1, -1) - places  # [B or 1, 1, M, L]
    near = ahead <= 0 if causal else np.ones(ahead.shape, bool)
    if window is not None:
        near &= (ahead > -window) if causal else (np.abs(ahead) <= window)
    seen = near & (True if mask is None else mask[:, None, None])
    scores = scale * (q @ k.swapaxes(2, 3))
    if slopes is not None:
        scores = scores - np.reshape(slopes, (1, -1, 1, 1)) * np.abs(ahead)
    scores = np.where(seen, scores, -1e30)
    weights = np.where(seen, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    d_weights = d_out @ v.swapaxes(2, 3)
    d_scores = weights * (d_weights - (weights * d_weights).sum(axis=-1, keepdims=True))
    d_q, d_k = scale * (d_scores @ k), scale * (d_scores.swapaxes(2, 3) @ q)
    d_k, d_v = (
        x.reshape(len(x), -1, shared, *x.shape[2:]).sum(axis=2)
        for x in (d_k, weights.swapaxes(2, 3) @ d_out)
    )
    return tuple(x.swapaxes(1, 2) for x in (weights @ v, d_q, d_k, d_v))


def outputs_and_gradients(form, query, key, value, gradient, mask=None):
    """The output, and the gradients of query, key and value, by one program."""

    def both(query, key, value, gradient, mask):
        out, pull = jax.vjp(lambda q, k, v: form(q, k, v, mask), query, key, value)
        return out, *pull(gradient)

    return jax.jit(both)(query, key, value, gradient, mask)


def assert_equals_the_plain(form, arguments, tolerance, mask=None, **settings) -> jax.Array:
    """Compares ``form(query, key, value, mask)``, each array within a tolerance of its largest.

    Returns the output.
    """
    actual = outputs_and_gradients(form, *arguments, mask)
    expected = plain_attention(*arguments, mask=mask, **settings)
    for name, a, b in zip(("output", "query", "key", "value"), actual, expected, strict=True):
        assert a.dtype == arguments[0].dtype
        a = np.asarray(a).astype(np.float64)
        assert np.isfinite(a).all()
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * max(1, abs(b).max()), err_msg=name
        )
    return actual[0]
