"""Models on grids: what is refused before anything is compiled, and what is not."""

import jax
import numpy as np
import pytest

from seqmodels.errors import ConfigError
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec
from tests.drawn_parameters import draw_parameters

PLANE = TaskSpec("many-to-one", "features", 2, 3, False, "accuracy", True, rank=2)
SEQUENCE = PLANE._replace(rank=1)
LABELS = SEQUENCE._replace(shape="many-to-many")
CONVOLUTION = {"kind": "convolution", "kernel": (3, 3), "causal": False}


def build(spec: TaskSpec, mixer: dict, **changes):
    """A model of two blocks of one mixer."""
    section = {"width": 8, "depth": 2, "pattern": ("one",), "mixers": {"one": mixer}}
    pooling = "mean" if spec.shape == "many-to-one" else None
    return build_model(section | {"pooling": pooling} | changes, spec)


def scores(model, axes: tuple[int, ...], mask=None) -> np.ndarray:
    """What a fresh model says of two random grids."""
    x = np.random.default_rng(0).normal(size=(2, *axes, 2)).astype(np.float32)
    batch = Batch(x, np.zeros(2, np.int32), np.ones(2, np.float32), mask)
    return np.asarray(jax.jit(model.apply)(draw_parameters(model), batch))


REFUSED = {
    "rnn-without-scan": (
        PLANE,
        {"kind": "gru"},
        {},
        "the task's inputs are 2-D grids; set model.scan to 'rows'",
    ),
    "rotary-on-a-plane": (PLANE, {"kind": "attention", "heads": 2}, {}, "set model.scan to 'rows'"),
    "sequence-kernel-on-a-plane": (
        PLANE,
        {"kind": "convolution", "kernel": 3, "causal": False},
        {},
        "works on sequences (1 axis)",
    ),
    "plane-kernel-on-a-sequence": (
        SEQUENCE,
        CONVOLUTION,
        {},
        "the task's inputs are sequences (1 axis); give it 1 number in kernel",
    ),
    "volume-kernel-on-a-plane": (
        PLANE,
        CONVOLUTION | {"kernel": (3, 3, 3)},
        {},
        "the task's inputs are 2-D grids; give it 2 numbers in kernel",
    ),
    "short-convolution-on-a-plane": (
        PLANE,
        CONVOLUTION,
        {"short_convolution": 4},
        "model.blocks.one.short_convolution=4 goes along a sequence, and the task's inputs are 2-D "
        "grids; set it to None there",
    ),
    "scan-that-nothing-reads": (
        PLANE,
        CONVOLUTION,
        {"scan": "rows"},
        "model.scan='rows' is never read",
    ),
    "stride-where-every-position-counts": (
        LABELS,
        {"kind": "convolution", "stride": 2},
        {},
        "model.mixers.one.stride=2 leaves fewer outputs",
    ),
    "centred-where-causal": (
        LABELS._replace(causal=True),
        CONVOLUTION | {"kernel": 3},
        {},
        "model.mixers.one.causal=False: the task's outputs may depend",
    ),
    "bidirectional-where-causal": (
        LABELS._replace(causal=True),
        {"kind": "bidirectional", "mixer": {"kind": "gru"}},
        {},
        "model.mixers.one.kind='bidirectional' sees later inputs",
    ),
    "bidirectional-of-centred": (
        SEQUENCE,
        {"kind": "bidirectional", "mixer": CONVOLUTION | {"kernel": 3}},
        {},
        "mixer.kind='convolution' has no direction",
    ),
    "bidirectional-of-unknown": (
        SEQUENCE,
        {"kind": "bidirectional", "mixer": {"kind": "lstn"}},
        {},
        "model.mixers.one.mixer.kind='lstn' is not known; did you",
    ),
    "even-kernel-on-the-second-axis": (
        PLANE,
        CONVOLUTION | {"kernel": (2, 2), "causal": True},
        {},
        "kernel=(2, 2) has no centre on axis 1",
    ),
    "kernel-that-is-wrong-on-the-second-axis": (
        PLANE,
        CONVOLUTION | {"kernel": (3, -1)},
        {},
        "model.mixers.one.kernel=(3, -1) is below 1",
    ),
    "too-many-axes": (
        PLANE,
        CONVOLUTION | {"kernel": (1, 1, 1, 1)},
        {},
        "has 4 numbers, not 1 to 3",
    ),
    "sinusoids-of-an-odd-share": (
        PLANE,
        CONVOLUTION,
        {"positions": "sinusoidal", "width": 10},
        "needs a multiple of 4 on 2 axes",
    ),
    "patch-of-tokens": (
        PLANE._replace(inputs="tokens"),
        CONVOLUTION,
        {"patch": 2},
        "patch=2 makes one position of several",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_in_one_line(name):
    spec, mixer, changes, message = REFUSED[name]
    with pytest.raises(ConfigError) as raised:
        build(spec, mixer, **changes)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("scan", ["rows", "columns"])
def test_a_recurrent_network_reads_a_plane_in_scan_order(scan):
    plane = build(PLANE, {"kind": "gru"}, scan=scan, pooling="last")
    sequence = build(SEQUENCE, {"kind": "gru"}, pooling="last")
    params = draw_parameters(sequence)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    flat = x if scan == "rows" else x.swapaxes(1, 2)
    targets, weights = np.zeros(2, np.int32), np.ones(2, np.float32)
    in_order = Batch(flat.reshape(2, 12, 2), targets, weights)
    both = jax.jit(lambda params, a, b: (plane.apply(params, a), sequence.apply(params, b)))
    on_plane, on_sequence = both(params, Batch(x, targets, weights), in_order)
    np.testing.assert_allclose(on_plane, on_sequence, rtol=1e-5, atol=1e-6)


def test_patches_of_a_transformer():
    attention = {"kind": "attention", "heads": 2, "causal": False, "positions": "none"}
    model = build(PLANE, attention, patch=2, positions="learned", max_length=12)
    assert scores(model, (6, 8)).shape == (2, 3)
    with pytest.raises(ConfigError, match=r"model\.patch=2 does not divide the grid of"):
        scores(model, (5, 8))
    with pytest.raises(ConfigError, match=r"model\.max_length=12 is below the length 16"):
        scores(model, (8, 8))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_positions_on_a_plane_tell_every_place_apart(positions):
    attention = {"kind": "attention", "heads": 2, "causal": False, "positions": "none"}
    changes = {"positions": positions, "max_length": 12 if positions == "learned" else None}
    model = build(PLANE, attention, **changes, pooling="last")
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    swapped = x.copy()
    swapped[:, 0, 0], swapped[:, 1, 2] = x[:, 1, 2], x[:, 0, 0]
    params, apply = draw_parameters(model), jax.jit(model.apply)
    one, other = (
        np.asarray(apply(params, Batch(y, np.zeros(1, np.int32), np.ones(1, np.float32))))
        for y in (x, swapped)
    )
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "mixer", [CONVOLUTION, CONVOLUTION | {"kind": "neighbourhood_attention", "heads": 2}]
)
def test_a_strided_model_pools_what_is_real(mixer):
    model = build(PLANE, mixer | {"stride": 2})
    axes, mask = (7, 6), np.ones((2, 7, 6), bool)
    mask[1, 4:] = False
    x = np.random.default_rng(0).normal(size=(2, *axes, 2)).astype(np.float32)
    params, apply = draw_parameters(model), jax.jit(model.apply)
    targets, weights = np.zeros(2, np.int32), np.ones(2, np.float32)
    padded = apply(params, Batch(x, targets, weights, mask))
    filled = np.where(mask[..., None], x, 100.0).astype(np.float32)
    again = apply(params, Batch(filled, targets, weights, mask))
    np.testing.assert_allclose(again, padded, rtol=1e-4, atol=1e-5)
    cut = apply(params, Batch(x[1:, :4], targets[1:], weights[1:]))
    np.testing.assert_allclose(padded[1:], cut, rtol=1e-4, atol=1e-5)
