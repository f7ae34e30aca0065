"""Cost against length: a table of mixers by lengths, each cell measured in its own process."""

import contextlib
import time
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from seqmodels.command import command
from seqmodels.config import differing_keys, to_dict
from seqmodels.csv_files import write_csv
from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError, read_json, write_json
from seqmodels.machine import describe_machine
from seqmodels.output import warn
from seqmodels.paths import local_path
from seqmodels.scaling.child import run_child
from seqmodels.scaling.collectives import KINDS
from seqmodels.scaling.files import (
    DONE,
    EMPTY,
    TIMES,
    CollectiveFile,
    Times,
    read_cell,
    read_scaling,
)
from seqmodels.scaling.quality import measure_quality, require_tasks
from seqmodels.scaling.results import summarise
from seqmodels.scaling.settings import Settings, read_settings
from seqmodels.scaling.targets import ENVIRONMENT, require_target
from seqmodels.scaling.terminal import cell_line, print_scaling
from seqmodels.training.startup import overlooked_card
from seqmodels.training.workdir import held_folder, require_utf8

CELL = "seqmodels.scaling.cell"
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
    mesh: str | None = None,
) -> dict[str, Any]:
    """Measures a config's cells in a folder, or those that it lacks; prints and stores the table.

    Whatever a cell does (it doesn't fit, takes too long, crashes) is its result, and the next
    one's turn comes. Cells that are done are not measured again, unless their file in ``cells/``
    is deleted; those that a limit or a crash ended are, if the limits have changed. For a target,
    such as ``tpu:v5e:4x4``, they are compiled instead, its devices in a ``mesh`` such as
    ``data=4,sequence=4``. ``within`` are limits, "gib" and "seconds", to find the longest sequence
    for; ``tasks`` are the kinds of those to train each cell on. Returns the content of
    ``scaling.json``.
    """
    if mesh is not None and target is None:
        raise UserError(
            f"mesh={mesh} shares a target's devices, and a cell is measured on one; leave it out, "
            "or name a target such as tpu:v5e:4x4"
        )
    if target is not None:
        require_target(target, mesh)
        jax.config.update("jax_platforms", "cpu")  # the extra's own looks for its device, and waits
    settings = read_settings(config)
    require_tasks(tasks, settings)
    require_utf8(workdir)
    folder = local_path(workdir, "workdir=")
    results: dict[str, Any] = {
        "kind": "scaling",
        "config": config_file,
        "command": command(),
        "machine": describe_machine(),
        "target": target,
        "mesh": mesh,
    }
    with held_folder(folder):
        _open(folder, to_dict(config) | {"target": target, "mesh": mesh})
        if target is None and (card := overlooked_card()):
            warn(card)
        table = _Table(settings, folder, target, mesh)
        try:
            table.fill()
            if tasks:
                results["quality"] = measure_quality(settings, folder, tasks, table.cells)
        finally:  # what is done is kept, also after Ctrl-C
            results.setdefault("quality", _stored_quality(folder))
            results["cells"] = list(table.cells.values())
            results |= summarise(results["cells"], settings.from_length, within or {})
            _write(folder, results)
    print_scaling(results)
    print(f"{folder}/scaling.json and scaling.csv hold it all")
    return results


def _stored_quality(folder: Path) -> list[Any]:
    """What was trained before; it is trained or read again where its tasks are asked for."""
    try:
        stored = read_scaling(folder, lambda error: warn(f"{error}; it is left out"))
    except UnreadableError as error:
        warn(f"{error}; it is written anew, without scores: quality=TASK finds them again")
        return []
    return stored["quality"] if stored is not None else []


def _open(folder: Path, plain: dict[str, Any]) -> None:
    """Makes the folder or checks that it holds this scaling."""
    try:
        stored = read_json(folder / "config.json", dict[str, Any])
    except UnreadableError as error:
        raise UnreadableError(f"{error}; put back a copy of it, or choose another folder") from None
    if stored is None:
        if any(folder.glob("[!.]*")) and list(folder.glob("[!.]*")) != [folder / "cells"]:
            raise UserError(f"workdir={folder} holds something else; choose another folder")
        if any(folder.glob("cells/*")):
            raise UserError(
                f"workdir={folder} holds cells and no config.json that says of what; choose "
                "another folder"
            )
    else:
        if "mixers" not in stored:
            raise UserError(f"workdir={folder} holds a run, not a scaling; choose another folder")
        # Folders of earlier versions, and configs made for them, say nothing of tokens.
        whole = [{"tokens": 0, **each} for each in (stored, plain)]
        kept = [{k: v for k, v in each.items() if k not in FREE} for each in whole]
        if differing := differing_keys(*kept):
            raise UserError(
                f"workdir={folder} holds another scaling: {'; '.join(differing)}. "
                "Choose another folder, or the same config"
            )
    try:
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        if stored is not None and stored.get("limits") != plain["limits"]:
            _forget_ended(folder / "cells")  # before the config says that it was done
        write_json(folder / "config.json", plain)
    except OSError as error:
        raise UserError(
            f"workdir={folder} can't be written ({error.strerror}); choose another folder"
        ) from None


