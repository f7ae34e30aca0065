"""What a run ran on: ``environment.json``, one entry a start of its program.

An entry has the command, versions, devices, and the settings by which JAX and XLA compute; and the
digest of what the checkout had beyond its commit, which stands once under ``changes``.
"""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax

from seqmodels.command import command
from seqmodels.secrets import without_secrets
from seqmodels.training.startup import MEANT

PACKAGES = (
    "seqmodels",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scikit-learn",
)
SETTINGS = (*MEANT, "jax_platforms", "jax_disable_jit", "jax_disable_most_optimizations")
"""Of JAX: by which it computes, and where."""
VARIABLES = (
    "JAX_",
    "XLA_",
    "LIBTPU_",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "TF_CUDNN_",
)
"""How variables begin that may change what is computed, beyond what :data:`MEANT` sets."""
LONGEST_CHANGES = 2**20
"""Bytes; longer changes are cut there."""

Start = dict[str, Any]
"""What one start of a program ran on."""


def starts(content: Mapping[str, Any]) -> list[Start]:
    """The starts in a file's content, the last one last; one of an earlier version is one start.

    >>> starts({"starts": [{"cores": 1}, {"cores": 2}]})[-1], starts({"cores": 4})
    ({'cores': 2}, [{'cores': 4}])
    """
    found = content.get("starts")
    if isinstance(found, list):
        return [dict(start) for start in found if isinstance(start, Mapping)]
    return [dict(content)] if content else []


def with_start(content: Mapping[str, Any], mathematics: int) -> dict[str, Any]:
    """A file's content, empty for a new one, with an entry for this start of a program.

    ``mathematics`` is as :data:`seqmodels.training.workdir.MATHEMATICS`.
    """
    here = {
        "command": command(),
        "mathematics": mathematics,
        **versions(),
        "platform": platform.platform(),
        "devices": [f"{device.platform}:{device.device_kind}" for device in jax.devices()],
        "cores": os.cpu_count(),
        "settings": {name: getattr(jax.config, name, None) for name in SETTINGS},
        "variables": {
            name: without_secrets(os.environ[name])
            for name in sorted(os.environ)
            if name.startswith(VARIABLES)
        },
    }
    changes = content.get("changes")
    kept = dict(changes) if isinstance(changes, Mapping) and "starts" in content else {}
    if changed := checkout().changes:
        here["uncommitted"] = hashlib.sha256(changed.encode()).hexdigest()
        kept[here["uncommitted"]] = changed
    return {"starts": [*starts(content), here], "changes": kept}


def versions() -> dict[str, Any]:
    """What runs here: the commit of this code, None where it isn't known, and the packages'."""
    return {
        "commit": checkout().commit,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    """The version of a package; None of code that is run without having been installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class Checkout(NamedTuple):
    """The state of the code that runs."""

    commit: str | None
    """None where this file is in no commit, or without git."""
    changes: str
    """``git diff HEAD`` of the files that git tracks, up to LONGEST_CHANGES; empty without."""


@cache  # as the code that runs was loaded once
def checkout() -> Checkout:
    """What git says of the code that runs."""
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return Checkout(None, "")  # it lies in somebody else's repository, or in none
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return Checkout(None, "")
    plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-relative")
    return Checkout(commit.strip(), without_secrets(_git("diff", "HEAD", *plain) or ""))


def _git(*arguments: str) -> str | None:
    """The first LONGEST_CHANGES bytes that git prints; None where it fails or isn't there."""
    try:
        with subprocess.Popen(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        ) as git:
            assert git.stdout is not None
            printed = git.stdout.read(LONGEST_CHANGES)
            cut = bool(git.stdout.read(1))
            if cut:
                git.kill()
            code = git.wait()
    except OSError:
        return None
    if not cut and code != 0:
        return None
    end = f"\n(cut after {LONGEST_CHANGES:,} bytes)\n" if cut else ""
    return printed.decode(errors="replace") + end
