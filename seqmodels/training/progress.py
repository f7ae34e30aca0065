"""What a run shows: a live bar on a terminal and in a notebook, plain lines elsewhere."""

import importlib
import io
import math
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from seqmodels.output import Lenient, decoration
from seqmodels.terminal import in_notebook, plain_console
from seqmodels.training.processes import is_first, warn

REFRESH_SECONDS = 0.2
KEPT_STEPS = 10_000
"""Times of so many steps are kept."""
NOTEBOOK_WIDTH = 100
"""Columns of a bar in a notebook."""


class ProgressDisplay:
    """Shows the steps of a run as they are done, in the first process, for as long as that works.

    Use it in a ``with`` statement; it goes from the step ``start`` on to ``steps``.
    """

    def __init__(self, start: int, steps: int):
        shown: Any = sys.stdout and Lenient(sys.stdout)
        self._console = plain_console(file=shown, quiet=not is_first())
        self._works = True
        self._steps = steps
        self._refreshed = 0.0
        self._is_live = self._console.is_terminal or (in_notebook() and is_first())
        kind = Progress if self._console.is_terminal else _NotebookBar
        self._bar = kind(
            TextColumn("step", markup=False),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            # Where the window is too narrow for them all, they take several lines.
            TextColumn("{task.fields[values]}", markup=False, table_column=Column(overflow="fold")),
            console=self._console,
            auto_refresh=False,  # a refreshing thread would take time from the step
            disable=not self._is_live,
        )
        self._task = self._bar.add_task("train", total=steps, completed=start, values="compiling")

    def __enter__(self) -> "ProgressDisplay":
        self._show(self._bar.start)
        return self

    def __exit__(self, *_) -> None:
        """Leaves the last state of the bar on the screen."""
        self._show(self._bar.refresh)
        with suppress(Exception):  # what it has hidden of the terminal comes back in any case
            self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar to a step."""
        now = time.monotonic()
        if now - self._refreshed > REFRESH_SECONDS:
            self._refreshed = now
            self._show(lambda: self._bar.update(self._task, completed=step, refresh=True))

    def metrics(self, step: int, values: Mapping[str, float], seconds_left: float) -> None:
        """Shows the metrics of the last steps."""
        shown = "  ".join(f"{name} {format_value(value)}" for name, value in values.items())
        if self._is_live:
            self._show(lambda: self._bar.update(self._task, completed=step, values=shown))
        else:
            left = f"{seconds_left:.0f} s left"
            self.line(f"step {step}/{self._steps}  {shown}  {left}")

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        self._show(lambda: self._console.print(text))

    def _show(self, draw: Callable[[], object]) -> None:
        if self._works:
            self._works = False
            with decoration("the run's progress can't be shown", warn):
                draw()
                self._works = True


class _NotebookBar(Progress):
    """The bar as an output of a cell, which is replaced."""

    _output: Any = None

    def start(self) -> None:
        if not self.disable:
            self._output = importlib.import_module("IPython.display").display(
                self._content(), raw=True, display_id=True
            )

    def refresh(self) -> None:
        if self._output is not None:
            self._output.update(self._content(), raw=True)

    def stop(self) -> None:
        self.refresh()

    def _content(self) -> dict[str, str]:
        text = io.StringIO()
        plain_console(file=text, width=NOTEBOOK_WIDTH, color_system=None).print(self)
        return {"text/plain": text.getvalue().rstrip()}


class Pace:
    """Steps and tokens a second, over the time in which the loop does nothing but steps."""

    def __init__(self):
        self._steps, self._tokens, self._seconds = 0, 0, 0.0
        self._since = time.monotonic()
        self._last: float | None = None
        self._times: deque[float] = deque(maxlen=KEPT_STEPS)

    def add(self, tokens: int) -> None:
        """Counts a step, over so many tokens."""
        self._steps += 1
        self._tokens += tokens
        now = time.monotonic()
        if self._last is not None:
            self._times.append(now - self._last)
        self._last = now

    def median(self) -> float | None:
        """Seconds from one step to the next, where nothing was paused between them; the median of
        the last ones, None of none.
        """
        return statistics.median(self._times) if self._times else None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in this ``with`` statement takes no time."""
        self._seconds += time.monotonic() - self._since
        try:
            yield
        finally:
            self._since = time.monotonic()
            self._last = None

    def rates(self) -> dict[str, float]:
        """The rates since the last call, which is to be made while it is paused."""
        seconds = max(self._seconds, 1e-9)
        rates = {
            "steps_per_second": self._steps / seconds,
            "tokens_per_second": self._tokens / seconds,
        }
        self._steps, self._tokens, self._seconds = 0, 0, 0.0
        return rates


def format_value(value: float) -> str:
    """A number with three or four significant digits.

    >>> format_value(0.03456), format_value(12345.6), format_value(0.9)
    ('0.0346', '12,346', '0.900')
    """
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.1 or value == 0:
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:.3g}"
