"""Metrics: sums become means, and events go to JSON lines and TensorBoard."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter


class Mean:
    """Adds up (sum, count) pairs of metrics and divides once."""

    def __init__(self):
        self._totals: dict[str, tuple[float, float]] = {}

    def add(self, metrics: Mapping[str, tuple[Any, Any]]) -> None:
        """Adds one batch's sums and counts."""
        for name, (total, count) in metrics.items():
            old_total, old_count = self._totals.get(name, (0.0, 0.0))
            self._totals[name] = (old_total + float(total), old_count + float(count))

    def result(self) -> dict[str, float]:
        """The means since the last result."""
        totals, self._totals = self._totals, {}
        return {name: t / c if c else math.nan for name, (t, c) in totals.items()}


class MetricWriter:
    """Writes events to ``metrics.jsonl`` and to TensorBoard.

    A line is an event: ``{"step": 100, "split": "train", "seconds": 12.3, "loss": ...}``,
    with the seconds that the run has taken so far, over all its processes. The split "diverged",
    without values, says at which step the loss or its gradient stopped being finite. Events
    after the step that a run resumes from are dropped, and so is the test score of a
    process that was killed at the very end: they are about to happen again.

    Args:
      file: the ``metrics.jsonl``.
      step: the step that the run starts or resumes from.
      writes: False in a process that leaves it to another.
    """

    def __init__(self, file: Path, step: int, writes: bool = True):
        before = [e for e in read_events(file) if e["step"] <= step and e["split"] != "test"]
        if writes:
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            temporary.write_text("".join(json.dumps(event) + "\n" for event in before))
            temporary.replace(file)
        self._file = (file if writes else Path(os.devnull)).open("a")
        # Ten seconds, not two minutes: what a killed run did not flush is missing there.
        self._board = SummaryWriter(
            str(file.parent), purge_step=step + 1, flush_secs=10, write_to_disk=writes
        )
        self._start = time.monotonic() - (before[-1]["seconds"] if before else 0.0)

    def seconds(self) -> float:
        """Wall-clock seconds that the run has taken so far."""
        return time.monotonic() - self._start

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes one event."""
        event = {"step": step, "split": split, "seconds": round(self.seconds(), 3), **values}
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Closes both."""
        self._file.close()
        self._board.close()


def read_events(file: Path) -> list[dict[str, Any]]:
    """The events of a ``metrics.jsonl``; a last line that was cut short is left out."""
    events = []
    if file.exists():
        for line in file.read_text().splitlines():
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return events
