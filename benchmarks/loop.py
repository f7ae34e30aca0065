"""The training loop against the bare jitted step, on the same batches, in turn.

    python benchmarks/loop.py --config=configs/digits.py:mixer=gru --rounds=5 --steps=100

A round is a run of train.py's own loop (data, metrics and logging included, validation
and checkpoints apart, as in its own steps/s) and then the compiled step called as
often on one batch, waiting only at the end. Both have warmed up before: a program's first
call takes some 40 ms more, so the run does twice the steps and its second half counts.
"""

import contextlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import jax
from absl import flags
from ml_collections import ConfigDict

from seqmodels import cli
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.metrics import read_events
from seqmodels.training.sharding import put_batch, replicated
from seqmodels.training.startup import start_jax
from seqmodels.training.step import initial_state, jit_train_step

CONFIG = flags.DEFINE_string("config", "configs/digits.py", "config file, with its arguments")
ROUNDS = flags.DEFINE_integer("rounds", 5, "measurements of each")
STEPS = flags.DEFINE_integer("steps", 100, "steps a measurement")


def main() -> None:
    """Prints both rates and their ratio, each as a median over the rounds."""
    config = cli.read_config(CONFIG.value)
    with config.unlocked():
        config.train.steps = 2 * STEPS.value
        config.train.log_every = STEPS.value
        config.train.evaluate_every = 2 * STEPS.value
        config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, STEPS.value)
    bare = _bare_step(config)
    pairs = [(_loop_rate(config), bare()) for _ in range(ROUNDS.value)]
    loop_rate, bare_rate = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"{CONFIG.value}: a step takes {1000 / bare_rate:.1f} ms; loop {loop_rate:.2f} steps/s, "
        f"bare step {bare_rate:.2f} steps/s, ratio {ratio:.3f} "
        f"(from {min(a / b for a, b in pairs):.3f} to {max(a / b for a, b in pairs):.3f})"
    )


def _loop_rate(config: ConfigDict) -> float:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        fit(config, folder)
        events = read_events(Path(folder) / "metrics.jsonl")
    return [e["steps_per_second"] for e in events if e["split"] == "train"][-1]


def _bare_step(config: ConfigDict):
    start_jax()
    experiment = build_experiment(config)
    mesh = run_mesh(experiment)
    settings = experiment.train
    step = jit_train_step(
        experiment.model, experiment.task, experiment.optimizer, 1, experiment.seed, mesh
    )
    batch = experiment.task.batch("train", 0, settings.batch_size, settings.length)
    batch = put_batch(batch, mesh)

    def new_state():
        return initial_state(experiment.model, experiment.optimizer, experiment.seed)

    state = jax.jit(new_state, out_shardings=replicated(mesh))()
    compiled = step.lower(state, batch).compile()
    state, _ = compiled(state, batch)

    def measure() -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(STEPS.value):
            state, report = compiled(state, batch)
        jax.block_until_ready((state, report))
        return STEPS.value / (time.perf_counter() - start)

    return measure


if __name__ == "__main__":
    cli.run(main)
