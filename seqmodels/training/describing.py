"""What a run would train, told before anything is computed."""

from typing import Any

import jax

from seqmodels.arrays import Array, Key, Params
from seqmodels.config import Section
from seqmodels.model_metrics import model_metrics
from seqmodels.model_parts import Part
from seqmodels.tasks.base import Batch
from seqmodels.terminal import print_table
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.startup import start_jax

COLUMNS = ("", "parameters", "FLOPs", "bytes of state", "bytes kept")


def describe(config: Section) -> None:
    """Prints by block what a config's model has, costs and keeps; compiles nothing.

    Raises:
      ConfigError: a config that can't be used.
    """
    start_jax()
    experiment = build_experiment(config)
    train = experiment.train
    parts = experiment_parts(experiment)
    print_table(COLUMNS, [_row(part) for part in [*parts, total(parts)]], right=True)
    rows, length = train.batch_size // train.accumulate, train.truncate or train.length
    print(
        f"FLOPs of the forward pass, and state, are of one sequence of {train.length:,} positions; "
        f"what the backward pass keeps is of {rows:,} of {length:,}, over all devices. It is an "
        "estimate: the arrays that differentiation stores between its passes, by their shapes. The "
        "compiler makes some of them again and adds temporaries; a run says what its step takes."
    )


def experiment_parts(experiment: Experiment) -> list[Part]:
    """The blocks of an experiment's model, and what stands around them."""
    train, task, model = experiment.train, experiment.task, experiment.model
    whole = task.batch("train", 0, 1, train.length)
    rows = train.batch_size // train.accumulate

    def at_once(array: Any) -> jax.ShapeDtypeStruct:
        length = array.shape[1:] if train.truncate is None else (train.truncate, *array.shape[2:])
        return jax.ShapeDtypeStruct((rows, *length), array.dtype)

    def loss(params: Params, batch: Batch, key: Key[Array, ""]) -> Array:
        return model_metrics(model, task, params, batch, key)["loss"][0]

    return model.parts(whole, jax.tree.map(at_once, whole), loss)


def total(parts: list[Part]) -> Part:
    """All of them together."""
    cost = parts[0].cost
    for part in parts[1:]:
        cost += part.cost
    return Part(
        "in all", "", sum(p.parameters for p in parts), cost, sum(part.kept for part in parts)
    )


def _row(part: Part) -> tuple[str, ...]:
    name = f"{part.name} {part.mixer}".strip() or "embedding, head and loss"
    numbers = (part.parameters, round(part.cost.flops), part.cost.state_bytes, part.kept)
    return name, *(f"{number:,}" for number in numbers)
