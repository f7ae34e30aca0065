"""The recurrences against their reference, at every length in both types."""

import jax.numpy as jnp
import pytest

from tests.ops.test_recurrence import OPS, check_equal, each_form


@each_form
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("length", [1, 7, 63, 130])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_each_form_equals_the_reference(name, form, length, dtype):
    check_equal(OPS[name], form, length, dtype)
