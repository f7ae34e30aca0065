"""What whole models cost, by hand and against what their programs compute."""

import jax
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec

D, F, V = 8, 16, 3
"""Width, of MLPs, and outputs."""
LABEL = TaskSpec("many-to-one", "features", 2, V, False, "accuracy", True)
TOKENS = TaskSpec("many-to-many", "tokens", 5, V, True, "accuracy", True)
WRITING = TaskSpec("sequence-to-sequence", "tokens", 5, V, True, "exact_match", True)
CONVOLUTION = {"kind": "convolution", "kernel": 1, "causal": False}
"""Two products of [D] with [D, D] an output."""
EACH = 2 * 2 * D * D
MLP = {"mlp": "gelu", "mlp_expansion": 2.0}
EACH_MLP = 2 * 2 * D * F


def row(inputs: tuple[int, ...], targets: tuple[int, ...], dtype=np.int32, positions=None) -> Batch:
    """The shapes of three rows."""

    def shape(axes, dtype=np.float32):
        return jax.ShapeDtypeStruct((3, *axes), dtype)

    labelled = None if positions is None else shape((positions,), np.int32)
    return Batch(shape(inputs, dtype), shape(targets, np.int32), shape(targets), None, labelled)


def build(spec: TaskSpec, mixer: dict, **changes):
    """Two blocks of a mixer."""
    section = {"width": D, "depth": 2, "pattern": ("one",), "mixers": {"one": mixer}}
    pooling = "mean" if spec.shape == "many-to-one" else None
    return build_model(section | {"pooling": pooling} | changes, spec)


def test_an_mlp_after_a_stride_costs_what_is_left():
    model = build(LABEL, CONVOLUTION | {"stride": 2}, **MLP)
    cost = model.cost(row((7, 2), (), np.float32))
    embedding, left = 7 * 2 * 2 * D, 4 + 2
    assert cost.flops == embedding + left * (EACH + EACH_MLP) + 2 * D * V
    assert (cost.state_bytes, cost.sequential_depth) == (0, 1 + 2 * 2)


def test_a_stride_on_a_grid_counts_along_each_axis():
    mixer = CONVOLUTION | {"kernel": (1, 1), "stride": 3}
    cost = build(LABEL._replace(rank=2), mixer).cost(row((8, 8, 2), (), np.float32))
    assert cost.flops == 64 * 2 * 2 * D + (9 + 1) * EACH + 2 * D * V


def test_patches_of_a_volume():
    spec, mixer = LABEL._replace(rank=3), CONVOLUTION | {"kernel": (1, 1, 1)}
    cost = build(spec, mixer, patch=2, **MLP).cost(row((4, 6, 2, 2), (), np.float32))
    embedding = 6 * 2 * (2 * 2**3) * D
    assert cost.flops == embedding + 2 * 6 * (EACH + EACH_MLP) + 2 * D * V


def test_a_head_scores_the_labelled_positions_alone():
    model = build(TOKENS, CONVOLUTION | {"causal": True})
    assert model.cost(row((16,), (5,), positions=5)).flops == 2 * 16 * EACH + 5 * 2 * D * V
    assert model.cost(row((16,), (16,))).flops == 2 * 16 * EACH + 16 * 2 * D * V


def test_a_decoder_and_what_it_looks_at():
    """A source of 7, in 4 after a stride, and 5 tokens that are written."""

    def stack(kind, **settings):
        return {
            "depth": 1, "pattern": ("one",), "mixers": {"one": {"kind": kind, **settings}},
        }  # fmt: skip

    section = {
        "width": D,
        "encoder": stack(**CONVOLUTION, stride=2),
        "decoder": stack("gru"),
        "cross": "scaled_dot",
        "cross_heads": 2,
        **MLP,
    }
    cost = build_model(section, WRITING).cost(row((7,), (5,)))
    read = 4 * (EACH + EACH_MLP)
    looked = (5 + 4) * 4 * D * D + 4 * 5 * 4 * D
    written = 5 * (4 * 3 * D * D + EACH_MLP + 2 * D * V)
    assert cost.flops == read + looked + written
    assert cost.state_bytes == 4 * (D + 2 * 4 * D)
    assert cost.sequential_depth == (1 + 1) + (5 + 1 + 1) + 1


def test_a_short_convolution_keeps_inputs_and_takes_a_step():
    """Of all that a recurrence reads; its products are elementwise, and don't count."""
    plain, convolved = (
        build(TOKENS, {"kind": "lstm"}, short_convolution=kernel).cost(row((16,), (16,)))
        for kernel in (None, 4)
    )
    assert convolved.flops == plain.flops
    assert convolved.state_bytes == plain.state_bytes + 2 * 4 * 3 * D
    assert convolved.sequential_depth == plain.sequential_depth + 2


@pytest.mark.parametrize("mixer", ["lstm", "attention"])
def test_the_state_is_that_of_the_blocks(mixer):
    cost = build(TOKENS, {"kind": mixer}).cost(row((16,), (16,)))
    assert cost.state_bytes == 2 * 4 * {"lstm": 2 * D, "attention": 2 * 16 * D}[mixer]
