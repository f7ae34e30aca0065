"""What a run does where its loss diverges: it stops, leaves an update out, or goes back.

All that it decides follows from the step and from what checkpoints hold, so that a run that is
killed and continued comes to the same steps, leaves out the same updates and goes back as often.
"""

import math
from collections.abc import Callable
from typing import NoReturn

import jax
import numpy as np

from seqmodels.errors import DivergedError
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.experiment import TrainSettings
from seqmodels.training.guard import DIVERGED
from seqmodels.training.metrics import MetricWriter, Sums
from seqmodels.training.step import GuardedState, RunState


class WentBackError(Exception):
    """The run is to go on from an earlier step with other data; the message says why."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step
        """That it goes on from; 0 is its beginning."""


class Divergence:
    """Judges each step by its report, and does what the settings say.

    Args:
      settings: ``on_divergence`` and what goes with it.
      checkpoints: the run's.
      say: is called with a line for each update that is left out.
    """

    def __init__(
        self, settings: TrainSettings, checkpoints: Checkpoints, say: Callable[[str], None]
    ):
        self._settings = settings
        self._checkpoints = checkpoints
        self._say = say
        self.reversals = 0
        """How often the run has gone back."""
        self.skipped = 0
        """Updates that were left out."""
        self._reversal: dict[str, float] | None = None
        """What is to be noted of the last one."""

    def begin(self, state: RunState) -> RunState:
        """A state that is gone on from, with the reversals that came after it was saved."""
        if not isinstance(state, GuardedState):
            return state
        saved = int(state.guard.reversals)
        self.skipped, self.reversals = int(state.guard.skipped), max(self.reversals, saved)
        if self.reversals == saved:
            return state
        count = jax.device_put(np.int32(self.reversals), state.step.sharding)
        return state._replace(guard=state.guard._replace(reversals=count))

    def note(self, step: int, writer: MetricWriter) -> None:
        """Writes that the run has just gone back to a step, if it has."""
        noted, self._reversal = self._reversal, None
        if noted is not None:
            writer.write(step, f"reversal {self.reversals}", noted)

    def counts(self, step: int, metrics: Sums, writer: MetricWriter) -> bool:
        """Whether a step's metrics count; it takes the verdict out of them.

        Raises:
          DivergedError: it diverged, and the run is to stop, or has gone on too often.
          WentBackError: it diverged, and the run is to go back.
        """
        (loss, count), (norm, _) = metrics["loss"], metrics["gradient_norm"]
        verdict = metrics.pop(DIVERGED, None)
        if verdict is None:
            self.require_finite(step, "loss", loss, writer)
            self.require_finite(step, "gradient's norm", norm, writer)
            return True
        if verdict[0] == 0:
            return True
        mean = loss / count if count else math.nan
        if not math.isfinite(mean):
            why = f"the loss is {mean} at step {step}"
        elif not math.isfinite(norm):
            why = f"the gradient's norm is {norm} at step {step}"
        else:
            of, last = self._settings.spike, self._settings.spike_losses
            why = f"the loss is {mean:.4g} at step {step}, above {of:g} times the median of {last}"
        self._act(step, why, {"loss": mean, "gradient_norm": norm}, writer)
        return False

    def require_finite(self, step: int, name: str, value: float, writer: MetricWriter) -> None:
        """For what the step itself can't leave out, such as the loss on validation.

        Raises:
          DivergedError, WentBackError: it is infinite or no number.
        """
        if math.isfinite(value):
            return
        why = f"the {name} is {value} at step {step}"
        if self._settings.on_divergence == "back":
            self._act(step, why, {name.replace(" ", "_"): value}, writer)
        self._stop(step, why, {}, writer)

    def _act(self, step: int, why: str, values: dict[str, float], writer: MetricWriter) -> None:
        does, most = self._settings.on_divergence, self._settings.most_divergences
        done = self.skipped if does == "skip" else self.reversals
        if does == "stop" or most is None:
            self._stop(step, why, values, writer)
        if done == most:
            why += f", after train.most_divergences={most} others"
            self._stop(step, why, values, writer)
        number = f"({done + 1} of at most {most})"
        if does == "skip":
            self.skipped += 1
            writer.write(step, "skipped", values)
            self._say(f"{why}: its update is skipped {number}")
            return
        self.reversals += 1
        to = earlier(step, self._settings.evaluate_every, self._settings.back or 1)
        where = f"to step {to}" if to else "to the beginning"
        self._reversal = {"reversals": float(self.reversals), "from_step": float(step)} | values
        raise WentBackError(f"{why}: back {where}, with other data {number}", to)

    def _stop(
        self, step: int, why: str, values: dict[str, float], writer: MetricWriter
    ) -> NoReturn:
        writer.write(step, "diverged", values)
        self._checkpoints.wait()
        good = self._checkpoints.steps()
        where = f"the last good checkpoint is step {good[-1]}" if good else "none was saved"
        raise DivergedError(
            f"{why}; {where} ({self._checkpoints.folder}). "
            "Try a lower optimizer.learning_rate, a longer warm-up or a lower clip_norm"
        )


def earlier(step: int, every: int, back: int) -> int:
    """The step of the checkpoint before a step, of those that each so many have; or of one before.

    It doesn't ask what lies there: a run that was stopped in between has saved others too.

    >>> [earlier(step, 10, 2) for step in (5, 20, 21, 35)]
    [0, 0, 10, 20]
    """
    return max(0, ((step - 1) // every - back + 1) * every)
