"""What a program does before JAX is at work: compiled programs kept, cores as devices, memory."""

import contextlib
import importlib.util
import os
from pathlib import Path

import jax

from seqmodels.allocator import keep_freed_memory
from seqmodels.training.program_cache import keep_programs

MEANT = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
}
"""Settings of JAX under which a seed means the same parameters and scores everywhere."""


KEPT_SECONDS = 0.2
"""Of compilation, from which on a program is kept: to read it takes a tenth of that."""


def start_jax() -> None:
    """Keeps compiled programs and freed memory, and offers a CPU's cores as devices.

    What a seed means depends on some settings of JAX: they are set to :data:`MEANT`, whatever the
    environment says. All others are left to users, and noted for each start of a run.

    What takes over KEPT_SECONDS to compile is kept in ``~/.cache/seqmodels``, so that a second run
    starts at once, and a sweep's runs share what they compile
    (:class:`seqmodels.training.step.Given`). JAX_COMPILATION_CACHE_DIR names another folder;
    JAX_ENABLE_COMPILATION_CACHE=false turns it off. A program from the cache computes
    bitwise what a fresh one does.

    How many devices a run uses is decided by :func:`seqmodels.training.devices.run_mesh`;
    a program on one of them still has all cores' threads.
    """
    for name, value in MEANT.items():
        if hasattr(jax.config, name):
            jax.config.update(name, value)
    keep_freed_memory()
    if jax.config.jax_compilation_cache_dir is None:
        # Without a home, or with one that can't be written, nothing is kept.
        with contextlib.suppress(RuntimeError, OSError):
            caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            (caches / "seqmodels").mkdir(parents=True, exist_ok=True)
            keep_programs(caches / "seqmodels", _kept_seconds())
    unset = jax.config.jax_num_cpu_devices < 0
    if unset and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # Where a caller's own program has used JAX already, its devices stay as they are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())


def _kept_seconds() -> float:
    named = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" in os.environ
    return jax.config.jax_persistent_cache_min_compile_time_secs if named else KEPT_SECONDS


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


CUDA_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")
"""Modules, of which one lets JAX compute on NVIDIA cards."""
_CARDS = {
    "an NVIDIA card": ("cuda", CUDA_PLUGINS),
    "a TPU": ("tpu", ("libtpu",)),
}
"""The extra that each kind of card takes, and the modules of which that brings one."""
_TPUS = ("27", "56", "5e", "62", "63", "6f", "76", "7c", "83")
"""Google's PCI devices that are TPUs, in hexadecimal; others are disks and networks."""


def overlooked_card(root: str = "/") -> str | None:
    """A line on a card in this machine that JAX can't use, and falls back to the CPU beside.

    None without one, and where JAX_PLATFORMS says what is meant. The machine's files lie in
    ``root``.
    """
    if os.environ.get("JAX_PLATFORMS") or jax.config.jax_platforms:
        return None
    for card in filter(None, (_nvidia(Path(root)), _tpu(Path(root)))):
        extra, modules = _CARDS[card]
        if not any(importlib.util.find_spec(module) for module in modules):
            return (
                f"the CPU computes beside {card}, for which JAX lacks its plugin; "
                f"`make setup EXTRA={extra}` brings it (or JAX_PLATFORMS=cpu says it is meant so)"
            )
    return None


def _nvidia(root: Path) -> str | None:
    files = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia")
    return "an NVIDIA card" if any((root / file).exists() for file in files) else None


def _tpu(root: Path) -> str | None:
    for vendor in root.glob("sys/bus/pci/devices/*/vendor"):
        with contextlib.suppress(OSError):
            device = vendor.with_name("device").read_text().strip()
            if vendor.read_text().strip() == "0x1ae0" and device in {f"0x00{id_}" for id_ in _TPUS}:
                return "a TPU"
    return None
