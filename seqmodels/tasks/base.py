"""What a task is: a pure function from (seed, split, step) to a batch, and its metrics."""

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int
from seqmodels.errors import ParameterError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Shape = Literal["many-to-one", "many-to-many", "one-to-many", "sequence-to-sequence"]
"""From what to what: one label for a sequence, one for each position, a sequence written token
by token from one input, or from a whole sequence."""


class TaskSpec(NamedTuple):
    """What a model must know of a task to fit it."""

    shape: Shape
    inputs: Literal["tokens", "features"]
    input_size: int
    """The vocabulary V of tokens, or the number of features a position has."""
    outputs: int
    """The number of classes, or the vocabulary, that the head scores."""
    causal: bool = False
    """Whether an output may depend only on inputs at its own and earlier positions."""
    score: str = "accuracy"
    """The metric by which checkpoints and models are chosen, on validation."""
    higher_is_better: bool = True
    rank: int = 1
    """How many axes the inputs' positions have: 1 for a sequence, 2 for an image."""
    end: int | None = None
    """The token that ends a written sequence; None where its length is known."""


class Batch(NamedTuple):
    """One batch, as NumPy arrays from a task and as device arrays in the step.

    ``positions`` names the labelled positions where only some are: the model's
    outputs, and so the wide output layer, are then computed there alone.

    In a one-to-many task the inputs have no length, and the targets [B, P] are the sequence
    that is written; in a sequence-to-sequence task they are what is written for the inputs. Then
    an output may depend on the targets before it (teacher forcing).
    """

    inputs: Int[AnyArray, "B *L"] | Float[AnyArray, "B *L features"]
    targets: Int[AnyArray, "B"] | Int[AnyArray, "B P"] | Float[AnyArray, "B"]
    weights: Float[AnyArray, "B"] | Float[AnyArray, "B P"]
    """1 for a target that counts, 0 for one that fills the batch up."""
    mask: Bool[AnyArray, "B *L"] | None = None
    """True where an input is real, False where it is padding; None where all are real."""
    positions: Int[AnyArray, "B P"] | None = None


Metrics = dict[str, tuple[Array, Array]]
"""Each metric as (sum, count), so that batches and devices add up before one division."""
SHARES = ("accuracy", "exact_match")
"""Metrics that are shares of right answers, from 0 to 1: more is better, as of no other."""


@runtime_checkable
class Task(Protocol):
    """A data set or a generator. Its constructor's signature is its config schema."""

    spec: TaskSpec

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """The batch of a step, a pure function of these arguments and the task's seed.

        Called from several threads at once: training batches are made in the background.
        Raises :class:`ParameterError` for a length that the task can't make.
        """
        ...

    def examples(self, split: Split, length: int) -> int | None:
        """How many examples of a length a split holds; None for an endless training stream."""
        ...

    def metrics(self, outputs: Float[Array, "B *P V"], batch: Batch) -> Metrics:
        """Sums and counts of every metric; ``"loss"`` is what training minimises, in nats.

        A long sequence is measured by parts (:mod:`seqmodels.model_metrics`): of the batch the
        targets and weights are read alone, what has weight 0 adds nothing, and each metric adds up
        over targets (``exact_match``, which asks for all of an example, is joined as such).
        """
        ...

    def chance(self, split: Split, length: int) -> float:
        """The best score of an answer that knows task, length and place, and not the input.

        :mod:`seqmodels.tasks.chance` works it out of examples.
        """
        ...


TASKS: dict[str, type[Any]] = {}
"""The tasks by kind. :mod:`seqmodels.tasks` names them; a task that holds others reads it here."""


@runtime_checkable
class WritingTask(Task, Protocol):
    """A task whose outputs are a sequence of their own, and how people read and write it."""

    def show_source(self, row: Int[AnyArray, "*L"]) -> str:
        """A row of the inputs, without padding, as text."""
        ...

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        """What is written, as text, up to the end token."""
        ...

    def read_source(self, text: str) -> Int[np.ndarray, "*L"]:
        """A row of inputs from text; raises :class:`ParameterError` for what it can't hold."""
        ...


@runtime_checkable
class ShowingTask(Task, Protocol):
    """A task whose inputs show its answers among others of their kind."""

    def shown_chance(self, split: Split, length: int) -> float:
        """The score of one of the answers that are shown, whichever, in place of the right one."""
        ...


@runtime_checkable
class SharedTask(Task, Protocol):
    """A task that reads some rows of a batch without the others, for several processes.

    Worth it where a row is read from a file: each process then reads its own. Of other tasks each
    process makes the whole batch and keeps its rows.
    """

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """What ``batch(split, step, batch_size, length)`` has in some of its rows."""
        ...


class ByRows:
    """What a task has whose batches are all their rows."""

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """As in :class:`SharedTask`."""
        raise NotImplementedError

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """All rows."""
        return self.rows(split, step, batch_size, length, np.arange(batch_size))


@runtime_checkable
class SlicedTask(Task, Protocol):
    """A task that says of its examples by what their scores may be told apart."""

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"] | Int[np.ndarray, "B P"]]:
        """By name a number for each example, or for each of its targets: a distance, a depth.

        A pure function of the batch, for evaluation: ``{"distance": [[3, 8], [1, 5]]}``.
        """
        ...


