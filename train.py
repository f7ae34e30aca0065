"""Trains one model: python train.py --config=configs/digits.py:mixer=lstm --workdir=runs/lstm

Any key of the config can be set: --config.train.steps=500. Running the same command
again continues where it stopped; Ctrl-C saves first.
"""

from absl import flags

from seqmodels import cli

CONFIG = flags.DEFINE_string(
    "config", None, "config file, with its arguments: configs/digits.py:mixer=lstm"
)
DEVICES = flags.DEFINE_integer(
    "devices",
    None,
    "how many devices share a batch; by default all accelerators, or on CPU one a core",
    1,
)
PROFILE = flags.DEFINE_integer(
    "profile", 0, "trace so many steps with jax.profiler, into profile/ in the workdir", 0
)
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run; made if missing")


def main() -> None:
    """Reads the config and trains."""
    config = cli.read_config(CONFIG.value)
    workdir = cli.require_flag(WORKDIR)
    from seqmodels.training.fit import fit  # after the config is read: this import takes seconds

    fit(config, workdir, PROFILE.value, DEVICES.value)


if __name__ == "__main__":
    cli.run(main, takes_config=True)
