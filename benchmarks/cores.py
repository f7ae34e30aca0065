"""What a training step gains by a machine's cores: every mixer's, against the same held to one.

    PYTHONPATH=. python benchmarks/cores.py --out=docs/performance --document=docs/scale.md

Recall at 1,024 positions by about 100,000 parameters, as `seqmodels train` runs it: on as many
devices as it chooses. Both stand in processes of their own, which take turns; one may use a single
core (its affinity, as taskset sets it). Ratios are those of the medians. What cores.json has is not
measured again.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
from absl import flags
from document import replace_table
from each import each
from scaling_tables import table

from seqmodels import cli, presets
from seqmodels.errors import UserError
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import build_experiment
from seqmodels.training.programs import Programs, new_state, step_batch
from seqmodels.training.resolving import read_config
from seqmodels.training.startup import cores, start_jax

MIXERS = flags.DEFINE_list("mixers", list(presets.PRESETS), "presets to measure")
LENGTH = flags.DEFINE_integer("length", 1024, "positions", 8)
ROWS = flags.DEFINE_integer("rows", 8, "sequences", 1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "measurements of each", 1)
SECONDS = flags.DEFINE_float("seconds", 0.5, "about how long a measurement lasts", 0.0)
OUT = flags.DEFINE_string("out", None, "folder for cores.json")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")
CELL = flags.DEFINE_string("cell", None, "one mixer, in this process")


def answer(mixer: str) -> None:
    """Compiles a mixer's step, says on how many devices, and times it whenever a line asks."""
    spec = f"recall:mixer={mixer},length={LENGTH.value}"
    experiment = build_experiment(read_config(spec, {"train.batch_size": ROWS.value}))
    mesh = run_mesh(experiment)
    programs, batch = Programs(experiment, mesh), step_batch(experiment, mesh, 0)
    state = new_state(experiment, mesh)
    programs.compile(state, batch)
    step = programs[batch.bucket]
    state, _ = jax.block_until_ready(step(state, batch.batch))
    print(mesh.size, flush=True)
    for _ in sys.stdin:
        count, begun = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - begun < SECONDS.value:
            state, _ = jax.block_until_ready(step(state, batch.batch))
            count += 1
        print((time.perf_counter() - begun) / count, flush=True)


def measured(mixer: str) -> dict[str, Any]:
    """A mixer's step on all cores and on one, in turn."""
    every = sorted(os.sched_getaffinity(0))
    held = {"cores": every, "one": every[:1]}
    command = [sys.executable, __file__, f"--cell={mixer}", f"--length={LENGTH.value}"]
    command += [f"--rows={ROWS.value}", f"--seconds={SECONDS.value}"]
    started = {}
    for name, own in held.items():
        os.sched_setaffinity(0, own)  # which a process has from the one that starts it
        started[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        os.sched_setaffinity(0, every)
    devices = {name: int(_asked(process)) for name, process in started.items()}
    times: dict[str, list[float]] = {name: [] for name in started}
    for _ in range(ROUNDS.value):
        for name, process in started.items():
            _stdin(process).write("\n")
            _stdin(process).flush()
            times[name].append(float(_asked(process)))
    for process in started.values():
        _stdin(process).close()
        process.wait()
    seconds = {name: statistics.median(of) for name, of in times.items()}
    about = {"mixer": mixer, "length": LENGTH.value, "rows": ROWS.value}
    return about | {"devices": devices["cores"], "cores": len(every), "seconds": seconds}


def _stdin(process: subprocess.Popen) -> Any:
    assert process.stdin is not None
    return process.stdin


def _asked(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise UserError(f"{' '.join(map(str, process.args))} ended with {process.wait()}")
    return said


def text(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, the mean last."""
    lines = [["mixer", "devices", "one core, ms", f"{cores()} cores, ms", "gain"]]
    gains = []
    for row in rows:
        one, all_ = row["seconds"]["one"], row["seconds"]["cores"]
        gains.append(one / all_)
        shown = (f"{1e3 * seconds:,.1f}" for seconds in (one, all_))
        lines.append([row["mixer"], str(row["devices"]), *shown, f"{gains[-1]:.2f}"])
    lines.append(["mean", "", "", "", f"{statistics.fmean(gains):.2f}"])
    return table(lines)


def main() -> None:
    """Measures every mixer that isn't measured yet, and writes where --out and --document say."""
    if CELL.value:
        start_jax()
        answer(CELL.value)
        return
    file = Path(OUT.value) / "cores.json" if OUT.value else None
    rows = each(MIXERS.value, LENGTH.value, file, measured, text)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "cores", text(rows))


if __name__ == "__main__":
    cli.run(main)
