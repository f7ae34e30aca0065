"""Every form of attention against the plain reference, and memory that is linear in the length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.attention import attention, attention_reference
from seqmodels.ops.blocked_attention import blocked_attention
from seqmodels.ops.local_attention import local_attention

BATCH, HEADS, HEAD_WIDTH = 2, 2, 4
SCALE = HEAD_WIDTH**-0.5
TOLERANCE = {jnp.float32: 2e-5, jnp.bfloat16: 3e-2}


def inputs(queries: int, keys: int, dtype=jnp.float32):
    """Query, key, value and the output's gradient."""
    random = jax.random.split(jax.random.key(queries * 1000 + keys), 4)
    lengths = (queries, keys, keys, queries)
    return [
        jax.random.normal(k, (BATCH, length, HEADS, HEAD_WIDTH)).astype(dtype)
        for k, length in zip(random, lengths, strict=True)
    ]


def random_mask(keys: int):
    """About a third of the keys masked, and in the second row all of them."""
    mask = np.random.default_rng(keys).random((BATCH, keys)) < 0.7
    mask[1] = False
    return jnp.asarray(mask)


def outputs_and_gradients(function, query, key, value, gradient):
    """The output, and the gradients of query, key and value."""

    def both(query, key, value):
        out, pull = jax.vjp(function, query, key, value)
        return out, *pull(gradient)

    return jax.jit(both)(query, key, value)


def assert_equal(form, reference, arguments, tolerance):
    actual = outputs_and_gradients(form, *arguments)
    expected = outputs_and_gradients(reference, *arguments)
    names = ("output", "query", "key", "value")
    for name, a, b in zip(names, actual, expected, strict=True):
        assert a.dtype == b.dtype
        a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
        assert np.isfinite(a).all()
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * max(1, abs(b).max()), err_msg=name
        )


def reference(**settings):
    return lambda q, k, v: attention_reference(q, k, v, **settings)


LENGTHS = [
    pytest.param(1, marks=pytest.mark.slow),
    7,
    pytest.param(63, marks=pytest.mark.slow),
    pytest.param(64, marks=pytest.mark.slow),
    130,
    pytest.param(257, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.bfloat16, marks=pytest.mark.slow)])
def test_blocked_equals_the_reference(length, causal, masked, dtype):
    mask = random_mask(length) if masked else None
    assert_equal(
        lambda q, k, v: blocked_attention(q, k, v, mask, causal, None, 0, SCALE),
        reference(causal=causal, mask=mask),
        inputs(length, length, dtype),
        TOLERANCE[dtype],
    )


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 16))])
@pytest.mark.parametrize("masked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_local_equals_the_reference(length, causal, window, masked):
    mask = random_mask(length) if masked else None
    assert_equal(
        lambda q, k, v: local_attention(q, k, v, mask, causal, window, 0, SCALE),
        reference(causal=causal, window=window, mask=mask),
        inputs(length, length),
        TOLERANCE[jnp.float32],
    )


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 5, 40, 1000])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys", "offset"), [(150, 220, 70), (200, 300, 0), (1, 300, 299)]
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_seam_equals_the_reference(window, causal, queries, keys, offset, dtype):
    """More keys than queries, windows wider than the sequence, sizes that choose each form."""
    settings = {"causal": causal, "window": window, "offset": offset, "mask": random_mask(keys)}
    assert_equal(
        lambda q, k, v: attention(q, k, v, **settings),
        reference(**settings),
        inputs(queries, keys, dtype),
        TOLERANCE[dtype],
    )


@pytest.mark.parametrize("window", [None, 5])
def test_traced_offsets_may_differ_by_row(window):
    query, key, value, _ = inputs(3, 40)
    offsets = jnp.array([4, 30])
    call = jax.jit(lambda o: attention(query, key, value, causal=True, window=window, offset=o))
    by_row = call(offsets)
    for row, offset in enumerate(offsets.tolist()):
        one = attention_reference(query, key, value, causal=True, window=window, offset=offset)
        np.testing.assert_allclose(by_row[row], one[row], atol=1e-5)
        np.testing.assert_allclose(call(jnp.int32(offset))[row], one[row], atol=1e-5)


