"""Any config cut down to a few steps: does it run here at all, at its own sizes?"""

from ml_collections import ConfigDict

from seqmodels.config import flatten

STEPS = 4
EVALUATED = 64
"""Examples or windows of a split that are scored."""
MOST = {
    "train.steps": STEPS,
    "train.curriculum_steps": STEPS,
    "train.evaluate_every": STEPS // 2,
    "train.log_every": 1,
    "optimizer.warmup_steps": STEPS - 1,
}


def shorten(config: ConfigDict) -> None:
    """Makes a config a run of STEPS steps with two validations of few examples.

    What is bound to the number of steps goes down with it; model, batch and length stay. A section
    that is not what a run needs stays as it is, to be refused as in any run.
    """
    for path, now in flatten(config).items():
        if path == "train.seconds" and now is not None:  # else the run would decide on steps
            config.update_from_flattened_dict({path: None})
        most = EVALUATED if path.startswith("task.evaluation_") else MOST.get(path)
        if most is not None and isinstance(now, int) and now > most:
            config.update_from_flattened_dict({path: most})
