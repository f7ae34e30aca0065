"""What a deep model takes to compile, and its step, block by block and scanned.

    python benchmarks/depth.py --document=docs/training.md

A language model on bytes, float32, one device. Both programs of a depth stand beside each other and
take turns, the least of ``--repeats`` counts. Seconds are those of the processor, of all threads
together: other work on the machine doesn't lengthen them as it does a clock's.
"""

import time
from typing import Any

import jax
from absl import flags
from document import replace_table

from seqmodels import cli
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.training.sharding import make_mesh
from seqmodels.training.startup import start_jax

PRESETS = flags.DEFINE_list("mixers", ["transformer", "gru", "mamba2"], "presets to measure")
DEPTHS = flags.DEFINE_list("depths", ["2", "8", "32"], "blocks")
WIDTH = flags.DEFINE_integer("width", 128, "features D")
LENGTH = flags.DEFINE_integer("length", 512, "positions L")
ROWS = flags.DEFINE_integer("rows", 2, "sequences B")
REMAT = flags.DEFINE_string("remat", "block", "what the backward pass keeps")
REPEATS = flags.DEFINE_integer("repeats", 10, "steps of each, of which the least counts")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")

REPEAT = ("unrolled", "scanned")
HEADER = (
    "| mixer | blocks | compiling, s | scanned, s | a step, ms | scanned, ms | temporaries, MiB "
    "| scanned, MiB |"
)


def program(mixer: str, depth: int, repeat: str) -> tuple[Any, Any, Any, float]:
    """A step compiled, its state and batch, and the seconds to trace and compile it."""
    section = model_section(mixer, WIDTH.value, depth, "float32", LENGTH.value)
    section |= {"repeat": repeat, "remat": REMAT.value}
    of, mesh = language_model(section, LENGTH.value, ROWS.value), make_mesh(1)
    batch, state = of.batch(), jax.jit(of.state)()
    start = time.process_time()
    step = of.jit_step(mesh).lower(state, batch).compile()
    return step, state, batch, time.process_time() - start


def row(mixer: str, depth: int) -> str:
    """A line of the table."""
    made = [program(mixer, depth, repeat) for repeat in REPEAT]
    states, least = [state for _, state, _, _ in made], [float("inf")] * len(made)
    for _ in range(REPEATS.value + 1):
        for place, (step, _, batch, _) in enumerate(made):
            start = time.process_time()
            states[place], _ = jax.block_until_ready(step(states[place], batch))
            least[place] = min(least[place], time.process_time() - start)
    memory = [step.memory_analysis().temp_size_in_bytes / 2**20 for step, *_ in made]
    cells = [f"{seconds:.1f}" for *_, seconds in made]
    cells += [f"{1000 * seconds:,.1f}" for seconds in least]
    cells += [f"{mebibytes:,.0f}" for mebibytes in memory]
    return f"| {' | '.join([mixer, str(depth), *cells])} |"


def main() -> None:
    """Compiles and runs every step, prints the table and writes it where --document says."""
    start_jax()
    jax.config.update("jax_enable_compilation_cache", False)
    lines = [HEADER, "|" + " --- |" * 8]
    print("\n".join(lines))
    for mixer in PRESETS.value:
        for depth in map(int, DEPTHS.value):
            lines.append(row(mixer, depth))
            print(lines[-1], flush=True)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "depth", "\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main)
