"""FLOPs counted over jaxprs, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from seqmodels.flops import UncountableError, count_flops
from seqmodels.ops.attention.dot_product import attention
from seqmodels.ops.by_parts import POSITIONS, by_parts
from seqmodels.ops.fft_convolution import fft_convolution
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.training.sharding import make_mesh, traced_under

X, W = jnp.ones((2, 3)), jnp.ones((3, 3))
ONE = 2 * 2 * 3 * 3


def test_products_and_convolutions():
    assert count_flops(lambda x, w: jnp.tanh(x @ w) @ w, X, W) == 2 * ONE
    x, w = jnp.ones((1, 4, 10)), jnp.ones((6, 2, 5))  # 2 groups

    def convolve(x, w):
        return lax.conv_general_dilated(x, w, (1,), "SAME", feature_group_count=2)

    assert count_flops(convolve, x, w) == 2 * 6 * 10 * 2 * 5


def test_scans_multiply_also_inside_one_another():
    def inner(x, w):
        return lax.scan(lambda h, _: (h @ w, None), x, length=5)[0]

    def outer(x, w):
        return lax.scan(lambda h, _: (inner(h, w), None), x, length=7)[0]

    assert count_flops(outer, X, W) == 35 * ONE

    # The backward pass multiplies twice for each product, and computes it once again with remat.
    def loss(x, w):
        return inner(x, w).sum()

    assert count_flops(jax.grad(loss, (0, 1)), X, W) == 3 * 5 * ONE


@pytest.mark.slow
def test_a_loop_whose_bounds_follow_from_an_index():
    def triangle(x, w):
        def body(h, i):
            return (lax.fori_loop(i // 2, i, lambda j, h: h @ w, h), None)

        return lax.scan(body, x, jnp.arange(6))[0]

    assert count_flops(triangle, X, W) == sum(i - i // 2 for i in range(6)) * ONE
    assert count_flops(jax.jit(triangle), X, W) == count_flops(triangle, X, W)


def test_fourier_transforms_and_triangular_systems():
    x, kernel = jnp.ones((3, 8, 2)), jnp.ones((8, 2))
    one = 5 * 8 * 3  # 5 n log2 n
    assert count_flops(lambda x: jnp.fft.fft(x, axis=1), x) == 3 * 2 * one
    assert count_flops(lambda x: jnp.fft.irfft(jnp.fft.rfft(x, axis=1), axis=1), x) == 12 * one
    assert count_flops(jnp.fft.fft2, jnp.ones((3, 4, 8))) == 3 * 5 * 32 * 5
    # Of x, of the kernel, and back; 8 and 8 positions make 15, for which 16 is the fast size.
    assert count_flops(fft_convolution, x, kernel) == (3 * 2 + 2 + 3 * 2) * 5 * 16 * 4

    def solve(a, b):
        return lax.linalg.triangular_solve(a, b, left_side=True, lower=True)

    assert count_flops(solve, jnp.ones((2, 5, 5)), jnp.ones((2, 5, 3))) == 2 * 5 * 5 * 3


L, D, N = 6, 3, 4
ROWS = jnp.ones((L, D))


def test_a_linear_recurrence_counts_its_update_and_its_read_out():
    def update(h, ab):
        h = ab[0] * h + ab[1]
        return h, h

    def diagonal(a, b):
        return lax.scan(update, jnp.zeros(D), (a, b))

    assert count_flops(diagonal, ROWS, ROWS) == L * 2 * D

    # Through a call, a mask and other types; and from the last to the first.
    def masked(h, ab):
        return (jnp.where(ab[0] > 0, jax.jit(update)(h, ab)[0], h), h.astype("float16"))

    def backwards(a, b):
        return lax.scan(masked, jnp.zeros(D), (a, b), reverse=True)

    assert count_flops(backwards, ROWS, ROWS) == L * 2 * D

    def selective(h, given):  # N states a channel: decayed, fed by u b^T, and read out by c
        a, u, b, c = given
        h = a[:, None] * h + u[:, None] * b[None]
        return h, (c[None] * h).sum(1)

    states = jnp.ones((L, N))

    def run(*given):
        return lax.scan(selective, jnp.zeros((D, N)), given)

    assert count_flops(run, ROWS, ROWS, states, states) == L * 3 * 2 * D * N

    def matrix(s, given):  # the same with products of matrices
        a, u, b, c = given
        s = a[:, None] * s + jnp.einsum("d,n->dn", u, b)
        return s, s @ c

    def run(*given):
        return lax.scan(matrix, jnp.zeros((D, N)), given)

    assert count_flops(run, ROWS, ROWS, states, states) == L * 3 * 2 * D * N


def test_other_elementwise_work_counts_nothing():
    def gated(h, x):
        return (jax.nn.sigmoid(h + x) * h + x * x, h)

    assert count_flops(lambda x: lax.scan(gated, jnp.zeros(D), x), ROWS) == 0

    def squashed(h, x):
        return (jnp.tanh(x * h + x), None)

    assert count_flops(lambda x: lax.scan(squashed, jnp.zeros(D), x), ROWS) == 0

    # Linear in one state, whose decay is what the loop makes of another.
    def two(s, x):
        return ((jnp.tanh(s[0] * x), jnp.tanh(s[0]) * s[1] + x), None)

    assert count_flops(lambda x: lax.scan(two, (ROWS[0], ROWS[0]), x), ROWS) == 0
    assert count_flops(lambda x, y: (x * y + x).sum(), ROWS, ROWS) == 0


def test_a_loop_that_the_data_end_counts_at_its_bound():
    def newton(x, w, most):
        def go_on(carry):
            return (carry[0] < most) & (carry[1].sum() > 1e-3) & lax.gt(20, carry[0])

        return lax.while_loop(go_on, lambda carry: (carry[0] + 1, carry[1] @ w), (2, x))

    assert count_flops(lambda x, w: newton(x, w, 9), X, W) == 7 * ONE
    assert count_flops(lambda x, w: newton(x, w, jnp.int32(50)), X, W) == 18 * ONE
    assert count_flops(lambda x, w: newton(x, w, 1), X, W) == 0


def test_a_loop_that_the_data_alone_end_is_refused():
    def loop(x, w):
        return lax.while_loop(lambda h: h.sum() < 9, lambda h: h @ w, x)

    with pytest.raises(UncountableError):
        count_flops(loop, X, W)
    with pytest.raises(UncountableError):
        count_flops(lambda n, x, w: lax.fori_loop(0, n, lambda i, h: h @ w, x), 3, X, W)

    def by_two(x, w):
        return lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 2, c[1] @ w), (0, x))

    with pytest.raises(UncountableError):
        count_flops(by_two, X, W)

    def either(c):
        return (c[0] < 9) | (c[1].sum() > 0)

    with pytest.raises(UncountableError):
        count_flops(
            lambda x, w: lax.while_loop(either, lambda c: (c[0] + 1, c[1] @ w), (0, x)), X, W
        )

    def without_products(x):
        return lax.while_loop(lambda h: h.sum() < 9, lambda h: h * 2, x)

    assert count_flops(without_products, X) == 0


def test_what_devices_share_counts_on_all_of_them():
    """Each with its part, as often as that one's loop goes round."""
    mesh, x = make_mesh(8, 4), jnp.ones((2, 64, 3))  # two parts of rows, four of positions
    whole = 2 * x.size * 3

    def product(x):
        return by_parts(lambda x: x @ W, x.shape, (POSITIONS,), POSITIONS)(x)

    def loop(x):
        times = lax.axis_index("sequence")
        return lax.fori_loop(0, times, lambda _, x: x @ W, x)

    def of_place(x):
        return by_parts(loop, x.shape, (POSITIONS,), POSITIONS)(x)

    assert count_flops(traced_under(mesh, product), x) == count_flops(product, x) == whole
    assert count_flops(traced_under(mesh, of_place), x) == (0 + 1 + 2 + 3) / 4 * whole


