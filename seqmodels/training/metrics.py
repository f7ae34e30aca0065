"""Metrics: sums become means, and events go to JSON lines, TensorBoard and other loggers."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seqmodels.json_files import UnreadableError, write_whole
from seqmodels.output import decoration
from seqmodels.training.board import Board
from seqmodels.training.loggers import Begin, Logger, kept_running
from seqmodels.training.processes import warn
from seqmodels.training.run_files import read_event_lines

Sums = dict[str, tuple[float, float]]
"""By metric, what was added up and over how many."""


class Mean:
    """Adds up (sum, count) pairs of metrics, to those given, and divides once."""

    def __init__(self, sums: Mapping[str, tuple[float, float]] | None = None):
        self.sums: Sums = dict(sums or {})

    def add(self, metrics: Mapping[str, tuple[Any, Any]]) -> None:
        for name, (total, count) in metrics.items():
            old_total, old_count = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = (old_total + float(total), old_count + float(count))

    def result(self) -> dict[str, float]:
        """The means since the last result."""
        sums, self.sums = self.sums, {}
        return {name: t / c if c else math.nan for name, (t, c) in sums.items()}


class MetricWriter:
    """Writes events to ``metrics.jsonl``, and to loggers, of which TensorBoard's is always one.

    A line is an event: ``{"step": 100, "split": "train", "seconds": 12.3, "loss": ...}``,
    with the seconds that the run has taken so far, over all its processes. The split "diverged"
    says at which step a loss or its gradient that wasn't finite, or a spike, ended it; "skipped"
    where such a step's update was left out; "reversal 2" to which step it went back for the second
    time, and ``from_step``. Events after the step that a run resumes from are dropped, and so are
    those of later reversals and the test score of a process that was killed at the very end:
    they are about to happen again. Lines that can't be
    read go to ``damaged-metrics.jsonl``. A logger gets what ``metrics.jsonl`` holds, for as long as
    it takes it.

    Args:
      file: the ``metrics.jsonl``.
      step: the step that the run starts or resumes from.
      writes: False in a process that leaves it to another.
      warn: is told what is left out.
      begins: loggers by name, and what begins each.
      reversals: how often it has gone back before.

    Raises:
      OSError, UserError: the file can't be read or written; also from ``write``.
    """

    def __init__(
        self,
        file: Path,
        step: int,
        writes: bool = True,
        warn: Callable[[str], None] = warn,
        begins: Mapping[str, Begin] = MappingProxyType({}),
        reversals: int = 0,
    ):
        events, damaged = _read(file)
        before = [
            event
            for event in events
            if event["step"] <= step
            and event["split"] != "test"
            and event.get("reversals", 0) <= reversals
        ]
        self._start = time.monotonic() - (before[-1]["seconds"] if before else 0.0)
        self._warn = warn
        self._loggers: dict[str, Logger] = {}
        if writes:
            if damaged:
                with file.with_name(f"damaged-{file.name}").open("a", encoding="utf-8") as kept:
                    kept.writelines(f"{text}\n" for text, _ in damaged)
                more = f" and {len(damaged) - 1} other lines" if len(damaged) > 1 else ""
                warn(f"{damaged[0][1]}{more}: left out, and kept in damaged-{file.name}")
            write_whole(file, "".join(json.dumps(event) + "\n" for event in before))
            for name, begin in {"TensorBoard": partial(Board, file.parent), **begins}.items():
                self._begin(name, begin, before)
        self._path = file
        self._file = (file if writes else Path(os.devnull)).open("ab", buffering=0)

    def seconds(self) -> float:
        """Wall-clock seconds that the run has taken so far."""
        return time.monotonic() - self._start

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes one event."""
        event = {"step": step, "split": split, "seconds": round(self.seconds(), 3), **values}
        self._append(json.dumps(event).encode() + b"\n")
        for name, logger in list(self._loggers.items()):
            with self._while_it_works(name):
                logger.add(event)

    @property
    def called(self) -> dict[str, str]:
        """What loggers call the run, by the names of those that do."""
        return {name: of.called for name, of in self._loggers.items() if of.called is not None}

    def close(self) -> None:
        self._file.close()
        for name, logger in list(self._loggers.items()):
            with self._while_it_works(name):
                logger.close()

    def _begin(self, name: str, begin: Begin, before: list[dict[str, Any]]) -> None:
        with self._while_it_works(name):
            self._loggers[name] = logger = begin(self.seconds())
            for event in before if logger.begins else ():
                logger.add(event)

    def _append(self, line: bytes) -> None:
        """Adds a line, or nothing of it."""
        before = self._file.tell()
        try:
            while line:  # a disk that has just become full takes a part
                line = line[self._file.write(line) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise OSError(error.errno, error.strerror, str(self._path)) from None

    @contextmanager
    def _while_it_works(self, name: str) -> Iterator[None]:
        """A logger that fails in this ``with`` statement gets no more events, and that is said."""
        with decoration(f"{name} gets no more events", self._warn), kept_running():
            try:
                yield
            except BaseException:
                failed = self._loggers.pop(name, None)
                with suppress(Exception), kept_running():
                    if failed is not None:
                        failed.close()
                raise


def read_events(file: Path) -> list[dict[str, Any]]:
    """The events of a ``metrics.jsonl``, in order; lines that hold none are left out."""
    return _read(file)[0]


def _read(file: Path) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The events, and the lines that hold none, each with what is wrong with it."""
    events, damaged = [], []
    for text, content in read_event_lines(file.parent):
        if isinstance(content, UnreadableError):
            damaged.append((text, str(content)))
        else:
            events.append(content)
    return events, damaged
