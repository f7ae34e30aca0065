"""What the machine is, and how fast it can be at best."""

import os
import platform
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from seqmodels.training.startup import cores


def describe_machine() -> dict[str, str | int]:
    """Processor, cores, memory and versions, for the head of a table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def measured_peaks() -> dict[str, float]:
    """FLOP/s of a large matrix product in each dtype, and bytes/s of an elementwise pass."""
    side = 2048
    peaks = {}
    for dtype in ("float32", "bfloat16"):
        a = jnp.ones((side, side), dtype)
        peaks[dtype] = 2 * side**3 / _seconds(jax.jit(lambda a: a @ a), a)
    # Read once and written once, far larger than any cache.
    x = jnp.ones((64 * 2**20,), jnp.float32)
    peaks["bandwidth"] = 2 * x.nbytes / _seconds(jax.jit(lambda x: x + 1), x)
    return peaks


def _seconds(function, argument, rounds: int = 15) -> float:
    jax.block_until_ready(function(argument))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(function(argument))
        times.append(time.perf_counter() - start)
    return min(times)
