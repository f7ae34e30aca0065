"""The recurrences against ``lax.scan`` and autodiff, at every length in both types."""

import jax.numpy as jnp
import pytest

from tests.ops.test_recurrence import OPS, check_equal


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("length", [1, 7, 63, 130])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_equals_the_reference(name, length, dtype):
    check_equal(OPS[name], length, dtype)
