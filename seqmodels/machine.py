"""What the machine is, for the head of a table."""

import platform
from pathlib import Path

import jax
import psutil

from seqmodels.training.startup import cores


def describe_machine() -> dict[str, str | int]:
    """Processor, cores, memory and versions."""
    memory = psutil.virtual_memory().total
    return {
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def processor() -> str:
    """Its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
