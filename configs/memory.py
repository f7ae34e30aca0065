"""Memory over a distance: who holds, selects, adds and finds again, and over how long?

seqmodels train --config=memory:task=selective_copy,mixer=gru --workdir=runs/memory

What each task asks stands in memory.py and in_context.py of seqmodels/tasks/generated/, its chance
level in docs/tasks.md.
Recall with noise is --config.task.noise=0.2 --config.task.vocabulary=32
--config.task.noise_vocabulary=16.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=delayed_copy|selective_copy|adding|induction|needle|in_context_recall|
    fuzzy_recall|memorisation, mixer=PRESET (seqmodels/presets.py), length=64."""
    arguments = read_arguments(
        arg,
        task=(
            "selective_copy",
            "delayed_copy",
            "adding",
            "induction",
            "needle",
            "in_context_recall",
            "fuzzy_recall",
            "memorisation",
        ),
        mixer="global",
        length=64,
    )
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 1000}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=True,
        pooling="last" if arguments.task == "adding" else None,
        length=arguments.length,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 2000, "batch_size": 64, "length": arguments.length}
    return config.lock()
