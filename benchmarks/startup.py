"""From the command to the end of its first training step, without and with compiled programs kept.

    python benchmarks/startup.py --config=configs/digits.py --rounds=3

Each measurement is a process of its own: Python, imports, data, compilation and one step.
A round begins with an empty cache (cold) and repeats the command (warm).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from seqmodels import cli
from seqmodels.errors import UserError

CONFIG = flags.DEFINE_string("config", "configs/digits.py", "config file, with its arguments")
ROUNDS = flags.DEFINE_integer("rounds", 3, "measurements of each", 1)

TRAIN = Path(__file__).parents[1] / "train.py"


def first_step(cache: Path) -> float:
    """Seconds until the first step's metrics are printed."""
    with tempfile.TemporaryDirectory() as workdir:
        spec, overrides = cli.read_config_flags(CONFIG.value)
        command = [sys.executable, str(TRAIN), f"--config={spec}", f"--workdir={workdir}"]
        command += [f"--config.{key}={text}" for key, text in overrides]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--config.train.log_every=1"],
            env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        found = any(line.startswith("step 1/") for line in lines)
        seconds = time.perf_counter() - start
        process.kill()
        process.wait()
    if not found:
        raise UserError("train.py ended before its first step; its own message stands above")
    return seconds


def main() -> None:
    """Prints the medians with the smallest and the largest."""
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    for _ in range(ROUNDS.value):
        with tempfile.TemporaryDirectory() as cache:
            for name in times:
                times[name].append(first_step(Path(cache)))
    for name, values in times.items():
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{CONFIG.value}, {name}: first step after {middle:.1f} s ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    cli.run(main)
