"""One side of benchmarks/check.py: times what one checkout computes, a JSON request a line.

PYTHONPATH says which checkout; its own benchmarks/cases.py and layers.py are imported, since names
of modules differ between commits. Says first which cases it has, then answers each request with
``{"seconds": per call, "bytes": temporaries}``. A prompt is read by one call from the state that
``start`` gives; a token is one of TOKENS written in a loop, the positions before it read a CHUNK
at a time.
"""

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from cases import CASES, SIZES, language_model
from layers import jax_seconds

import seqmodels
from seqmodels.training.startup import start_jax

CHUNK, TOKENS = 512, 16
MIXERS = {
    "global": {"kind": "attention", "heads": SIZES["heads"]},
    "local": {"kind": "attention", "heads": SIZES["heads"], "window": SIZES["window"]},
    "lstm": {"kind": "lstm"},
}


def model_and_inputs(name: str, length: int):
    """A language model of four blocks, its parameters, and one sequence of bytes."""
    section = {
        "width": SIZES["width"],
        "depth": SIZES["depth"],
        "pattern": (name,),
        "mixers": {name: MIXERS[name]},
        "mlp": "gelu",
        "mlp_expansion": 4.0,
    }
    of = language_model(section, length, 1)
    return of.model, of.model.init(jax.random.key(0)), of.batch()


def prompt(name: str, length: int):
    """The scores and the state after a prompt, with room for as many positions more."""
    model, params, batch = model_and_inputs(name, length)

    def read(params, batch):
        return model.extend(params, batch.inputs, model.start(params, batch, 2 * length))

    compiled = jax.jit(read).lower(params, batch).compile()
    return lambda: compiled(params, batch), compiled.memory_analysis().temp_size_in_bytes, 1


def token(name: str, length: int):
    """TOKENS tokens written in a loop, each the likeliest after the last."""
    model, params, batch = model_and_inputs(name, length)
    extend = jax.jit(model.extend, donate_argnums=2)
    # Past the room only scores change, and not the time.
    # Copied, as an LSTM's zeros may be one array twice, which can't be given away twice.
    state = jax.tree.map(jnp.copy, model.start(params, batch, length + 256 * TOKENS))
    for begin in range(0, length, CHUNK):
        _, state = extend(params, jnp.asarray(batch.inputs[:, begin : begin + CHUNK]), state)

    def write(params, state):
        def step(carry, _):
            last, state = carry
            scores, state = model.extend(params, last, state)
            return (jnp.argmax(scores[:, -1:], axis=-1).astype(jnp.int32), state), None

        last = jnp.zeros((1, 1), jnp.int32)
        return jax.lax.scan(step, (last, state), None, length=TOKENS)[0]

    compiled = jax.jit(write, donate_argnums=1).lower(params, state).compile()

    def call():
        nonlocal state
        last, state = compiled(params, state)
        return last, state

    return call, compiled.memory_analysis().temp_size_in_bytes, TOKENS


@functools.lru_cache(maxsize=1)
def prepare(case: str, length: int, **request) -> tuple[Callable[[int], float], int]:
    """A function from a number of calls to the seconds of one, and the temporary bytes."""
    if case in CASES:
        devices = jax.device_count()
        return jax_seconds(case, length, request["dtype"], request["backward"], devices), 0
    call, temporary, parts = {"prompt": prompt, "token": token}[case](request["model"], length)

    def measure(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(call())
        return (time.perf_counter() - start) / max(calls, 1) / parts

    return measure, temporary


def main() -> None:
    """Answers requests until stdin ends."""
    checkout = Path(sys.path[0])
    assert Path(seqmodels.__file__).is_relative_to(checkout), seqmodels.__file__
    start_jax()
    print(json.dumps([*CASES, "prompt", "token"]), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        calls = request.pop("calls")
        measure, temporary = prepare(**request)
        print(json.dumps({"seconds": measure(calls), "bytes": temporary}), flush=True)


if __name__ == "__main__":
    main()
