"""Compiled programs kept between processes, so that a second run starts at once."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Keeps what takes over a second to compile in ``~/.cache/seqmodels``.

    JAX_COMPILATION_CACHE_DIR names another folder; JAX_ENABLE_COMPILATION_CACHE=false
    turns it off. A program from the cache computes bitwise what a fresh one does.
    """
    if jax.config.jax_compilation_cache_dir is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "seqmodels"))
