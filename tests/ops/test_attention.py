"""Every form of attention against a reference in NumPy, and memory that is linear in the length.

Every form meets each length, mask, window and type here; soak/soak_attention.py has all of their
combinations.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.attention import blocked
from seqmodels.ops.attention.dot_product import ATTENTION, attention, attention_and_sums
from seqmodels.ops.attention.kernels import KERNELS
from seqmodels.ops.forms import chosen_forms
from tests.ops.plain_attention import (
    BATCH,
    HEAD_WIDTH,
    HEADS,
    assert_equals_the_plain,
    inputs,
    outputs_and_gradients,
    plain_attention,
    random_mask,
)

SCALE = HEAD_WIDTH**-0.5
F32, BF16 = np.dtype(np.float32), np.dtype(jnp.bfloat16)
TOLERANCE = {F32: 2e-5, BF16: 3e-2}
SLOPES = (0.5, 0.03)


class Case(NamedTuple):
    """A call that every form computes that can serve it."""

    queries: int
    keys: int
    causal: bool = True
    window: int | None = None
    masked: bool = False
    dtype: Any = F32
    slopes: tuple[float, ...] | None = None
    scale: float | None = None
    """None is one over the root of a head's width."""

    @property
    def settings(self) -> dict[str, Any]:
        """The last query stands at the last key, if it sees no later ones."""
        offset = max(0, self.keys - self.queries) if self.causal or self.window else 0
        kept = {name: getattr(self, name) for name in ("causal", "window", "slopes", "scale")}
        return kept | {"offset": offset}

    def serving(self) -> list[str]:
        """The forms that can serve it here."""
        lengths = (self.queries, self.keys, self.keys)
        arrays = [jax.ShapeDtypeStruct((BATCH, n, HEADS, HEAD_WIDTH), self.dtype) for n in lengths]
        mask = jax.ShapeDtypeStruct((BATCH, self.keys), bool) if self.masked else None
        names = ("causal", "window", "offset", "scale", "slopes")
        arguments = [*arrays, mask, *(self.settings[name] for name in names)]
        return [name for name in ATTENTION.forms if ATTENTION.refusal(name, *arguments) is None]


def check(form: str | None, case: Case) -> None:
    """Outputs and gradients of one form, or of the one that is chosen."""
    assert_equals_the_plain(
        lambda q, k, v, mask: attention(q, k, v, mask=mask, form=form, **case.settings),
        inputs(case.queries, case.keys, case.dtype),
        TOLERANCE[case.dtype],
        random_mask(case.keys) if case.masked else None,
        **case.settings,
    )


# 63 leaves one key of padding in its block, 130 is past one of local attention, 257 is two blocks,
# and 1,030 two segments that are folded into the batch.
FAST = [
    Case(7, 7, window=5),
    Case(63, 63, causal=False, slopes=SLOPES),
    Case(130, 130, causal=False, masked=True),
    Case(130, 130, causal=False, window=5, masked=True),
]
SLOW = [
    Case(1, 1, masked=True),
    Case(5, 12, window=3, masked=True, scale=0.3),
    Case(5, 12, causal=False, window=3, dtype=BF16),
    Case(64, 64, causal=False, window=16, dtype=BF16, masked=True),
    Case(130, 130, dtype=BF16, slopes=SLOPES),
    Case(150, 220, window=40, masked=True, dtype=BF16),
    Case(200, 300, causal=False, window=1000),
    Case(257, 257, masked=True, slopes=SLOPES),
    Case(257, 257, window=9, slopes=SLOPES),
    Case(1030, 1030, window=5, masked=True),
]


def by_form(cases: list[Case], *marks: Any) -> list[Any]:
    pairs = [(form, case) for case in cases for form in case.serving()]
    return [pytest.param(f, c, marks=marks, id=f"{f}-{named(c)}") for f, c in pairs]


def named(case: Case) -> str:
    """What is set in a case: sizes as they are, and what holds by its name."""
    values = case._asdict().items()
    return "-".join(k if v is True else str(v) for k, v in values if v not in (None, False))


@pytest.mark.parametrize(("form", "case"), by_form(FAST) + by_form(SLOW, pytest.mark.slow))
def test_each_form_equals_the_reference(form, case):
    check(form, case)


def test_every_form_is_tested():
    """Those of other machines are in test_attention_kernels.py."""
    assert {
        form for case in FAST for form in case.serving()
    } == ATTENTION.forms.keys() - KERNELS.keys()


