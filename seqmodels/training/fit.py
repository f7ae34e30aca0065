"""The training loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from seqmodels.command import command
from seqmodels.config import Origin, Section
from seqmodels.errors import UserError
from seqmodels.model import count_parameters
from seqmodels.output import decoration
from seqmodels.tasks.chance import levels
from seqmodels.tasks.lengths import StepBatch
from seqmodels.training.batches import Batches
from seqmodels.training.beginning import begin, begin_events
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.decisions import decided, devices_before, with_its_steps
from seqmodels.training.devices import require_forms, run_mesh
from seqmodels.training.divergence import Divergence, WentBackError
from seqmodels.training.early import EarlyEnd
from seqmodels.training.endings import ending, whereabouts
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.facts import keep_facts
from seqmodels.training.finishing import leave_results
from seqmodels.training.interruption import Interruption, RunInterruptedError
from seqmodels.training.loggers import require_loggers
from seqmodels.training.metrics import read_events
from seqmodels.training.moments import Moment, Observer
from seqmodels.training.processes import is_first, say, warn
from seqmodels.training.profiling import StepTrace
from seqmodels.training.programs import Programs, abstract_state, step_batch
from seqmodels.training.progress import Pace, ProgressDisplay, format_value
from seqmodels.training.run_cost import run_cost
from seqmodels.training.saving import SaveTimer
from seqmodels.training.scores import evaluate
from seqmodels.training.start_from import Start, read_start
from seqmodels.training.startup import overlooked_card, start_jax
from seqmodels.training.step import RunState, StepReport, evaluated, jit_evaluation_step
from seqmodels.training.watchdog import PAUSE, STEP, Watchdog
from seqmodels.training.workdir import Workdir


def fit(
    config: Section,
    workdir: str | Path,
    *,
    profile_steps: int = 0,
    devices: int | None = None,
    observers: Sequence[Observer] = (),
    origin: Origin | None = None,
    sharing: int = 1,
    log: Sequence[str] = (),
) -> dict[str, Any]:
    """Trains a config's model in a folder, or continues where the folder's run stopped.

    The loop dispatches step k, takes batch k + 1, which a thread has prepared while the
    device works, and only then reads the metrics of step k - 1, so that it never waits for
    the device with nothing queued. All that decides the run follows from the config and the step:
    on the same number of devices an interrupted and continued run ends with bitwise the
    same parameters. Several processes (:mod:`seqmodels.training.processes`) all call this; their
    devices share each batch, of which each makes or reads its own rows. A run may be continued
    by another number of processes: the batches stay the same.

    Args:
      profile_steps: how many steps to trace, into ``profile`` in that folder.
      devices: how many devices there are for the config's mesh; chosen by :func:`run_mesh` if
        None, or those that the run chose as it began.
      observers: are told of each moment of the run (:mod:`seqmodels.training.moments`).
      origin: where the config came from, to be noted.
      sharing: how many runs share the machine, to be noted with what this one cost.
      log: where its events go besides its folder, by keys of
        :data:`~seqmodels.training.loggers.LOGGERS`.

    Returns:
      The content of ``results.json``: the checkpoint that validates best, scored on
      validation and test.

    Raises:
      UserError: a config or folder that can't be used, a loss that is not finite, or
        an interruption, each in one line that says what to do.
    """
    start_jax()
    if jax.config.jax_disable_jit:
        raise UserError("JAX_DISABLE_JIT is set, and a run is compiled before it begins; unset it")
    require_loggers(log)
    with ending():
        run = Workdir(workdir)
        located: Any = run.located(config)
        experiment = build_experiment(located)
        mesh = run_mesh(experiment, devices, devices_before(run))
        require_forms(located.model, experiment, mesh)
        with run.held():
            start = read_start(experiment, run, mesh)
            experiment = with_its_steps(experiment, located, run, mesh)
            run.open_for(config, decided(experiment, mesh))
            results = run.scored(experiment.task.spec.score)
            if results is not None:
                finished = f"{run.path} is finished (results.json)"
                say(f"{finished}; choose another folder to train again")
                return results
            keep_facts(experiment, run, origin, start and start.record)
            with Interruption() as interruption:
                how = profile_steps, observers, sharing, log, start
                return _Run(experiment, run, mesh, interruption, *how).run()


class _Run:
    """One process's part of a run: set up, loop, finish."""

    def __init__(
        self,
        experiment: Experiment,
        workdir: Workdir,
        mesh: jax.sharding.Mesh,
        interruption: Interruption,
        profile_steps: int,
        observers: Sequence[Observer],
        sharing: int,
        log: Sequence[str],
        start: Start | None,
    ):
        self.start = start
        self.sharing = sharing
        self.log = log
        self.experiment = experiment
        self.workdir = workdir
        self.mesh = mesh
        self.interruption = interruption
        self.profile_steps = profile_steps
        self.observers = observers
        self.step = 0
        spec = experiment.task.spec
        self.score = spec.score
        self.levels = levels(experiment.task, "test", experiment.train.length)
        self.checkpoints = Checkpoints(
            workdir.checkpoints,
            spec.score,
            spec.higher_is_better,
            warn,
            saved=lambda step: self._tell("save ended", step),
            keeping=experiment.train.keeping,
        )
        self.divergence = Divergence(
            experiment.train, self.checkpoints, lambda line: self.display.line(line)
        )
        self.watchdog = Watchdog(experiment.train.watchdog_seconds)
        self.evaluation_step = jit_evaluation_step(experiment.model, experiment.task, self.mesh)
        self.programs = Programs(experiment, mesh)
        self.pending: tuple[int, StepReport] | None = None
        self.waited = 0.0
        """For batches, by the last line of metrics."""

    def _tell(self, moment: Moment, step: int) -> None:
        for observer in self.observers:
            observer(moment, step)

    def run(self) -> dict[str, Any]:
        try:
            with ending(lambda: whereabouts(self.step, self.checkpoints)), self.watchdog:
                while True:
                    try:
                        return self._train()
                    except WentBackError as back:
                        say(str(back))
                        self.checkpoints.delete_after(back.step)
                        if not self.checkpoints.steps():
                            self.start = read_start(self.experiment, self.workdir, self.mesh)
        finally:
            self.checkpoints.close()
            self._tell("exit", self.step)

    def _train(self) -> dict[str, Any]:
        self.watchdog.does(PAUSE, self.step)
        of = self.experiment, self.workdir, self.mesh, self.checkpoints
        self.step, state, self.mean = begin(*of, self.start)
        state, self.pending, self.waited = self.divergence.begin(state), None, 0.0
        events = read_events(self.workdir.metrics)
        before = (event for event in events if event["step"] <= self.step)
        train, higher = self.experiment.train, self.experiment.task.spec.higher_is_better
        self.early = EarlyEnd(train.stop_at, train.patience, higher)
        self.ended = self.early.after_all(before, self.score)
        end = train.steps if self.ended is None else self.step
        with Batches(self._prepare, range(self.step, end)) as self.batches:
            first = self._next_batch()
            self.watchdog.does(PAUSE, self.step)
            if first is not None and first.bucket not in self.programs:
                if card := overlooked_card():
                    warn(card)
                with decoration("what a step costs can't be told", warn):
                    say(self.programs.describe())
                say(self._compile(state, first))
            self.writer = begin_events(self.workdir, self.step, self.log, self.divergence)
            folder = self.workdir.path / "profile"
            profile_steps = self.profile_steps if is_first() else 0
            self.trace = StepTrace(folder, self.step, profile_steps, end, self.batches, warn)
            try:
                with ProgressDisplay(self.step, end) as self.display:
                    self._loop(state, first)
                return self._finish()
            finally:
                self.trace.close()
                self.writer.close()

    def _prepare(self, step: int) -> StepBatch:
        made = step_batch(self.experiment, self.mesh, step, self.divergence.reversals)
        self._tell("batch drawn", step + 1)
        return made

    def _next_batch(self) -> StepBatch | None:
        self.watchdog.does("the batch of step", self.step + 1)
        with jax.profiler.TraceAnnotation("wait for the batch"):
            batch = self.batches.next()
        self.watchdog.does(STEP, self.step)
        return batch

    def _compile(self, state: RunState, of: StepBatch) -> str:
        said = self.programs.compile(state, of)
        self.workdir.note_forms(self.programs.forms)
        return said

    def _loop(self, state: RunState, prepared: StepBatch | None) -> None:
        settings = self.experiment.train
        self.pace, self.saves = Pace(), SaveTimer(settings.save_every_seconds)
        while prepared is not None:
            if prepared.bucket not in self.programs:
                with self.pace.paused(), self.watchdog.paused():
                    self.display.line(self._compile(state, prepared))
            self.trace.before(self.step)
            state, report = self.programs[prepared.bucket](state, prepared.batch)
            self.step += 1
            self._tell("step done", self.step)
            self.pace.add(settings.batch_size * prepared.length)
            prepared = self._next_batch()
            self._read_pending()
            self.pending = (self.step, report)
            if message := self.trace.after(self.step, report):
                self.display.line(message)
            self.display.advance(self.step)
            last = prepared is None
            log = last or self.step % settings.log_every == 0
            validate = last or self.step % settings.evaluate_every == 0
            # Several processes ask one another, which waits for the device: not at each step.
            asks = log or jax.process_count() == 1
            stop = self.interruption.agreed() if asks else None
            save = asks and self.saves.due()
            if log or validate or stop or save:
                self._read_pending()
                with self.pace.paused(), self.watchdog.paused():
                    if log:
                        self._log()
                    if validate:
                        self._validate_and_save(state, log)
                    elif stop or save:
                        self._save(state, None)
                    if stop and not last and self.ended is None:
                        self._stop(stop)
            if self.ended is not None:
                return

    def _read_pending(self) -> None:
        """Waits for the last dispatched step but one, and sees whether it has diverged."""
        if self.pending is None:
            return
        (step, report), self.pending = self.pending, None
        metrics = report.read()
        if self.divergence.counts(step, metrics, self.writer):
            self.mean.add(metrics)

    def _log(self) -> None:
        settings = self.experiment.train
        means, rates = self.mean.result(), self.pace.rates()
        if not means:  # every step since the last line was skipped, which is said
            return
        updates = self.step - self.divergence.skipped
        learning_rate = float(self.experiment.optimizer.learning_rate(updates - 1))
        self.writer.write(self.step, "train", {**means, "learning_rate": learning_rate, **rates})
        shown = {"loss": means["loss"], self.score: means[self.score]}
        shown |= {"steps/s": rates["steps_per_second"], "tokens/s": rates["tokens_per_second"]}
        if waited := self.batches.waited - self.waited:
            shown |= {"s waiting for batches": waited}
            self.waited = self.batches.waited
        seconds_left = (settings.steps - self.step) / rates["steps_per_second"]
        self.display.metrics(self.step, shown, seconds_left)

    def _evaluate(self, state: RunState, split: Any) -> dict[str, float]:
        params = evaluated(self.experiment.optimizer, state)
        task, size = self.experiment.task, self.experiment.train.batch_size
        length = self.experiment.train.length
        self._tell("evaluation", self.step)
        return evaluate(self.evaluation_step, params, task, split, size, length, self.mesh)

    def _validate_and_save(self, state: RunState, logged: bool) -> None:
        metrics = self._evaluate(state, "validation")
        loss = metrics["loss"]
        self.divergence.require_finite(self.step, "validation loss", loss, self.writer)
        self.writer.write(self.step, "validation", metrics)
        self.ended = self.early.after(metrics[self.score])
        shown = f"{self.score} {format_value(metrics[self.score])}"
        if self.ended is not None:
            shown += f"; train.{self.ended} ends the run"
            if not logged:
                self._log()
        self.display.line(f"validation at step {self.step}: {shown}")
        self._save(state, metrics)

    def _save(self, state: RunState, metrics: dict[str, float] | None) -> None:
        self.workdir.require_there()
        self.checkpoints.wait()  # for the one before
        self._tell("save begun", self.step)
        self.checkpoints.save(state, self.step, metrics, self.mean.sums)
        self.saves.saved()

    def _stop(self, signal: int) -> None:
        self.checkpoints.wait()
        raise RunInterruptedError(
            f"interrupted at step {self.step}, which is saved; continue with: "
            f"{command() or 'the same call'}",
            signal,
        )

    def _finish(self) -> dict[str, Any]:
        """Scores the checkpoint that validated best, and writes the results."""
        self.watchdog.does(PAUSE, self.step)
        self.checkpoints.wait()
        like = abstract_state(self.experiment, self.mesh)
        parameters = self.experiment.model.parameters
        best, state = self.checkpoints.restore("best", like, parameters)
        results: dict[str, Any] = {
            "steps": self.step,
            "best_step": best,
            "ended": self.ended or "steps",
            **{split: self._evaluate(state, split) for split in ("validation", "test")},
            **self.levels,
            "parameters": count_parameters(self.experiment.model),
            "seconds": round(self.writer.seconds(), 1),
        }
        with decoration("what the run cost can't be told", warn):
            of = self.experiment, self.programs, self.pace
            of_machine = self.mesh, self.sharing, results["seconds"]
            results["cost"] = run_cost(*of, state.params, *of_machine)
        self.writer.write(self.step, "test", results["test"])
        leave_results(self.workdir, results, self.score, self.levels)
        return results
