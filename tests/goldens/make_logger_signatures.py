"""Makes logger_signatures.json: what the functions take that seqmodels/training/loggers.py calls.

sh tools/setup-loggers.sh
.venv-loggers/bin/python tests/goldens/make_logger_signatures.py
"""

import inspect
import json
from pathlib import Path
from typing import Any

import mlflow
import trackio
import wandb

FUNCTIONS: dict[str, dict[str, Any]] = {
    "wandb": {"init": wandb.init, "Run.log": wandb.Run.log, "Run.finish": wandb.Run.finish},
    "trackio": {"init": trackio.init, "Run.log": trackio.Run.log, "Run.finish": trackio.Run.finish},
    "mlflow": {
        name: getattr(mlflow, name)
        for name in ("set_experiment", "start_run", "log_params", "log_metrics", "end_run")
    },
}


def parameters(function: Any) -> list[list[Any]]:
    """Of each parameter its name, its kind, and whether it may be left out."""
    found = inspect.signature(function).parameters.values()
    return [[p.name, p.kind.name, p.default is not p.empty] for p in found if p.name != "self"]


def signatures() -> dict[str, dict[str, list[list[Any]]]]:
    return {
        package: {name: parameters(function) for name, function in functions.items()}
        for package, functions in FUNCTIONS.items()
    }


if __name__ == "__main__":
    golden = Path(__file__).with_name("logger_signatures.json")
    golden.write_text(json.dumps(signatures(), indent=1) + "\n")
