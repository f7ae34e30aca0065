"""A process of its own under limits of memory and time: whatever becomes of it is a result.

The child prints JSON objects, a line each (:func:`tell`), and their union is what it found. The
parent looks at its resident memory and at the clock, and kills it above a limit.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, NamedTuple

import psutil

from seqmodels.json_files import UnreadableError, parse_json
from seqmodels.paths import search_path

LOOK_EVERY = 0.05
GIB = 2**30


class Ending(NamedTuple):
    """How a child ended."""

    found: dict[str, Any]
    """The union of what it said."""
    status: str | None
    """None if it ended by itself, well; else "does not fit", "too slow" or "failed"."""
    reason: str | None


def run_child(
    module: str,
    request: dict[str, Any],
    memory_gib: float,
    seconds: float,
    environment: dict[str, str] | None = None,
) -> Ending:
    """Runs ``python -m module``, which reads the request, until it ends or exceeds a limit.

    An exception in the parent, Ctrl-C among them, ends the child too, and so does the
    parent's death (:func:`read_request`).
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
    ):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env=os.environ | search_path() | (environment or {}),
            process_group=0,  # the terminal's Ctrl-C comes to the parent alone
        )
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended, and how is told below
                process.stdin.write(f"{json.dumps(request)}\n".encode())
            exceeded = _watch(process, memory_gib, seconds)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdin.close()
        output.seek(0)
        found: dict[str, Any] = {}
        for line in output:
            with contextlib.suppress(UnreadableError):  # a library may print too
                found |= parse_json(line, dict[str, Any], "what a child said")
        if exceeded is not None:
            return Ending(found, *exceeded)
        if process.returncode == 0:
            return Ending(found, None, None)
        errors.seek(0)
        return Ending(found, "failed", _failure(process.returncode, errors.read()))


def _watch(process: subprocess.Popen, memory_gib: float, seconds: float) -> tuple[str, str] | None:
    """Waits for the end; the status and the reason if a limit was exceeded."""
    start = time.monotonic()
    while True:
        try:
            process.wait(LOOK_EVERY)
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        resident = resident_bytes(process.pid)
        if resident > memory_gib * GIB:
            return (
                "does not fit",
                f"was killed at {resident / GIB:,.3g} GiB; the limit is {memory_gib:,.3g} GiB",
            )
        if time.monotonic() - start > seconds:
            return "too slow", f"was not done after {seconds:,.0f} s, the limit"


def _failure(code: int, errors: str) -> str:
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        name = known.get(-code, f"signal {-code}")
        why = ", perhaps by the system for lack of memory" if name == "SIGKILL" else ""
        return f"was killed by {name}{why}"
    last = (errors.strip().splitlines() or ["without a message"])[-1].strip()
    return f"ended with exit code {code}: {last[:200]}"


def resident_bytes(pid: int) -> int:
    """A process's resident memory; 0 if it is gone."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def tell(**found: Any) -> None:
    """Adds to what this child has found."""
    print(json.dumps(found), flush=True)


def read_request() -> dict[str, Any]:
    """What this child is asked for, a line of its standard input.

    Once that closes, the parent is gone, and this process ends.
    """

    def read() -> bytes:  # not by sys.stdin, whose lock a thread that waits would keep at the end
        return os.read(0, 2**16) or os._exit(1)

    def wait() -> None:
        while True:
            read()

    line = read()
    while not line.endswith(b"\n"):
        line += read()
    threading.Thread(target=wait, daemon=True).start()
    return json.loads(line)


def peak_bytes() -> int:
    """The most resident memory that this process ever had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
