"""Small folders of runs, sweeps and scaling experiments, as the programs write them."""

import json
from pathlib import Path
from typing import Any

from seqmodels.scaling.files import EMPTY
from seqmodels.training.environment import versions

MIXERS = ("lstm", "gru", "rnn", "conv", "local", "global", "transformer")


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def run_folder(
    folder: Path,
    mixer: str = "gru",
    seed: int = 0,
    length: int = 64,
    accuracy: float = 0.9,
    seconds: float = 30.0,
    steps: int = 200,
    finished: bool = True,
    environment: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
) -> Path:
    """A run on the task recall that reached an accuracy; unfinished, it got half the way."""
    task = task or {"kind": "recall", "vocabulary": 256, "pairs": 4, "power": 0.01}
    config = {
        "seed": seed,
        "task": task,
        "model": {"width": 64, "depth": 2, "pattern": [mixer], "mixers": {mixer: {"kind": mixer}}},
        "optimizer": {"learning_rate": 0.003},
        "train": {"steps": steps, "batch_size": 64, "length": length},
    }
    write_json(folder / "config.json", config)
    now = versions()
    command = (
        f"python train.py '--config=configs/recall.py:mixer={mixer},length={length}' "
        f"--config.seed={seed} --workdir=runs/{mixer}"
    )
    made = {"command": command, **now, "platform": "Linux", "devices": ["cpu:cpu"], "cores": 2}
    write_json(folder / "environment.json", made | (environment or {}))
    lines = []
    for part in range(1, 11 if finished else 6):
        step, share = part * steps // 10, 1 - 0.6**part
        shared = {"step": step, "seconds": seconds * part / 10}
        lines.append({**shared, "split": "train", "loss": 2.5 * 0.7**part + 0.01 * (seed + 1)})
        if part % 2 == 0:
            scored = {"loss": 1 - share, "accuracy": accuracy * share - 0.01 * seed}
            lines.append({**shared, "split": "validation", **scored})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
    if finished:
        write_json(
            folder / "results.json",
            {
                "steps": steps,
                "best_step": steps,
                "validation": {"loss": 0.3, "accuracy": accuracy + 0.01},
                "test": {"loss": 0.3, "accuracy": accuracy},
                "chance": 1 / 128,
                "shown_chance": 0.25,
                "parameters": 100_000 + seed,
                "seconds": seconds,
            },
        )
    return folder


def sweep_folder(
    folder: Path,
    mixers: tuple[str, ...] = MIXERS,
    lengths: tuple[int, ...] = (64, 128, 256),
    seeds: tuple[int, ...] = (0, 1),
    rates: tuple[float, ...] = (0.003, 0.01),
    states: dict[int, tuple[str, str | None]] | None = None,
    accuracy: float | None = None,
) -> Path:
    """A sweep over mixers, lengths, seeds and learning rates.

    Args:
      states: of trials by place that are not finished, each with its reason.
      accuracy: of every run; by default it falls with the length and differs by the mixer.
    """
    points, summary = [], []
    for m, mixer in enumerate(mixers):
        for length in lengths:
            chosen, tests = [], []
            for rate in rates:
                for seed in seeds:
                    place = len(points)
                    state, reason = (states or {}).get(place, ("finished", None))
                    score = accuracy or 0.4 + 0.09 * ((m * 3) % 7) - 0.1 * lengths.index(length)
                    score += 0.01 * seed - 0.05 * rates.index(rate)
                    point = {
                        "name": f"{place:08x}",
                        "arguments": {"mixer": mixer, "length": length},
                        "overrides": {"optimizer.learning_rate": rate, "seed": seed},
                        "size": {
                            "parameters": 100_000,
                            "flops": 1e8 * length * (m + 1),
                            "state_bytes": 0,
                        },
                    }
                    points.append(point)
                    trial = folder / "trials" / point["name"]
                    seconds = 10.0 + 4 * m + length / 10
                    if state != "waiting":
                        done = state == "finished"
                        run_folder(trial, mixer, seed, length, score, seconds, finished=done)
                        about = {"state": state, "reason": reason, "attempts": 1}
                        write_json(trial / "trial.json", point | about | {"seconds": seconds})
                    if rate == rates[0]:
                        chosen.append(score + 0.01)
                        tests.append(score)
            spread = [
                {"mean": sum(v) / len(v), "deviation": 0.01, "values": v} for v in (chosen, tests)
            ]
            row = {"arguments": {"mixer": mixer, "length": length}, "parameters": 100_000}
            row |= {"chosen": {"optimizer.learning_rate": rates[0]}}
            row |= {"validation": spread[0], "test": spread[1], "seeds": len(seeds), "failed": 0}
            summary.append(row | {"trials": len(seeds) * len(rates), "seconds": 10.0 + 4 * m})
    write_json(
        folder / "sweep.json",
        {
            "kind": "sweep",
            "id": "1a2b3c4d",
            "common": {},
            "search": "grid",
            "config": "configs/recall.py",
            "command": f"python sweep.py --config=configs/recall.py --workdir={folder.name}",
            "score": "accuracy",
            "higher_is_better": True,
            "match": {"by": "parameters", "target": 100_000, "tolerance": 0.03},
            "points": points,
        },
    )
    write_json(folder / "summary.json", summary)
    return folder


