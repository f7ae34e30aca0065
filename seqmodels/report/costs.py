"""What runs cost by their own measurements; times are joined only of one machine."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.report.figure import Better
from seqmodels.report.reading import Content, StoredRun
from seqmodels.report.values import Kind, Number, number, readable


class Measure(NamedTuple):
    """A cost: its heading in tables and its name on an axis, and which way is better."""

    heading: str
    title: str
    kind: Kind
    better: Better = "less"
    timed: bool = False
    """Whether it is of the machine too."""


MEASURES: dict[str, Measure] = {
    "state_bytes": Measure("state", "bytes of state", "bytes"),
    "step_seconds": Measure("a step takes", "time of a training step", "seconds", timed=True),
    "step_bytes": Measure("a step holds", "peak memory of a training step", "bytes"),
    "tokens_per_second": Measure("tokens/s", "tokens trained a second", "count", "more", True),
    "prefill_seconds": Measure("a prompt takes", "time to read a prompt", "seconds", timed=True),
    "decode_seconds": Measure(
        "a further position takes", "time of a further position", "seconds", timed=True
    ),
    "seconds": Measure("a run takes", "training time of a run", "seconds", timed=True),
    "parameters": Measure("parameters", "parameters", "count"),
    "flops": Measure("FLOPs", "FLOPs of a forward pass", "flops"),
}
"""By name; what stands before ``seconds`` is what a run keeps in results.json."""
KEPT = tuple(MEASURES)[: tuple(MEASURES).index("seconds")]


class Costs(NamedTuple):
    """What some runs measured."""

    machine: str
    """On which they ran, in words; several joined, empty where none is known."""
    values: dict[str, Number]
    """The means, by the names of KEPT; of several machines without times."""
    is_of_one_machine: bool


def costs_of(runs: Sequence[StoredRun]) -> Costs:
    """What those of some runs that have finished measured."""
    finished = [run for run in runs if run.results is not None]
    machines = list(dict.fromkeys(machine_of(run) for run in finished))
    found: dict[str, Number] = {}
    for name in KEPT:
        values = [number(_measured(run).get(name)) for run in finished]
        known = [value for value in values if value is not None]
        if known and (not MEASURES[name].timed or len(machines) < 2):
            found[name] = statistics.fmean(known)
    return Costs("; or ".join(filter(None, machines)), found, len(machines) < 2)


def _measured(run: StoredRun) -> Content:
    """What it kept, and how many positions a second that makes."""
    kept = (run.results or {}).get("cost", {})
    train, step = run.config.get("train", {}), number(kept.get("step_seconds"))
    rows, length = number(train.get("batch_size")), number(train.get("length"))
    drawn = train.get("lengths") is not None  # then ``length`` is the greatest alone
    if step and rows and length and not drawn:
        kept = kept | {"tokens_per_second": round(rows * length / step)}
    return kept


def machine_of(run: StoredRun) -> str:
    """The machine that a run ran on, in words, and with how many others; empty where not known."""
    measured = (run.results or {}).get("cost", {}).get("machine", {})
    told = measured or run.environment
    cores, devices = number(told.get("cores")), told.get("devices")
    sharing = number(measured.get("sharing")) or 1
    parts = [measured.get("processor"), f"{cores} core{'s' * (cores != 1)}" if cores else None]
    parts.append(", ".join(map(str, devices)) if isinstance(devices, list) else devices)
    parts.append(f"{sharing} runs at a time" if sharing > 1 else None)
    return readable(", ".join(str(part) for part in parts if part))
