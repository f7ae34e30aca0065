"""From a config to the task, the model and the optimizer that it describes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
from ml_collections import ConfigDict

from seqmodels.config import Section, construct, construct_kind
from seqmodels.errors import (
    ConfigError,
    ParameterError,
    require,
    require_seed,
    require_with,
    under,
)
from seqmodels.model import Cost, Model, build_model
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SHARES, SPLITS, Task
from seqmodels.tasks.lengths import Kind, Lengths
from seqmodels.tasks.reading import ReadingTask
from seqmodels.training.guard import Guarding
from seqmodels.training.keeping import Keeping
from seqmodels.training.memory import (
    GIB,
    machine_bytes,
    require_bytes,
    require_drawable,
    require_evaluable,
)
from seqmodels.training.mesh import MeshSettings
from seqmodels.training.optimizer import Optimizer, make_optimizer

MOST = 2**24
"""What the settings of a task and of a model count is below it, but for evaluation's examples."""
MOST_LOSSES = 10_000
"""That a median is taken of."""
HOW = ("save_every_seconds", "keep", "keep_every", "watchdog_seconds")
"""Keys of ``train`` that change nothing of what a run computes: it may go on with others."""

OnDivergence = Literal["stop", "skip", "back"]


@dataclass(frozen=True)
class TrainSettings:
    """How a run goes; the keys of a config's ``train`` section."""

    steps: int
    """Updates of the parameters; with ``seconds`` the run decides them itself."""
    batch_size: int
    """Sequences an update, over all devices and micro-batches."""
    length: int
    """Positions a sequence; of several lengths the greatest, and the one that is evaluated."""
    accumulate: int = 1
    """Micro-batches that an update's gradients are summed over."""
    log_every: int = 100
    """Steps between two lines of metrics."""
    evaluate_every: int = 250
    """Steps between two validations, each followed by a checkpoint."""
    truncate: int | None = None
    """Positions after which the gradient through time is cut; None never cuts it."""
    lengths: Kind | None = None
    """How each step's length is drawn (:class:`~seqmodels.tasks.lengths.Lengths`); None has
    ``length`` positions in every step."""
    shortest: int | None = None
    """The smallest length that is drawn; None where none is."""
    curriculum_steps: int | None = None
    """Steps until ``lengths="curriculum"`` draws up to ``length``; None for others."""
    seconds: float | None = None
    """What its steps take, compiling and validating left out: some are timed before the first, and
    as many are done as follow. None does ``steps``."""
    stop_at: float | None = None
    """The score on validation that ends the run once it is reached, in its own direction and unit
    (an accuracy is a share); None goes on to the last step."""
    patience: int | None = None
    """Validations in a row that end the run where none is better than all before; None goes on."""
    decode_step: bool | None = None
    """Whether a run measures at its end what one more position takes, where its model streams: a
    program is compiled for it. None leaves out runs of less than a minute."""
    start_from: str | None = None
    """The folder of a run, or a .safetensors file, whose parameters are the first ones; None draws
    them (:mod:`seqmodels.training.start_from`)."""
    leave_out: str | tuple[str, ...] | None = None
    """Parameters that are drawn all the same, by dotted names or their first parts; None for
    none."""
    on_divergence: OnDivergence = "stop"
    """What is done where the loss or its gradient is not finite, or a spike: the run stops, the
    update is skipped, or the run goes back to an earlier checkpoint, with other data."""
    most_divergences: int | None = None
    """How often a run skips or goes back before it stops all the same; None where it does
    neither."""
    back: int | None = None
    """How many validations' checkpoints "back" goes back; None for others."""
    spike: float | None = None
    """A loss above so many times the median of the last ones diverges too; None knows no
    spikes."""
    spike_losses: int | None = None
    """How many losses that median is of; None without ``spike``."""
    save_every_seconds: float | None = None
    """A checkpoint is saved once so long ago none was, besides those of validations; None saves
    those alone."""
    keep: int = 2
    """Of the latest checkpoints how many are kept, besides the best."""
    keep_every: int | None = None
    """The checkpoints of this step's multiples are kept for good; None for none."""
    watchdog_seconds: float | None = None
    """A step, or the wait for a batch, that takes longer ends the process, which says where it
    stands (:mod:`seqmodels.training.watchdog`); None waits."""

    def __post_init__(self):
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            counts = isinstance(value, int) and not isinstance(value, bool)
            require(not counts or value >= 1, f"{name}={value} is below 1")
            if name.endswith("seconds"):
                require(value is None or value > 0, f"{name}={value} is not above 0 or None")
        steps, batch_size, accumulate = self.steps, self.batch_size, self.accumulate
        require(steps < 2**31, f"steps={steps} is not below 2**31: steps are counted in 32 bits")
        require(
            batch_size % accumulate == 0,
            f"batch_size={batch_size} can't be shared equally among {accumulate} micro-batches; "
            f"choose a multiple of {accumulate}",
        )
        drawn, until = f"lengths={self.lengths!r}", self.curriculum_steps
        starts = self.start_from is not None
        require_with(self.leave_out, starts, "leave_out", "start_from=None", False)
        require_with(self.shortest, self.lengths is not None, "shortest", drawn)
        require_with(until, self.lengths == "curriculum", "curriculum_steps", drawn)
        require(
            until is None or until <= steps,
            f"curriculum_steps={until} is above steps={steps}: the greatest length would never be "
            f"reached; set train.curriculum_steps={steps} or lower",
        )
        require(
            self.truncate is None or self.lengths is None,
            f"{drawn} can't be cut into segments of truncate={self.truncate}; set one of them to "
            "None",
        )
        self._require_reliable()

    def _require_reliable(self) -> None:
        does, spike, losses = f"on_divergence={self.on_divergence!r}", self.spike, self.spike_losses
        goes_on = self.on_divergence != "stop"
        require_with(self.most_divergences, goes_on, "most_divergences", does)
        require_with(self.back, self.on_divergence == "back", "back", does)
        require_with(losses, spike is not None, "spike_losses", f"spike={spike}")
        require(spike is None or spike > 1, f"spike={spike} is not above 1 or None")
        require(
            losses is None or losses <= MOST_LOSSES,
            f"spike_losses={losses} is above {MOST_LOSSES:,}: each step takes their median",
        )
        every, validates = self.keep_every, self.evaluate_every
        require(
            every is None or every % validates == 0,
            f"keep_every={every} is no multiple of evaluate_every={validates}, after which steps "
            "are saved",
        )

    @property
    def guarding(self) -> Guarding | None:
        """How a step finds out that it diverges; None leaves that to the loop."""
        if self.on_divergence == "stop" and self.spike is None:
            return None
        return Guarding(self.spike, self.spike_losses, self.on_divergence == "skip")

    @property
    def keeping(self) -> Keeping:
        """Which checkpoints are kept."""
        return Keeping(self.keep, self.keep_every, self.evaluate_every, self.back or 0)