def test_a_query_without_keys_gives_zero():
    query, key, value, gradient = inputs(130, 130)
    mask = jnp.zeros((BATCH, 130), bool)
    results = outputs_and_gradients(
        lambda q, k, v: attention(q, k, v, causal=True, mask=mask), query, key, value, gradient
    )
    assert all((result == 0).all() for result in results)


def temporaries(form, length: int, window: int | None) -> int:
    """Bytes of a forward and backward pass; nothing is run."""
    shape = jax.ShapeDtypeStruct((1, length, 4, 16), jnp.float32)
    loss = lambda q, k, v: jnp.sum(form(q, k, v, causal=True, window=window) ** 2)  # noqa: E731
    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 128])
def test_memory_is_linear_in_the_length(window):
    at = [temporaries(attention, length, window) for length in (8192, 16384)]
    assert at[1] <= 2.05 * at[0]


def test_memory_of_the_plain_form_is_not():
    at = [temporaries(attention_reference, length, None) for length in (1024, 2048)]
    assert at[1] >= 3.9 * at[0]
    assert at[1] >= 4 * temporaries(attention, 2048, None)


SLOPES = (0.5, 0.03)


@pytest.mark.parametrize(("causal", "window"), [(True, None), (False, None), (True, 9), (False, 9)])
@pytest.mark.parametrize("length", [130, pytest.param(257, marks=pytest.mark.slow)])
def test_slopes_lower_distant_scores_in_every_form(length, causal, window):
    arguments = inputs(length, length)
    mask = random_mask(length)
    settings = {"causal": causal, "window": window, "mask": mask, "slopes": SLOPES}

    def form(q, k, v):
        if window is None:
            return blocked_attention(q, k, v, mask, causal, None, 0, SCALE, SLOPES)
        return local_attention(q, k, v, mask, causal, window, 0, SCALE, SLOPES)

    assert_equal(form, reference(**settings), arguments, TOLERANCE[jnp.float32])


def test_slopes_and_an_offset():
    query, key, value, gradient = inputs(40, 150)
    for window in (None, 20):
        settings = {"causal": True, "window": window, "offset": 110, "slopes": SLOPES}
        form = lambda q, k, v, settings=settings: attention(q, k, v, **settings)  # noqa: E731
        assert_equal(form, reference(**settings), (query, key, value, gradient), 2e-5)


def test_slopes_are_what_they_say():
    """Against scores that are written out."""
    query, key, value, _ = inputs(5, 5)
    scores = SCALE * np.einsum("bmhk,blhk->bhml", query, key)
    distance = np.abs(np.arange(5)[:, None] - np.arange(5)[None])
    scores = scores - np.array(SLOPES).reshape(1, 2, 1, 1) * distance
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bhml,blhk->bmhk", weights, value)
    actual = attention(query, key, value, causal=False, slopes=SLOPES)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("queries", [3, 150])
def test_heads_share_keys_and_values(queries, window):
    random = jax.random.split(jax.random.key(0), 4)
    shapes = [(2, queries, 4, 6), (2, 150, 2, 6), (2, 150, 2, 5), (2, queries, 4, 5)]
    arguments = [jax.random.normal(k, s) for k, s in zip(random, shapes, strict=True)]
    settings = {"causal": True, "window": window, "offset": 150 - queries}

    def repeated(q, k, v):
        return attention_reference(q, jnp.repeat(k, 2, 2), jnp.repeat(v, 2, 2), **settings)

    form = lambda q, k, v: attention(q, k, v, **settings)  # noqa: E731
    assert_equal(form, repeated, arguments, 2e-5)


def test_heads_that_can_not_share_are_refused():
    x, y = jnp.zeros((1, 4, 3, 2)), jnp.zeros((1, 4, 2, 2))
    with pytest.raises(ValueError, match="3 heads can't share 2 heads of keys equally"):
        attention(x, y, y, causal=True)
