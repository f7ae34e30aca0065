"""The numbers of inputs that stacks of each mixer see, from gradients."""

import jax
import pytest

from seqmodels.experiments.receptive_field import extent, receptive_field
from seqmodels.model import build_model
from seqmodels.tasks.base import TaskSpec

WIDTH, LENGTH = 8, 67
SPEC = TaskSpec("many-to-one", "features", 1, 2, False, "accuracy", True)


def seen(depth: int, *mixers: dict, length: int = LENGTH, position: int | None = None) -> int:
    """How many inputs an output sees after ``depth`` blocks of the mixers in turn."""
    names = tuple(f"mixer{i}" for i in range(len(mixers)))
    section = {
        "width": WIDTH,
        "depth": max(depth, len(mixers)),
        "pattern": names,
        "mixers": dict(zip(names, mixers, strict=True)),
        "pooling": "mean",
    }
    model = build_model(section, SPEC)
    place = None if position is None else (position,)
    params = model.init(jax.random.key(0))
    return extent(receptive_field(model, params, (length,), depth, place))[0]


CENTRED = {"kind": "convolution", "kernel": 3, "causal": False}


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
def test_convolutions_of_three_see_two_more_inputs_a_block(depth):
    assert seen(depth, CENTRED) == 2 * depth + 1


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_doubling_dilations_double_what_is_seen(depth):
    blocks = [
        {"kind": "convolution", "kernel": 2, "dilation": 2**level, "causal": True}
        for level in range(depth)
    ]
    assert seen(depth, *blocks, position=LENGTH - 1) == 2**depth
    centred = [CENTRED | {"dilation": 2**level} for level in range(depth)]
    assert seen(depth, *centred) == min(LENGTH, 2 ** (depth + 1) - 1)


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("depth", [1, 3])
def test_local_attention_sees_its_window_a_block(depth, window):
    both = {"kind": "attention", "heads": 2, "window": window, "causal": False}
    assert seen(depth, both) == 2 * depth * window + 1
    causal = both | {"causal": True}
    assert seen(depth, causal, position=LENGTH - 1) == depth * (window - 1) + 1


@pytest.mark.parametrize(
    "mixer",
    [
        {"kind": "rnn"},
        {"kind": "lstm"},
        {"kind": "gru"},
        {"kind": "attention", "heads": 2},
    ],
    ids=lambda mixer: mixer["kind"],
)
def test_one_block_sees_all_that_came_before(mixer):
    assert seen(1, mixer, position=LENGTH - 1) == LENGTH
    assert seen(1, mixer, position=30) == 31


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
