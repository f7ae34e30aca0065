"""What a program does before JAX is at work: a cache for compiled programs, cores as devices."""

import contextlib
import os
from pathlib import Path

import jax


def start_jax() -> None:
    """Keeps compiled programs between processes, and offers a CPU's cores as devices.

    What takes over a second to compile is kept in ``~/.cache/seqmodels``, so that a
    second run starts at once. JAX_COMPILATION_CACHE_DIR names another folder;
    JAX_ENABLE_COMPILATION_CACHE=false turns it off. A program from the cache computes
    bitwise what a fresh one does.

    How many devices a run uses is decided by :func:`seqmodels.training.sharding.run_mesh`;
    a program on one of them still has all cores' threads.
    """
    if jax.config.jax_compilation_cache_dir is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "seqmodels"))
    unset = jax.config.jax_num_cpu_devices < 0
    if unset and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # Where a caller's own program has used JAX already, its devices stay as they are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1
