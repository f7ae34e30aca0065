"""What a worker of a sweep is told, and the commands of its runs."""

from pathlib import Path
from typing import NamedTuple

from seqmodels.sweeps.groups import Group, Run, argument_text, override_texts
from seqmodels.sweeps.trials import Trial

TRAIN = ["-P", "-m", "seqmodels", "train"]
"""What follows python to train a run; -P, because the folder that it starts in may hold other
modules."""


class Orders(NamedTuple):
    """All that a worker has to know."""

    folder: Path
    config: str
    groups: list[Group]
    search: str
    trials: int | None
    """Of a search: how many settings of each group are tried."""
    prune: bool
    score: str
    higher_is_better: bool
    train: Path | None
    """The script that trains a run; None is the command ``seqmodels train``."""
    devices: int | None
    sharing: int
    """How many runs share a machine."""
    cores: tuple[int, ...] | None
    """The cores to stay on; None for all."""
    parent: int | None
    """The process without which to stop; None for none."""
    log: tuple[str, ...] = ()
    """Where each run's events go besides its folder (:mod:`seqmodels.training.loggers`)."""


def train_command(orders: Orders, run: Run) -> list[str]:
    """What follows python."""
    train = TRAIN if orders.train is None else [str(orders.train)]
    argument = argument_text(run.arguments)
    return [
        *train,
        f"--config={orders.config}" + (f":{argument}" if argument else ""),
        f"--workdir={Trial(orders.folder, run.name).folder}",
        *([f"--sharing={orders.sharing}"] if orders.sharing > 1 else []),
        *([f"--log={','.join(orders.log)}"] if orders.log else []),
        *(f"--config.{key}={text}" for key, text in override_texts(run.overrides)),
    ]
