"""A sweep's folder deals out its runs: to each worker one that has not ended and that nobody holds.

The folder is all that workers share, here and on other machines, and all that a sweep knows: how
far a run is stands in its ``trial.json``; whoever runs it holds the lock beside it, which a crash
lets go of. Runs of a grid are known in advance; in stages it follows from what has ended which are
due; a search proposes the next setting when those that it has proposed are taken.
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seqmodels.sweeps.files import known_runs
from seqmodels.sweeps.groups import Group, Run, setting_text, settings_to_try
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.stages import Outcome, due
from seqmodels.sweeps.trials import ENDED, State, Trial, folder_lock


class Taken(NamedTuple):
    """A run that nobody else begins until its lock is closed."""

    group: Group
    run: Run
    trial: Trial
    lock: int
    """The descriptor, to be closed by whoever took it."""


class Storage:
    """The runs of a sweep, as they stand in its folder."""

    def __init__(self, orders: Orders):
        self._orders = orders
        self._curves: dict[str, dict[int, float]] = {}

    def runs(self) -> list[Run]:
        """The runs that there are by now."""
        return [run for _, runs in self._groups() for run in runs]

    def enter(self) -> list[str]:
        """Makes the folders of the runs that there are, as a start of the sweep does.

        What has failed is tried again, but for what has diverged. Returns what is wrong with files,
        a line each.
        """
        wrong = []
        for run in self.runs():
            trial = self._trial(run)
            with trial.locked() as lock:
                if lock is not None:  # else it is being run
                    wrong += trial.enter(run, self._orders.score)
        return wrong

    def take(self) -> Taken | None:
        """Holds the next run, of the group in which the least has been begun.

        None where all have ended or are held.
        """
        standing = [(group, self._states(runs)) for group, runs in self._groups()]

        def begun(of: tuple[Group, list[tuple[Run, State]]]) -> int:
            return sum(state != "waiting" for _, state in of[1])

        for group, states in sorted(standing, key=begun):
            open_runs = (run for run, state in states if state not in ENDED)
            for run in self._and_proposed(group, open_runs):
                trial = self._trial(run)
                lock = trial.take()
                if lock is None:
                    continue
                if trial.state() not in ENDED:  # whoever held it until now may have ended it
                    return Taken(group, run, trial, lock)
                os.close(lock)
        return None

    def is_done(self) -> bool:
        """Whether all runs have ended."""
        return all(state in ENDED for _, state in self._states(self.runs()))

    def finished_curves(self, group: Group) -> list[dict[int, float]]:
        """Of each finished run of a group the validations, by step."""
        found = []
        for run, state in self._states(self._of(group, self._known())):
            if state == "finished":
                if run.name not in self._curves:
                    self._curves[run.name] = self._trial(run).validations(self._orders.score)
                found.append(self._curves[run.name])
        return found

    def _groups(self) -> list[tuple[Group, list[Run]]]:
        known = self._known()
        return [(group, self._of(group, known)) for group in self._orders.groups]

    def _known(self) -> list[Run]:
        """The runs of a search."""
        return [] if self._orders.trials is None else known_runs(self._orders.folder)

    def _of(self, group: Group, known: list[Run]) -> list[Run]:
        """The runs of a group that there are by now, in the order in which they are begun.

        Of a search these are the known ones and those of the same settings with the other seeds: a
        worker may have been killed between the first one and the others.
        """
        if self._orders.search == "grid":
            return group.every()
        if self._orders.search == "stages":
            return due(group, self._outcome, self._orders.higher_is_better)
        own = [run for run in known if run.arguments == group.arguments]
        return list({other.name: other for run in own for other in group.beside(run)}.values())

    def _trial(self, run: Run) -> Trial:
        return Trial(self._orders.folder, run.name)

    def _states(self, runs: Iterable[Run]) -> list[tuple[Run, State]]:
        return [(run, self._trial(run).state()) for run in runs]

    def _and_proposed(self, group: Group, runs: Iterable[Run]) -> Iterator[Run]:
        """Some runs of a group, then those that a search proposes as they are asked for."""
        yield from runs
        while self._orders.trials is not None and (run := self._propose(group)) is not None:
            yield run

    def _propose(self, group: Group) -> Run | None:
        """The first run of a new setting; None where as many as are wanted have been proposed."""
        # Optuna takes a second to import, and a grid needs none of it.
        from seqmodels.sweeps.search import Tried, propose

        orders = self._orders
        assert orders.trials is not None
        with folder_lock(orders.folder):  # else two workers might propose the last one
            runs = self._of(group, self._known())
            settings = {setting_text(group.values_of(run)) for run in runs}
            if len(settings) >= settings_to_try(group, orders.trials):
                return None
            tried = [Tried(run, *self._told(run)) for run in runs]
            run = propose(group, tried, orders.search, orders.higher_is_better)
            self._trial(run).prepare(run)
        return run

    def _told(self, run: Run) -> tuple[float | None, dict[int, float]]:
        """The score of a run that has finished, and the validations of one that was pruned."""
        state, value = self._outcome(run)
        return value, self._trial(run).validations(self._orders.score) if state == "pruned" else {}

    def _outcome(self, run: Run) -> Outcome:
        results, state = self._trial(run).outcome(self._orders.score)
        value = None if results is None else float(results["validation"][self._orders.score])
        return state, value
