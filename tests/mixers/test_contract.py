"""What seqmodels/mixers/base.py promises, for every mixer.

A mixer is tested from the moment that it stands in MIXERS, with its default
settings; a line in tests/mixers/variants.py gives it others.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers import MIXERS
from seqmodels.training.sharding import by_row, make_mesh, replicated
from tests.mixers.variants import (
    CASES,
    CAUSAL,
    LENGTH,
    VARIANTS,
    WIDTH,
    all_variants,
    build,
    every_causal_mixer,
    every_mixer,
    normal,
    parameters,
    parametrize,
)


def random_splits(seed: int) -> list[int]:
    """The lengths of four chunks that make up LENGTH."""
    cuts = np.sort(1 + np.random.default_rng(seed).choice(LENGTH - 1, size=3, replace=False))
    return np.diff(cuts, prepend=0, append=LENGTH).tolist()


def masks(length: int) -> np.ndarray:
    """Rows padded nowhere, at the end, at the start, in the middle, here and there, and wholly."""
    places = np.arange(length)
    rows = [
        places >= 0,
        places < length - 23,
        places >= 23,
        (places < 20) | (places >= 31),
        np.random.default_rng(0).random(length) < 0.5,
        places < 0,
    ]
    return np.stack(rows)


def relative_error(actual: jax.Array, expected: jax.Array) -> float:
    """The norm of the difference, over the norm of what is expected."""
    a, b = (np.asarray(x, np.float32) for x in (actual, expected))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def assert_trees_close(actual, expected, **tolerance):
    """Asserts that two trees of arrays have the same structure and close values."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), actual, expected)


def test_every_mixer_is_covered():
    assert {kind for kind, _ in CASES.values()} == set(MIXERS)
    assert all_variants({**MIXERS, "new": object}, VARIANTS)["new"] == ("new", {})


@every_mixer
@parametrize("length", {str(n): n for n in (1, 7, 63, 64, LENGTH)}, fast=["130"])
def test_shape_dtype_and_finite(name, length):
    mixer, params = build(name), parameters(name)
    x = normal((2, length, WIDTH))
    full = mixer.call(params, x)
    half = mixer.call(params, x.astype(jnp.bfloat16))
    assert (full.shape, full.dtype) == (x.shape, jnp.float32)
    assert (half.shape, half.dtype) == (x.shape, jnp.bfloat16)
    assert np.isfinite(full).all()
    # bfloat16 has 8 bits: the same function, within a few roundings.
    assert relative_error(half, full) < 0.03


@every_mixer
def test_causal_or_not(name):
    mixer, params = build(name), parameters(name)
    x = normal((2, LENGTH, WIDTH))
    before = np.asarray(mixer.call(params, x))
    for place in (10, 64, 100):
        perturbed = x.copy()
        perturbed[:, place] += 1
        after = np.asarray(mixer.call(params, perturbed))
        assert (before != after)[:, place + 1 :].any()
        if mixer.mixer.causal:
            np.testing.assert_array_equal(after[:, :place], before[:, :place])
        else:
            assert (before != after)[:, :place].any()


# How many positions before and after its own an output sees.
VIEWS = {
    "convolution-causal": (3, 0),
    "convolution-dilated": (18, 0),
    "convolution-centred": (4, 4),
    "local-attention": (3, 0),
    "local-attention-dilated": (18, 0),
    "local-attention-centred": (4, 4),
    "attention-local": (4, 0),
    "attention-local-both-sides": (5, 5),
}


@pytest.mark.parametrize("name", VIEWS)
def test_view_ends_where_kernel_and_window_do(name):
    mixer, params = build(name), parameters(name)
    before, after = VIEWS[name]
    x = normal((1, LENGTH, WIDTH))
    expected = mixer.call(params, x)[0, 60]
    far, near = x.copy(), {60 - before: x.copy(), 60 + after: x.copy()}
    far[:, : 60 - before] += 1
    far[:, 60 + after + 1 :] += 1
    np.testing.assert_allclose(mixer.call(params, far)[0, 60], expected, rtol=1e-5, atol=1e-6)
    for place, moved in near.items():
        moved[:, place] += 1
        assert np.abs(mixer.call(params, moved)[0, 60] - expected).max() > 1e-3


@every_causal_mixer
@parametrize(
    "lengths",
    {"tokens": [1] * LENGTH, "four": random_splits(0), "other-four": random_splits(1)},
    fast=["tokens"],
)
def test_extend_in_pieces_equals_one_call(name, lengths):
    mixer, params = build(name), parameters(name)
    x = normal((2, LENGTH, WIDTH))
    start = mixer.mixer.initial_state(2, LENGTH)
    state, outputs = start, []
    for piece in np.split(x, np.cumsum(lengths)[:-1], axis=1):
        output, state = mixer.extend(params, piece, state)
        outputs.append(output)
    expected = mixer.call(params, x)
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), expected, rtol=1e-4, atol=1e-5)
    _, expected_state = mixer.extend(params, x, start)
    assert_trees_close(state, expected_state, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL)
