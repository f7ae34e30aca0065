"""Bytes of Python source: which package are they from, or are two stretches from one file?

python train.py --config=configs/source.py:task=source_package,mixer=conv --workdir=runs/source

Accuracy in per cent on 256 bytes of the standard library of Python 3.13, seed 0; a run takes 2 to 4
minutes on 2 busy cores of an AMD EPYC server:

                                  chance    validation    test
    source_package  conv            10         62.4       58.6
    same_file       conv            50         52.0       56.4
    same_file       transformer     50         55.7       59.4

Each is of 1,000 stretches, which alone makes it uncertain by 3, and of few files. In training the
first reaches 94: what tells packages apart in some files does not in others. same_file is hard:
its loss hardly leaves ln 2 in so many steps.
"""

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: task=source_package|same_file, mixer=PRESET (seqmodels/presets.py), length=256."""
    arguments = read_arguments(arg, task=("source_package", "same_file"), mixer="conv", length=256)
    config = ConfigDict()
    config.seed = 0
    config.task = {
        "kind": arguments.task,
        "files": "stdlib",  # or a folder, or a glob: code/**/*.py
        "splitting": "shares",  # or whole_files, as earlier versions split them
    }
    config.model = preset(
        arguments.mixer,
        parameters=100_000,
        depth=2,
        causal=False,
        pooling="mean",
        length=arguments.length,
        dropout=0.1,
    )
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 50}
    config.train = {
        "steps": 500,
        "batch_size": 64,
        "length": arguments.length,
        "log_every": 50,
        "evaluate_every": 100,
    }
    return config.lock()
