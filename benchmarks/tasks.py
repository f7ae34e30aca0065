"""Measures what an example of each task costs to generate; writes docs/tasks.md and its figure.

    python benchmarks/tasks.py --document=docs/tasks.md --image=docs/images/tasks.png

The cost is the median over rounds of 8 batches of 64 training examples, in microseconds of a
core's time an example; of a task that keeps what it has read also the cost of the first 8. What is
said of a task stands in benchmarks/task_entries.py; the files that some read are made for the
moment by benchmarks/task_files.py.
--only=recall,needle measures some alone, and replaces or adds their lines alone.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from document import replace_table, set_line
from task_entries import Entry, chance_cell, entry_of
from task_files import FILES
from task_panels import OF_BYTES, draw_panels

from seqmodels import cli
from seqmodels.errors import UserError, nearest
from seqmodels.machine import describe_machine
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Batch, Task, WritingTask

DOCUMENT = flags.DEFINE_string("document", None, "file whose tables are replaced")
IMAGE = flags.DEFINE_string("image", None, "file of the figure")
ONLY = flags.DEFINE_list("only", [], "names of tasks; all if empty")
SECONDS = flags.DEFINE_float("seconds", 2.0, "the most that is spent on a measurement", 0.1)

BATCH, STEPS, MOST_ROUNDS, FEWEST_ROUNDS = 64, 8, 25, 3


@contextmanager
def made(kind: str, settings: dict[str, Any], length: int) -> Iterator[Task]:
    """A task, and for as long as it is used the files that it reads."""
    with tempfile.TemporaryDirectory() as folder:
        files = FILES[kind](Path(folder), length) if kind in FILES else {}
        yield TASKS[kind](seed=0, **settings, **files)


def cost(task: Task, length: int) -> float:
    """Microseconds an example."""
    rounds: list[float] = []
    begin = time.perf_counter()
    while len(rounds) < MOST_ROUNDS and (
        len(rounds) < FEWEST_ROUNDS or time.perf_counter() - begin < SECONDS.value
    ):
        rounds.append(cost_of_round(task, length, len(rounds) + 1))
    return statistics.median(rounds)


def cost_of_round(task: Task, length: int, number: int) -> float:
    """The same of 8 batches."""
    start = time.process_time()  # what others do on the machine hardly changes it
    for step in range(STEPS * number, STEPS * (number + 1)):
        task.batch("train", step, BATCH, length)
    return (time.process_time() - start) / STEPS / BATCH * 1e6


def shown(micros: float) -> str:
    """To two digits where it is small."""
    return f"{micros:,.0f}" if micros >= 10 else f"{micros:.1f}"


def row(kind: str, entry: Entry) -> str:
    """A task's line of the table."""
    costs, chances = [], []
    for settings, length in entry.measured:
        named = "".join(f", {key}={value}" for key, value in settings.items())
        with made(kind, settings, length) as task:
            task.batch("test", 0, BATCH, length)  # reads what there is to read at once
            first = cost_of_round(task, length, 0)
            read = f"; {shown(first)} when first read" if entry.keeps else ""
            costs.append(f"{shown(cost(task, length))} (L={length:,}{named}{read})")
            chances.append(chance_cell(task, length))
    with made(kind, {}, entry.length) as task:
        spec = task.spec
    unit = "features" if spec.inputs == "features" else "tokens"
    inputs = f"{spec.input_size} {unit if spec.input_size > 1 else unit[:-1]}"
    if len(set(chances)) == 1:
        del chances[1:]
    cells = [f"`{kind}`", spec.shape, inputs, entry.tests, " / ".join(chances), entry.source]
    return f"| {' | '.join([*cells, '; '.join(costs)])} |"


def example(kind: str, entry: Entry) -> tuple[Task, Batch]:
    """The example that is shown, the first one of test, and more of them where they are images."""
    with made(kind, entry.settings, entry.length) as task:
        return task, task.batch("test", 0, 4, entry.length)


def written_example(kind: str, entry: Entry) -> str:
    """An example as a line of text: what is read, an arrow, what is asked for."""
    task, batch = example(kind, entry)
    if kind in OF_BYTES and not isinstance(task, WritingTask):
        stretches = "".join(map(chr, batch.inputs[0].tolist())).split(chr(256))
        source = "` and `".join(repr(stretch)[1:-1] for stretch in stretches)
        target = batch.targets[0]
        return f"`{source}` → {f'`{chr(target[-1])!r}`' if kind == 'text' else target}"
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
    for kind in ONLY.value:
        if kind not in TASKS:
            raise UserError(f"--only: {kind!r} is no task; {nearest(kind, TASKS)}")
    if IMAGE.value:
        entries = {kind: entry_of(kind) for kind in TASKS}
        panels = {kind: (entry, *example(kind, entry)) for kind, entry in entries.items()}
        draw_panels(IMAGE.value, panels)
    lines: dict[str, str] = {}
    for kind in ONLY.value or TASKS:
        lines[kind] = row(kind, entry_of(kind))
        print(lines[kind], flush=True)
    if not DOCUMENT.value:
        return
    examples = {kind: f"- **{kind}**: {written_example(kind, entry_of(kind))}" for kind in lines}
    if ONLY.value:
        for kind in lines:
            order = [f"| `{other}` |" for other in TASKS]
            set_line(DOCUMENT.value, order, f"| `{kind}` |", lines[kind])
            order = [f"- **{other}**:" for other in TASKS]
            set_line(DOCUMENT.value, order, f"- **{kind}**:", examples[kind])
        return
    machine = describe_machine()
    said = (
        f"One core of {machine['processor']}, Python {machine['python']}, NumPy {np.__version__}."
    )
    head = [
        "| kind | shape | inputs | what it tests | chance | source | µs per example |",
        "|---|---|---|---|---|---|---|",
    ]
    replace_table(DOCUMENT.value, "tasks", "\n".join([said, "", *head, *lines.values()]) + "\n")
    replace_table(DOCUMENT.value, "examples", "\n".join(examples.values()) + "\n")


if __name__ == "__main__":
    cli.run(main)
