"""A row for each mixer at a length, kept in a file as they are made; a file's aren't made again."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqmodels import presets
from seqmodels.errors import UserError, nearest

LINEAR = (
    *("mingru", "minlstm", "lru", "rglru", "s4d", "s5", "mamba"),
    *("linear_attention", "retention", "gla", "mamba2", "mamba3", "mlstm", "slstm"),
    *("deltanet", "gated_deltanet", "kda", "deltaproduct", "rwkv7"),
    *("hyena", "long_convolution", "gru", "lstm"),
)
"""Presets whose time is linear in the length, or nearly so."""

Row = dict[str, Any]
"""With the ``mixer`` and the ``length`` that it is about."""


def each(
    mixers: Sequence[str],
    length: int,
    file: Path | None,
    make: Callable[[str], Row | None],
    text: Callable[[list[Row]], str],
) -> list[Row]:
    """The rows of a file and those that it lacks, each written and printed once it is made.

    Args:
      make: a mixer's row; None where that failed, and was said.
      text: rows as a Markdown table.

    Raises:
      UserError: a mixer is no preset; before any is measured.
    """
    for mixer in mixers:
        if mixer not in presets.PRESETS:
            known = nearest(mixer, presets.PRESETS)
            raise UserError(f"--mixers: {mixer!r} is not a preset; {known}")
    rows = json.loads(file.read_text()) if file is not None and file.exists() else []
    for mixer in mixers:
        if any((row["mixer"], row["length"]) == (mixer, length) for row in rows):
            continue
        row = make(mixer)
        if row is None:
            continue
        rows.append(row)
        print(text([row]).splitlines()[2], flush=True)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def in_a_process(script: str, mixer: str, length: int) -> Row | None:
    """What ``script --cell=mixer --length=length`` prints as its last line."""
    command = [sys.executable, script, f"--cell={mixer}", f"--length={length}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        print(f"{mixer}: failed with {done.returncode}: {reason}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])