MACHINE = {"processor": "A", "cores": 2, "devices": "2 cpu:cpu", "platform": "x", "sharing": 1}


def give_cost(run: Path, **known: Any) -> None:
    """Puts into a run's results what it cost; what isn't given is not known."""
    results = json.loads((run / "results.json").read_text())
    cost = {"step_seconds": None, "step_bytes": None, "decode_seconds": None, "state_bytes": 0}
    write_json(run / "results.json", results | {"cost": {**cost, "machine": MACHINE, **known}})


EXPONENTS = {"lstm": 1.0, "conv": 1.0, "global": 2.0}


def scaling_folder(folder: Path, lengths: tuple[int, ...] = (256, 512, 1024, 2048)) -> Path:
    """Three mixers whose step takes L or L²; the last length of attention does not fit."""
    cells, fits = [], []
    for place, (mixer, exponent) in enumerate(EXPONENTS.items()):
        coefficient = 1e-4 * (place + 1) / 256**exponent
        for length in lengths:
            fitting = mixer != "global" or length < lengths[-1]
            median = coefficient * length**exponent
            times = {"median": median, "low": 0.95 * median, "high": 1.1 * median, "repeats": 5}
            cells.append(
                EMPTY
                | {
                    "mixer": mixer,
                    "length": length,
                    "batch_size": 1,
                    "status": "measured" if fitting else "does not fit",
                    "reason": None if fitting else "needs 41 GiB",
                    "parameters": 100_000,
                    "step_seconds": times if fitting else None,
                    "forward_seconds": times if fitting else None,
                    "decode_seconds": None,
                    "peak_bytes": 2**20 * length if fitting else None,
                    "state_bytes": 1024,
                }
            )
        fits.append(
            {
                "mixer": mixer,
                "quantity": "step_seconds",
                "exponent": exponent,
                "low": exponent - 0.05,
                "high": exponent + 0.05,
                "from_length": lengths[0],
                "lengths": len(lengths),
                "coefficient": coefficient,
                "linear": 0.0,
                "quadratic": 0.0,
                "local_exponent": exponent,
            }
        )
    untold = ("validation", "steps", "seconds", "parameters", "step_seconds", "temporary_bytes")
    quality = [
        {
            "mixer": mixer,
            "length": 256,
            "task": "needle",
            "score": "accuracy",
            "mean": 0.5 + 0.2 * place,
            "status": "trained",
            "reason": None,
            **dict.fromkeys(untold),
        }
        for place, mixer in enumerate(EXPONENTS)
    ]
    content = {
        "kind": "scaling",
        "config": "configs/scaling.py",
        "command": f"python scaling.py --config=configs/scaling.py --workdir={folder.name}",
        "machine": {"platform": "Linux", "cores": 2},
        "target": None,
        "cells": cells,
        "fits": fits,
        "crossovers": [
            {
                "quantity": "step_seconds",
                "cheaper_below": "global",
                "cheaper_above": "lstm",
                "length": 310,
            }
        ],
        "longest": [
            {"mixer": "lstm", "limit": "gib", "value": 16, "length": 16_384, "extrapolated": True},
        ],
        "quality": quality,
    }
    write_json(folder / "scaling.json", content)
    write_json(folder / "config.json", {"width": 64, "depth": 2, "dtype": "float32"})
    return folder


def scaling_of_tokens(folder: Path, tokens: int = 2048) -> Path:
    """The same models, a step of so many tokens at each length; times go with the batch."""
    scaling_folder(folder)
    content = json.loads((folder / "scaling.json").read_text())
    for cell in content["cells"]:
        cell["batch_size"] = tokens // cell["length"]
        for name in ("step_seconds", "forward_seconds"):
            if cell[name] is not None:
                cell[name] |= {
                    part: cell["batch_size"] * cell[name][part]
                    for part in ("median", "low", "high")
                }
    write_json(folder / "scaling.json", content)
    return folder


HOSTILE = """</script><script>hacked=1</script>'"|$1${x}%{y}<b>x</b><img src=x>"""
"""A name that breaks out of HTML, JSON, Markdown and templates where it is let."""
