"""How fast the machine can be at best."""

import time

import jax
import jax.numpy as jnp


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
