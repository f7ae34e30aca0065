"""Operations on parts of the positions, by mesh, type and setting: what one device gives."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.attention.additive import additive_attention
from seqmodels.ops.attention.dot_product import attention, attention_and_sums
from seqmodels.ops.convolution import convolution, depthwise_convolution
from seqmodels.ops.fft_convolution import fft_convolution
from tests.ops.meshes import Inputs, assert_same, mesh_of
from tests.ops.test_across import CASES, CROSS, SELF, SIZES, SLOPES, masked, of_neighbours

MESHES = [(1, 8, 1), (2, 4, 1), (2, 2, 2), (1, 3, 2)]
F32, BF16 = np.float32, jnp.bfloat16
TOLERANCE = {F32: 1e-5, BF16: 2e-2}


def meshes(test):
    return pytest.mark.parametrize("mesh", MESHES, ids=lambda mesh: "x".join(map(str, mesh)))(test)


@meshes
@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("name", CASES)
def test_each_operation(name, dtype, mesh):
    function, letters, sizes = CASES[name]
    inputs = Inputs(SIZES | sizes, *letters, dtype=dtype)
    assert_same(function, inputs, mesh_of(*mesh), TOLERANCE[dtype])


# Of 48 positions: windows of a position, within a part, of a part, over several, and of all.
WINDOWS = (None, 1, 5, 6, 12, 13, 30, 47, 48, 100)


@meshes
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("causal", [True, False])
def test_windows_of_every_width(causal, window, mesh):
    function = masked(partial(attention_and_sums, causal=causal, window=window), 48)
    assert_same(function, Inputs(SIZES | {"L": 48}, *SELF), mesh_of(*mesh))


@meshes
@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("causal", [True, False])
def test_rings_of_shared_heads_and_types(causal, heads, dtype, mesh):
    sizes = SIZES | {"L": 240, "H": heads[0], "G": heads[1], "K": 8, "U": 12}
    function = partial(attention, causal=causal, slopes=SLOPES, scale=0.7)
    assert_same(function, Inputs(sizes, *SELF, dtype=dtype), mesh_of(*mesh), TOLERANCE[dtype])


@meshes
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("slopes", [None, SLOPES])
def test_queries_that_stand_behind_some_keys(slopes, window, mesh):
    """At one place in all rows, or in each row at its own: a chunk after what is kept."""
    for offset in (24, jnp.array([24, 11])):
        function = partial(attention, causal=True, window=window, slopes=slopes, offset=offset)
        assert_same(function, Inputs(SIZES | {"M": 24, "L": 48}, *CROSS), mesh_of(*mesh))


@meshes
@pytest.mark.parametrize("length", [7, 24, 25, 30])
def test_lengths_that_can_or_can_not_be_shared(length, mesh):
    sizes = SIZES | {"L": length, "M": length, "U": 3, "W": 3}
    assert_same(partial(attention, causal=True), Inputs(sizes, *SELF), mesh_of(*mesh))
    assert_same(partial(attention, causal=True, window=4), Inputs(sizes, *SELF), mesh_of(*mesh))
    assert_same(fft_convolution, Inputs(sizes, "B L D", "L D"), mesh_of(*mesh))
    function = partial(convolution, edges=((2, 0),))
    assert_same(function, Inputs(sizes, "B L U", "W U D"), mesh_of(*mesh))


@meshes
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("reach", [0, 2, 5, 12, 40])
def test_kernels_of_every_reach(reach, stride, mesh):
    sizes = SIZES | {"L": 48, "W": 2 if reach else 1, "U": 6}
    for edges in (((reach, 0),), ((0, reach),), ((reach // 2, reach - reach // 2),)):
        settings = {"dilation": max(1, reach), "stride": stride, "edges": edges}
        function = partial(convolution, **settings)
        assert_same(function, Inputs(sizes, "B L U", "W U D"), mesh_of(*mesh))
        function = partial(depthwise_convolution, **settings)
        assert_same(function, Inputs(sizes, "B L D", "W D"), mesh_of(*mesh))


@meshes
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 5, 20])
@pytest.mark.parametrize("causal", [True, False])
def test_neighbourhoods(causal, dilation, stride, mesh):
    sizes = SIZES | {"L": 48, "M": 48 // stride, "W": 3}
    function = of_neighbours(3, dilation, causal, stride)
    inputs = Inputs(sizes, "B M H K", "B L H K", "B L H K", "W H K")
    assert_same(function, inputs, mesh_of(*mesh))


@meshes
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("causal", [True, False])
def test_additive_scores(causal, window, mesh):
    function = masked(partial(additive_attention, causal=causal, window=window), 48)
    inputs = Inputs(SIZES | {"L": 48}, *("B L H K",) * 3, "H K")
    assert_same(function, inputs, mesh_of(*mesh))
