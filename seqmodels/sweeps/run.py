"""A sweep: its runs are planned, dealt out to workers, watched and summarised."""

import time
from pathlib import Path
from typing import NamedTuple

from seqmodels.command import command
from seqmodels.errors import UserError
from seqmodels.output import warn
from seqmodels.paths import local_path
from seqmodels.sweeps.cards import leave_cards, share_of, visible_cards
from seqmodels.sweeps.display import SweepDisplay, print_plan
from seqmodels.sweeps.files import add_points, read_sweep
from seqmodels.sweeps.groups import Overrides, bare
from seqmodels.sweeps.local_workers import LocalWorkers
from seqmodels.sweeps.matching import read_match
from seqmodels.sweeps.orders import Orders
from seqmodels.sweeps.pace import rest
from seqmodels.sweeps.plan import Plan, make_plan
from seqmodels.sweeps.plan_file import (
    first_widths,
    found_before,
    has_bare_names,
    require_sweep_folder,
    store_plan,
)
from seqmodels.sweeps.slurm import SlurmJobs, require_slurm
from seqmodels.sweeps.storage import Storage
from seqmodels.sweeps.summary import write_summary
from seqmodels.sweeps.trials import folder_lock
from seqmodels.training.interruption import Interruption, RunInterruptedError
from seqmodels.training.loggers import require_loggers
from seqmodels.training.workdir import require_utf8


class SweepOptions(NamedTuple):
    """How a sweep is run; the flags of ``seqmodels sweep``."""

    workers: int
    search: str | None = None
    trials: int | None = None
    prune: bool = False
    match: str | None = None
    target: str | float | None = None
    dry_run: bool = False
    slurm: str | None = None
    log: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    """Repeats the run of the config with each, in place of its ``sweep()``."""


def run_sweep(
    spec: str, overrides: Overrides, workdir: str, train: Path | None, options: SweepOptions
) -> None:
    """Runs what ``sweep()`` of a config file returns, each point as a process in its own folder.

    The same command again goes on: what has finished is never run again, points that have been
    added are. On another machine that reaches the folder it adds workers. The arguments in ``spec``
    and the overrides hold for all points; ``train`` is the script that trains one, and None the
    command ``seqmodels train``.

    Raises:
      UserError: a point that can't be run, a folder that holds something else, or an interruption,
        each in one line.
    """
    require_loggers(options.log)
    match = read_match(options.match, options.target)
    leave_cards()
    require_utf8(spec, "config")
    stored, widths = None, {}
    folder = local_path(workdir, "workdir=").absolute()
    if not options.dry_run:
        require_utf8(workdir)
        require_sweep_folder(folder)
        stored = read_sweep(folder)
        widths = first_widths(stored)
    how = (options.search, options.trials, widths, options.seeds, found_before(stored))
    plan = make_plan(spec, overrides, match, *how)
    if has_bare_names(stored):
        groups = [group._replace(bare_names=True) for group in plan.groups]
        plan = plan._replace(groups=groups, runs=[bare(run) for run in plan.runs])
    if options.dry_run:
        print_plan(plan)
        return
    if options.slurm is not None:
        require_slurm(options.slurm)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"workdir={workdir} can't be made ({error.strerror}); choose another folder"
        ) from None
    with Interruption() as interruption:
        with folder_lock(folder):
            store_plan(plan, folder, widths)
        if widths:
            shown = ", ".join(f"{group}: {width}" for group, width in widths.items())
            print(
                f"{folder} was begun when the first setting of a group was matched, and goes on "
                f"with those widths for all its settings ({shown}); a new folder matches each"
            )
        _Sweep(plan, folder, train, options, interruption).run()


def _devices(options: SweepOptions) -> int | None:
    """How many devices each of several workers' runs takes; None of one worker, which has all."""
    if options.workers == 1:
        return None
    cards = visible_cards() if options.slurm is None else []
    each = len(share_of(cards, 0, options.workers))
    if idle := max(0, len(cards) - each * options.workers):
        warn(
            f"workers={options.workers} take {each} of the {len(cards)} cards each, and {idle} "
            f"{'is' if idle == 1 else 'are'} left; take a number of workers that divides them"
        )
    return max(1, each)


class _Sweep:
    """One machine's part of a sweep."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        train: Path | None,
        options: SweepOptions,
        interruption: Interruption,
    ):
        self.plan = plan
        self.folder = folder
        self.options = options
        self.interruption = interruption
        self.orders = Orders(
            folder=folder,
            config=plan.config.partition(":")[0],
            groups=plan.groups,
            search=plan.search,
            trials=plan.trials,
            prune=options.prune,
            score=plan.score,
            higher_is_better=plan.higher_is_better,
            train=None if train is None else train.absolute(),
            devices=_devices(options),
            sharing=options.workers if options.slurm is None else 1,
            cores=None,
            parent=None,
            log=options.log,
        )
        self.storage = Storage(self.orders)

    def run(self) -> None:
        """Runs to the end, or to an interruption."""
        with folder_lock(self.folder):
            for line in self.storage.enter():
                warn(line)
        search, trials = self.plan.search, self.plan.trials
        expected = {group.text: group.expected(search, trials) for group in self.plan.groups}
        score, higher = self.plan.score, self.plan.higher_is_better
        display = SweepDisplay(self.folder, score, higher, expected)
        display.update(self._names())
        write_summary(self.folder)
        print(f"{display.count('finished')} of {display.total} runs are finished", flush=True)
        crew: LocalWorkers | SlurmJobs
        if self.options.slurm is None:
            crew = LocalWorkers(self.orders, self.options.workers)
        else:
            crew = SlurmJobs(self.orders, self.options.workers, self.options.slurm)
        try:
            with display:
                self._watch(crew, display)
        finally:
            crew.stop()
            display.update(self._names())
            write_summary(self.folder)
        finished = f"{display.count('finished')} of {display.total} runs finished"
        if self.interruption.signal is not None:
            raise RunInterruptedError(
                f"stopped with {finished}, the others saved; go on with: "
                f"{command() or 'the same call'}",
                self.interruption.signal,
            )
        print(
            f"{finished}, {display.count('failed')} failed, {display.count('pruned')} pruned; "
            f"compared in {self.folder / 'summary.csv'}"
        )

    def _watch(self, crew: LocalWorkers | SlurmJobs, display: SweepDisplay) -> None:
        """Looks after the workers until nothing is left to do."""
        crew.start()

        def is_over() -> bool:
            return not crew.look() or self.interruption.signal is not None

        while not is_over():
            begun = time.process_time()
            if display.update(self._names()):
                write_summary(self.folder)
            rest(time.process_time() - begun, is_over)

    def _names(self) -> list[str]:
        """The runs that there are by now; those that were not known in advance become points."""
        runs = self.storage.runs()
        if self.plan.search != "grid":
            with folder_lock(self.folder):
                add_points(self.folder, runs)
        return [run.name for run in runs]
