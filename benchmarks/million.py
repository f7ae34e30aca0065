"""A training step of one very long sequence, by every mixer whose time is linear in its length.

    python benchmarks/million.py --out=docs/performance --document=docs/performance.md

The task is needle, asked at the last of 1,048,576 positions; the model has two blocks of width 64,
which the backward pass computes again (remat), in float32. Each mixer is measured in a process of
its own: the compiler's count of what a step holds, the process's largest resident size after two
steps, and the seconds of the second. What million.json holds is not measured again.
"""

import json
import resource
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
from absl import flags
from document import replace_table
from each import LINEAR, each, in_a_process
from scaling_tables import table

from seqmodels import cli
from seqmodels.training.experiment import build_experiment
from seqmodels.training.programs import Programs, new_state, step_batch
from seqmodels.training.resolving import read_config
from seqmodels.training.sharding import make_mesh
from seqmodels.training.startup import start_jax

MIXERS = flags.DEFINE_list("mixers", list(LINEAR), "presets to measure")
LENGTH = flags.DEFINE_integer("length", 2**20, "positions", 8)
OUT = flags.DEFINE_string("out", None, "folder for million.json")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")
CELL = flags.DEFINE_string("cell", None, "one mixer, in this process")

GIB = 2**30
MODEL = {"model.width": 64, "model.remat": "block"}
TRAIN = {"train.steps": 2, "train.batch_size": 1, "optimizer.warmup_steps": 1}


def cell(mixer: str, length: int) -> dict[str, Any]:
    """Measures one mixer in this process."""
    spec = f"memory:task=needle,mixer={mixer},length={length}"
    experiment = build_experiment(read_config(spec, MODEL | TRAIN))
    mesh = make_mesh(1)
    programs, batch = Programs(experiment, mesh), step_batch(experiment, mesh, 0)
    state = new_state(experiment, mesh)
    begun = time.perf_counter()
    programs.compile(state, batch)
    seconds = [time.perf_counter() - begun]
    for _ in range(2):
        begun = time.perf_counter()
        state, _ = programs[batch.bucket](state, batch.batch)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - begun)
    return {
        "mixer": mixer,
        "length": length,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "step_bytes": programs.bytes,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10,
        "compile_seconds": seconds[0],
        "step_seconds": seconds[-1],
    }


def text(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown: GiB and seconds."""
    lines = [["mixer", "L", "parameters", "a step holds, GiB", "peak resident, GiB", "step, s"]]
    for row in rows:
        sizes = (f"{row[name] / GIB:.1f}" for name in ("step_bytes", "peak_bytes"))
        numbers = (f"{row[name]:,}" for name in ("length", "parameters"))
        lines.append([row["mixer"], *numbers, *sizes, f"{row['step_seconds']:,.1f}"])
    return table(lines)


def main() -> None:
    """Measures every mixer that isn't measured yet, and writes where --out and --document say."""
    if CELL.value:
        start_jax()
        print(json.dumps(cell(CELL.value, LENGTH.value)))
        return
    file = Path(OUT.value) / "million.json" if OUT.value else None
    make = partial(in_a_process, __file__, length=LENGTH.value)
    rows = each(MIXERS.value, LENGTH.value, file, make, text)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "million", text(rows))


if __name__ == "__main__":
    cli.run(main)