def test_rows_of_a_state_may_have_seen_different_lengths(name):
    mixer, params = build(name), parameters(name)
    x = normal((2, 60, WIDTH))
    states, chunks = [], []
    for row, seen in enumerate((3, 33)):
        start = mixer.mixer.initial_state(1, 60)
        states.append(mixer.extend(params, x[row : row + 1, :seen], start)[1])
        chunks.append(x[row, seen : seen + 20])
    state = jax.tree.map(lambda *rows: np.concatenate(rows), *states)
    outputs, _ = mixer.extend(params, np.stack(chunks), state)
    whole = np.asarray(mixer.call(params, x))
    expected = np.stack([whole[0, 3:23], whole[1, 33:53]])
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CAUSAL)
def test_extend_in_bfloat16(name):
    mixer, params = build(name), parameters(name)
    x = normal((2, LENGTH, WIDTH)).astype(jnp.bfloat16)
    first, state = mixer.extend(params, x[:, :70], mixer.mixer.initial_state(2, LENGTH))
    second, _ = mixer.extend(params, x[:, 70:], state)
    assert first.dtype == second.dtype == jnp.bfloat16
    outputs = np.concatenate([first, second], axis=1)
    assert relative_error(outputs, mixer.call(params, x)) < 0.01


@every_causal_mixer
def test_state_has_rows_first_and_keeps_its_form(name):
    mixer = build(name)
    state = jax.eval_shape(lambda: mixer.mixer.initial_state(3, LENGTH))
    assert {leaf.shape[0] for leaf in jax.tree.leaves(state)} == {3}
    for dtype in (jnp.float32, jnp.bfloat16):
        token = jax.ShapeDtypeStruct((3, 1, WIDTH), dtype)
        # lax.scan can carry it through generation.
        assert jax.eval_shape(mixer.extend, mixer.shapes, token, state)[1] == state


@every_mixer
@parametrize("length", {"63": 63, "130": LENGTH}, fast=["63"])
def test_padding_changes_nothing(name, length):
    mixer, params = build(name), parameters(name)
    mask = masks(length)
    x = normal((len(mask), length, WIDTH))
    outputs = np.asarray(mixer.call(params, x, mask))
    assert np.isfinite(outputs).all()

    filled = np.where(mask[:, :, None], x, 100 * normal(x.shape, seed=1))
    again = np.asarray(mixer.call(params, filled, mask))
    np.testing.assert_array_equal(again[mask], outputs[mask])

    absent = mixer.call(params, x)[0]
    np.testing.assert_allclose(outputs[0], absent, rtol=1e-5, atol=1e-6)
    shorter = np.stack([x[1, : length - 23], x[2, 23:]])
    end, start = mixer.call(params, shorter)
    np.testing.assert_allclose(outputs[1, : length - 23], end, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs[2, 23:], start, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_rows_do_not_depend_on_their_place_in_the_batch(name):
    mixer, params = build(name), parameters(name)
    mask = masks(63)
    x = normal((len(mask), 63, WIDTH))
    outputs = mixer.call(params, x, mask)
    rolled = mixer.call(params, np.roll(x, 2, axis=0), np.roll(mask, 2, axis=0))
    np.testing.assert_allclose(rolled, np.roll(outputs, 2, axis=0), rtol=1e-5, atol=1e-6)


def with_gradients(name: str):
    """The jitted outputs and gradients of a sum that weighs every valid output differently."""
    mixer = build(name)

    def loss(params, x, mask):
        outputs = mixer.call(params, x, mask)
        weighted = outputs.astype(jnp.float32) * normal(outputs.shape, seed=2)
        return jnp.sum(jnp.where(mask[:, :, None], weighted, 0.0)), outputs

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


@every_mixer
@parametrize(
    "length_and_dtype",
    {"63": (63, "float32"), "130": (130, "float32"), "bfloat16": (63, "bfloat16")},
    fast=["63"],
)
def test_gradients_are_finite_and_not_zero(name, length_and_dtype):
    length, dtype = length_and_dtype
    mask = masks(length)
    x = normal((len(mask), length, WIDTH)).astype(dtype)
    by_params, by_inputs = with_gradients(name)(parameters(name), x, mask)[0]
    for path, leaf in jax.tree.leaves_with_path((by_params, by_inputs)):
        gradient = np.asarray(leaf, np.float32)
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient != 0), path
    assert not np.any(np.asarray(by_inputs)[~mask])
    assert {leaf.dtype for leaf in jax.tree.leaves(by_params)} == {jnp.dtype("float32")}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_small_steps(name):
    mixer, point = build(name), (parameters(name), normal((6, 63, WIDTH)))
    mask = masks(63)
    gradient = with_gradients(name)(*point, mask)[0]
    direction = jax.tree.map(lambda a: normal(a.shape, seed=a.size), point)

    def loss(step):
        params, x = jax.tree.map(lambda a, b: a + np.float32(step) * b, point, direction)
        outputs = np.asarray(mixer.call(params, x, mask), np.float64)
        return np.sum((outputs * normal(outputs.shape, seed=2))[mask])

    step = 2e-4  # large enough for float32, small enough to cross no kink of a relu
    slope = (loss(step) - loss(-step)) / (2 * step)
    products = jax.tree.map(lambda g, d: np.vdot(g, d), gradient, direction)
    size = np.sqrt(sum(np.vdot(g, g) for g in jax.tree.leaves(gradient)))
    # Along a random direction the slope is about as large as the gradient.
    assert abs(slope - sum(jax.tree.leaves(products))) < 0.01 * size


@every_mixer
def test_one_device_equals_eight(name):
    run, params = with_gradients(name), parameters(name)
    mask = np.concatenate([masks(63), np.ones((2, 63), bool)])
    x = normal((len(mask), 63, WIDTH))
    mesh = make_mesh()
    rows = jax.device_put((x, mask), by_row(mesh))
    gradients, outputs = run(jax.device_put(params, replicated(mesh)), *rows)
    for array in (*rows, outputs):
        assert [len(shard.data) for shard in array.addressable_shards] == [1] * 8
    assert_trees_close((gradients, outputs), run(params, x, mask), rtol=1e-4, atol=1e-5)
