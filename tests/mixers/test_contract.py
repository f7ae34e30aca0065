"""What seqmodels/mixers/base.py promises, for every mixer.

A mixer is tested from the moment that it stands in MIXERS, with its default
settings; a line in tests/mixers/variants.py gives it others. What is compiled for
a variant is compiled once, and its outputs, gradients and states are then compared in
many ways; what other lengths, dtypes and devices need is compiled once a kind.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers import MIXERS, Room
from seqmodels.training.sharding import by_row, make_mesh, replicated
from tests.mixers.variants import (
    CASES,
    LENGTH,
    OF_KINDS,
    VARIANTS,
    WIDTH,
    all_variants,
    build,
    every_causal_kind,
    every_causal_mixer,
    every_kind,
    every_mixer,
    normal,
    parameters,
)
from tests.soaking import SOAK

ROWS = 8  # of every whole call: one a simulated device
BY_FOURIER = {"long_convolution", "hyena"}
SHORT, ABSENT = 107, 23
"""Lengths of calls without a mask, and of what padding leaves out of the others."""
ODD = 87
"""Another length with a mask, of which padding leaves 64, the usual chunk."""


def masks(length: int) -> np.ndarray:
    """Rows padded nowhere, at the end, at the start, in the middle, here and there, and wholly."""
    places = np.arange(length)
    rows = [
        places >= 0,
        places < length - ABSENT,
        places >= ABSENT,
        (places < 20) | (places >= 31),
        np.random.default_rng(0).random(length) < 0.5,
        places < 0,
        places >= 0,
        places >= 0,
    ]
    return np.stack(rows)


class Whole(NamedTuple):
    """What a variant makes of whole sequences, with masks, and the gradients of a weighed sum."""

    x: np.ndarray
    mask: np.ndarray
    outputs: np.ndarray
    by_params: dict
    by_inputs: np.ndarray


@functools.cache
def with_gradients(name: str):
    """The jitted outputs and gradients of a sum that weighs every valid output differently."""
    mixer = build(name)

    def loss(params, x, mask):
        outputs = mixer.call(params, x, mask)
        weighted = outputs.astype(jnp.float32) * normal(outputs.shape, seed=2)
        return jnp.sum(jnp.where(mask[:, :, None], weighted, 0.0)), outputs

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


@functools.cache
def whole(name: str) -> Whole:
    """A variant's, of LENGTH positions in float32."""
    mask = masks(LENGTH)
    x = normal((*mask.shape, WIDTH))
    (by_params, by_inputs), outputs = with_gradients(name)(parameters(name), x, mask)
    return Whole(x, mask, np.asarray(outputs), by_params, np.asarray(by_inputs))


@functools.cache
def gradients_in_bfloat16(name: str):
    """A variant's gradients for the same inputs in bfloat16, and its outputs."""
    x = whole(name).x.astype(jnp.bfloat16)
    return with_gradients(name)(parameters(name), x, whole(name).mask)


@functools.cache
def in_bfloat16(name: str) -> np.ndarray:
    """A variant's outputs for the same inputs in bfloat16."""
    return np.asarray(gradients_in_bfloat16(name)[1])


def without_mask(name: str, *rows: np.ndarray) -> np.ndarray:
    """The outputs of some rows [SHORT, D], computed in one batch of ROWS.

    Of a causal variant that shares its code with one of OF_KINDS by the program that there is,
    which has a mask: what comes after SHORT positions is padding.
    """
    x = np.stack([*rows, *[rows[0]] * (ROWS - len(rows))])
    if name in OF_KINDS or not build(name).mixer.causal:
        return np.asarray(build(name).call(parameters(name), x))[: len(rows)]
    x = np.pad(x, ((0, 0), (0, LENGTH - SHORT), (0, 0)))
    mask = np.broadcast_to(np.arange(LENGTH) < SHORT, (ROWS, LENGTH))
    outputs = with_gradients(name)(parameters(name), x, mask)[1]
    return np.asarray(outputs)[: len(rows), :SHORT]


READ, TOKENS = 33, 24
"""Positions of a chunk, padding with them; and those that follow it one by one."""


