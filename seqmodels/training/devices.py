"""Which devices a run takes, and whether they can share what it computes."""

import math

import jax
from jax.sharding import Mesh

from seqmodels.config import Section, flatten
from seqmodels.errors import ConfigError, UserError
from seqmodels.placement import OPTIONAL, RULES
from seqmodels.training.experiment import Experiment
from seqmodels.training.memory import require_model_memory
from seqmodels.training.mesh import REST
from seqmodels.training.parameter_files import named
from seqmodels.training.sharding import devices_by_process, make_mesh, traced_under

LEAST_FLOPS = 500_000_000
"""Of a step on each of several CPU devices, where their number is chosen: of less they win less
than it takes them to meet, some milliseconds (docs/performance.md)."""
WORDS = {"E": "inner features", "F": "features of the MLP", "H": "heads"}
"""What letters of parameters are that devices share."""


def run_mesh(experiment: Experiment, devices: int | None = None, before: int | None = None) -> Mesh:
    """The mesh of a config's ``mesh`` section: of so many devices, or of all that there are.

    Equally many of each process: accelerators, or a CPU's cores, each a device with LEAST_FLOPS
    or more. One device would use all cores as well, but shares every single product
    among them: with two a recurrence takes 0.5 to 0.9 of its time, attention 0.7 to 1 and
    convolution 0.9 to 1.2 (docs/performance.md).

    Args:
      devices: how many; None for all accelerators, or as many cores as pay.
      before: how many cores the run chose as it began, which it keeps where there are as many.

    Raises:
      UserError: there are not so many, they can't share the batch, its positions or the
        parameters equally, or they have too little memory for the model.
    """
    processes = jax.process_count()
    available = processes * min(map(len, devices_by_process()))
    if devices is None:
        devices = _chosen(experiment, available, before)
    elif not 1 <= devices <= available:
        raise UserError(f"devices={devices} is not from 1 to the {available} there are")
    if devices % processes:
        raise UserError(
            f"devices={devices} can't be shared equally among {processes} processes; "
            f"choose a multiple of {processes}"
        )
    sizes = experiment.mesh.sizes(devices)
    _require_rows(experiment, devices, sizes["data"])
    _require_positions(experiment, sizes["sequence"])
    _require_features(experiment, sizes["model"])
    mesh = make_mesh(devices, sizes["sequence"], sizes["model"])
    _require_memory(experiment, mesh)
    return mesh


def _chosen(experiment: Experiment, available: int, before: int | None) -> int:
    """How many devices a run takes that nobody has told."""
    settings, least = experiment.mesh, jax.process_count()
    least = math.lcm(least, settings.least)
    if least > available:
        raise UserError(
            f"mesh.data={settings.data}, mesh.sequence={settings.sequence} and "
            f"mesh.model={settings.model} take {least} devices, and there are {available}; "
            "choose another mesh"
        )
    if settings.data != REST:
        return least
    if jax.default_backend() != "cpu":
        return available
    if before is not None and before <= available and before % least == 0:
        return before
    rows = experiment.train.batch_size // experiment.train.accumulate
    each = settings.sequence * settings.model
    counts = [n for n in range(least, available + 1, least) if rows % (n // each) == 0]
    if len(counts) < 2:
        return least
    flops = 3 * rows * experiment.cost().flops  # the backward pass takes two forward ones
    return max((n for n in counts if flops >= n * LEAST_FLOPS), default=least)


def _require_rows(experiment: Experiment, devices: int, data: int) -> None:
    settings = experiment.train
    parts = settings.accumulate * data
    if settings.batch_size % parts:
        what, other = f"{devices} devices", "number of devices"
        if data != devices:
            what, other = f"mesh.data={data}", "mesh"
        raise UserError(
            f"train.batch_size={settings.batch_size} can't be shared equally among "
            f"{settings.accumulate} micro-batches on {what}; choose a multiple of "
            f"{parts}, or another {other}"
        )


def _require_positions(experiment: Experiment, sequence: int) -> None:
    """Of every shape that batches have, or of the segments that they are cut into."""
    settings, lengths = experiment.train, experiment.lengths
    shapes = {f"train.length={settings.length}": settings.length}
    if lengths.kind is not None:
        shapes = {
            f"train.lengths={lengths.kind!r}, train.shortest={settings.shortest}: a batch of "
            f"length {length}": length
            for length in lengths.buckets
        }
    for what, length in shapes.items() if sequence > 1 else ():
        batch = experiment.task.batch("train", 0, 1, length)
        positions = experiment.model.axes(batch)[0]
        if settings.truncate is not None:
            what, positions = f"train.truncate={settings.truncate}", settings.truncate
        if positions % sequence:
            differ = f"={positions}" not in what and not what.endswith(f" {positions}")
            of = f", {positions} positions along the first axis," if differ else ""
            raise ConfigError(
                f"{what}{of} can't be shared equally by mesh.sequence={sequence}; choose a "
                f"multiple of {sequence}, or another mesh.sequence"
            )


def _require_features(experiment: Experiment, model: int) -> None:
    """Of the parameters the axes that devices share, but for those that may stay whole."""
    if model == 1:
        return
    about = named(experiment.model.parameters)
    shapes = named(jax.eval_shape(lambda: experiment.model.init(jax.random.key(0))))
    for name, said in about.items():
        if not said.divisible:
            continue
        for letter, size in zip(said.letters, shapes[name].shape, strict=True):
            shared = RULES.get(letter) == "model" and letter not in OPTIONAL
            if shared and size % model:
                raise ConfigError(
                    f"{name} has {letter}={size} {WORDS[letter]}, which can't be shared equally "
                    f"by mesh.model={model}; choose a multiple of {model}, or another mesh.model"
                )


def require_forms(model: Section, experiment: Experiment, mesh: Mesh) -> None:
    """Refuses a form that a config's ``model`` section names and that can't serve on the devices.

    Raises:
      ConfigError: one line that says why, and which could.
    """
    forms = (value for key, value in flatten(model).items() if key.rpartition(".")[2] == "form")
    if any(value is not None for value in forms):
        params = jax.eval_shape(lambda: experiment.model.init(jax.random.key(0)))
        batch = experiment.lengths.batch(0).batch
        jax.eval_shape(traced_under(mesh, experiment.model.apply), params, batch, None)


def _require_memory(experiment: Experiment, mesh: Mesh) -> None:
    settings, model = experiment.train, experiment.model
    positions = settings.truncate
    if positions is None:
        batch = experiment.task.batch("train", 0, 1, settings.length)
        positions = math.prod(model.axes(batch))
    rows = settings.batch_size // settings.accumulate
    sharded = experiment.mesh.fully_sharded
    require_model_memory(model, experiment.optimizer, mesh, rows, positions, sharded)
