"""FLOPs counted over jaxprs, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from seqmodels.flops import UncountableError, matmul_flops
from seqmodels.ops.attention.dot_product import attention
from seqmodels.scaling.programs import language_model, model_section

X, W = jnp.ones((2, 3)), jnp.ones((3, 3))
ONE = 2 * 2 * 3 * 3


def test_products_and_convolutions():
    assert matmul_flops(lambda x, w: jnp.tanh(x @ w) @ w, X, W) == 2 * ONE
    x, w = jnp.ones((1, 4, 10)), jnp.ones((6, 2, 5))  # 2 groups
    convolve = lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", feature_group_count=2)  # noqa: E731
    assert matmul_flops(convolve, x, w) == 2 * 6 * 10 * 2 * 5


def test_scans_multiply_also_inside_one_another():
    inner = lambda x, w: lax.scan(lambda h, _: (h @ w, None), x, length=5)[0]  # noqa: E731
    outer = lambda x, w: lax.scan(lambda h, _: (inner(h, w), None), x, length=7)[0]  # noqa: E731
    assert matmul_flops(outer, X, W) == 35 * ONE
    # The backward pass multiplies twice for each product, and computes it once again with remat.
    loss = lambda x, w: inner(x, w).sum()  # noqa: E731
    assert matmul_flops(jax.grad(loss, (0, 1)), X, W) == 3 * 5 * ONE


def test_a_loop_whose_bounds_follow_from_an_index():
    def triangle(x, w):
        body = lambda h, i: (lax.fori_loop(i // 2, i, lambda j, h: h @ w, h), None)  # noqa: E731
        return lax.scan(body, x, jnp.arange(6))[0]

    assert matmul_flops(triangle, X, W) == sum(i - i // 2 for i in range(6)) * ONE
    assert matmul_flops(jax.jit(triangle), X, W) == matmul_flops(triangle, X, W)


def test_a_loop_that_the_data_end_is_refused():
    loop = lambda x, w: lax.while_loop(lambda h: h.sum() < 9, lambda h: h @ w, x)  # noqa: E731
    with pytest.raises(UncountableError):
        matmul_flops(loop, X, W)
    with pytest.raises(UncountableError):
        matmul_flops(lambda n, x, w: lax.fori_loop(0, n, lambda i, h: h @ w, x), 3, X, W)
    without_products = lambda x: lax.while_loop(lambda h: h.sum() < 9, lambda h: h * 2, x)  # noqa: E731
    assert matmul_flops(without_products, X) == 0


def test_branches_count_as_the_dearer_one():
    choose = lambda p, x, w: lax.cond(p, lambda: x @ w, lambda: x @ w @ w)  # noqa: E731
    assert matmul_flops(choose, True, X, W) == 2 * ONE


def test_blocked_attention_counts_the_blocks_that_are_seen():
    L, C, H, K = 2048, 256, 4, 16
    x = jax.ShapeDtypeStruct((1, L, H, K), jnp.float32)
    attend = lambda q, k, v: attention(q, k, v, causal=True)  # noqa: E731
    blocks = (L // C) * (L // C + 1) // 2
    forward = blocks * H * 2 * 2 * C * C * K
    assert matmul_flops(attend, x, x, x) == forward
    loss = lambda q, k, v: attend(q, k, v).sum()  # noqa: E731
    # Five products a block backward, the scores' again among them.
    assert matmul_flops(jax.grad(loss, (0, 1, 2)), x, x, x) == forward * 7 // 2


@pytest.mark.parametrize("mixer", ["rnn", "lstm", "gru", "conv"])
def test_a_step_is_three_times_a_forward_pass(mixer):
    of = language_model(model_section(mixer, 16, 2, "float32"), 256, 2)
    state = jax.eval_shape(of.state)
    forward = matmul_flops(of.model.apply, state.params, of.batch(), None)
    assert forward == pytest.approx(2 * of.model.cost(256).flops, rel=0.01)
    assert matmul_flops(of.step(), state, of.batch()) == pytest.approx(3 * forward, rel=0.02)
