"""The memory of a language model's training step: all scores at once, and by chunks of positions.

    python benchmarks/head.py                              # the table of docs/performance.md
    python benchmarks/head.py --mixers=gru --lengths=8192 --run       # and its seconds

Two blocks of width 64, one sequence a batch. Temporaries are the compiler's count; steps are
compiled and not run, unless ``--run`` says so: then the least seconds of three steps stand beside
them. With one score a position next to nothing is left but the blocks.
"""

import time
from functools import partial

import jax
from absl import flags
from document import replace_table

from seqmodels import cli, model_metrics
from seqmodels.model import build_model
from seqmodels.scaling.programs import RandomBytes, model_section
from seqmodels.tasks.base import TaskSpec, classification_metrics
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.startup import start_jax
from seqmodels.training.step import initial_state, make_train_step

PRESETS = flags.DEFINE_list("mixers", ["gru", "mamba2", "local"], "presets to measure")
LENGTHS = flags.DEFINE_list("lengths", ["8192", "65536"], "sequence lengths L")
VOCABULARY = flags.DEFINE_integer("vocabulary", 8192, "scores of a position V")
RUN = flags.DEFINE_boolean("run", False, "also run each step")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")

WIDTH, DEPTH, MIB = 64, 2, 2**20
HEADER = "| mixer | L | all at once, MiB | by chunks, MiB | one score a position, MiB |"


class RandomTokens(RandomBytes):
    """Bytes, each followed by one of any number of tokens."""

    metrics = staticmethod(classification_metrics)

    def __init__(self, outputs: int):
        self.spec = TaskSpec("many-to-many", "tokens", 256, outputs, True)


def measured(mixer: str, length: int, outputs: int, chunks: bool) -> str:
    """The temporary memory of a training step in MiB, and its seconds where they are asked."""
    task = RandomTokens(outputs)
    model = build_model(model_section(mixer, WIDTH, DEPTH, "float32", length), task.spec, length)
    optimizer = make_optimizer({"learning_rate": 1e-3}, 10, model.parameters)
    step = make_train_step(model, task, optimizer, 1, 0)
    initial = partial(initial_state, model, optimizer, 0)
    state, batch = jax.eval_shape(initial), task.batch("train", 0, 1, length)
    always = model_metrics.WHOLE
    if not chunks:
        model_metrics.WHOLE = length
    try:
        lowered = jax.jit(step, donate_argnums=0).lower(state, batch)
    finally:
        model_metrics.WHOLE = always
    compiled = lowered.compile()
    memory = f"{compiled.memory_analysis().temp_size_in_bytes / MIB:,.0f}"
    if not RUN.value:
        return memory
    state, seconds = initial(), []
    for _ in range(4):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, batch))
        seconds.append(time.perf_counter() - start)
    return f"{memory}, {min(seconds[1:]):.2f} s"


def main() -> None:
    """Compiles every step, prints the table and writes it where --document says."""
    start_jax()
    lines = [HEADER, "| --- | --- | --- | --- | --- |"]
    print("\n".join(lines))
    for mixer in PRESETS.value:
        for length in map(int, LENGTHS.value):
            steps = (VOCABULARY.value, False), (VOCABULARY.value, True), (1, False)
            cells = [measured(mixer, length, *step) for step in steps]
            lines.append(f"| {' | '.join([mixer, f'{length:,}', *cells])} |")
            print(lines[-1], flush=True)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "head", "\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main)
