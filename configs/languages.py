"""Formal languages: which mixer counts, nests, and tracks a state?

seqmodels train --config=languages:task=parity,mixer=lstm --workdir=runs/parity

What each task asks stands in languages.py, arithmetic.py and listops.py of
seqmodels/tasks/generated/, its chance level in docs/tasks.md.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=parity|even_pairs|cycle_navigation|modular_arithmetic|
    modular_arithmetic_brackets|word_problem|listops, mixer=PRESET (seqmodels/presets.py), length=40
    (odd for modular_arithmetic)."""
    arguments = read_arguments(
        arg,
        task=(
            "parity",
            "even_pairs",
            "cycle_navigation",
            "modular_arithmetic",
            "modular_arithmetic_brackets",
            "word_problem",
            "listops",
        ),
        mixer="lstm",
        length=40,
    )
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": arguments.task, "evaluation_examples": 1000}
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=True,
        pooling=None if arguments.task == "word_problem" else "last",
        length=arguments.length,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100}
    config.train = {"steps": 2000, "batch_size": 64, "length": arguments.length}
    return config.lock()