def _forget_ended(cells: Path) -> None:
    """Deletes the cells that a limit or a crash ended."""
    for file in cells.glob("*.json"):
        mixer, _, length = file.stem.rpartition("-")
        with contextlib.suppress(UnreadableError, ValueError):
            cell = read_cell(cells, mixer, int(length))
            if cell is not None and cell["status"] not in DONE:
                file.unlink(missing_ok=True)


class _Table:
    """The cells of a folder, and the ones still to do."""

    def __init__(self, settings: Settings, folder: Path, target: str | None, mesh: str | None):
        self.settings = settings
        self.folder = folder / "cells"
        self.target, self.mesh = target, mesh
        self.cells: dict[tuple[str, int], Any] = {}
        # Short lengths first: all mixers soon have some cells.
        self.places = [(m, length) for length in settings.lengths for m in settings.mixers]
        for place in self.places:
            try:
                cell = read_cell(self.folder, *place)
            except UnreadableError as error:
                warn(f"{error}; it is measured again")
                continue
            if cell is not None:
                self.cells[place] = cell

    def fill(self) -> None:
        missing = [place for place in self.places if place not in self.cells]
        whole = len(self.places)
        if len(missing) < whole:
            print(f"{whole - len(missing)} of {whole} cells are done already", flush=True)
        start = time.monotonic()
        for number, place in enumerate(missing, 1):
            cell = self._measure(*place)
            write_json(self.folder / f"{place[0]}-{place[1]}.json", cell)
            self.cells[place] = cell
            minutes = (time.monotonic() - start) / 60
            print(f"[{number}/{len(missing)}, {minutes:.1f} min] {cell_line(cell)}", flush=True)
        self.cells = {place: self.cells[place] for place in self.places}

    def _measure(self, mixer: str, length: int) -> Any:
        settings = self.settings
        shorter = [
            cell
            for (name, _), cell in self.cells.items()
            if name == mixer and cell["length"] < length and cell["step_seconds"] is not None
        ]
        names = ("width", "depth", "dtype", "repeats")
        limits = settings.limits
        request = {
            "mixer": mixer,
            "length": length,
            **{name: getattr(settings, name) for name in names},
            "batch_size": settings.batch_at(length),
            "memory_gib": limits.memory_gib,
            "seconds": limits.seconds,
            "target": self.target,
            "mesh": self.mesh,
            "previous": max(shorter, key=lambda cell: cell["length"], default=None),
        }
        environment = ENVIRONMENT if self.target is not None else None
        ending = run_child(CELL, request, limits.memory_gib, limits.seconds, environment)
        cell = EMPTY | {"mixer": mixer, "length": length} | ending.found
        if ending.status is not None:
            cell |= {"status": ending.status, "reason": ending.reason}
        elif cell["status"] is None:
            cell |= {"status": "failed", "reason": "ended without a result"}
        return cell


def _write(folder: Path, results: dict[str, Any]) -> None:
    """``scaling.json``, and ``scaling.csv`` with a row a cell."""
    write_json(folder / "scaling.json", results)
    times = dict.fromkeys(Times.__annotations__)
    whole = EMPTY | dict.fromkeys(TIMES, times)
    collective = dict.fromkeys(CollectiveFile.__annotations__)
    whole |= {"collectives": dict.fromkeys(KINDS, collective)}
    write_csv(folder / "scaling.csv", list(_flat(whole)), map(_flat, results["cells"]))


def _flat(cell: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in cell.items():
        if isinstance(value, dict):
            row |= {f"{name}_{part}": each for part, each in _flat(value).items()}
        elif name not in (*TIMES, "collectives"):
            row[name] = value
    return row