def in_pieces(name: str, x: np.ndarray, sizes: np.ndarray, state):
    """What two rows become that are read from a state in chunks and then token by token.

    Of each chunk ``sizes`` [chunks, 2] are real, and what pads them is large. Returns the outputs
    [2, LENGTH, D] as far as they were made, how many they are, and the state then.
    """
    mixer, params = build(name), jax.device_put(parameters(name))
    rows, lengths = np.arange(2)[:, None], np.full(2, LENGTH)
    made, count = np.zeros((2, LENGTH + READ, WIDTH), x.dtype), np.zeros(2, int)
    for size, length in [*[(size, READ) for size in sizes], *[(np.ones(2, int), 1)] * TOKENS]:
        places = count[:, None] + np.arange(length)
        valid = np.arange(length) < size[:, None]
        chunk = x[rows, np.minimum(places, LENGTH - 1)]
        chunk = np.where(valid[:, :, None], chunk, x.dtype.type(100))
        y, state = mixer.extend(params, chunk, state, count, lengths, valid)
        made[rows, np.where(valid, places, LENGTH)], count = np.asarray(y), count + size
    return made[:, :LENGTH], count, state


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
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
def test_shape_dtype_and_finite(name):
    outputs = whole(name).outputs
    assert (outputs.shape, outputs.dtype) == (whole(name).x.shape, jnp.float32)
    assert np.isfinite(outputs).all()


@pytest.mark.slow
@every_kind
def test_bfloat16_is_the_same_function(name):
    half, valid = in_bfloat16(name), whole(name).mask
    assert (half.shape, half.dtype) == (whole(name).x.shape, jnp.bfloat16)
    assert np.isfinite(half.astype(np.float32)).all()
    # It has 8 bits: within a few roundings.
    assert relative_error(half[valid], whole(name).outputs[valid]) < 0.03


@pytest.mark.slow
@every_kind
def test_short_sequences(name):
    mixer, params = build(name), parameters(name)
    for length in (1, 7):  # and 64 below
        x = normal((2, length, WIDTH))
        full = mixer.call(params, x)
        assert (full.shape, full.dtype) == (x.shape, jnp.float32)
        assert np.isfinite(full).all()
    if SOAK:  # extend has tokens in bfloat16
        x = normal((2, 7, WIDTH))
        half = mixer.call(params, x.astype(jnp.bfloat16))
        assert (half.shape, half.dtype) == (x.shape, jnp.bfloat16)
        assert relative_error(half, mixer.call(params, x)) < 0.03


@every_mixer
def test_causal_or_not(name):
    mixer = build(name).mixer
    x = normal((SHORT, WIDTH))
    places = (10, 64, 88)
    moved = [x + (np.arange(SHORT) == place)[:, None].astype(np.float32) for place in places]
    before, *after = without_mask(name, x, *moved)
    for place, outputs in zip(places, after, strict=True):
        assert (before != outputs)[place + 1 :].any()
        if CASES[name][0] in BY_FOURIER:  # whose rounding is spread over all positions
            np.testing.assert_allclose(outputs[:place], before[:place], rtol=1e-5, atol=1e-5)
        elif mixer.causal:
            np.testing.assert_array_equal(outputs[:place], before[:place])
        else:
            assert (before != outputs)[:place].any()


# How many positions before and after its own an output sees.
VIEWS = {
    "convolution-causal": (3, 0),
    "convolution-dilated": (18, 0),
    "convolution-centred": (4, 4),
    "neighbourhood-attention": (3, 0),
    "neighbourhood-attention-dilated": (18, 0),
    "neighbourhood-attention-centred": (4, 4),
    "attention-local": (4, 0),
    "attention-local-both-sides": (5, 5),
}


@pytest.mark.parametrize("name", VIEWS)
def test_view_ends_where_kernel_and_window_do(name):
    before, after = VIEWS[name]
    x, middle = normal((SHORT, WIDTH)), 60
    far = x.copy()
    far[: middle - before] += 1
    far[middle + after + 1 :] += 1
    first, last = x.copy(), x.copy()
    first[middle - before] += 1
    last[middle + after] += 1
    expected, *seen = without_mask(name, x, far, first, last)[:, middle]
    np.testing.assert_allclose(seen[0], expected, rtol=1e-5, atol=1e-6)
    assert np.abs(seen[1] - expected).max() > 1e-3
    assert np.abs(seen[2] - expected).max() > 1e-3


