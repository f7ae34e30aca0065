"""Compiled programs, kept between tests, workers, and runs of the suite.

Most of the suite's time is compilation. So every program is compiled without LLVM's expensive
passes, but for the tests marked ``optimised``, and is kept in one folder outside of the clone,
which all workers share: ``~/.cache/seqmodels-tests``, one for temporary files where that can't be
written, or what SEQMODELS_TEST_CACHE names (empty: none is kept). It may be deleted at any time.

Nothing in it is trusted: its name holds all that a program depends on besides what JAX puts in its
key, it must belong to this user, and each entry begins with the digest of the rest. What doesn't
fit is compiled again.
"""

import functools
import hashlib
import os
import platform
import stat
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import jax


def compile_in_one_piece() -> None:
    """Makes XLA compile each program as one module, not 32: both cores have other tests to run.

    It reads its flags once, and processes that a test starts are not to have them.
    """
    own = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{own or ''} --xla_cpu_parallel_codegen_split_count=1"
    jax.block_until_ready(jax.numpy.zeros(()))
    os.environ.pop("XLA_FLAGS")
    if own is not None:
        os.environ["XLA_FLAGS"] = own


def keep_programs() -> Path | None:
    """Makes JAX look into the folder and fill it; returns it, or None where there is none."""
    from seqmodels.training import program_cache  # once types are checked in all of seqmodels

    folder = _own_folder()
    if folder is None:
        jax.config.update("jax_enable_compilation_cache", False)
        return None
    program_cache.keep_programs(folder, least_seconds=0.0)
    return folder


def _own_folder() -> Path | None:
    """The folder for this machine, JAX and user, made if it is missing."""
    named = os.environ.get("SEQMODELS_TEST_CACHE")
    if named is not None:
        return _usable(Path(named)) if named else None
    # A home may be missing or read-only.
    elsewhere = Path(tempfile.gettempdir()) / f"seqmodels-tests-{os.getuid()}"
    return _usable(Path("~/.cache/seqmodels-tests").expanduser()) or _usable(elsewhere)


def _usable(parent: Path) -> Path | None:
    """This machine's folder in a folder, where it is this user's alone; else None."""
    folder = parent / _machine()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    is_own &= not status.st_mode & 0o022
    return folder if is_own and os.access(folder, os.W_OK) else None


@functools.cache
def _machine() -> str:
    """A digest of the processor and of what compiles for it."""
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = "\n".join(
            sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
        )
    versions = [f"{name} {metadata.version(name)}" for name in ("jax", "jaxlib")]
    said = [processor, platform.platform(), sys.version, *versions]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]
