"""Hardware kernels: which call takes which, that they equal the reference, that they compile.

No accelerator is needed. Splash attention runs in Pallas' interpreter, and what is put
around cuDNN's runs around XLA's form of the same function. The kernels themselves are
compiled ahead of time where the compilers are installed (the extras ``cuda`` and ``tpu``).
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from seqmodels.errors import ParameterError
from seqmodels.ops.attention.cudnn import cudnn_attention
from seqmodels.ops.attention.dot_product import ATTENTION, attention
from seqmodels.ops.attention.splash import splash_attention
from seqmodels.ops.forms import chosen_forms
from seqmodels.ops.platform import platform
from seqmodels.training.sharding import by_row, traced_under
from tests.ops.meshes import Inputs, collectives, cotangent, lowered, mesh_of
from tests.ops.plain_attention import assert_equals_the_plain, inputs, plain_attention, random_mask

ROOT = Path(__file__).parents[2]
BATCH, HEADS = 2, 2
BF16, F16, F32 = jnp.bfloat16, jnp.float16, jnp.float32


def shapes(queries=1024, keys=1024, width=64, dtype=BF16):
    """A query, a key and a value."""
    lengths = (queries, keys, keys)
    return [jax.ShapeDtypeStruct((BATCH, n, HEADS, width), dtype) for n in lengths]


# Shapes, causal, window, masked, offset; whether cuDNN takes it, and splash.
CALLS = {
    "global": ({}, True, None, False, 0, True, True),
    "float16": ({"dtype": F16}, True, None, False, 0, True, False),
    "float32": ({"dtype": F32}, True, None, False, 0, False, True),
    "set": ({}, False, None, True, 0, True, True),
    "odd": ({"queries": 1001, "keys": 1001}, False, None, False, 0, True, True),
    "local": ({}, True, 128, True, 0, True, True),
    "both sides": ({}, False, 128, False, 0, True, True),
    "both sides, wide": ({}, False, 1000, False, 0, True, True),
    "K = 4": ({"width": 4}, True, None, True, 0, True, True),
    "K = 128": ({"width": 128}, True, None, False, 0, True, True),
    "K = 128, mask": ({"width": 128}, True, None, True, 0, False, True),
    "K = 128, set": ({"width": 128}, False, None, False, 0, True, True),
    "K = 128, both sides": ({"width": 128}, False, 128, False, 0, False, True),
    "K = 256": ({"width": 256}, True, None, False, 0, False, True),
    "cross": ({"queries": 300, "keys": 2000}, False, None, True, 0, True, True),
    "chunk": ({"queries": 300, "keys": 427}, True, 128, True, 127, True, True),
    "short chunk": ({"queries": 100, "keys": 1100}, True, None, False, 1000, False, True),
    "past the keys": ({"queries": 2000}, True, 128, False, 0, False, False),
    "longest": ({"queries": 2**18, "keys": 2**18}, True, None, False, 0, True, True),
    "too long": ({"queries": 2**19, "keys": 2**19}, True, None, False, 0, True, False),
}


def mesh(devices: int) -> Mesh:
    here = np.array(jax.devices()[:devices])
    return Mesh(here, ("data",), axis_types=(AxisType.Auto,))


@pytest.fixture
def on(monkeypatch):
    """Makes tables believe that they are asked for another platform."""
    return lambda name: monkeypatch.setattr("seqmodels.ops.forms.platform", lambda: name)


@pytest.mark.parametrize("call", CALLS)
def test_each_call_takes_the_kernel_that_can_serve_it(call, on):
    sizes, causal, window, masked, offset, cudnn, splash = CALLS[call]
    query, key, value = shapes(**sizes)
    mask = jax.ShapeDtypeStruct(key.shape[:2], bool) if masked else None
    choose = partial(ATTENTION.choose, query, key, value, mask, causal, window, offset, 1.0, None)
    without = "blocked" if window is None or 2 * window >= 1024 else "local"
    for name, kernel in (("cuda", cudnn and "cudnn"), ("tpu", splash and "splash"), ("cpu", None)):
        on(name)
        assert traced_under(mesh(1), choose)() == (kernel or without), name


def test_the_mesh_says_for_which_machine(on):
    choose = partial(ATTENTION.choose, *shapes(), None, True, None, 0, 1.0, None)

    def under(n):
        return traced_under(mesh(n), choose)()

    assert platform() == "cpu"
    assert choose() == under(1) == under(2) == "blocked"
    on("tpu")
    assert choose() == "blocked", "eight devices and no mesh"
    assert under(1) == under(2) == "splash"
    assert under(4) == "blocked", "a batch of two"


REFUSED = {
    "it runs on tpu, and this is for cuda": {"form": "splash"},
    "it takes no slopes": {"slopes": (1.0, 2.0)},
    "the offset isn't known while tracing": {"offset": jnp.int32(0)},
    "it takes bfloat16 and float16, and this is float32": {"dtype": F32},
    "a head is 256 wide with its mask, above 128": {"width": 256},
    "take 'whole' or 'blocked', or None": {"width": 256},
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_kernel_that_is_named_says_what_it_can_not_take(message, on):
    asked = {"form": "cudnn", "slopes": None, "offset": 0} | REFUSED[message]
    arrays = shapes(**{name: asked[name] for name in ("dtype", "width") if name in asked})
    on("cuda")
    settings = (None, True, None, asked["offset"], 1.0, asked["slopes"])
    choose = partial(ATTENTION.choose, *arrays, *settings, form=asked["form"])
    with pytest.raises(ParameterError, match=re.escape(message)):
        traced_under(mesh(1), choose)()


@pytest.mark.slow
def test_no_kernel_is_imported_on_cpu():
    program = """if True:
        import sys, jax.numpy as jnp
        from seqmodels.ops.attention.dot_product import attention
        x = jnp.ones((1, 300, 2, 8), jnp.bfloat16)
        attention(x, x, x, causal=True)
        assert not [name for name in sys.modules if "pallas" in name]
        """
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)


def ragged_mask(keys: int) -> np.ndarray:
    """A first row that starts late, and a second that is all masked."""
    mask = random_mask(keys)
    mask[0, :9] = False
    return mask


def assert_right(form, queries, keys, causal, window, offset, masked, dtype=F32):
    """Output and gradients, with NaN nowhere."""
    out = assert_equals_the_plain(
        lambda q, k, v, mask: form(q, k, v, mask, causal, window, offset, 0.3),
        inputs(queries, keys, dtype),
        2e-5 if dtype == F32 else 3e-2,
        ragged_mask(keys) if masked else None,
        causal=causal,
        window=window,
        offset=offset,
        scale=0.3,
    )
    if masked:
        assert not np.any(out[1])


def slow(*case):
    return pytest.param(case, marks=pytest.mark.slow)


# Queries, keys, causal, window, offset, masked. 700 is two blocks of splash attention. More are in
# soak/soak_attention.py.
CASES = [
    (130, 130, True, None, 0, True),
    (151, 221, False, None, 0, False),
    slow(150, 220, True, 40, 70, True),
    slow(600, 700, True, None, 100, False),
    slow(700, 700, False, 130, 0, False),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_splash_attention_equals_the_reference(case):
    assert_right(partial(splash_attention, interpret=True), *case)


@pytest.fixture
def xla_for_cudnn(monkeypatch):
    """XLA's form of the function that calls cuDNN's kernel: the same arguments mean the same."""
    original = jax.nn.dot_product_attention

    def same(*arguments, implementation, **settings):
        assert implementation == "cudnn"
        lengths, width = {x.shape[1] for x in arguments}, arguments[0].shape[3]
        assert all(length % 2 == 0 for length in lengths)
        assert width % 8 == 0
        assert len(lengths) == 1 or not settings["is_causal"]
        return original(*arguments, implementation="xla", **settings)

    monkeypatch.setattr(jax.nn, "dot_product_attention", same)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cudnn_attention_is_called_for_what_the_reference_says(case, xla_for_cudnn):
    assert_right(cudnn_attention, *case)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [cudnn_attention, partial(splash_attention, interpret=True)])
def test_kernels_take_bfloat16(kernel, xla_for_cudnn):
    assert_right(kernel, 131, 131, False, 5, 0, True, BF16)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [cudnn_attention, partial(splash_attention, interpret=True)])
def test_a_scale_of_any_size_leaves_masked_keys_out(kernel, xla_for_cudnn):
    ones = np.ones((1, 64, 2, 8), np.float32)
    value = np.where(np.arange(64)[None, :, None, None] < 7, ones, 1e3 * ones)
    mask = np.arange(64)[None] < 7
    scales = (1e-3, 1.0, 100.0)
    every = jax.jit(
        lambda q, k, v, mask: [kernel(q, k, v, mask, False, None, 0, scale) for scale in scales]
    )
    for out in every(ones, ones, value, mask):
        np.testing.assert_allclose(out, ones, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_a_mesh_gives_each_device_its_rows(masked, on, xla_for_cudnn):
    """Two devices with a row each, through the seam."""
    on("cuda")
    mask = ragged_mask(200) if masked else None

    def loss(query, key, value, mask):
        return jnp.sum(attention(query, key, value, causal=True, mask=mask).astype(F32) ** 2)

    random = np.random.default_rng(0)
    arrays = [random.normal(size=(2, 200, 2, 8)).astype(np.float32).astype(BF16) for _ in range(3)]
    gradients = jax.jit(traced_under(mesh(2), jax.grad(loss, (0, 1, 2))))
    arguments = jax.device_put((*arrays, mask), by_row(mesh(2)))
    assert "shard_map" in str(gradients.trace(*arguments).jaxpr)
    settings = {"causal": True, "mask": mask}
    out = plain_attention(*arrays, arrays[0], **settings)[0]
    _, *expected = plain_attention(*arrays, 2 * out, **settings)
    for a, b in zip(gradients(*arguments), expected, strict=True):
        np.testing.assert_allclose(np.asarray(a).astype(np.float32), b, rtol=0, atol=0.1)


SHARED = {
    "whole sequences": {"causal": True},
    "both sides": {"causal": False},
    "a window": {"causal": True, "window": 9},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHARED)
def test_a_kernel_serves_devices_that_share_rows_positions_and_heads(kind, on, xla_for_cudnn):
    """Each exchanges positions for heads, or has neighbours' edges; nothing is gathered."""
    on("cuda")
    sizes = {"B": 2, "L": 320, "H": 4, "G": 2, "K": 8, "U": 8}
    given = Inputs(sizes, "B L H K", "B L G K", "B L G U", dtype=BF16)
    with chosen_forms() as forms:
        program = lowered(partial(attention, **SHARED[kind]), given, mesh_of(2, 2, 2)).compile()
    assert forms == {"attention": ["cudnn"]}
    assert not {"all-gather", "all-reduce"} & collectives(program).keys()
    found = program(*map(jax.device_put, given.arrays, given.shardings(mesh_of(2, 2, 2))))
    out = jnp.zeros((2, 320, 4, 8), BF16)
    expected = plain_attention(*given.arrays, cotangent(out), **SHARED[kind])
    for a, b in zip(jax.tree.leaves(found), expected, strict=True):
        np.testing.assert_allclose(np.asarray(a).astype(np.float32), b, rtol=0, atol=0.1)


