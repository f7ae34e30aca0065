"""What start_jax sets, each looked at from a process of its own."""

import sys
from pathlib import Path

import jax
import pytest

from seqmodels.training.startup import cores, start_jax
from tests.command_line import finish, start

FAULTS = """
import resource

import jax.numpy as jnp

step = jax.jit(lambda x: jnp.cumsum(x[::-1] * 2)[::-1] + 1)  # 64 MiB in, and as much again
x = jnp.ones(2**24)
for i in range(20):
    if i == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


def output_of(program: str, cache: Path, **environment: str) -> str:
    """What a program prints that calls start_jax first."""
    begin = f"import os; os.environ |= {environment}; import jax\n"
    begin += "from seqmodels.training.startup import start_jax; start_jax()\n"
    code, output, errors = finish(start(["-c", begin + program], cache))
    assert (code, errors) == (0, "")
    return output.strip()


def test_a_program_that_uses_jax_keeps_its_devices():
    assert jax.device_count() == 8
    start_jax()
    assert jax.device_count() == 8


def test_each_core_is_offered_as_a_device(tmp_path):
    assert int(output_of("print(jax.device_count())", tmp_path)) == cores()
    flags = "--xla_force_host_platform_device_count=3"
    assert output_of("print(jax.device_count())", tmp_path, XLA_FLAGS=flags) == "3"


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that gives memory back")
def test_memory_is_kept_from_step_to_step(tmp_path):
    """A step allocates 132 MiB: 33,862 pages, a fault each, unless freed memory is kept."""
    kept = int(output_of(FAULTS, tmp_path))
    returned = int(output_of(FAULTS, tmp_path, MALLOC_ARENA_MAX="8"))
    assert kept < max(returned / 3, 1000)  # with huge pages there are few either way
    large = "from seqmodels.training.startup import return_large_memory as f; f(2**32)\n"
    assert int(output_of(large + FAULTS, tmp_path)) > returned / 3
