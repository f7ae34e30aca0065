"""What runs cost by their own measurements; times are joined only of one machine."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.values import Kind, Number, number, readable

COLUMNS: dict[str, tuple[str, Kind]] = {
    "step_seconds": ("a step takes", "seconds"),
    "step_bytes": ("a step holds", "bytes"),
    "decode_seconds": ("a further position takes", "seconds"),
    "state_bytes": ("state", "bytes"),
}
"""What a run keeps in results.json, with the headings of tables."""


class Costs(NamedTuple):
    """What some runs measured."""

    machine: str
    """On which they ran, in words; several joined, empty where none is known."""
    values: dict[str, Number]
    """The means, by the names of COLUMNS; of several machines without times."""
    is_of_one_machine: bool


def costs_of(runs: Sequence[StoredRun]) -> Costs:
    """What those of some runs that have finished measured."""
    finished = [run for run in runs if run.results is not None]
    machines = list(dict.fromkeys(machine_of(run) for run in finished))
    found: dict[str, Number] = {}
    for name, (_, kind) in COLUMNS.items():
        values = [number(_measured(run).get(name)) for run in finished]
        known = [value for value in values if value is not None]
        if known and (kind != "seconds" or len(machines) < 2):
            found[name] = statistics.fmean(known)
    return Costs("; or ".join(filter(None, machines)), found, len(machines) < 2)


def _measured(run: StoredRun) -> Content:
    return (run.results or {}).get("cost", {})


def machine_of(run: StoredRun) -> str:
    """The machine that a run ran on, in words, and with how many others; empty where not known."""
    measured = _measured(run).get("machine", {})
    told = measured or run.environment
    cores, devices = number(told.get("cores")), told.get("devices")
    sharing = number(measured.get("sharing")) or 1
    parts = [measured.get("processor"), f"{cores} core{'s' * (cores != 1)}" if cores else None]
    parts.append(", ".join(map(str, devices)) if isinstance(devices, list) else devices)
    parts.append(f"{sharing} runs at a time" if sharing > 1 else None)
    return readable(", ".join(str(part) for part in parts if part))