def needs(module: str, extra: str):
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"pip install -e '.[{extra}]'"
    )


MACHINES = [
    pytest.param("tpu", marks=[pytest.mark.slow, needs("libtpu", "tpu")]),
    pytest.param("cuda", marks=[pytest.mark.slow, needs("jax_cuda13_plugin", "cuda")]),
]


@pytest.fixture(scope="module", params=MACHINES)
def compiled(request):
    """What the compiler says of the programs in tests/ops/ahead_of_time.py, by their names."""
    program = [sys.executable, "-m", "tests.ops.ahead_of_time", request.param]
    return json.loads(subprocess.check_output(program, cwd=ROOT, text=True))


def test_kernels_are_in_the_program_and_memory_is_linear(compiled):
    """A quadratic term would take four times the memory for double the length.

    On TPU a little more than double is linear, too: up to 100 MB lie in VMEM and aren't counted.
    """
    for name, by_length in compiled["attention"].items():
        (short, a), (long, b) = ((int(k), v) for k, v in list(by_length.items())[-2:])
        assert long == 2 * short
        assert a["kernels"] == b["kernels"] == (3 if compiled["machine"] == "tpu" else 2), name
        limit = 2.6 if compiled["machine"] == "tpu" else 2.05
        assert b["temporaries"] <= limit * a["temporaries"], name
        assert b["tracing seconds"] < 10


def test_kernels_serve_devices_that_share_rows_positions_and_heads(compiled):
    """And of what they share only masks are put together, for whole sequences."""
    kernels = 3 if compiled["machine"] == "tpu" else 2
    for name, shared in compiled["shared"].items():
        assert shared["kernels"] == kernels, name
        assert shared["all-gathers"] == (name == "global, both sides, mask"), name


def test_training_steps_on_eight_devices(compiled):
    """Kernels in the attention's, none in the others', and no batch that is put together again."""
    training = 3 if compiled["machine"] == "tpu" else 2  # splash's backward pass is two kernels
    for name, step in compiled["steps"].items():
        per_layer = 1 if "evaluation" in name else training
        assert step["kernels"] == per_layer * step["attention layers"], name
        assert step["all-gathers"] == 0, name
