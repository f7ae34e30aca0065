"""A run's events for TensorBoard."""

import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
from tensorboardX.record_writer import masked_crc32c

from seqmodels.training.loggers import values_of

PREFIX = "events.out.tfevents."


class Board:
    """A file that TensorBoard reads, with an event as soon as it is added.

    Each process that goes on with a run begins a file of its own, from the run's first event on:
    its head makes TensorBoard forget the files of earlier processes, so nothing that a kill or a
    full disk has kept from them is missing. It is written in the caller's thread, so that an error
    comes where it can be caught.

    Args:
      seconds: how long the run has taken so far.

    Raises:
      OSError: it can't be written; also from every method.
    """

    begins: bool = True
    called: str | None = None

    def __init__(self, folder: Path, seconds: float):
        self._begun = time.time() - seconds
        # TensorBoard reads files in the order of their names.
        earlier = [_stamp(file) for file in folder.glob(f"{PREFIX}*")]
        stamp = max([int(time.time()), *(number + 1 for number in earlier)])
        name = f"{PREFIX}{stamp:010d}.{socket.gethostname()}"
        self._file = (folder / name).open("wb", buffering=0)
        start = SessionLog(status=SessionLog.START)
        try:
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
            self._write(Event(wall_time=time.time(), step=0, session_log=start))
        except OSError:
            self._file.close()
            raise

    def add(self, event: Mapping[str, Any]) -> None:
        values = [
            Summary.Value(tag=name, simple_value=value) for name, value in values_of(event).items()
        ]
        time_ = self._begun + event["seconds"]
        self._write(Event(wall_time=time_, step=event["step"], summary=Summary(value=values)))

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Event) -> None:
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
        self._file.write(length + checks[0] + data + checks[1])


def _stamp(file: Path) -> int:
    stamp = file.name.removeprefix(PREFIX).partition(".")[0]
    return int(stamp) if stamp.isdecimal() and len(stamp) < 12 else 0
