"""Checkpoints: the latest and the best by validation, written while training goes on."""

import logging
import math
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jax

from seqmodels.errors import CheckpointError
from seqmodels.plain_names import PlainName
from seqmodels.training.checkpoint_files import (
    UNFINISHED,
    DamagedError,
    Writer,
    read_metrics,
    read_record,
    read_state,
    reason,
)
from seqmodels.training.keeping import Keeping
from seqmodels.training.processes import is_first, largest, others, wait_for_all

Which = Literal["latest", "best"] | int

DELETED = ".deleted"
"""What a folder's name ends in while it is deleted: at no moment is a part of it a checkpoint."""
_LEFT_OVER = re.compile(rf"\d+({re.escape(UNFINISHED)}.*|{re.escape(DELETED)})")


class Checkpoints:
    """The ``checkpoints/`` folder of a run, one numbered folder a step.

    Each step stands for itself: one that can't be read is said and passed over, costs no other,
    and stays where it is until the run comes to the same step again; what lay there then goes to
    ``damaged-checkpoints/``. Nothing but what was replaced by later and better ones is deleted.

    Args:
      folder: where they lie; made if missing, unless read_only.
      score: the validation metric that decides which is best.
      warn: called with one line where a checkpoint is not what was saved.
      read_only: for readers, which change nothing; a run may be writing meanwhile.
      saved: called with a step once it is known to be on the disk.
      keeping: which ones are kept, besides the best; the two latest if None.

    Raises:
      UserError: no checkpoint can be written there.
    """

    def __init__(
        self,
        folder: Path,
        score: str,
        higher_is_better: bool,
        warn: Callable[[str], None],
        read_only: bool = False,
        saved: Callable[[int], None] = lambda step: None,
        keeping: Keeping | None = None,
    ):
        self.folder = folder
        self._keeping = keeping or Keeping()
        self._warn = warn
        self._saved = saved
        self._sign = 1 if higher_is_better else -1
        self._score_name = score
        self._damaged: set[int] = set()
        self._without_score: set[int] = set()
        self._saving: int | None = None
        self._writer: Writer | None = None
        self._name: PlainName | None = None
        # Orbax logs each save and each damaged file; what matters of it is said by warn.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        if not read_only:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._delete_left_over()
            except OSError as error:
                raise CheckpointError(
                    f"{self.folder} can't be written ({error.strerror}); choose another folder"
                ) from None
            self._plain_folder()
            self._writer = Writer()

    def save(
        self,
        state: Any,
        step: int,
        metrics: dict[str, float] | None,
        unlogged: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    ) -> None:
        """Begins to write a step's state.

        Args:
          metrics: those of validation, if it was run.
          unlogged: sums and counts of training's metrics since they were last logged.

        Raises:
          CheckpointError: it can't be written, or the one before it couldn't.
        """
        assert self._writer is not None, "opened to be read only"
        self.wait()
        self._make_way(step)
        self._saving = step
        try:
            self._writer.save(self._plain_folder() / str(step), state, step, metrics, unlogged)
        except Exception as error:  # Orbax raises what its storage layers raise
            raise self._unwritten(error) from None

    def wait(self) -> None:
        """Returns when what was begun is on disk.

        Raises:
          CheckpointError: it couldn't be written.
        """
        if self._saving is None:
            return
        assert self._writer is not None
        try:
            self._writer.wait()
        except Exception as error:
            raise self._unwritten(error) from None
        step, self._saving = self._saving, None
        self._delete_replaced()
        self._saved(step)

    def close(self) -> None:
        """Waits and lets go of the folder; what couldn't be written is said."""
        try:
            self.wait()
        except CheckpointError as error:  # another error may be on its way already
            self._warn(str(error))
        if self._writer is not None:
            self._writer.close()

    def steps(self) -> list[int]:
        """The steps of all checkpoints but those found damaged, oldest first."""
        try:
            names = [path.name for path in self.folder.iterdir() if path.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise CheckpointError(f"{self.folder} can't be read: {error.strerror}") from None
        steps = {int(name) for name in names if re.fullmatch(r"0|[1-9][0-9]*", name)}
        return sorted(steps - self._damaged)

    def unlogged(self, step: int) -> Mapping[str, tuple[float, float]]:
        """What :meth:`save` was given with a step; nothing where an earlier version saved it."""
        try:
            record = read_record(self.folder / str(step), step)
        except DamagedError:
            record = None
        return {} if record is None else record.get("unlogged", {})

    def listing(self) -> str:
        return ", ".join(map(str, self.steps())) or "none"

    def best_step(self) -> int | None:
        """The step with the best validation score, the later one of equals; None without any."""
        while True:
            steps = self.steps()
            ranks = {step: self._rank(step) for step in steps}
            if self.steps() == steps:  # else a run that is going on has saved meanwhile
                ranked = [(rank, step) for step, rank in ranks.items() if rank is not None]
                return max(ranked)[1] if ranked else None

    def restore(
        self, which: Which, like: Any, parameters: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """The step and the state of a checkpoint; says so where it falls back to another.

        Args:
          which: "latest"; "best", for which the next best stands in where it is damaged; or a
            step, for which none does.
          like: the state's shapes, dtypes and shardings.
          parameters: what each of a model's parameters says of itself, so that those of an earlier
            version are read too.

        Raises:
          CheckpointError: there is none, or none that can be read.
        """
        wait_for_all("checkpoints are listed")  # what the first process deletes is gone
        passed_over = False
        while True:
            step = self._choose(which)
            state, checked, problem = None, False, None
            try:
                folder = self._plain_folder() / str(step)
                state, checked = read_state(folder, step, like, parameters)
            except DamagedError as error:
                problem = str(error)
            if largest(problem is not None):
                if not (self.folder / str(step)).exists():
                    continue  # a run that is going on has deleted it meanwhile
                self._damaged.add(step)
                self._warn(f"checkpoint {step} is damaged ({problem or 'for another process'})")
                passed_over = True
                continue
            if not checked:
                self._warn(f"checkpoint {step} carries no checksums, so damage would go unnoticed")
            if passed_over:
                self._warn(f"falling back to checkpoint {step}")
            return step, state

    def _choose(self, which: Which) -> int:
        steps = self.steps()
        if not steps and self._damaged:
            raise CheckpointError(
                f"none of the checkpoints in {self.folder} can be read; they are left as they are: "
                "put back a copy of one, or train anew in another folder"
            )
        if not steps:
            raise CheckpointError(f"{self.folder} holds no checkpoint; train first")
        if which == "latest":
            return steps[-1]
        wanted = self.best_step() if which == "best" else which
        if which == "best" and wanted is None and (self._damaged or self._without_score):
            return steps[-1]
        if wanted is None:
            raise CheckpointError(
                f"{self.folder} holds no checkpoint {which!r}: the run was stopped before its "
                f"first validation; take 'latest', which is step {steps[-1]}, or train on"
            )
        if wanted not in steps:
            have = self.listing()
            raise CheckpointError(f"{self.folder} holds no checkpoint {which!r}; it has {have}")
        return wanted

    def _rank(self, step: int) -> float | None:
        """A step's validation score, the higher the better; None where it has none."""
        folder = self.folder / str(step)
        try:
            metrics = read_metrics(folder, step)
            if metrics is None:
                return None
            if math.isnan(metrics.get(self._score_name, math.nan)):
                raise DamagedError(f"no {self._score_name} in its metrics")
            return self._sign * metrics[self._score_name]
        except DamagedError as error:
            # Without arrays it has been deleted meanwhile, or a kill came while it was.
            if (folder / "default").is_dir() and step not in self._without_score:
                self._without_score.add(step)
                self._warn(f"checkpoint {step} has lost its score ({error}): it can't be best")
            return None

    def _delete_replaced(self) -> None:
        """Deletes all but the latest, the best, and what may be the best."""
        steps = self.steps()
        keep = {self.best_step(), *self._without_score, *self._keeping.among(steps)}
        for step in set(steps) - keep:
            self._delete(step)

    def delete_after(self, step: int) -> None:
        """Deletes what was saved after a step, the latest first: whenever a kill comes, the run
        goes on from the latest that is left as it did the first time.

        Raises:
          CheckpointError: one of them can't be deleted, or the one before couldn't be written.
        """
        self.wait()
        for later in reversed([found for found in self.steps() if found > step]):
            self._without_score.discard(later)
            self._delete(later)
            if (self.folder / str(later)).exists() and is_first():
                raise CheckpointError(f"{self.folder / str(later)} can't be deleted")
        wait_for_all("checkpoints are deleted")

    def _delete(self, step: int) -> None:
        if is_first():
            deleted = self.folder / f"{step}{DELETED}"
            with suppress(OSError):
                shutil.rmtree(deleted, ignore_errors=True)
                (self.folder / str(step)).rename(deleted)
                shutil.rmtree(deleted, ignore_errors=True)

    def _delete_left_over(self) -> None:
        """Deletes what a kill has left of a save or a deletion."""
        if is_first():
            for path in self.folder.iterdir():
                if _LEFT_OVER.fullmatch(path.name):
                    shutil.rmtree(path, ignore_errors=True)

    def _make_way(self, step: int) -> None:
        """Sets the damaged checkpoint of a step aside, which is to be written again."""
        if step not in self._damaged:
            return
        self._damaged.remove(step)
        self._without_score.discard(step)
        if is_first():
            aside = self.folder.with_name("damaged-checkpoints")
            aside.mkdir(exist_ok=True)
            shutil.rmtree(aside / str(step), ignore_errors=True)
            (self.folder / str(step)).rename(aside / str(step))

    def _unwritten(self, error: Exception) -> CheckpointError:
        step, self._saving = self._saving, None
        why, command = reason(error), "the same command"
        if jax.process_count() > 1:  # they save together
            why, command = f"{why}; {others()} may have ended", f"{command} in every process"
        return CheckpointError(
            f"checkpoint {step} can't be written to {self.folder} ({why}); saved there: "
            f"{self.listing()}. Once that is mended, {command} continues"
        )

    def _plain_folder(self) -> Path:
        if self._name is None:
            self._name = PlainName(self.folder)
        return self._name.path
