"""The numbers of inputs that stacks of each mixer see, from gradients."""

import json
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from seqmodels.model import Model, build_model
from seqmodels.pictures.receptive_field import extent, receptive_field
from seqmodels.tasks.base import Batch, TaskSpec
from tests.soaking import soak_only

WIDTH, LENGTH = 8, 67
SPEC = TaskSpec("many-to-one", "features", 1, 2, False, "accuracy", True)
BATCH = Batch(np.zeros((1, LENGTH, 1), np.float32), np.zeros(1, np.int32), np.ones(1, np.float32))


@cache
def model_of(blocks: int, mixers: str) -> tuple[Model, Any]:
    """A model of so many blocks of mixers, given as JSON, in turn; and its parameters."""
    kinds = json.loads(mixers)
    names = tuple(f"mixer{i}" for i in range(len(kinds)))
    section = {
        "width": WIDTH,
        "depth": blocks,
        "pattern": names,
        "mixers": dict(zip(names, kinds, strict=True)),
        "pooling": "mean",
    }
    model = build_model(section, SPEC)
    return model, jax.jit(model.init)(jax.random.key(0))


def seen(depth: int, *mixers: dict, blocks: int = 1, position: int | None = None) -> int:
    """How many inputs an output sees after ``depth`` of ``blocks`` blocks of the mixers in turn."""
    model, params = model_of(max(blocks, len(mixers)), json.dumps(mixers))
    place = None if position is None else (position,)
    return extent(receptive_field(model, params, BATCH, depth, place))[0]


CENTRED = {"kind": "convolution", "kernel": 3, "causal": False}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [soak_only(1), 3])
def test_convolutions_of_three_see_two_more_inputs_a_block(depth):
    assert seen(depth, CENTRED, blocks=8) == 2 * depth + 1


@pytest.mark.slow
@pytest.mark.parametrize("depth", [soak_only(1), 5])
def test_doubling_dilations_double_what_is_seen(depth):
    blocks = [
        {"kind": "convolution", "kernel": 2, "dilation": 2**level, "causal": True}
        for level in range(5)
    ]
    assert seen(depth, *blocks, position=LENGTH - 1) == 2**depth
    centred = [CENTRED | {"dilation": 2**level} for level in range(5)]
    assert seen(depth, *centred) == min(LENGTH, 2 ** (depth + 1) - 1)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "window"), [soak_only(3, 1), (3, 4)])
def test_local_attention_sees_its_window_a_block(depth, window):
    both = {"kind": "attention", "heads": 2, "window": window, "causal": False}
    assert seen(depth, both, blocks=3) == 2 * depth * window + 1
    causal = both | {"causal": True}
    assert seen(depth, causal, blocks=3, position=LENGTH - 1) == depth * (window - 1) + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "mixer",
    [
        {"kind": "gru"},
        {"kind": "attention", "heads": 2},
    ],
    ids=lambda mixer: mixer["kind"],
)
def test_one_block_sees_all_that_came_before(mixer):
    assert seen(1, mixer, position=LENGTH - 1) == LENGTH
    assert seen(1, mixer, position=30) == 31


@pytest.mark.slow
@pytest.mark.parametrize(
    "mixer",
    [
        {"kind": "attention", "heads": 2, "causal": False},
        {"kind": "bidirectional", "mixer": {"kind": "gru"}},
    ],
    ids=lambda mixer: mixer["kind"],
)
def test_one_block_sees_everything(mixer):
    assert seen(1, mixer, position=30) == LENGTH
