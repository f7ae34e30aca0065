"""Compiles programs for a machine that isn't here, and prints what the compiler says of them.

    python -m tests.ops.ahead_of_time tpu      needs pip install -e '.[tpu]'
    python -m tests.ops.ahead_of_time cuda     needs pip install -e '.[cuda]'

As JSON: of attention by kind and length (one sequence, 8 heads of width 64, bfloat16,
forward and backward), of the same of two sequences where eight devices share rows, positions and
heads, and of whole training steps on eight devices, the kernels in the
compiled program, its temporaries in bytes (without what cuDNN allocates as it runs) and
the seconds to trace it.
"""

import json
import os
import sys
import time
from functools import partial
from typing import Any

from seqmodels.scaling.targets import ENVIRONMENT, read_target

os.environ |= ENVIRONMENT

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from seqmodels.ops.attention.dot_product import attention
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import AXES, by_row, replicated, traced_under
from seqmodels.training.step import initial_state, jit_evaluation_step, jit_train_step

KERNEL = {"tpu": 'custom_call_target="tpu_custom_call"', "cuda": 'custom_call_target="__cudnn$fmha'}
LENGTHS = {"tpu": (16_384, 32_768, 65_536), "cuda": (8_192, 16_384, 65_536, 131_072)}
KINDS: dict[str, dict[str, Any]] = {
    "global, causal": {"causal": True},
    "global, both sides, mask": {"causal": False, "mask": True},
    "local 128, causal": {"causal": True, "window": 128},
    "local 128, causal, mask": {"causal": True, "window": 128, "mask": True},
    "local 128, both sides": {"causal": False, "window": 128},
}


def devices(machine: str) -> list[jax.Device]:
    """Eight H100 or eight v5e chips."""
    return read_target("tpu:v5e:2x4" if machine == "tpu" else "gpu:h100:8").devices()


def report(machine: str, lower: Any) -> dict[str, Any]:
    """Lowers and compiles."""
    start = time.monotonic()
    lowered = lower()
    seconds = time.monotonic() - start
    compiled = lowered.compile()
    text = compiled.as_text()
    return {
        "kernels": text.count(KERNEL[machine]),
        "temporaries": compiled.memory_analysis().temp_size_in_bytes,
        "all-gathers": text.count(" all-gather(") + text.count(" all-gather-start("),
        "tracing seconds": round(seconds, 2),
        "compiling seconds": round(time.monotonic() - start - seconds, 2),
    }


def attention_gradients(mesh: Mesh, length: int, mask: bool = False, **settings: Any) -> Any:
    """Forward and backward, lowered."""
    everywhere = replicated(mesh)
    x = jax.ShapeDtypeStruct((1, length, 8, 64), jnp.bfloat16, sharding=everywhere)
    valid = jax.ShapeDtypeStruct((1, length), bool, sharding=everywhere) if mask else None

    def loss(query, key, value, valid):
        out = attention(query, key, value, mask=valid, **settings)
        return jnp.sum(out.astype(jnp.float32) ** 2)

    gradients = traced_under(mesh, jax.grad(loss, (0, 1, 2)))
    return jax.jit(gradients, out_shardings=everywhere).lower(x, x, x, valid)


def shared_gradients(here: Any, length: int, mask: bool = False, **settings: Any) -> Any:
    """The same of two rows, where devices share rows, positions and heads, two each."""
    mesh = Mesh(here.reshape(2, 2, 2), AXES, axis_types=(AxisType.Auto,) * 3)
    by_all, of_mask = (NamedSharding(mesh, PartitionSpec(*AXES[:count])) for count in (3, 2))
    x = jax.ShapeDtypeStruct((2, length, 8, 64), jnp.bfloat16, sharding=by_all)
    valid = jax.ShapeDtypeStruct((2, length), bool, sharding=of_mask) if mask else None

    def loss(query, key, value, valid):
        out = attention(query, key, value, mask=valid, **settings)
        return jnp.sum(out.astype(jnp.float32) ** 2)

    gradients = traced_under(mesh, jax.grad(loss, (0, 1, 2)))
    return jax.jit(gradients, out_shardings=by_all).lower(x, x, x, valid)


def step(mesh: Mesh, mixer: str, window: int | None, evaluation: bool) -> Any:
    """The step of training or of evaluation of configs/recall.py in bfloat16, lowered."""
    config = load_whole(f"configs/recall.py:mixer={mixer},length=1024").config
    config.update({"model": {"dtype": "bfloat16"}, "train": {"batch_size": 16}})
    if window is not None:
        config.update({"model": {"mixers": {"local": {"window": window}}}})
    of = build_experiment(config)

    def place(where):
        return partial(
            jax.tree.map, lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)
        )

    new_state = partial(initial_state, of.model, of.optimizer, of.seed)
    state = place(replicated(mesh))(jax.eval_shape(new_state))
    batch = place(by_row(mesh))(of.task.batch("train", 0, 16, 1024))
    if evaluation:
        return jit_evaluation_step(of.model, of.task, mesh).lower(state.params, batch)
    return jit_train_step(of.model, of.task, of.optimizer, 1, of.seed, mesh).lower(state, batch)


def main(machine: str) -> None:
    here = np.array(devices(machine))

    def mesh(n):
        return Mesh(here[:n], ("data",), axis_types=(AxisType.Auto,))

    results: dict[str, Any] = {"machine": machine, "attention": {}, "shared": {}, "steps": {}}
    for kind, settings in KINDS.items():
        results["attention"][kind] = {
            length: report(machine, partial(attention_gradients, mesh(1), length, **settings))
            for length in LENGTHS[machine]
        }
        lower = partial(shared_gradients, here, LENGTHS[machine][0], **settings)
        results["shared"][kind] = report(machine, lower)
    for mixer, window, evaluation, layers in (
        ("transformer", None, False, 2),
        ("transformer", None, True, 2),
        ("local", 128, False, 2),
        ("lstm", None, False, 0),
        ("conv", None, False, 0),
    ):
        found = report(machine, partial(step, mesh(8), mixer, window, evaluation))
        name = f"{mixer}, {'evaluation' if evaluation else 'training'}"
        results["steps"][name] = found | {"attention layers": layers}
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
