"""A sweep's folder whose runs have finished, as its files say it; nothing was trained."""

import json
from pathlib import Path
from typing import Any

from seqmodels.config_files import DECIDED
from seqmodels.sweeps.groups import make_run

RATE = "optimizer.learning_rate"
COST = {
    "step_seconds": 0.01,
    "step_bytes": 1000,
    "state_bytes": 64,
    "decode_seconds": 0.001,
    "machine": {
        "processor": "a processor",
        "cores": 2,
        "devices": "1 cpu:cpu",
        "platform": "Linux",
        "sharing": 2,
    },
}


def finished_sweep(
    folder: Path,
    cells: dict[str, list[tuple[float, int, float]]],
    waiting: int = 0,
    steps: int = 10,
    data: str = "x",
) -> Path:
    """Writes it.

    Args:
      cells: by their arguments, such as "task=copy,mixer=gru", the rate, seed and score of each
        run; on test it is 0.1 less.
      waiting: how many runs beside these have not begun.
      steps: that all were trained for.
      data: another name for other batches.
    """
    points = []
    for text, runs in cells.items():
        arguments = dict(part.split("=") for part in text.split(","))
        for rate, seed, score in runs:
            size = {"parameters": 75_000, "flops": 1.0, "state_bytes": 64}
            run = make_run(arguments, {RATE: rate, "seed": seed}, size)
            points.append(run._asdict())
            _write_trial(folder / "trials" / run.name, rate, seed, score, steps, data)
    for number in range(waiting):
        points.append(make_run({"mixer": f"waits-{number}"}, {}, points[0]["size"])._asdict())
    sweep = {
        "kind": "sweep",
        "config": "configs/copy.py",
        "common": {},
        "match": {"by": None, "target": None, "tolerance": 0.03},
        "search": "grid",
        "command": "python sweep.py",
        "score": "accuracy",
        "higher_is_better": True,
        "points": points,
    }
    (folder / "sweep.json").write_text(json.dumps(sweep))
    return folder


def _write_trial(folder: Path, rate: float, seed: int, score: float, steps: int, data: str) -> None:
    folder.mkdir(parents=True)
    contents: dict[str, Any] = {
        "config.json": {
            "seed": seed,
            "task": {"kind": "copy"},
            "model": {},
            "optimizer": {"learning_rate": rate},
            "train": {"steps": steps, "length": 20},
            DECIDED: {"devices": 1},
        },
        "facts.json": {
            "score": "accuracy",
            "higher_is_better": True,
            "chance": 0.1,
            "batches": {"train": data, "validation": data},
            "drawn_by": {},
        },
        "environment.json": {"starts": [{"commit": "abc", "packages": {"jax": "0.12"}}]},
        "results.json": {
            "steps": steps,
            "best_step": steps,
            "validation": {"accuracy": score},
            "test": {"accuracy": score - 0.1},
            "parameters": 75_000,
            "seconds": 2.0,
            "cost": COST,
        },
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
