"""Quality beside cost: each cell's model trained on a task at its length, in its own process."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.json_files import UnreadableError
from seqmodels.scaling.child import read_request, run_child, tell
from seqmodels.scaling.programs import FORMS, model_section
from seqmodels.scaling.settings import Settings
from seqmodels.tasks import TASKS
from seqmodels.tasks.chance import WORDS
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.workdir import Workdir


def require_tasks(names: Sequence[str], settings: Settings) -> None:
    """Refuses a task that the smallest cell can't be trained on.

    That takes answers at all positions, or at some of them, and any length.
    """
    for name in names:
        if name not in TASKS:
            raise UserError(f"quality={name!r} is not known; {nearest(name, TASKS)}")
        try:
            build_experiment(_config(settings, name, settings.mixers[0], settings.lengths[0]))
        except ConfigError as error:
            raise UserError(f"quality={name} can't be trained on here: {error}") from None


def _config(settings: Settings, task: str, mixer: str, length: int) -> dict[str, Any]:
    budget = settings.quality
    return {
        "seed": 0,
        "task": {"kind": task, "evaluation_examples": budget.examples},
        "model": model_section(mixer, settings.width, settings.depth, settings.dtype, length),
        "optimizer": {"learning_rate": budget.learning_rate, "warmup_steps": budget.steps // 10},
        "train": {
            "steps": budget.steps,
            "batch_size": budget.batch_size,
            "length": length,
            "log_every": max(1, budget.steps // 10),
            "evaluate_every": max(1, budget.steps // 5),
        },
    }


def measure_quality(
    settings: Settings,
    folder: Path,
    tasks: Sequence[str],
    cells: dict[tuple[str, int], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Trains each cell on each task, unless its run has finished, and joins accuracy to cost.

    The runs lie in ``quality/TASK-MIXER-LENGTH``, with the budget of the config's ``quality``
    section. Each is an entry of ``quality`` in ``scaling.json``: the test score of the checkpoint
    that validated best, and the cell's cost; or the reason for which it failed.
    """
    budget = settings.quality
    entries = []
    for task in tasks:
        for (mixer, length), cell in cells.items():
            if length > budget.longest or mixer in FORMS:  # which are presets, computed otherwise
                continue
            run = folder / "quality" / f"{task}-{mixer}-{length}"
            config = _config(settings, task, mixer, length)
            request = {"config": config, "workdir": str(run)}
            ending = run_child(__name__, request, settings.limits.memory_gib, budget.seconds)
            # Where the child was refused, what lies there is of another budget.
            refused = ending.found.get("reason")
            results = None if refused else _results(run, ending.found.get("score"))
            entry = _entry(task, cell, results, ending)
            entries.append(entry)
            print(f"{task} at {length:,}, {mixer}: {_shown(entry)}", flush=True)
    return entries


def _results(run: Path, score: Any) -> dict[str, Any] | None:
    """Of a run that has finished; None also where they can't be read, as the child has said."""
    try:
        results = Workdir(run).results()
    except UnreadableError:
        return None
    return results if results is not None and score in results["test"] else None


def _entry(task: str, cell: dict[str, Any], results: Any, ending: Any) -> dict[str, Any]:
    score = ending.found.get("score")
    step = cell["step_seconds"]
    known = ("steps", "seconds", "parameters")
    return {
        "mixer": cell["mixer"],
        "length": cell["length"],
        "task": task,
        "score": score,
        "higher_is_better": ending.found.get("higher_is_better"),
        "mean": results["test"][score] if results else None,
        "validation": results["validation"].get(score) if results else None,
        **{name: results[name] if results else None for name in known},
        **{level: results[level] for level in WORDS if results and level in results},
        "step_seconds": step["median"] if step else None,
        "temporary_bytes": cell["temporary_bytes"],
        "status": "trained" if results else ending.status or "failed",
        "reason": None if results else ending.found.get("reason", ending.reason),
    }


def _shown(entry: dict[str, Any]) -> str:
    if entry["mean"] is None:
        return f"{entry['status']}: {entry['reason']}"
    return f"{entry['score']} {entry['mean']:.3f} after {entry['seconds']:.0f} s"


def main() -> None:
    """Trains a cell in this process as it is requested; a mistake of the config's is the reason."""
    request = read_request()
    try:
        spec = build_experiment(request["config"]).task.spec
        tell(score=spec.score, higher_is_better=spec.higher_is_better)
        fit(request["config"], request["workdir"])
    except UserError as error:
        tell(reason=str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