@dataclass(frozen=True)
class Settings:
    """The keys of a config."""

    task: Section
    """``{"kind": a key of TASKS, **settings}``."""
    model: Section
    """As in :func:`~seqmodels.model.build_model`."""
    optimizer: Section
    """``{"kind": a key of OPTIMIZERS, **settings}``; without a kind it is AdamW's."""
    train: Section
    """As in :class:`TrainSettings`."""
    seed: int = 0
    """Of the initial parameters, of dropout and of what is drawn."""
    mesh: Section = MappingProxyType({})
    """As in :class:`~seqmodels.training.mesh.MeshSettings`."""

    def __post_init__(self):
        require_seed(self.seed)


class Experiment(NamedTuple):
    """Everything that a config describes."""

    seed: int
    task: Task
    model: Model
    optimizer: Optimizer
    train: TrainSettings
    lengths: Lengths
    """The length of each training step, and its batch."""
    mesh: MeshSettings = MeshSettings()
    """What its devices share."""

    def cost(self) -> Cost:
        """The forward cost of one sequence of training's length."""
        return self.model.cost(self.task.batch("train", 0, 1, self.train.length))


def build_experiment(config: Section) -> Experiment:
    """Builds what a config describes, and checks every key of it; compiles nothing.

    Raises:
      ConfigError: one line that names the key, its value and what is allowed.
    """
    try:
        return _build(construct(Settings, config, "config"))
    except MemoryError as error:
        raise ConfigError(
            f"config: it takes more than the {machine_bytes() / GIB:,.0f} GiB that this machine "
            f"has ({error})"
        ) from None