# Sizes by which another form is taken.
CHOSEN = {
    "whole": Case(1, 300),
    "whole-local": Case(1, 300, window=5),
    "local": Case(200, 300, window=40),
    "blocked": Case(150, 220, causal=False, window=1000),
    "blocked-global": Case(200, 300),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_size_chooses_the_form(name):
    case = CHOSEN[name]
    with chosen_forms() as chosen:
        call = partial(attention, **{**case.settings, "slopes": None})
        jax.eval_shape(call, *inputs(case.queries, case.keys)[:3])
    assert chosen == {"attention": [name.partition("-")[0]]}


def attention_without_a_mask(query, key, value, mask, **settings):
    """A form that is given none."""
    assert mask is None
    return attention(query, key, value, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("window", "slopes"), [(None, None), (70, SLOPES)])
@pytest.mark.parametrize("masked", [False, True])
def test_many_queries_at_traced_offsets_go_by_blocks(window, slopes, masked, monkeypatch):
    """As a chunk that follows a cache, whose rows hold more and less; one reaches past its end."""
    monkeypatch.setattr(blocked, "block_size", lambda rows, length: 32)
    offsets = np.array([97, 3], np.int32)
    settings = {"causal": True, "window": window, "slopes": slopes, "offset": offsets}
    mask = np.random.default_rng(0).random((BATCH, 215)) < 0.7 if masked else None
    with chosen_forms() as chosen:
        assert_equals_the_plain(
            lambda q, k, v, mask: attention(
                q, k, v, mask=mask, **settings | {"offset": jnp.asarray(offsets)}
            ),
            inputs(131, 215),
            2e-5,
            mask,
            **settings,
        )
    assert chosen == {"attention": ["blocked"]}


def test_memory_of_a_chunk_after_a_cache_is_linear():
    """Queries and keys are twice as many in the larger one: its scores are four times as many."""

    def needed(length: int, form: str | None) -> int:
        queries, keys = (jax.ShapeDtypeStruct((1, n, 4, 16), F32) for n in (length // 2, length))

        def call(q, k, v, offset):
            return attention(q, k, v, causal=True, offset=offset, form=form)

        offset = jax.ShapeDtypeStruct((1,), np.int32)
        compiled = jax.jit(call).lower(queries, keys, keys, offset).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    small, large = needed(2048, None), needed(4096, None)
    assert large <= 2.05 * small
    assert 4 * large <= needed(4096, "whole")


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

    def loss(q, k, v):
        return jnp.sum(form(q, k, v, causal=True, window=window) ** 2)

    compiled = jax.jit(jax.grad(loss, (0, 1, 2))).lower(shape, shape, shape).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, 128])
def test_memory_is_linear_in_the_length(window):
    at = [temporaries(attention, length, window) for length in (8192, 16384)]
    assert at[1] <= 2.05 * at[0]


def test_memory_of_the_whole_form_is_not():
    whole = partial(attention, form="whole")
    at = [temporaries(whole, length, None) for length in (1024, 2048)]
    assert at[1] >= 3.9 * at[0]
    assert at[1] >= 4 * temporaries(attention, 2048, None)


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


@pytest.mark.parametrize("form", ["whole", "local", "blocked"])
def test_the_sum_of_all_exponentials_and_its_gradient(form):
    """A row of it has none where all is masked; its gradient by a score is the key's weight."""
    query, key, value, gradient = inputs(130, 130)
    mask, weights = random_mask(130), gradient[..., 0].astype(np.float64)
    settings: Any = {"causal": True, "window": 40, "mask": jnp.asarray(mask), "form": form}

    @jax.jit
    def run(query, key, value):
        def sums(q, k):
            return attention_and_sums(q, k, value, **settings)[1]

        out, pull = jax.vjp(sums, query, key)
        return out, *pull(weights.astype(np.float32))

    found, d_query, d_key = map(np.asarray, run(query, key, value))
    ahead = np.arange(130)[None] - np.arange(130)[:, None]
    seen = ((ahead <= 0) & (ahead > -40))[None, None] & mask[:, None, None]
    q, k = (x.astype(np.float64).swapaxes(1, 2) for x in (query, key))
    scores = SCALE * (q @ k.swapaxes(2, 3))
    powers = np.where(seen, np.exp(scores), 0)
    total = powers.sum(-1, keepdims=True)
    d_scores = SCALE * weights.swapaxes(1, 2)[..., None] * powers / np.where(total == 0, 1, total)
    some = seen.any(-1)[:, 0]
    expected = np.log(np.where(total == 0, 1, total))[..., 0].swapaxes(1, 2)
    np.testing.assert_allclose(found[some], expected[some], rtol=1e-5, atol=1e-5)
    assert (found[~some] < -1e29).all()
    for actual, wanted in ((d_query, d_scores @ k), (d_key, d_scores.swapaxes(2, 3) @ q)):
        np.testing.assert_allclose(actual, wanted.swapaxes(1, 2), rtol=1e-4, atol=1e-5)


def test_heads_that_can_not_share_are_refused():
    x, y = np.zeros((1, 4, 3, 2), np.float32), np.zeros((1, 4, 2, 2), np.float32)
    with pytest.raises(ValueError, match="3 heads can't share 2 heads of keys equally"):
        jax.eval_shape(lambda x, y: attention(x, y, y, causal=True), x, y)
