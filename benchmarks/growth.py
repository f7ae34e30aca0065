"""How a training step grows with the length, from 2,048 to 65,536 positions: every linear mixer's.

    PYTHONPATH=. python benchmarks/growth.py --out=docs/performance --document=docs/mixers.md

Language models on bytes, two blocks of width 64, two sequences. A mixer's steps at all lengths are
compiled in one process and measured in turn, a round after the other: a machine's speed changes
within minutes, and what all lengths of a round share is divided out before the median over rounds
is taken. What growth.json has is not measured again.
"""

import json
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from document import replace_table
from each import LINEAR, each, in_a_process
from scaling_tables import table

from seqmodels import cli
from seqmodels.scaling.fits import fit_power_law
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.training.sharding import make_mesh
from seqmodels.training.startup import start_jax

MIXERS = flags.DEFINE_list("mixers", [*LINEAR, "conv", "local"], "presets to measure")
LENGTH = flags.DEFINE_integer("length", 65_536, "longest; each below it is half as long", 8192)
ROUNDS = flags.DEFINE_integer("rounds", 7, "measurements of each", 1)
OUT = flags.DEFINE_string("out", None, "folder for growth.json")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")
CELL = flags.DEFINE_string("cell", None, "one mixer, in this process")

SHORTEST = 2048
ROWS = 2
"""So that the compiler takes the same program at all lengths: arrays [B, L, D] below 2^18 numbers
it fuses otherwise, and 2,048 positions of one sequence are."""
LEAST_SECONDS = 0.1
"""A measurement repeats what is quicker until it takes so long."""


def lengths(longest: int) -> list[int]:
    """From the shortest on, doubled.

    >>> lengths(8192)
    [2048, 4096, 8192]
    """
    found = [SHORTEST]
    while found[-1] < longest:
        found.append(2 * found[-1])
    return found


def without_drift(rounds: list[list[float]]) -> list[float]:
    """The median of each column over its row's geometric mean, times the median of those.

    >>> without_drift([[1.0, 4.0], [2.0, 8.0], [1.5, 6.0]])
    [1.5, 6.0]
    """
    times = np.array(rounds)
    speeds = np.exp(np.mean(np.log(times), axis=1, keepdims=True))
    return (np.median(speeds) * np.median(times / speeds, axis=0)).round(9).tolist()


class Step:
    """A compiled training step with its own state."""

    def __init__(self, mixer: str, length: int):
        of = language_model(model_section(mixer, 64, 2, "float32", length), length, ROWS)
        mesh = make_mesh(1)
        self.state_bytes = of.cost(length).state_bytes
        self.batch = jax.device_put(of.batch())
        state = jax.jit(of.state)()
        self.compiled = of.jit_step(mesh).lower(state, self.batch).compile()
        self.temporary_bytes = self.compiled.memory_analysis().temp_size_in_bytes
        self.state = state

    def seconds(self) -> float:
        """A step's, of as many as a measurement needs."""
        count, begun = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - begun < LEAST_SECONDS:
            self.state, _ = jax.block_until_ready(self.compiled(self.state, self.batch))
            count += 1
        return (time.perf_counter() - begun) / count


def cell(mixer: str, longest: int) -> dict[str, Any]:
    """Measures one mixer in this process."""
    steps = {length: Step(mixer, length) for length in lengths(longest)}
    for step in steps.values():
        step.seconds()
    rounds = [[step.seconds() for step in steps.values()] for _ in range(ROUNDS.value)]
    about = {
        "seconds": dict(zip(steps, without_drift(rounds), strict=True)),
        "rounds": rounds,
        "temporary_bytes": {length: step.temporary_bytes for length, step in steps.items()},
        "state_bytes": {length: step.state_bytes for length, step in steps.items()},
    }
    return {"mixer": mixer, "length": longest} | about


def kib(size: int) -> str:
    """Bytes in KiB, of three digits where it has no more before the point."""
    return f"{size / 1024:,.0f}" if size >= 2**20 else f"{size / 1024:.3g}"


def text(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown: exponents, the temporaries' greatest growth by a doubling, states."""
    lines = [["mixer", "L", "step, ms", "exponent", "temporaries by a doubling", "state, KiB"]]
    for row in rows:
        seconds = {int(length): time for length, time in row["seconds"].items()}
        law = fit_power_law(seconds, SHORTEST)
        assert law is not None, "there are three lengths at least"
        doubled = max(after / before for before, after in pairwise(row["temporary_bytes"].values()))
        first, *_, last = (kib(size) for size in row["state_bytes"].values())
        lines.append(
            [
                row["mixer"],
                f"{min(seconds):,} to {max(seconds):,}",
                " to ".join(f"{1e3 * seconds[of(seconds)]:,.0f}" for of in (min, max)),
                f"{law.exponent:.2f} ({law.low:.2f} to {law.high:.2f})",
                f"{doubled:.2f}",
                first if first == last else f"{first} to {last}",
            ]
        )
    return table(lines)


def main() -> None:
    """Measures every mixer that isn't measured yet, and writes where --out and --document say."""
    if CELL.value:
        start_jax()
        print(json.dumps(cell(CELL.value, LENGTH.value)))
        return
    file = Path(OUT.value) / "growth.json" if OUT.value else None
    make = partial(in_a_process, __file__, length=LENGTH.value)
    rows = each(MIXERS.value, LENGTH.value, file, make, text)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "growth", text(rows))


if __name__ == "__main__":
    cli.run(main)