def _build(config: Settings) -> Experiment:
    seed, task, model = config.seed, config.task, config.model
    settings = construct(TrainSettings, config.train, "train")
    mesh = construct(MeshSettings, config.mesh, "mesh")
    for section, path in ((task, "task"), (model, "model")):
        _require_countable(section, path)
    the_task = construct_kind(TASKS, task, "task", seed=seed)
    if isinstance(the_task, ReadingTask):
        where = ", ".join(f"task.{name}={place!r}" for name, place in the_task.places.items())
        what = f"{where or 'task'}: the files, which are held in memory,"
        require_bytes(the_task.kept_bytes, machine_bytes(), what, "name fewer or smaller ones")
    require_drawable(
        the_task,
        settings.batch_size,
        settings.length,
        f"train.batch_size={settings.batch_size}, train.length={settings.length}",
        "lower one of them",
    )
    _require_reachable(settings.stop_at, the_task)
    try:
        for split in SPLITS[1:]:
            require_evaluable(the_task, split, settings.length, dict(task.items()))
        for split in SPLITS:
            the_task.batch(split, 0, 1, settings.length)
        lengths = Lengths(
            the_task,
            seed,
            settings.batch_size,
            settings.length,
            settings.lengths,
            settings.shortest,
            settings.curriculum_steps,
        )
    except ParameterError as error:
        raise ConfigError(f"train.{error}") from None
    the_model = build_model(model, the_task.spec, settings.length)
    if the_task.spec.rank > 1 or the_model.facts.writes or settings.lengths is not None:
        # What only shows on a batch is refused before anything is written.
        params = jax.eval_shape(the_model.init, jax.random.key(0))
        jax.eval_shape(the_model.apply, params, lengths.batch(0).batch, None)
    if settings.truncate is not None:
        _require_truncatable(settings.truncate, settings.length, the_task, the_model)
    optimizer = make_optimizer(config.optimizer, settings.steps, the_model.parameters)
    return Experiment(seed, the_task, the_model, optimizer, settings, lengths, mesh)


def with_steps(experiment: Experiment, config: Section, steps: int) -> Experiment:
    """An experiment of a config with another number of steps.

    Raises:
      ConfigError: the warm-up, or another key, doesn't go with them.
    """
    section: Any = config["optimizer"]
    with under("train"):
        train = replace(experiment.train, steps=steps)
    optimizer = make_optimizer(section, steps, experiment.model.parameters)
    return experiment._replace(train=train, optimizer=optimizer)


def _require_reachable(stop_at: float | None, task: Task) -> None:
    score = task.spec.score
    if stop_at is not None and score in SHARES and not 0 < stop_at <= 1:
        raise ConfigError(
            f"train.stop_at={stop_at} is not above 0 and at most 1, as {score} is a share; "
            "write 99% as 0.99"
        )


def _require_countable(section: Any, path: str) -> None:
    """Refuses counts of tokens, features, places that 32 bits, or sums and products, don't hold."""
    if isinstance(section, Mapping | ConfigDict):
        for key, value in section.items():
            if not str(key).startswith("evaluation_"):
                _require_countable(value, f"{path}.{key}")
    elif isinstance(section, list | tuple):
        for value in section:
            _require_countable(value, path)
    elif isinstance(section, int) and section >= MOST:
        raise ConfigError(f"{path}={section} is not below {MOST:,}; lower it")


def _require_truncatable(truncate: int, length: int, task: Task, model: Model) -> None:
    """Refuses to cut the gradient where the model can't be run segment by segment."""
    batch = task.batch("train", 0, 1, length)
    if task.spec.shape != "many-to-many" or batch.positions is not None or batch.mask is not None:
        why = "takes a task with a target at every position, without padding, such as text"
    elif not model.facts.streams:
        why = "takes a causal model: a state is carried from segment to segment"
    elif length % truncate != 0:
        why = f"does not divide train.length={length}"
    else:
        return
    raise ConfigError(f"train.truncate={truncate} {why}; set it to None to train whole")
