"""Small sweeps: a config that has one, and a train.py that takes no time."""

import sys
from pathlib import Path

from seqmodels.experiments.sweep import SweepOptions, run_sweep

ROOT = Path(__file__).parents[2]

CONFIG = f"""
from seqmodels.config import load_config
from seqmodels.experiments.points import Between, chain, product, zipped

def get_config(arg=""):
    return load_config("{ROOT}/configs/copy.py:" + ",".join(filter(None, ["length=20", arg])))

def sweep():
    return SWEEP
"""

# Learning rates say what a run does; it validates with its learning rate as accuracy.
FAKE_TRAIN = """
import json, os, signal, sys, time
from pathlib import Path

flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:])
folder = Path(flags["workdir"])
rate = float(flags["config.optimizer.learning_rate"])
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
progress = folder / "progress"
step = int(progress.read_text()) if progress.exists() else 0
if (folder / "results.json").exists():
    sys.exit("was finished")
print("from step", step, flush=True)
if rate == 0.666:
    print("train.py: the loss is nan at step 7; try less", flush=True)
    sys.exit(3)
if rate == 0.777:
    os.kill(os.getpid(), signal.SIGKILL)
for step in range(step, 10):
    time.sleep(PACE)
    progress.write_text(str(step + 1))
    with (folder / "metrics.jsonl").open("a") as file:
        event = {"step": step + 1, "split": "validation", "seconds": 1.0, "accuracy": rate}
        file.write(json.dumps(event) + "\\n")
    if stopped:
        print("train.py: interrupted", flush=True)
        sys.exit(130)
seed = float(flags.get("config.seed", 0))
scores = {"validation": {"accuracy": rate + seed / 100}, "test": {"accuracy": 1 - rate}}
results = {"steps": 10, "best_step": 10, "parameters": 5, "seconds": 2.0, **scores}
(folder / "results.json").write_text(json.dumps(results))
print("finished in 2 s", flush=True)
"""


class SmallSweep:
    """A sweep in a folder, run with the fake train.py.

    Args:
      folder: where config, script and sweep lie.
      points: what sweep() returns, as Python.
      pace: seconds a step, of which a run has 10.
    """

    def __init__(self, folder: Path, points: str, pace: float = 0.0):
        self.config = folder / "small.py"
        self.train = folder / "train.py"
        self.folder = folder / "sweep"
        self.train.write_text(FAKE_TRAIN.replace("PACE", str(pace)))
        self.points(points)

    def points(self, points: str) -> None:
        """Makes sweep() return other points."""
        self.config.write_text(CONFIG.replace("SWEEP", points))

    def run(self, *overrides: tuple[str, str], **options) -> None:
        """Runs it in this process, its workers in theirs."""
        self.arguments = (str(self.config), list(overrides), str(self.folder), self.train)
        run_sweep(*self.arguments, SweepOptions(**{"workers": 2, "heartbeat": 1, **options}))

    def command(self, **options) -> list[str]:
        """The same in a process of its own."""
        chosen = {"workers": 2, "heartbeat": 1, **options}
        flags = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
        code = (
            "from pathlib import Path\nfrom seqmodels import cli\n"
            "from seqmodels.experiments.sweep import SweepOptions, run_sweep\n"
            f"cli.run(lambda: run_sweep({str(self.config)!r}, [], {str(self.folder)!r}, "
            f"Path({str(self.train)!r}), SweepOptions({flags})))"
        )
        return [sys.executable, "-c", code]
