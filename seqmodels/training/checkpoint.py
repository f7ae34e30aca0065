"""Checkpoints: the two latest and the best by validation, written while training goes on."""

import gc
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp

from seqmodels.errors import CheckpointError
from seqmodels.training.processes import is_first, wait_for_all

Which = Literal["latest", "best"] | int


class Checkpoints:
    """The ``checkpoints/`` folder of a run, one numbered folder a step.

    Args:
      folder: where they lie; made if missing, unless read_only.
      score: the validation metric that decides which is best.
      higher_is_better: which way.
      warn: called with one line where a damaged checkpoint is passed over.
      read_only: for readers, which leave even damaged ones where they are.
    """

    def __init__(
        self,
        folder: Path,
        score: str,
        higher_is_better: bool,
        warn: Callable[[str], None],
        read_only: bool = False,
    ):
        self.folder = folder.absolute()
        self._warn = warn
        self._read_only = read_only
        self._sign = 1 if higher_is_better else -1
        self._score = score
        policies = ocp.checkpoint_managers
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(n=2),  # two, so that a damaged one leaves a good one
                policies.BestN(
                    get_metric_fn=self._rank, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        # Orbax logs each save and each damaged file; what matters of it is said by warn.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._manager = _Manager(
            self.folder,
            warn,
            ocp.CheckpointManagerOptions(
                preservation_policy=keep,
                best_fn=self._rank,  # without it Orbax does not write the metrics down
                enable_async_checkpointing=not read_only,
                read_only=read_only,
                create=not read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )

    def _rank(self, metrics: Any) -> float:
        return self._sign * metrics[self._score]

    def save(self, state: Any, step: int, metrics: dict[str, float] | None) -> None:
        """Begins to write a step's state; the metrics are those of validation, if it was run."""
        self._manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics)

    def wait(self) -> None:
        """Returns when what was begun is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits and lets go of the folder."""
        self._manager.close()

    def steps(self) -> list[int]:
        """The steps of all checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the best validation score, the later one of equals; None without any."""
        return self._manager.best_step()

    def restore(self, which: Which, like: Any) -> tuple[int, Any]:
        """Reads a checkpoint, and says so where it has to fall back to an older one.

        Args:
          which: "latest", "best", or a step.
          like: the state's shapes, dtypes and shardings.

        Returns:
          The step, and the state.

        Raises:
          CheckpointError: there is none, or none that can be read.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.folder} holds no checkpoint; train first")
        wanted = {"latest": steps[-1], "best": self.best_step()}.get(which, which)  # type: ignore[arg-type]
        if wanted not in steps:
            have = ", ".join(map(str, steps))
            raise CheckpointError(f"{self.folder} holds no checkpoint {which!r}; it has {have}")
        older_first = [s for s in steps if s < wanted]
        newer = [s for s in steps if s > wanted] if which != "latest" else []
        with _quiet_abandoned_reads():
            for step in [wanted, *reversed(older_first), *newer]:
                try:
                    state = self._manager.restore(step, args=ocp.args.StandardRestore(like))
                except Exception as error:  # Orbax raises what its storage layers raise
                    self._set_aside(step, error)
                    continue
                if step != wanted:
                    self._warn(f"falling back to checkpoint {step}")
                return step, state
        raise CheckpointError(f"none of the checkpoints in {self.folder} can be read")

    def _set_aside(self, step: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
        self._warn(f"checkpoint {step} is damaged ({reason})")
        if self._read_only:
            return
        # Out of the way, so that the resumed run can write this step again; not deleted.
        aside = self.folder.with_name("damaged-checkpoints")
        if is_first():
            aside.mkdir(exist_ok=True)
            shutil.rmtree(aside / str(step), ignore_errors=True)
            (self.folder / str(step)).rename(aside / str(step))
        wait_for_all(f"checkpoint {step} is set aside")
        self._manager.reload()


@contextmanager
def _quiet_abandoned_reads() -> Iterator[None]:
    """Where Orbax can't read one array it abandons the others, and each prints a traceback."""
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        gc.collect()  # they complain when they are collected: now
        logger.setLevel(level)
        sys.unraisablehook = hook if isinstance(hook, _DropLateReads) else _DropLateReads(hook)


class _DropLateReads:
    """An unraisable hook: an abandoned read may end long after the restore that began it.

    It then finds Orbax's event loop closed, and Python would print its traceback though
    nobody waits for it. All else goes to the hook that was there before.
    """

    def __init__(self, earlier: Callable[[Any], object]):
        self._earlier = earlier

    def __call__(self, unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._earlier(unraisable)


class _Manager(ocp.CheckpointManager):
    """Orbax's, but a checkpoint whose metrics are damaged counts as one without a score."""

    def __init__(
        self, folder: Path, warn: Callable[[str], None], options: ocp.CheckpointManagerOptions
    ):
        self._say = warn
        super().__init__(folder, options=options)

    def metrics(self, step: int) -> Any:
        try:
            return super().metrics(step)
        except ValueError:  # Orbax reads all metrics at the start, and would stop there
            self._say(f"checkpoint {step} has lost its score (damaged metrics): it can't be best")
            return None


def abstract_state(state_function: Callable[[], Any], sharding: jax.sharding.Sharding) -> Any:
    """The shapes, dtypes and shardings of what a function would return."""
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding),
        jax.eval_shape(state_function),
    )
