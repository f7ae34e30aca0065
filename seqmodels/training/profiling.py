"""A trace of some training steps, to see where their time goes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from seqmodels.output import decoration
from seqmodels.training.batches import Batches

WARM_UP = 2
"""Steps of a process that are left out: the first ones fill caches."""


class StepTrace:
    """Records so many steps with ``jax.profiler``, once, soon after the start.

    Args:
      first: the step that this process starts with.
      steps: how many steps to record; 0 for none.
      end: the run's last step, where a recording ends at the latest.
      batches: what the steps take; the user is told which of the two waited for the other.
      warn: is told why nothing is recorded, though it was asked for.
    """

    def __init__(
        self,
        folder: Path,
        first: int,
        steps: int,
        end: int,
        batches: Batches,
        warn: Callable[[str], None],
    ):
        self.folder = folder
        self.batches = batches
        self._warn = warn
        self.first = first + WARM_UP
        self.last = min(self.first + steps, end)
        self.recording = False
        if steps and self.first >= end:
            warn(
                f"profile={steps} traces nothing: the first {WARM_UP} steps of a process are "
                f"left out, and this one has {end - first} to do; train for more steps, or anew "
                "in another folder"
            )

    def before(self, step: int) -> None:
        """To be called before a step is dispatched, with the steps done so far."""
        if step == self.first < self.last:
            with decoration("no steps are traced", self._warn):
                jax.profiler.start_trace(self.folder, create_perfetto_trace=True)
                self.recording = True
                self.began, self.waited = time.monotonic(), self.batches.waited

    def after(self, step: int, result: Any) -> str | None:
        """To be called with the steps done so far; what to tell the user, if anything."""
        if not (self.recording and step == self.last):
            return None
        jax.block_until_ready(result)
        seconds, waited = time.monotonic() - self.began, self.batches.waited - self.waited
        who = "the batches waited for the steps"
        if waited:
            threads = f"{self.batches.workers} thread{'s' * (self.batches.workers != 1)}"
            who = f"the steps waited {waited:.2f} s for batches, which {threads} made"
        self.recording = False
        with decoration("the trace can't be written", self._warn):
            jax.profiler.stop_trace()
            traces = self.folder.rglob("perfetto_trace.json.gz")
            trace = max(traces, key=lambda file: file.stat().st_mtime)
            return (
                f"steps {self.first + 1} to {self.last} are traced: of {seconds:.2f} s {who}; open "
                f"{trace} at https://ui.perfetto.dev, or the folder with tensorboard and its "
                "profile plugin"
            )
        return None

    def close(self) -> None:
        """Ends a recording that the run did not last for."""
        if self.recording:
            self.recording = False
            with decoration("the trace can't be written", self._warn):
                jax.profiler.stop_trace()
