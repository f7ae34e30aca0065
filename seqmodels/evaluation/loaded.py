"""A run that has been read back, and what can be asked of it."""

from fnmatch import filter as matching
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from seqmodels.arrays import AnyArray, Float, Int, Params, State
from seqmodels.errors import UserError
from seqmodels.generation.decoding import Sampling, answer, generate
from seqmodels.model import Model
from seqmodels.observing import observed
from seqmodels.state import require_room
from seqmodels.tasks.base import Batch, Split, Task, WritingTask
from seqmodels.tasks.files.text import Text
from seqmodels.training.experiment import Experiment
from seqmodels.training.scores import evaluate
from seqmodels.training.step import jit_evaluation_step
from seqmodels.training.workdir import Workdir

OUTPUTS = "*blocks.*.outputs"
"""Of what a model shows, what each of its blocks makes."""


class LoadedRun(NamedTuple):
    """A trained run.

    What its methods read is a batch of the task, or an array of inputs alone: tokens [B, L] or
    features ``[B, *L, features]``, without padding. They compute on one device, compile once a
    shape, and give NumPy arrays.
    """

    workdir: Workdir
    experiment: Experiment
    step: int
    """The step of the checkpoint."""
    params: Params
    """Those that were evaluated in training."""
    mesh: jax.sharding.Mesh
    other_data: str | None = None
    """In what the data differ from those that the run began with; None where they are its own."""

    @property
    def mark(self) -> dict[str, str]:
        """What a file says beside scores on other data."""
        return {} if self.other_data is None else {"other_data": self.other_data}

    @property
    def task(self) -> Task:
        """What it was trained on: ``run.task.batch("test", 0, batch_size, length)``."""
        return self.experiment.task

    @property
    def model(self) -> Model:
        """Pure functions of ``params``."""
        return self.experiment.model

    def to_nnx(self) -> Any:
        """The Flax NNX module that holds the parameters."""
        return self.model.to_nnx(self._on_one_device())

    def evaluate(self, *splits: Split) -> dict[Split, dict[str, float]]:
        """The mean of each metric over whole splits, each example once, over all devices.

        Raises:
          UserError: the examples of one are endless.
        """
        task, train = self.task, self.experiment.train
        for split in splits:
            if task.examples(split, train.length) is None:
                raise UserError(f"split={split}: its examples are endless; use validation or test")
        step = jit_evaluation_step(self.model, task, self.mesh)
        size = train.batch_size, train.length
        return {
            split: evaluate(step, self.params, task, split, *size, self.mesh) for split in splits
        }

    def scores(self, inputs: Batch | AnyArray) -> Float[np.ndarray, "B *P V"]:
        """The scores (logits) of the labelled positions, or of all that an array has.

        Raises:
          UserError: a model that writes is given no batch: it reads the targets before each one.
        """
        params, batch = self._on_one_device(), self._batch(inputs)
        return np.asarray(jax.jit(self.model.apply)(params, batch, None))

    def activations(self, inputs: Batch | AnyArray, names: str = OUTPUTS) -> dict[str, np.ndarray]:
        """What is made inside the model, by its name: ``blocks.0.outputs`` [B, L, D].

        Args:
          names: a pattern, such as ``"*.weights"``, the attention maps, or ``"*"``, all.

        Raises:
          UserError: no name is of the pattern; the message has all names.
        """
        params, batch = self._on_one_device(), self._batch(inputs)
        return jax.device_get(_look(self.model.apply, names)(params, batch))

    def read(
        self,
        inputs: Int[AnyArray, "B L"] | Float[AnyArray, "B L features"],
        state: State | None = None,
        room: int | None = None,
    ) -> tuple[Float[np.ndarray, "B L V"], State]:
        """Reads a chunk, and returns the scores at its positions and the state after it.

        What block k goes on from is ``state["blocks"][k]["mixer"]``.

        Args:
          state: what the last call returned; None before the first chunk.
          room: how many positions may follow one another, where a state keeps all of them; by
            default training's length, or the chunk's if that is more.

        Raises:
          UserError: the model can't go on from a state, or there is no room left.
        """
        if not self.model.facts.streams:
            raise UserError(
                "read(...) goes on from a state: that takes causal mixers on a sequence and scores "
                "at each position or at the last; scores(...) reads the whole"
            )
        params, length = self._on_one_device(), inputs.shape[1]
        if state is None:
            wanted = max(self.experiment.train.length, length) if room is None else room
            state = self.model.start(params, len(inputs), wanted)
        require_room(state, length, None)
        scores, state = jax.jit(self.model.extend)(params, inputs, state)
        return np.asarray(scores), state

    def generate(
        self,
        inputs: Batch | AnyArray,
        count: int | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008, as it never changes
        seed: int = 0,
    ) -> Int[np.ndarray, "B M"]:
        """What the model writes after prompts [B, L], or for the inputs of a task that writes.

        Args:
          count: tokens; by default as many as the targets of a training sequence.
          sampling: the best token each time, unless it says otherwise.

        Raises:
          UserError: it neither scores the next token nor writes a sequence.
        """
        params, spec, key = self._on_one_device(), self.task.spec, jax.random.key(seed)
        if count is None:
            count = self.task.batch("test", 0, 1, self.experiment.train.length).targets.size
        if self.model.facts.writes:
            if not isinstance(inputs, Batch):
                targets = np.zeros((len(inputs), count), np.int32)
                inputs = Batch(inputs, targets, np.ones(targets.shape, np.float32))
            made = answer(self.model, params, inputs, spec, count, sampling, key)
        elif self.model.facts.streams and spec.shape == "many-to-many" and spec.inputs == "tokens":
            prompt = inputs.inputs if isinstance(inputs, Batch) else inputs
            made = generate(self.model, params, jax.numpy.asarray(prompt), count, sampling, key)
        else:
            raise UserError(
                "generate(...) takes a model that scores the next token, or writes a sequence; a "
                f"{spec.shape} model on {spec.inputs} that is not causal does neither: take scores"
            )
        return np.asarray(made)

    def tokens(self, text: str) -> Int[np.ndarray, "1 *L"]:
        """A text as inputs of one row: bytes, or a source as the task reads it.

        Raises:
          UserError: the task reads no text, or not this one.
        """
        if isinstance(self.task, Text):
            return self.task.read_text(text)[None]
        return self._task_of_text().read_source(text)[None]

    def text(self, tokens: Int[AnyArray, "M"]) -> str:
        """One row of what is written, as text.

        Raises:
          UserError: the task writes no text.
        """
        if isinstance(self.task, Text):
            return self.task.show_text(tokens)
        return self._task_of_text().show_target(tokens)

    def _task_of_text(self) -> WritingTask:
        if not isinstance(self.task, WritingTask):
            kind = type(self.task).__name__
            raise UserError(f"{kind} has no text: give and take its tokens as numbers")
        return self.task

    def _on_one_device(self) -> Params:
        return jax.device_put(self.params, jax.devices()[0])

    def _batch(self, inputs: Batch | AnyArray) -> Batch:
        if isinstance(inputs, Batch):
            return inputs
        if self.model.facts.writes:
            raise UserError(
                "a model that writes scores each target after those before it; give a batch of its "
                'task: run.task.batch("test", 0, batch_size, length)'
            )
        none = np.zeros(len(inputs), np.int32)  # models read no targets, and score all positions
        return Batch(inputs, none, none.astype(np.float32))


@lru_cache(maxsize=16)
def _look(apply: Any, names: str) -> Any:
    """What a model shows by names of a pattern, jitted once."""

    def look(params: Params, batch: Batch) -> dict[str, Any]:
        seen = observed(apply)(params, batch)[1]
        wanted = matching(seen, names)
        if not wanted:
            raise UserError(f"names={names!r} is nothing that the model shows: {', '.join(seen)}")
        return {name: seen[name] for name in wanted}

    return jax.jit(look)
