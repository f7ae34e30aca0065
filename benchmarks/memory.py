"""The memory of a layer and of a whole training step against the length.

    python benchmarks/memory.py                                        # the table of docs/
    python benchmarks/memory.py --mixers=local,lstm --lengths=1048576

Each cell is a process of its own: a language model of two blocks of width 64 on bytes,
one sequence a batch. Temporaries are the compiler's count, of one mixer's forward and backward
pass and of the training step; the peak is the process's largest resident size after two
steps, with Python, JAX and the compiler in it.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags
from document import replace_table
from flax import nnx

from seqmodels import cli, presets
from seqmodels.allocator import return_large_memory
from seqmodels.errors import UserError, nearest
from seqmodels.mixers import MIXERS
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.training.startup import start_jax

PRESETS = flags.DEFINE_list("mixers", ["lstm", "conv", "local", "global"], "presets to measure")
LENGTHS = flags.DEFINE_list(
    "lengths", ["8192", "16384", "32768", "65536", "1048576"], "sequence lengths"
)
QUADRATIC_LENGTH = flags.DEFINE_integer(
    "quadratic_length", 65536, "the longest length for global attention, whose time grows with L^2"
)
RUN = flags.DEFINE_boolean("run", True, "also run the step, for the peak; False compiles alone")
OUT = flags.DEFINE_string("out", None, "folder for memory.json and memory.md")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")
CELL = flags.DEFINE_string("cell", None, "one cell, MIXER:LENGTH, in this process")

WIDTH, DEPTH = 64, 2
MIB = 2**20


def cell(name: str, length: int) -> dict:
    """Measures one cell in this process."""
    section = model_section(name, WIDTH, DEPTH, "float32", length)
    settings = dict(next(iter(section["mixers"].values())))
    mixer = MIXERS[settings.pop("kind")](WIDTH, **settings, rngs=nnx.Rngs(0))
    graph, state = nnx.split(mixer, nnx.Param)
    x = jax.ShapeDtypeStruct((1, length, WIDTH), jnp.float32)

    def layer(params, x, d_y):
        return jax.vjp(lambda params, x: nnx.merge(graph, params)(x), params, x)[1](d_y)

    layer = jax.jit(layer).lower(nnx.to_pure_dict(state), x, x).compile()

    of = language_model(section, length, rows=1)
    state, batch = of.state(), of.batch()
    compiled = jax.jit(of.step(), donate_argnums=0).lower(state, batch).compile()
    return_large_memory(compiled.memory_analysis().temp_size_in_bytes)
    result = {
        "mixer": name,
        "length": length,
        "layer_mib": layer.memory_analysis().temp_size_in_bytes / MIB,
        "step_mib": compiled.memory_analysis().temp_size_in_bytes / MIB,
    }
    if RUN.value:
        state, _ = compiled(state, batch)
        jax.block_until_ready(state)
        start = time.perf_counter()
        state, _ = compiled(state, batch)
        jax.block_until_ready(state)
        result["seconds"] = time.perf_counter() - start
        result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def table(rows: list[dict]) -> str:
    """The rows as Markdown: MiB and seconds."""
    names = {
        "mixer": "mixer",
        "length": "L",
        "layer_mib": "layer, temporaries MiB",
        "step_mib": "step, temporaries MiB",
        "peak_mib": "peak resident MiB",
        "seconds": "step s",
    }
    lines = [list(names.values()), ["---"] * len(names)]
    for row in rows:
        values = (row.get(name, "") for name in names)
        lines.append([_shown(value) for value in values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _shown(value) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Measures every cell, prints the table and writes it where --out says."""
    if CELL.value:
        name, _, length = CELL.value.partition(":")
        start_jax()
        print(json.dumps(cell(name, int(length))))
        return
    rows = []
    for name in PRESETS.value:
        if name not in presets.PRESETS:
            raise UserError(f"--mixers: {name!r} is not a preset; {nearest(name, presets.PRESETS)}")
        for length in map(int, LENGTHS.value):
            if name in ("global", "transformer") and length > QUADRATIC_LENGTH.value:
                continue
            command = [sys.executable, __file__, f"--cell={name}:{length}", f"--run={RUN.value}"]
            output = subprocess.run(command, capture_output=True, text=True, check=False)
            if output.returncode:
                reason = (output.stderr.strip().splitlines() or ["killed"])[-1]
                print(f"{name} at {length:,}: failed with {output.returncode}: {reason}")
                continue
            rows.append(json.loads(output.stdout.splitlines()[-1]))
            print(table(rows).splitlines()[-1], flush=True)
    print("\n" + table(rows))
    if OUT.value:
        folder = Path(OUT.value)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.json").write_text(json.dumps(rows, indent=1))
        (folder / "memory.md").write_text(table(rows))
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "memory", table(rows))


if __name__ == "__main__":
    cli.run(main)
