"""What a worker of a sweep is told, and what follows from it: its storage, its runs' commands."""

import os
from pathlib import Path
from typing import NamedTuple

from seqmodels.errors import UserError
from seqmodels.sweeps.groups import Group, Run, argument_text, override_texts
from seqmodels.sweeps.trials import Trial

STORAGE = "SEQMODELS_STORAGE"
"""The environment variable in which a worker finds a storage that its orders leave out."""


class Orders(NamedTuple):
    """All that a worker has to know."""

    folder: Path
    config: str
    storage: Path | str | None
    """A file or a URL; None where the environment has it, as files mustn't hold a password."""
    studies: dict[str, Group]
    """The group of each study, by the study's name."""
    names: frozenset[str]
    """Runs that the sweep has; others that the storage knows are of an earlier version of it."""
    search: str
    trials: int | None
    prune: bool
    score: str
    higher_is_better: bool
    train: Path
    """The script train.py."""
    devices: int | None
    cores: tuple[int, ...] | None
    """The cores to stay on; None for all."""
    heartbeat: int
    patience: float
    parent: int | None
    """The process without which to stop; None for none."""


def train_command(orders: Orders, run: Run) -> list[str]:
    argument = argument_text(run.arguments)
    return [
        str(orders.train),
        f"--config={orders.config}" + (f":{argument}" if argument else ""),
        f"--workdir={Trial(orders.folder, run.name).folder}",
        *(f"--config.{key}={text}" for key, text in override_texts(run.overrides)),
    ]


def storage_place(orders: Orders) -> Path | str:
    """Where a worker finds the storage.

    Raises:
      UserError: nobody has told it.
    """
    found = orders.storage if orders.storage is not None else os.environ.get(STORAGE)
    if found is None:
        raise UserError(
            f"the storage's URL is not in this job's environment ({STORAGE}); let jobs have that "
            "of who submits them (--export=ALL), or take the password out of the URL (~/.pgpass)"
        )
    return found
