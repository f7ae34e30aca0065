"""Continuing a text, token by token, with the model's recurrent form."""

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import Array, Int, Key, Params
from seqmodels.decoding import Sampling, decode
from seqmodels.errors import UserError
from seqmodels.experiments.runs import load_run
from seqmodels.model import Model
from seqmodels.tasks.text import Text


def generate(
    model: Model,
    params: Params,
    prompt: Int[Array, "B L"],
    count: int,
    temperature: float,
    key: Key[Array, ""],
) -> Int[Array, "B M"]:
    """Samples ``count`` tokens after each prompt.

    The prompt goes through ``extend`` in one chunk and each new token by itself, so a
    token costs what the mixers' state costs and not the whole sequence again.

    Args:
      model: a causal model whose outputs score the next token.
      params: its parameters.
      prompt: at least one token a row.
      count: the number of tokens M.
      temperature: what the scores are divided by; 0 takes the best token each time.
      key: the random key.
    """
    state = model.initial_state(prompt.shape[0], prompt.shape[1] + count)
    return decode(model, params, state, prompt, count, Sampling(temperature), key)


def generate_text(
    workdir: str, checkpoint: str, prompt: str, count: int, temperature: float, seed: int
) -> str:
    """Continues a prompt with a run's language model; prints it and writes ``sample.txt``.

    Args:
      workdir: the folder of a run on the ``text`` task.
      checkpoint: "best", "latest" or a step.
      prompt: what to continue; a line's end where it is empty.
      count: the number of bytes to write.
      temperature: above 0; smaller is likelier text. 0 takes the likeliest byte each time.
      seed: another seed writes another sample.
    """
    if count < 1:
        raise UserError(f"--generate={count} is below 1 byte")
    if temperature < 0:
        raise UserError(f"--temperature={temperature} is below 0")
    run = load_run(workdir, checkpoint)
    if not isinstance(run.experiment.task, Text):
        raise UserError(f"--generate continues text; the run in {workdir} is on another task")
    start = prompt.encode() or b"\n"
    tokens = generate(
        run.experiment.model,
        jax.device_put(run.params, jax.devices()[0]),  # one row: nothing to share
        jnp.asarray(np.frombuffer(start, np.uint8)[None], jnp.int32),
        count,
        temperature,
        jax.random.key(seed),
    )
    text = (start + bytes(np.asarray(tokens[0]).tolist())).decode(errors="replace")
    (run.workdir.path / "sample.txt").write_text(text)
    print(text)
    return text