FULL = [0, 6]  # two rows that are padded nowhere


@every_causal_mixer
def test_extend_in_pieces_equals_one_call(name):
    """However rows of different lengths are split and padded, from no state or an empty one."""
    x, expected = whole(name).x[FULL], whole(name).outputs[FULL]
    room, empty = Room(LENGTH), build(name).mixer.initial_state(2, LENGTH)
    states = []
    for sizes, begin in (
        ([[33, 20], [5, 33]], room),
        ([[33, 20], [5, 33]], empty),
        ([[10, 33], [28, 20]], room),
        ([[0, 1], [33, 0]], room),
    ):
        made, count, state = in_pieces(name, x, np.array(sizes), begin)
        for row, stop in enumerate(count):
            np.testing.assert_allclose(made[row, :stop], expected[row, :stop], rtol=1e-4, atol=1e-5)
        states.append(only_read(build(name).mixer, state, count))
    for other in states[1:3]:
        assert_trees_close(states[0], other, rtol=1e-4, atol=1e-5)


def only_read(mixer, state, count: np.ndarray):
    """A state without what lies past the positions that were read, which may be anything."""

    def cut(axes: str, leaf):
        leaf = np.asarray(leaf)
        if "L" not in axes.split():
            return leaf
        read = np.arange(leaf.shape[1])[None] < count[:, None]
        return np.where(read.reshape(*read.shape, *(1,) * (leaf.ndim - 2)), leaf, 0)

    return jax.tree.map(cut, mixer.state_letters, state)


@pytest.mark.slow
@every_causal_kind
def test_extend_in_bfloat16(name):
    x = whole(name).x[FULL].astype(jnp.bfloat16)
    made, count, _ = in_pieces(name, x, np.full((1, 2), READ), Room(LENGTH))
    assert made.dtype == jnp.bfloat16
    stop = int(count[0])
    assert relative_error(made[:, :stop], in_bfloat16(name)[FULL, :stop]) < 0.01


@every_causal_mixer
def test_state_has_rows_first_and_keeps_its_form(name):
    mixer = build(name)
    first = jax.eval_shape(lambda: mixer.mixer.initial_state(3, LENGTH))
    letters = jax.tree.leaves(mixer.mixer.state_letters)
    for axes, leaf in zip(letters, jax.tree.leaves(first), strict=True):
        sizes = dict(zip(axes.split(), leaf.shape, strict=True))
        assert next(iter(sizes)) == "B"
        assert (sizes["B"], sizes.get("L", LENGTH)) == (3, LENGTH)
    count = jax.ShapeDtypeStruct((3,), jnp.int32)
    for dtype in (jnp.float32, jnp.bfloat16):
        token = jax.ShapeDtypeStruct((3, 1, WIDTH), dtype)
        extend = functools.partial(jax.eval_shape, mixer.extend, mixer.shapes, token)
        # lax.scan can carry it through generation.
        assert extend(first, count, count)[1] == first
        begun = extend(Room(LENGTH), count, count)[1]
        assert jax.tree.map(jnp.shape, begun) == jax.tree.map(jnp.shape, first)
        assert extend(begun, count, count)[1] == begun


