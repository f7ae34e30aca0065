"""What the tests and the code take for granted of JAX and of tests/conftest.py."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from seqmodels.ops.linear import linear


def test_vmapped_sums_are_right_on_cpu():
    # jaxlib 0.10.2, the last for Python 3.11, gets 7,230 of these rows wrong in silence.
    rows = np.random.default_rng(0).normal(size=(40_001, 3)).astype(np.float32)
    matrix = np.random.default_rng(1).normal(size=(3, 3)).astype(np.float32)
    sums = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(rows)
    np.testing.assert_allclose(sums, np.sum((rows @ matrix.T) ** 2, axis=1), rtol=1e-4)


def test_shapes_are_checked_at_run_time():
    x, weights = jnp.ones((2, 5, 3)), jnp.ones((3, 4))
    assert linear(x, weights).shape == (2, 5, 4)
    with pytest.raises(TypeCheckError):
        linear(x, weights[:2])
    with pytest.raises(TypeCheckError):
        linear(x.astype(jnp.int32), weights)


def test_ranks_are_not_promoted_in_silence():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones((3,))


def test_eight_devices_here_and_none_of_it_in_a_subprocess():
    assert jax.device_count() == 8
    program = "import jax; print(jax.config.jax_num_cpu_devices)"
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output.strip() != "8"
