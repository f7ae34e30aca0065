"""On an accelerator: attention takes the kernel that it says it takes, and equals the reference.

Skipped where JAX finds none. ``JAX_PLATFORMS=cuda make soak ARGS="-k accelerator"``. Every mixer's
contract runs there as well: ``make test ARGS=tests/mixers`` with JAX_PLATFORMS=cuda and
JAX_DEFAULT_MATMUL_PRECISION=highest (float32 products are TF32 by default).
"""

import jax
import numpy as np
import pytest

from seqmodels.ops.attention.dot_product import attention
from seqmodels.ops.attention.kernels import KERNELS
from seqmodels.ops.forms import chosen_forms
from seqmodels.ops.platform import platform
from seqmodels.training.sharding import make_mesh, traced_under
from tests.ops.plain_attention import assert_equals_the_plain
from tests.ops.test_attention_kernels import BF16, CALLS, F16, ragged_mask, shapes

pytestmark = [
    pytest.mark.optimised,
    pytest.mark.skipif(jax.default_backend() == "cpu", reason="no accelerator"),
]

NAMES = {"cuda": "cudnn", "tpu": "tpu_custom_call"}
"""How a kernel is called in a program."""


@pytest.mark.parametrize("dtype", [BF16, F16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("call", [name for name in CALLS if "long" not in name])
def test_attention_equals_the_reference(call, dtype):
    sizes, causal, window, masked, offset, *_ = CALLS[call]
    specs = shapes(**{**sizes, "dtype": dtype})
    random = np.random.default_rng(0)
    query, key, value, gradient = (
        random.normal(size=x.shape).astype(np.float32).astype(dtype) for x in (*specs, specs[0])
    )
    settings = {"causal": causal, "window": window, "offset": offset, "scale": 0.3}
    mask = ragged_mask(key.shape[1]) if masked else None
    form = traced_under(
        make_mesh(1), lambda q, k, v, mask: attention(q, k, v, mask=mask, **settings)
    )
    assert_equals_the_plain(form, (query, key, value, gradient), 3e-2, mask, **settings)
    with chosen_forms() as chosen:
        program = jax.jit(form).lower(query, key, value, mask).as_text()
    assert (NAMES[platform()] in program) == (chosen["attention"][0] in KERNELS)
