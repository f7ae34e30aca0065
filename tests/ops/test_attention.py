"""Every form of attention against a reference in NumPy, and memory that is linear in the length.

Every form meets each length, mask, window and type here; soak/soak_attention.py has all of their
combinations.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.attention.blocked import blocked_attention
from seqmodels.ops.attention.dot_product import attention, attention_reference
from seqmodels.ops.attention.local import local_attention
from tests.ops.plain_attention import (
    BATCH,
    HEAD_WIDTH,
    assert_equals_the_plain,
    inputs,
    outputs_and_gradients,
    plain_attention,
    random_mask,
)

SCALE = HEAD_WIDTH**-0.5
F32, BF16 = np.dtype(np.float32), np.dtype(jnp.bfloat16)
TOLERANCE = {F32: 2e-5, BF16: 3e-2}


def slow(*case):
    return pytest.param(case, marks=pytest.mark.slow)


# Length, causal, masked, type; 257 is two blocks, which slopes meet too; 63 leaves one key of
# padding in its block.
BLOCKED = [
    slow(1, True, True, F32),
    (7, True, False, F32),
    slow(63, False, False, F32),
    slow(64, True, True, BF16),
    slow(64, False, False, F32),
    (130, False, True, F32),
    slow(130, True, False, BF16),
    slow(257, False, False, F32),
    slow(257, True, False, F32),
    slow(257, False, True, BF16),
]


def check_blocked(length, causal, masked, dtype, slopes=None):
    assert_equals_the_plain(
        lambda q, k, v, mask: blocked_attention(q, k, v, mask, causal, None, 0, SCALE, slopes),
        inputs(length, length, dtype),
        TOLERANCE[dtype],
        random_mask(length) if masked else None,
        causal=causal,
        slopes=slopes,
    )


@pytest.mark.parametrize("case", BLOCKED, ids=str)
def test_blocked_equals_the_reference(case):
    check_blocked(*case)


# Length, causal, window, masked; 1030 is two segments, folded into the batch.
LOCAL = [
    slow(1, False, 1, False),
    (7, True, 5, False),
    slow(7, False, 16, True),
    slow(63, True, 16, True),
    slow(64, True, 1, False),
    slow(64, False, 16, False),
    (130, False, 5, True),
    slow(257, False, 1, True),
    slow(1030, True, 5, True),
]


def check_local(length, causal, window, masked, slopes=None):
    assert_equals_the_plain(
        lambda q, k, v, mask: local_attention(q, k, v, mask, causal, window, 0, SCALE, slopes),
        inputs(length, length),
        TOLERANCE[F32],
        random_mask(length) if masked else None,
        causal=causal,
        window=window,
        slopes=slopes,
    )


@pytest.mark.parametrize("case", LOCAL, ids=str)
def test_local_equals_the_reference(case):
    check_local(*case)


# Window, causal, queries, keys, offset, type.
SEAM = [
    slow(None, True, 150, 220, 70, F32),
    slow(5, False, 150, 220, 70, F32),
    slow(40, True, 150, 220, 70, BF16),
    slow(1000, False, 150, 220, 70, F32),
    slow(None, False, 200, 300, 0, BF16),
    slow(5, True, 200, 300, 0, F32),
    slow(40, False, 200, 300, 0, F32),
    slow(1000, True, 200, 300, 0, F32),
    (None, True, 1, 300, 299, F32),
    (5, True, 1, 300, 299, F32),
]


def attention_without_a_mask(query, key, value, mask, **settings):
    """A form that is given none."""
    assert mask is None
    return attention(query, key, value, **settings)


def check_seam(window, causal, queries, keys, offset, dtype):
    settings = {"causal": causal, "window": window, "offset": offset}
    assert_equals_the_plain(
        lambda q, k, v, mask: attention(q, k, v, mask=mask, **settings),
        inputs(queries, keys, dtype),
        TOLERANCE[dtype],
        random_mask(keys),
        **settings,
    )


@pytest.mark.parametrize("case", SEAM, ids=str)
def test_seam_equals_the_reference(case):
    """More keys than queries, windows wider than the sequence, sizes that choose each form."""
    check_seam(*case)


# Queries, keys, offset, type, masked, settings.
REFERENCE = [
    (9, 9, 0, F32, False, {"causal": True}),
    (9, 9, 0, F32, True, {"causal": False, "window": 2, "slopes": (0.5, 0.03)}),
    (5, 12, 6, F32, True, {"causal": True, "window": 3, "scale": 0.3}),
    (5, 12, 6, BF16, False, {"causal": False, "window": 3}),
    (30, 30, 0, BF16, True, {"causal": True, "slopes": (0.5, 0.03)}),
]


@pytest.mark.parametrize("case", REFERENCE, ids=str)
def test_the_reference_that_the_package_has_equals_the_plain(case):
    """It is the form for few queries, and what benchmarks compare with."""
    queries, keys, offset, dtype, masked, settings = case
    assert_equals_the_plain(
        lambda q, k, v, mask: attention_reference(q, k, v, offset=offset, mask=mask, **settings),
        inputs(queries, keys, dtype),
        TOLERANCE[dtype],
        random_mask(keys) if masked else None,
        offset=offset,
        **settings,
    )


@pytest.mark.parametrize("window", [None, 5])
def test_traced_offsets_may_differ_by_row(window):
    arguments = inputs(3, 40)
    offsets = np.array([4, 30], np.int32)

    @jax.jit
    def from_offsets(query, key, value, offset):
        return attention(query, key, value, causal=True, window=window, offset=offset)

    call = partial(from_offsets, *arguments[:3])
    by_row = call(offsets)
    for row, offset in enumerate(offsets):
        one = plain_attention(*arguments, causal=True, window=window, offset=offset)[0]
        np.testing.assert_allclose(by_row[row], one[row], atol=1e-5)
        np.testing.assert_allclose(call(offset)[row], one[row], atol=1e-5)


def test_a_query_without_keys_gives_zero():
    results = outputs_and_gradients(
        lambda q, k, v, mask: attention(q, k, v, causal=True, mask=mask),
        *inputs(130, 130),
        np.zeros((BATCH, 130), bool),
    )
    assert not any(np.any(result) for result in results)


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
SLOPED = [slow(257, False, None), slow(257, True, None), (130, False, 9), slow(257, True, 9)]


@pytest.mark.parametrize("case", SLOPED, ids=str)
def test_slopes_lower_distant_scores_in_every_form(case):
    length, causal, window = case
    if window is None:
        check_blocked(length, causal, True, F32, SLOPES)
    else:
        check_local(length, causal, window, True, SLOPES)


def test_slopes_and_an_offset():
    for window in (None, 20):
        settings = {"causal": True, "window": window, "offset": 110, "slopes": SLOPES}
        form = partial(attention_without_a_mask, **settings)
        assert_equals_the_plain(form, inputs(40, 150), 2e-5, **settings)


def test_slopes_are_what_they_say():
    """Against scores that are written out."""
    query, key, value, _ = inputs(5, 5)
    scores = SCALE * np.einsum("bmhk,blhk->bhml", query, key)
    distance = np.abs(np.arange(5)[:, None] - np.arange(5)[None])
    scores = scores - np.array(SLOPES).reshape(1, 2, 1, 1) * distance
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bhml,blhk->bmhk", weights, value)
    form = jax.jit(lambda *arrays: attention(*arrays, causal=False, slopes=SLOPES))
    np.testing.assert_allclose(form(query, key, value), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("queries", [3, 150])
def test_heads_share_keys_and_values(queries, window):
    random = np.random.default_rng(0)
    shapes = [(2, queries, 4, 6), (2, 150, 2, 6), (2, 150, 2, 5), (2, queries, 4, 5)]
    arguments = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    settings = {"causal": True, "window": window, "offset": 150 - queries}
    form = partial(attention_without_a_mask, **settings)
    assert_equals_the_plain(form, arguments, 2e-5, **settings)


def test_heads_that_can_not_share_are_refused():
    x, y = np.zeros((1, 4, 3, 2), np.float32), np.zeros((1, 4, 2, 2), np.float32)
    with pytest.raises(ValueError, match="3 heads can't share 2 heads of keys equally"):
        jax.eval_shape(lambda x, y: attention(x, y, y, causal=True), x, y)
