"""Cost against length: a table of mixers by lengths, each cell measured in its own process."""

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from seqmodels.config import differing_keys, to_dict
from seqmodels.errors import UserError
from seqmodels.experiments.child import run_child
from seqmodels.experiments.machine import describe_machine
from seqmodels.experiments.quality import measure_quality, require_tasks
from seqmodels.experiments.scaling_results import summarise
from seqmodels.experiments.scaling_settings import Settings, read_settings
from seqmodels.experiments.scaling_tables import cell_line, print_scaling
from seqmodels.experiments.targets import ENVIRONMENT, require_target
from seqmodels.json_files import read_json
from seqmodels.training.environment import command
from seqmodels.training.workdir import Workdir

EMPTY: dict[str, Any] = {
    "mixer": None,
    "length": None,
    "batch_size": None,
    "status": None,
    "reason": None,
    "parameters": None,
    "compile_seconds": None,
    "forward_seconds": None,
    "step_seconds": None,
    "decode_seconds": None,
    "temporary_bytes": None,
    "argument_bytes": None,
    "peak_bytes": None,
    "forward_flops": None,
    "step_flops": None,
    "sequential_depth": None,
    "state_bytes": None,
    "roofline_seconds": None,
}
"""A cell of which nothing is known. Bytes are a device's, and those of the training step; the
state's are one sequence's."""

CELL = "seqmodels.experiments.cell"
"""The module that measures one."""

FREE = ("mixers", "lengths", "from_length", "quality", "limits")
"""Sections of a config that may change in a folder: its cells stay what they are."""