@every_mixer
def test_padding_changes_nothing(name):
    """What stands in padding doesn't matter, and a padded row is a shorter one."""
    padded = whole(name)
    x, mask = padded.x, padded.mask
    filled = np.where(mask[:, :, None], x, 100 * normal(x.shape, seed=1))
    _, again = with_gradients(name)(parameters(name), filled, mask)
    np.testing.assert_array_equal(np.asarray(again)[mask], padded.outputs[mask])
    end, start = without_mask(name, x[1, :SHORT], x[2, ABSENT:])
    np.testing.assert_allclose(padded.outputs[1, :SHORT], end, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(padded.outputs[2, ABSENT:], start, rtol=1e-4, atol=1e-5)


@every_kind
def test_a_mask_that_leaves_nothing_out_is_no_mask(name):
    x, found = whole(name).x[FULL], whole(name).outputs[FULL]
    if build(name).mixer.causal:  # what comes later changes nothing
        expected, found = without_mask(name, *x[:, :SHORT]), found[:, :SHORT]
    else:
        expected = np.asarray(build(name).call(parameters(name), whole(name).x))[FULL]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@every_kind
def test_padding_changes_nothing_at_an_odd_length(name):
    mixer, params, mask = build(name), parameters(name), masks(ODD)
    x = normal((*mask.shape, WIDTH))
    outputs = np.asarray(mixer.call(params, x, mask))
    filled = np.where(mask[:, :, None], x, 100 * normal(x.shape, seed=1))
    again = np.asarray(mixer.call(params, filled, mask))
    np.testing.assert_array_equal(again[mask], outputs[mask])
    end, start = mixer.call(params, np.stack([x[1, :-ABSENT], x[2, ABSENT:]]))
    np.testing.assert_allclose(outputs[1, :-ABSENT], end, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs[2, ABSENT:], start, rtol=1e-4, atol=1e-5)


@every_mixer
def test_rows_do_not_depend_on_their_place_in_the_batch(name):
    padded = whole(name)
    rolled = [np.roll(array, 2, axis=0) for array in (padded.x, padded.mask, padded.outputs)]
    _, outputs = with_gradients(name)(parameters(name), *rolled[:2])
    np.testing.assert_allclose(outputs, rolled[2], rtol=1e-5, atol=1e-6)


def assert_live(by_params, by_inputs, mask: np.ndarray) -> None:
    """Every gradient is finite and not zero, but for those by what is padding."""
    for path, leaf in jax.tree.leaves_with_path((by_params, by_inputs)):
        gradient = np.asarray(leaf, np.float32)
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient != 0), path
    assert not np.any(np.asarray(by_inputs)[~mask])
    assert {leaf.dtype for leaf in jax.tree.leaves(by_params)} == {jnp.dtype("float32")}


@every_mixer
def test_gradients_are_finite_and_not_zero(name):
    assert_live(whole(name).by_params, whole(name).by_inputs, whole(name).mask)


@every_kind
def test_gradients_in_bfloat16_are_finite_and_not_zero(name):
    assert_live(*gradients_in_bfloat16(name)[0], whole(name).mask)


@every_mixer
def test_gradients_are_those_of_small_steps(name):
    found = whole(name)
    point = parameters(name), found.x
    gradient = found.by_params, found.by_inputs
    direction = jax.tree.map(lambda a: normal(a.shape, seed=a.size), point)

    def loss(step):
        params, x = jax.tree.map(lambda a, b: a + np.float32(step) * b, point, direction)
        outputs = np.asarray(with_gradients(name)(params, x, found.mask)[1], np.float64)
        return np.sum((outputs * normal(outputs.shape, seed=2))[found.mask])

    def slope(step):
        return (loss(step) - loss(-step)) / (2 * step)

    # Steps large enough for float32, and small enough to cross no kink of a relu; of two of them
    # what grows with the step's square cancels (Richardson).
    estimate = (4 * slope(5e-5) - slope(1e-4)) / 3
    products = jax.tree.map(lambda g, d: np.vdot(g, d), gradient, direction)
    size = np.sqrt(sum(np.vdot(g, g) for g in jax.tree.leaves(gradient)))
    # Along a random direction the slope is about as large as the gradient.
    assert abs(estimate - sum(jax.tree.leaves(products))) < 0.01 * size


# One an operation; tests/ops/test_across.py has what they share by hand, on other meshes too.
ON_DEVICES = ("lstm", "convolution-causal", "attention-local", "attention-global", "s5")
ON_DEVICES += ("linear_attention", "deltanet", "mingru", "hyena", "slstm")


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_KINDS if SOAK else ON_DEVICES)
def test_one_device_equals_eight(name):
    found, mesh = whole(name), make_mesh()
    rows = jax.device_put((found.x, found.mask), by_row(mesh))
    gradients, outputs = with_gradients(name)(
        jax.device_put(parameters(name), replicated(mesh)), *rows
    )
    for array in (*rows, outputs):
        assert [len(shard.data) for shard in array.addressable_shards] == [1] * ROWS
    expected = (found.by_params, found.by_inputs), found.outputs

    def assert_near(found, expected):
        # An entry is a sum over rows and positions, and rounded as the largest beside it is.
        atol = 1e-5 + 1e-6 * float(np.abs(np.asarray(expected)).max())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)

    jax.tree.map(assert_near, (gradients, outputs), expected)
