"""Measures what an example of each task costs to generate; writes docs/tasks.md and its figure.

    python benchmarks/tasks.py --document=docs/tasks.md --image=docs/images/tasks.png

The cost is the median over rounds of 8 batches of 64 training examples, in microseconds of a
core's time an example. What is said of a task stands in benchmarks/task_entries.py.
--only=recall,needle measures some alone and prints them.
"""

import statistics
import time
from typing import Any

import numpy as np
from absl import flags
from document import replace_table
from task_entries import ENTRIES, Entry
from task_panels import draw_panels

from seqmodels import cli
from seqmodels.errors import UserError, nearest
from seqmodels.experiments.machine import describe_machine
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Batch, Task, WritingTask

DOCUMENT = flags.DEFINE_string("document", None, "file whose tables are replaced")
IMAGE = flags.DEFINE_string("image", None, "file of the figure")
ONLY = flags.DEFINE_list("only", [], "names of tasks; all if empty")
SECONDS = flags.DEFINE_float("seconds", 2.0, "the most that is spent on a measurement", 0.1)

BATCH, STEPS, MOST_ROUNDS, FEWEST_ROUNDS = 64, 8, 25, 3


def cost(kind: str, settings: dict[str, Any], length: int) -> float:
    """Microseconds an example."""
    task: Task = TASKS[kind](seed=0, **settings)
    task.batch("train", 0, BATCH, length)  # reads what there is to read
    rounds: list[float] = []
    begin = time.perf_counter()
    while len(rounds) < MOST_ROUNDS and (
        len(rounds) < FEWEST_ROUNDS or time.perf_counter() - begin < SECONDS.value
    ):
        steps = range(STEPS * (len(rounds) + 1), STEPS * (len(rounds) + 2))
        start = time.process_time()  # what others do on the machine hardly changes it
        for step in steps:
            task.batch("train", step, BATCH, length)
        rounds.append((time.process_time() - start) / STEPS / BATCH * 1e6)
    return statistics.median(rounds)


def row(kind: str, entry: Entry) -> str:
    """A task's line of the table."""
    spec = TASKS[kind](seed=0).spec
    unit = "features" if spec.inputs == "features" else "tokens"
    inputs = f"{spec.input_size} {unit if spec.input_size > 1 else unit[:-1]}"
    costs = []
    for settings, length in entry.measured:
        named = "".join(f", {key}={value}" for key, value in settings.items())
        micros = cost(kind, settings, length)
        shown = f"{micros:,.0f}" if micros >= 10 else f"{micros:.1f}"
        costs.append(f"{shown} (L={length:,}{named})")
    cells = [f"`{kind}`", spec.shape, inputs, entry.tests, entry.chance, entry.source]
    return f"| {' | '.join([*cells, '; '.join(costs)])} |"


def example(kind: str, entry: Entry) -> tuple[Task, Batch]:
    """The example that is shown, the first one of test, and more of them where they are images."""
    task = TASKS[kind](seed=0, **entry.settings)
    return task, task.batch("test", 0, 4, entry.length)


def written_example(kind: str, entry: Entry) -> str:
    """An example as a line of text: what is read, an arrow, what is asked for."""
    task, batch = example(kind, entry)
    if kind == "text":
        source = repr(bytes(batch.inputs[0].astype(np.uint8)))[2:-1]
        return f"`{source}` → `{chr(batch.targets[0, -1])!r}`"
    if task.spec.inputs == "features":
        if batch.inputs[0].size > 40:
            return f"an image (see the figure) → {batch.targets[0]}"
        numbers = [f"{x:.2f}{'*' if mark else ''}" for x, mark in batch.inputs[0].tolist()]
        return f"`{' '.join(numbers)}` → {batch.targets[0]:.2f}"
    if task.spec.shape == "one-to-many":
        return f"{batch.inputs[0]} → an image (see the figure)"
    rows = batch.inputs[0] if batch.mask is None else batch.inputs[0][batch.mask[0]]
    if isinstance(task, WritingTask):
        return f"`{task.show_source(rows).strip()}` → `{task.show_target(batch.targets[0])}`"
    words = entry.words.split() or [str(token) for token in range(task.spec.input_size)]
    source = " ".join(words[token] for token in rows)
    if batch.targets.ndim == 1:
        return f"`{source}` → {batch.targets[0]}"
    asked = batch.targets[0][batch.weights[0] > 0]
    return f"`{source}` → `{' '.join(words[token] for token in asked)}`"


def main() -> None:
    """Measures, and writes what is asked for."""
    for kind in [*TASKS, *ONLY.value]:
        if kind not in ENTRIES:
            hint = "give it a line in benchmarks/task_entries.py"
            raise UserError(f"{kind}: no entry; {hint if kind in TASKS else nearest(kind, TASKS)}")
    if ONLY.value and DOCUMENT.value:
        raise UserError("--only with --document: the table takes all tasks; leave one out")
    if IMAGE.value:
        draw_panels(
            IMAGE.value, {kind: (ENTRIES[kind], *example(kind, ENTRIES[kind])) for kind in TASKS}
        )
    lines = []
    for kind in ONLY.value or TASKS:
        lines.append(row(kind, ENTRIES[kind]))
        print(lines[-1], flush=True)
    if not DOCUMENT.value:
        return
    machine = describe_machine()
    said = (
        f"One core of {machine['processor']}, Python {machine['python']}, NumPy {np.__version__}."
    )
    head = [
        "| kind | shape | inputs | what it tests | chance | source | µs per example |",
        "|---|---|---|---|---|---|---|",
    ]
    replace_table(DOCUMENT.value, "tasks", "\n".join([said, "", *head, *lines]) + "\n")
    shown = [f"- **{kind}**: {written_example(kind, ENTRIES[kind])}" for kind in TASKS]
    replace_table(DOCUMENT.value, "examples", "\n".join(shown) + "\n")


if __name__ == "__main__":
    cli.run(main)
