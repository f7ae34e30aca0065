"""Check cells: small runs of an experiment that are made again, and what they may differ by."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypedDict

from experiments.costs import ratio
from experiments.rules import GAP
from seqmodels.errors import UserError
from seqmodels.json_files import listed_lines, read_json, write_whole
from seqmodels.scaling.files import read_scaling
from seqmodels.sweeps.records import collect, read_records

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)
RATIO = 0.25
"""By how much of itself a ratio of costs may lie outside."""


class Check(Protocol):
    """A cell that is run again."""

    @property
    def said(self) -> str:
        """What it is, in a few words."""
        ...

    def run(self, folder: Path, file: Path) -> None:
        """Runs it in a new folder, and writes its runs into a file, a line each."""
        ...

    def values(self, file: Path) -> list[float]:
        """What its runs in a file say, one value each."""
        ...

    def allowed(self, committed: Sequence[float]) -> tuple[float, float]:
        """From where to where values may lie, by the committed ones."""
        ...


class Training(NamedTuple):
    """The test score of three seeds: from the lowest less 5 points to the highest and 5 more."""

    spec: str
    """A config with its arguments."""
    overrides: tuple[str, ...] = ()
    """Such as ``train.steps=300``."""

    @property
    def said(self) -> str:
        return " ".join((self.spec.removeprefix("experiments/"), *self.overrides))

    def run(self, folder: Path, file: Path) -> None:
        seeds = ",".join(map(str, SEEDS))
        set_to = [f"--config.{override}" for override in self.overrides]
        call(
            "sweep.py",
            f"--config={self.spec}",
            f"--seeds={seeds}",
            f"--workdir={folder}",
            *set_to,
        )
        collect(folder, file)

    def values(self, file: Path) -> list[float]:
        return [record["test"] for record in read_records(file)]

    def allowed(self, committed: Sequence[float]) -> tuple[float, float]:
        return min(committed) - GAP, max(committed) + GAP


class _Value(TypedDict):
    """A line of what isn't trained."""

    seed: int
    value: float


class Costs(NamedTuple):
    """How often as long a training step of one mixer takes as that of another at a length, three
    times; within 25%."""

    dearer: str
    cheaper: str
    length: int
    overrides: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        return f"a step of {self.dearer} by one of {self.cheaper} at {self.length:,}"

    def run(self, folder: Path, file: Path) -> None:
        lines = []
        for seed in SEEDS:
            own = folder / str(seed)
            call(
                "scaling.py",
                "--config=configs/scaling.py",
                f"--config.mixers={self.dearer},{self.cheaper}",
                f"--config.lengths={self.length}",
                f"--workdir={own}",
                *(f"--config.{override}" for override in self.overrides),
            )
            scaling = read_scaling(own, _refuse)
            found = ratio(scaling, "step_seconds", self.dearer, self.cheaper, self.length)
            if found is None:
                raise UserError(f"{self.said} was not measured: a cell ended by a limit")
            lines.append(json.dumps(_Value(seed=seed, value=found)))
        write_whole(file, listed_lines(lines))

    def values(self, file: Path) -> list[float]:
        return _values(file)

    def allowed(self, committed: Sequence[float]) -> tuple[float, float]:
        return min(committed) * (1 - RATIO), max(committed) * (1 + RATIO)


class Measured(NamedTuple):
    """The share of some statements that a measurement without training finds to be so, a seed each;
    within 5 points."""

    said: str
    measure: Callable[[int], float]
    """By the seed."""

    def run(self, folder: Path, file: Path) -> None:
        values = [_Value(seed=seed, value=self.measure(seed)) for seed in SEEDS]
        write_whole(file, listed_lines(map(json.dumps, values)))

    def values(self, file: Path) -> list[float]:
        return _values(file)

    def allowed(self, committed: Sequence[float]) -> tuple[float, float]:
        return min(committed) - GAP, max(committed) + GAP


def call(*arguments: str) -> None:
    """Runs a script of the checkout; what it said last is shown where it fails.

    Raises:
      UserError: it fails.
    """
    made = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        last = (made.stderr or made.stdout).strip().splitlines()[-1:]
        raise UserError(f"{' '.join(arguments)}: {' '.join(last)}")


def _values(file: Path) -> list[float]:
    return [line["value"] for line in read_json(file, list[_Value]) or []]


def _refuse(error: Exception) -> None:
    raise error
