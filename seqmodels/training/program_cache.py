"""Compiled programs by key in a folder that processes share: whole or not there."""

import contextlib
import hashlib
import os
from pathlib import Path

import jax

DIGEST_BYTES = 32


class CheckedPrograms:
    """A folder of programs by key; what is damaged counts as missing, and is written anew.

    JAX's own reads what another process has half written, and never replaces what one that was
    killed has left so; the workers of a sweep compile the same programs at the same time.
    """

    def __init__(self, folder: Path):
        self._path = folder

    def get(self, key: str) -> bytes | None:
        """The program of a key, or None."""
        try:
            entry = (self._path / key).read_bytes()
        except OSError:
            return None
        digest, program = entry[:DIGEST_BYTES], entry[DIGEST_BYTES:]
        return program if hashlib.sha256(program).digest() == digest else None

    def put(self, key: str, value: bytes) -> None:
        """Keeps a program, whole or not at all."""
        temporary = self._path / f".{key}.{os.getpid()}"
        try:
            temporary.write_bytes(hashlib.sha256(value).digest() + value)
            temporary.replace(self._path / key)
        except OSError:  # a full or read-only disk: it is compiled again next time
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def keep_programs(folder: Path, least_seconds: float) -> None:
    """Makes JAX look into a folder that is there, and keep there what takes so long to compile."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least_seconds)
    # JAX has no public way to another form of its cache; where it has other names it keeps its own.
    with contextlib.suppress(ImportError):
        from jax._src import compilation_cache

        if hasattr(compilation_cache, "_cache"):
            compilation_cache._cache = CheckedPrograms(folder)  # type: ignore[assignment]
