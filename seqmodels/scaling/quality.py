"""Quality beside cost: each cell's model trained on a task at its length, in its own process."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqmodels.config import load_config
from seqmodels.errors import UserError, nearest
from seqmodels.json_files import UnreadableError
from seqmodels.scaling.child import end_with_parent, run_child, tell
from seqmodels.scaling.programs import model_section
from seqmodels.scaling.settings import Settings
from seqmodels.tasks.chance import WORDS
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.workdir import Workdir

QUALITY_TASKS = {
    "recall": "recall.py:",
    **{
        name: f"memory.py:task={name},"
        for name in ("needle", "induction", "selective_copy", "delayed_copy", "in_context_recall")
    },
}
"""Tasks with an answer at every position that can be asked at any length, and their configs."""


def require_tasks(names: Sequence[str]) -> None:
    """Refuses a task that is not one of QUALITY_TASKS."""
    for name in names:
        if name not in QUALITY_TASKS:
            raise UserError(f"--quality: {name!r} is not known; {nearest(name, QUALITY_TASKS)}")


def measure_quality(
    settings: Settings,
    config_file: str,
    folder: Path,
    tasks: Sequence[str],
    cells: dict[tuple[str, int], dict[str, Any]],
) -> list[dict[str, Any]]:
    """Trains each cell on each task, unless its run has finished, and joins accuracy to cost.

    The runs lie in ``quality/TASK-MIXER-LENGTH``, with the budget of the config's ``quality``
    section. A run that fails is an entry with its reason.

    Args:
      settings: the scaling's.
      config_file: its config, beside which the tasks' configs lie.
      folder: the scaling's.
      tasks: names of QUALITY_TASKS.
      cells: the measured cells by mixer and length.

    Returns:
      The entries of ``quality`` in ``scaling.json``: the test score of the checkpoint that
      validated best, and the cell's cost.
    """
    budget = settings.quality
    entries = []
    for task in tasks:
        file = Path(config_file.partition(":")[0]).with_name(QUALITY_TASKS[task])
        for (mixer, length), cell in cells.items():
            if length > budget.longest or mixer == "plain":  # which is global, computed otherwise
                continue
            run = folder / "quality" / f"{task}-{mixer}-{length}"
            request = {
                "spec": f"{file}mixer={mixer},length={length}",
                "model": [mixer, settings.width, settings.depth, settings.dtype],
                "workdir": str(run),
                **{name: getattr(budget, name) for name in BUDGET},
            }
            ending = run_child(__name__, request, settings.limits.memory_gib, budget.seconds)
            # Where the child was refused, what lies there is of another budget.
            refused = ending.found.get("reason")
            results = None if refused else _results(run, ending.found.get("score"))
            entry = _entry(task, cell, results, ending)
            entries.append(entry)
            print(f"{task} at {length:,}, {mixer}: {_shown(entry)}", flush=True)
    return entries


BUDGET = ("steps", "batch_size", "learning_rate", "examples")


def _results(run: Path, score: Any) -> dict[str, Any] | None:
    """Of a run that has finished; None also where they can't be read, as the child has said."""
    try:
        results = Workdir(run).results()
    except UnreadableError:
        return None
    return results if results is not None and score in results["test"] else None


def _entry(task: str, cell: dict[str, Any], results: Any, ending: Any) -> dict[str, Any]:
    score = ending.found.get("score")
    reason = ending.found.get("reason", ending.reason)
    status = "trained" if results else ending.status or "failed"
    step = cell["step_seconds"]
    return {
        "mixer": cell["mixer"],
        "length": cell["length"],
        "task": task,
        "score": score,
        "mean": results["test"][score] if results else None,
        "validation": results["validation"].get(score) if results else None,
        "steps": results["steps"] if results else None,
        "seconds": results["seconds"] if results else None,
        "parameters": results["parameters"] if results else None,
        **{level: results[level] for level in WORDS if results and level in results},
        "step_seconds": step["median"] if step else None,
        "temporary_bytes": cell["temporary_bytes"],
        "status": status,
        "reason": None if results else reason,
    }


def _shown(entry: dict[str, Any]) -> str:
    if entry["mean"] is None:
        return f"{entry['status']}: {entry['reason']}"
    return f"{entry['score']} {entry['mean']:.3f} after {entry['seconds']:.0f} s"


def train(request: dict[str, Any]) -> None:
    """Trains one cell in this process."""
    config = load_config(request["spec"])
    steps = request["steps"]
    with config.unlocked():
        config.model = model_section(*request["model"])
    config.task.evaluation_examples = request["examples"]
    config.optimizer.learning_rate = request["learning_rate"]
    config.optimizer.warmup_steps = min(config.optimizer.warmup_steps, steps // 10)
    config.train.update(
        {
            "steps": steps,
            "batch_size": request["batch_size"],
            "log_every": max(1, steps // 10),
            "evaluate_every": max(1, steps // 5),
        }
    )
    tell(score=build_experiment(config).task.spec.score)
    fit(config, request["workdir"])


def main(text: str) -> None:
    """Reads the request; a mistake of the config's becomes the reason."""
    end_with_parent()
    try:
        train(json.loads(text))
    except UserError as error:
        tell(reason=str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(sys.argv[1])
