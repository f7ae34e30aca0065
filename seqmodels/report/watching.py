"""Keeps a report current while what it shows is still being made."""

import os
import time
from collections.abc import Callable, Sequence

from seqmodels.report.page import Drawn
from seqmodels.report.writing import write_report

EVERY = 30
"""Seconds between two looks at the folders, and after which a page that is open loads itself."""
SHARE = 10
"""So many times as long as writing takes is waited at least: training has the machine."""

Files = dict[str, tuple[int, int]]
"""By path a file's size and when it was last written (ns)."""


def watch_report(
    folders: Sequence[str], out: str, wait: Callable[[float | int], None] = time.sleep
) -> None:
    """Writes the report, and again whenever a file that it reads has changed; never returns.

    A picture whose figure is the same is not drawn again.

    Raises:
      UserError: as of :func:`seqmodels.report.writing.write_report`.
    """
    drawn: dict[str, Drawn] = {}
    seen: Files | None = None
    print(f"watching; the page is written again when something changes, until Ctrl-C ({out})")
    while True:
        begun = time.monotonic()
        if (now := stamps(folders)) != seen:
            seen = now
            write_report(folders, out, reload=EVERY, drawn=drawn)
        wait(max(EVERY, SHARE * (time.monotonic() - begun)))


def stamps(folders: Sequence[str]) -> Files:
    """Of the JSON files in the folders, in which runs and sweeps keep what they know."""
    found = {}
    for folder in folders:
        for path, inside, files in os.walk(os.path.expanduser(folder)):
            inside[:] = [name for name in inside if name not in ("checkpoints", "profile")]
            for name in files:
                if name.endswith((".json", ".jsonl")):
                    try:
                        about = os.stat(os.path.join(path, name))
                    except OSError:  # it is gone, or not for us to see
                        continue
                    found[os.path.join(path, name)] = about.st_size, about.st_mtime_ns
    return found