def read_rows(
    task: Task,
    split: Split,
    step: int,
    batch_size: int,
    length: int,
    rows: Int[np.ndarray, "b"] | None,
) -> Batch:
    """Some rows of the batch of a step; all of them with ``rows`` None."""
    if rows is None:
        return task.batch(split, step, batch_size, length)
    if isinstance(task, SharedTask):
        return task.rows(split, step, batch_size, length, rows)
    return jax.tree.map(lambda array: array[rows], task.batch(split, step, batch_size, length))


def count_rows(batch: Batch, counted: Bool[np.ndarray, "B"]) -> Batch:
    """A batch of which only some rows count, as far as they did."""
    kept = counted.reshape(-1, *(1,) * (batch.weights.ndim - 1))
    return batch._replace(weights=np.where(kept, batch.weights, np.float32(0)))


def until(row: Int[AnyArray, "P"], end: int) -> list[int]:
    """The tokens before the first end token.

    >>> until(np.array([3, 1, 9, 1]), end=9)
    [3, 1]
    """
    tokens = np.asarray(row).tolist()
    return tokens[: tokens.index(end)] if end in tokens else tokens


def classification_metrics(outputs: Float[Array, "B *P V"], batch: Batch) -> Metrics:
    """Cross-entropy in nats and accuracy over the targets that count."""
    logits = outputs.astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
    correct = _are_right(outputs, batch).astype(jnp.float32)
    count = jnp.sum(batch.weights)
    return {
        "loss": (jnp.sum(losses * batch.weights), count),
        "accuracy": (jnp.sum(correct * batch.weights), count),
    }


def _are_right(outputs: Float[Array, "B *P V"], batch: Batch) -> Bool[Array, "B *P"]:
    """Whether a target has the best score: none has where one is NaN, which argmax takes for it."""
    best = jnp.argmax(outputs, axis=-1)
    its_score = jnp.take_along_axis(outputs, best[..., None], axis=-1)[..., 0]
    return (best == batch.targets) & ~jnp.isnan(its_score)


def exact_match_metrics(outputs: Float[Array, "B P V"], batch: Batch) -> Metrics:
    """Classification metrics, and the share of examples whose every target is right."""
    wrong = ~_are_right(outputs, batch) & (batch.weights > 0)
    counts = jnp.max(batch.weights, axis=-1)
    right = jnp.where(jnp.any(wrong, axis=-1), 0.0, counts)
    exact = {"exact_match": (jnp.sum(right), jnp.sum(counts))}
    return classification_metrics(outputs, batch) | exact


def bits_metrics(outputs: Float[Array, "B P V"], batch: Batch, name: str) -> Metrics:
    """Classification metrics, and the cross-entropy in bits by a name of its own."""
    metrics = classification_metrics(outputs, batch)
    total, count = metrics["loss"]
    return metrics | {name: (total / math.log(2), count)}


def regression_metrics(outputs: Float[Array, "B 1"], batch: Batch, tolerance: float) -> Metrics:
    """The squared error, which is the loss, and the share of answers to within a tolerance."""
    errors = outputs[:, 0].astype(jnp.float32) - batch.targets
    count = jnp.sum(batch.weights)
    squared = (jnp.sum(errors**2 * batch.weights), count)
    near = (jnp.abs(errors) < tolerance).astype(jnp.float32)
    return {
        "loss": squared,
        "squared_error": squared,
        "accuracy": (jnp.sum(near * batch.weights), count),
    }


def generator(seed: int, split: Split, *numbers: int) -> np.random.Generator:
    """A random generator for one batch; splits and steps get independent streams.

    >>> generator(0, "train", 5).integers(100) == generator(0, "train", 5).integers(100)
    np.True_
    """
    return np.random.default_rng([seed, SPLITS.index(split), *numbers])


def example_indices(
    size: int, split: Split, step: int, batch_size: int, seed: int
) -> tuple[Int[np.ndarray, "B"], Float[np.ndarray, "B"]]:
    """Which of a finite split's examples make up a batch, and the weight of each.

    Training runs through a new permutation each epoch and fills every batch from
    the stream of them; evaluation goes in order, once, and fills the last batch up
    with examples of weight 0.
    """
    places = step * batch_size + np.arange(batch_size)
    weights = example_weights(size, split, step, batch_size)
    if split == "train":
        epochs, indices = places // size, np.empty(batch_size, np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            indices[here] = _epoch_order(size, seed, epoch)[places[here] % size]
        return indices, weights
    return np.minimum(places, size - 1), weights


@lru_cache(maxsize=4)
def _epoch_order(size: int, seed: int, epoch: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng([seed, 0xE90C, epoch]).permutation(size)


def example_weights(size: int, split: Split, step: int, batch_size: int) -> Float[np.ndarray, "B"]:
    """1 for each example of a batch; 0 for those past the end of an evaluation split."""
    places = step * batch_size + np.arange(batch_size)
    return ((places < size) | (split == "train")).astype(np.float32)


def require_length(task: Any, length: int, allowed: bool, why: str) -> None:
    """Raises :class:`ParameterError` where a task can't make sequences of a length."""
    if not allowed:
        kind = next((kind for kind, made in TASKS.items() if made is type(task)), "of its own")
        raise ParameterError(f"length={length} can't be made by the task {kind}: {why}")