def test_branches_count_as_the_dearer_one():
    def choose(p, x, w):
        return lax.cond(p, lambda: x @ w, lambda: x @ w @ w)

    assert count_flops(choose, True, X, W) == 2 * ONE


@pytest.mark.slow
def test_blocked_attention_counts_the_blocks_that_are_seen():
    L, C, H, K = 1024, 256, 4, 16
    x = jax.ShapeDtypeStruct((1, L, H, K), jnp.float32)

    def attend(q, k, v):
        return attention(q, k, v, causal=True)

    blocks = (L // C) * (L // C + 1) // 2
    forward = blocks * H * 2 * 2 * C * C * K
    assert count_flops(attend, x, x, x) == forward

    def loss(q, k, v):
        return attend(q, k, v).sum()

    # Five products a block backward, the scores' again among them.
    assert count_flops(jax.grad(loss, (0, 1, 2)), x, x, x) == forward * 7 // 2


@pytest.mark.slow
@pytest.mark.parametrize("mixer", ["rnn", "lstm", "gru", "conv"])
def test_a_step_is_three_times_a_forward_pass(mixer):
    of = language_model(model_section(mixer, 16, 2, "float32"), 256, 2)
    state = jax.eval_shape(of.state)
    forward = count_flops(of.model.apply, state.params, of.batch(), None)
    assert forward == pytest.approx(2 * of.cost(256).flops, rel=0.01)
    assert count_flops(of.step(), state, of.batch()) == pytest.approx(3 * forward, rel=0.02)