def scale(
    config: ConfigDict,
    config_file: str,
    workdir: str,
    target: str | None = None,
    within: dict[str, float] | None = None,
    tasks: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Measures a config's cells in a folder, or those that it lacks; prints and stores the table.

    Whatever a cell does (it doesn't fit, takes too long, crashes) is its result, and the next
    one's turn comes. Cells that are done are not measured again, unless their file in ``cells/``
    is deleted; those that a limit or a crash ended are, if the limits have changed.

    Args:
      config: what to measure.
      config_file: where it was read, with its arguments.
      workdir: the folder.
      target: a machine to compile for instead, such as ``tpu:v5e:4x4``.
      within: limits, "gib" and "seconds", to find the longest sequence for.
      tasks: what to train each cell on, by their names in :data:`QUALITY_TASKS`.

    Returns:
      The content of ``scaling.json``.
    """
    if target is not None:
        require_target(target)
        jax.config.update("jax_platforms", "cpu")  # the extra's own looks for its device, and waits
    settings = read_settings(config)
    require_tasks(tasks)
    folder = Workdir(workdir)
    retry = _open(folder, config, target)
    table = _Table(settings, Path(workdir), target, retry)
    results = _results(config_file, target)
    try:
        table.fill()
        if tasks:
            results["quality"] = measure_quality(
                settings, config_file, Path(workdir), tasks, table.cells
            )
    finally:  # what is done is kept, also after Ctrl-C
        stored = folder.read("scaling.json") or {}
        results.setdefault("quality", stored.get("quality", []))
        results["cells"] = list(table.cells.values())
        results |= summarise(results["cells"], settings.from_length, within or {})
        _write(folder, results)
    print_scaling(results)
    print(f"{workdir}/scaling.json and scaling.csv hold it all")
    return results


def _results(config_file: str, target: str | None) -> dict[str, Any]:
    return {
        "kind": "scaling",
        "config": config_file,
        "command": command(),
        "machine": describe_machine(),
        "target": target,
    }


def _open(folder: Workdir, config: ConfigDict, target: str | None) -> bool:
    """Makes the folder or checks that it holds this scaling; whether the limits are new."""
    plain = to_dict(config) | {"target": target}
    stored = read_json(folder.path / "config.json", dict[str, Any])
    if stored is None:
        if folder.path.is_dir() and any(folder.path.iterdir()):
            raise UserError(f"--workdir={folder.path} holds something else; choose another folder")
    else:
        if "mixers" not in stored:
            raise UserError(
                f"--workdir={folder.path} holds a run, not a scaling; choose another folder"
            )
        kept = [
            {key: value for key, value in each.items() if key not in FREE}
            for each in (stored, plain)
        ]
        if differing := differing_keys(*kept):
            raise UserError(
                f"--workdir={folder.path} holds another scaling: {'; '.join(differing)}. "
                "Choose another folder, or the same config"
            )
    try:
        (folder.path / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--workdir={folder.path} can't be written ({error.strerror}); choose another folder"
        ) from None
    folder.write("config.json", plain)
    return stored is not None and stored["limits"] != plain["limits"]


class _Table:
    """The cells of a folder, and the ones still to do."""

    def __init__(self, settings: Settings, path: Path, target: str | None, retry: bool):
        self.settings = settings
        self.folder = Workdir(path / "cells")
        self.target = target
        if retry:
            self._forget_ended()
        stored = [self.folder.read(f"{mixer}-{length}.json") for mixer, length in self._all()]
        self.cells = {(cell["mixer"], cell["length"]): cell for cell in stored if cell is not None}

    def _forget_ended(self) -> None:
        """Deletes the cells that a limit or a crash ended."""
        for file in self.folder.path.glob("*.json"):
            cell = self.folder.read(file.name)
            if cell is not None and cell["status"] not in ("measured", "compiled"):
                file.unlink()

    def _all(self) -> Iterator[tuple[str, int]]:
        """Short lengths first: all mixers soon have some cells."""
        for length in self.settings.lengths:
            for mixer in self.settings.mixers:
                yield mixer, length

    def fill(self) -> None:
        """Measures what is missing."""
        missing = [place for place in self._all() if place not in self.cells]
        whole = len(self.settings.lengths) * len(self.settings.mixers)
        if len(missing) < whole:
            print(f"{whole - len(missing)} of {whole} cells are done already", flush=True)
        start = time.monotonic()
        for number, place in enumerate(missing, 1):
            cell = self._measure(*place)
            self.folder.write(f"{place[0]}-{place[1]}.json", cell)
            self.cells[place] = cell
            minutes = (time.monotonic() - start) / 60
            print(f"[{number}/{len(missing)}, {minutes:.1f} min] {cell_line(cell)}", flush=True)
        self.cells = {place: self.cells[place] for place in self._all()}

    def _measure(self, mixer: str, length: int) -> dict[str, Any]:
        settings = self.settings
        shorter = [
            cell
            for (name, _), cell in self.cells.items()
            if name == mixer and cell["length"] < length and cell["step_seconds"] is not None
        ]
        request = {
            "mixer": mixer,
            "length": length,
            "width": settings.width,
            "depth": settings.depth,
            "dtype": settings.dtype,
            "batch_size": settings.batch_size,
            "repeats": settings.repeats,
            "memory_gib": settings.limits.memory_gib,
            "seconds": settings.limits.seconds,
            "target": self.target,
            "previous": max(shorter, key=lambda cell: cell["length"], default=None),
        }
        environment = ENVIRONMENT if self.target is not None else None
        ending = run_child(CELL, request, *settings.limits, environment)
        cell = EMPTY | {"mixer": mixer, "length": length} | ending.found
        if ending.status is not None:
            cell |= {"status": ending.status, "reason": ending.reason}
        elif cell["status"] is None:
            cell |= {"status": "failed", "reason": "ended without a result"}
        return cell


def _write(folder: Workdir, results: dict[str, Any]) -> None:
    """``scaling.json``, and ``scaling.csv`` with a row a cell."""
    folder.write("scaling.json", results)
    rows = [_flat(cell) for cell in results["cells"]]
    temporary = folder.path / f".scaling.csv.{os.getpid()}"
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(_flat(_full())))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(folder.path / "scaling.csv")


def _full() -> dict[str, Any]:
    times = dict.fromkeys(("median", "low", "high", "repeats"))
    return EMPTY | {name: times for name in EMPTY if name in TIMES}


TIMES = ("forward_seconds", "step_seconds", "decode_seconds")


def _flat(cell: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in cell.items():
        if isinstance(value, dict):
            row |= {f"{name}_{part}": each for part, each in value.items()}
        elif name not in TIMES:
            row[name] = value
    return row
