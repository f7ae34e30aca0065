"""Writing with a trained run: continuing a text, or answering sources."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import AnyArray, Array, Int, Key
from seqmodels.errors import ConfigError, ParameterError, UserError, require_seed
from seqmodels.evaluation.runs import LoadedRun, keep, load
from seqmodels.generation.decoding import Sampling, answer, generate
from seqmodels.json_files import write_whole
from seqmodels.tasks.base import Batch, WritingTask
from seqmodels.tasks.files.text import Text
from seqmodels.terminal import table_text
from seqmodels.training.memory import machine_bytes, require_bytes


def write_for(
    run: LoadedRun, batch: Batch, sampling: Sampling, key: Key[Array, ""]
) -> Int[AnyArray, "B P"]:
    """What a run writes for a batch's inputs: as many tokens as its targets, or up to the end."""
    model, spec = run.experiment.model, run.experiment.task.spec
    params = jax.device_put(run.params, jax.devices()[0])
    return np.asarray(answer(model, params, batch, spec, batch.targets.shape[1], sampling, key))


def generate_run(
    workdir: str,
    checkpoint: str,
    count: int,
    prompt: str | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int | None = None,
    seed: int = 0,
) -> str:
    """Writes with a run; prints it and keeps it as ``sample.txt`` in its folder.

    A language model continues the prompt. A model that writes a sequence of its own does so for
    the prompt, or for ``count`` examples of the test split beside what would be right. By default
    a text's ``count`` bytes follow ``def`` at a temperature of 0.7; answers are drawn at 0.
    """
    if count < 1:
        raise UserError(f"generate={count} is below 1")
    if temperature is not None and temperature < 0:
        raise UserError(f"temperature={temperature} is below 0")
    require_seed(seed)
    run = load(workdir, checkpoint, devices=1)
    task, key = run.experiment.task, jax.random.key(seed)
    by_default = 0.7 if isinstance(task, Text) and beams is None else 0.0
    chosen = by_default if temperature is None else temperature
    try:
        sampling = Sampling(chosen, top_k, top_p, beams).check()
        if isinstance(task, Text):
            after = "def " if prompt is None else prompt
            text = _continue_text(run, task, count, after, sampling, key)
        elif isinstance(task, WritingTask):
            text = _answer(run, task, count, prompt, sampling, key)
        else:
            raise UserError(
                f"generate={count} takes a model of text or of a task that writes a sequence; the "
                f"run in {workdir} does neither"
            )
    except ConfigError as error:
        what = "" if prompt is None else f" after prompt={prompt[:40]!r}"
        raise UserError(f"generate={count}{what}: {error}") from None
    keep(lambda: write_whole(run.workdir.path / "sample.txt", text + "\n"))
    print(text)
    return text


def _continue_text(
    run: LoadedRun, task: Text, count: int, prompt: str, sampling: Sampling, key: Key[Array, ""]
) -> str:
    start = task.read_text(prompt)
    rows, room = sampling.beams or 1, len(start) + count
    model = run.experiment.model

    def state_bytes(length: int) -> int:
        tokens: Any = jax.ShapeDtypeStruct((1, length), jnp.int32)
        return model.cost(Batch(tokens, tokens, tokens)).state_bytes

    # Linear in the room, which may be longer than what can be traced.
    state = state_bytes(1) + (room - 1) * (state_bytes(2) - state_bytes(1))
    held = rows * (state + 4 * room)
    require_bytes(held, machine_bytes(), f"the state and {room:,} tokens", "write fewer")
    tokens = generate(
        model,
        jax.device_put(run.params, jax.devices()[0]),  # one row: nothing to share
        jnp.asarray(start)[None],
        count,
        sampling,
        key,
    )
    return task.show_text(np.concatenate([start, np.asarray(tokens[0])]))


def _answer(
    run: LoadedRun,
    task: WritingTask,
    count: int,
    prompt: str | None,
    sampling: Sampling,
    key: Key[Array, ""],
) -> str:
    """A table of sources and what is written for them."""
    length = run.experiment.train.length
    if prompt is not None:
        try:
            source = task.read_source(prompt)
        except ParameterError as error:
            raise UserError(f"prompt={prompt!r}: {error}") from None
        axes = source.shape or (length,)
        targets = task.batch("test", 0, 1, max(*axes, length)).targets
        mask = np.ones((1, *source.shape), bool) if source.ndim else None
        batch = Batch(source[None], targets, np.ones(targets.shape, np.float32), mask)
        return task.show_target(write_for(run, batch, sampling, key)[0])
    batch = task.batch("test", 0, min(count, task.examples("test", length) or count), length)
    written = write_for(run, batch, sampling, key)
    has_answer = task.spec.end is not None
    rows = []
    right = 0
    for row, tokens in enumerate(written):
        inputs = batch.inputs[row, ...]
        if batch.mask is not None:
            inputs = inputs[batch.mask[row]]
        answer, truth = task.show_target(tokens), task.show_target(batch.targets[row])
        right += answer == truth
        rows.append([task.show_source(inputs), answer, "✓" if answer == truth else truth])
    lines = [table_text(["source", "written", "right" if has_answer else "in the data"], rows)]
    if has_answer:
        lines.append(f"{right} of {len(written)} wholly right")
    return "\n".join(lines)
