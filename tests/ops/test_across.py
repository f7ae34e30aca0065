"""Operations on parts of the positions: outputs and gradients are those of one device.

By every mesh, type and setting in soak/soak_across.py.
"""

import re
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.mixers.extent import Extent
from seqmodels.ops.attention.additive import additive_attention
from seqmodels.ops.attention.dot_product import attention, attention_and_sums
from seqmodels.ops.attention.neighbourhood import Neighbourhood, neighbourhood_attention
from seqmodels.ops.convolution import convolution, depthwise_convolution
from seqmodels.ops.fft_convolution import fft_convolution
from seqmodels.ops.neighbours import first_positions, take_positions
from tests.ops.meshes import Inputs, assert_same, collectives, lowered, mesh_of

SIZES = {"B": 2, "L": 16, "M": 12, "H": 4, "G": 2, "K": 4, "U": 6, "D": 6, "W": 3, "1": 1}
SLOPES = (0.5, 0.25, 0.125, 0.0625)
SELF = ("B L H K", "B L G K", "B L G U")
CROSS = ("B M H K", "B L G K", "B L G U")


def valid(length: int) -> np.ndarray:
    """A first row that begins late and has gaps, and a second of which the first half is masked."""
    mask = np.random.default_rng(0).random((2, length)) < 0.7
    mask[0, :3] = False
    mask[1, : length // 2] = False
    return mask


def masked(function, length=SIZES["L"]):
    """The function with a mask, closed over."""

    def run(*arrays):
        return function(*arrays, mask=jnp.asarray(valid(length)))

    return run


def of_neighbours(kernel, dilation, causal, stride=1, mask=None):
    extent = Extent.of(kernel, dilation, causal, stride)
    where = Neighbourhood(extent.kernel, extent.dilation, extent.edges(), extent.stride)

    def run(query, key, value, relative):
        return neighbourhood_attention(query, key, value, relative, mask, where)

    return run


def convolved(x, weights, kept):
    return convolution(x, weights, 2, 1, 2, edges=((4, 0),), kept=kept)


CASES = {
    "causal": (masked(partial(attention, causal=True)), SELF, {}),
    "both-sides": (partial(attention_and_sums, causal=False, slopes=SLOPES), SELF, {"G": 1}),
    "wide-window": (masked(partial(attention, causal=True, window=11)), SELF, {}),
    "window": (masked(partial(attention_and_sums, causal=True, window=5)), SELF, {}),
    "source": (masked(partial(attention, causal=False)), CROSS, {}),
    "odd-parts": (partial(attention, causal=True, slopes=SLOPES), SELF, {"L": 14}),
    "additive": (masked(partial(additive_attention, causal=True)), ("B L H K",) * 3 + ("H K",), {}),
    "neighbours": (
        of_neighbours(4, 3, True, mask=valid(16)),
        ("B L H K",) * 3 + ("W H K",),
        {"W": 4},
    ),
    "neighbours-on-a-plane": (
        of_neighbours((3, 3), 1, False, stride=2),
        ("B M U H K", "B L D H K", "B L D H K", "W H K"),
        {"M": 4, "L": 8, "U": 3, "W": 9},
    ),
    "convolution": (convolved, ("B L D", "W U D", "B K D"), {"U": 3}),
    "strided-plane": (
        partial(convolution, stride=2, edges=((1, 1), (1, 1))),
        ("B L D U", "W W U K"),
        {},
    ),
    "odd-stride": (partial(convolution, stride=2), ("B L U", "W U D"), {"L": 12, "W": 1}),
    "depthwise": (
        partial(depthwise_convolution, dilation=5, edges=((10, 10),)),
        ("B L D", "G D"),
        {"G": 5},
    ),
    "fft": (fft_convolution, ("B L D", "L D"), {"D": 5}),
    "taken": (lambda x: take_positions(x, jnp.array([[3, 12], [8, 7]])), ("B L D",), {}),
    "first": (partial(first_positions, count=9), ("B L D",), {}),
}


IN_SOAK = ("wide-window", "strided-plane")
"""soak/soak_across.py has them."""
MANY_PARTS = ("causal", "depthwise", "convolution", "odd-stride")
"""On four parts: keys go over several devices, edges reach past the next part, and six outputs
can't be shared equally."""


@pytest.mark.parametrize("name", [name for name in CASES if name not in IN_SOAK])
def test_parts_give_what_one_device_does(name):
    function, letters, sizes = CASES[name]
    mesh = mesh_of(1, 4, 2) if name in MANY_PARTS else mesh_of(2, 2, 2)
    assert_same(function, Inputs(SIZES | sizes, *letters), mesh)


@pytest.mark.parametrize("name", CASES)
def test_devices_add_up_no_numbers_of_16_bits_on_cpus(name):
    """The compiler for CPUs would abort the process (:func:`seqmodels.ops.by_parts.summable`)."""
    function, letters, sizes = CASES[name]
    inputs = Inputs(SIZES | sizes, *letters, dtype=jnp.bfloat16)
    text = lowered(function, inputs, mesh_of(2, 2, 2)).as_text()
    assert re.findall(r'"stablehlo.all_reduce".*\n.*tensor<bf16>.*', text) == []


def layer(x, queries, keys, values, outputs):
    """Projections, attention to all that came before, and a residual connection."""
    projected = (jnp.einsum("bld,dhk->blhk", x, each) for each in (queries, keys, values))
    return x + jnp.einsum("blhk,hkd->bld", attention(*projected, causal=True), outputs)


@pytest.mark.slow
@pytest.mark.optimised
def test_memory_of_a_ring_falls_with_the_devices_and_no_keys_are_gathered():
    """Of 65,536 positions, in both passes."""
    sizes = {"B": 1, "L": 2**16, "D": 128, "H": 4, "K": 32}
    inputs = Inputs(sizes, "B L D", *("D H K",) * 3, "H K D")
    alone, shared = (lowered(layer, inputs, mesh_of(1, n, 1)).compile() for n in (1, 8))
    found = collectives(shared)
    assert set(found) == {"collective-permute", "all-reduce"}
    assert max(found["all-reduce"]) == 128 * 128  # of gradients of parameters
    temporaries = [program.memory_analysis().temp_size_in_bytes for program in (alone, shared)]
    assert 5 * temporaries[1] <= temporaries[0], temporaries
