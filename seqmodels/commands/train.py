"""Trains one model, or goes on with it.

seqmodels train --config=digits:mixer=lstm --workdir=runs/lstm

Any key of the config can be set: --config.train.steps=500. Running the same command
again continues where it stopped; Ctrl-C saves first.

Two machines: the same command with --processes=2 --coordinator=HOST:PORT on both, the first with
--process=0, the other with --process=1, and a --workdir that both can reach.
"""

import tempfile

from absl import flags

from seqmodels import cli
from seqmodels.config import Loaded
from seqmodels.config_help import as_flags
from seqmodels.smoke import shorten

CONFIG = flags.DEFINE_string("config", None, "config, with its arguments: digits:mixer=lstm")
DEVICES = flags.DEFINE_integer(
    "devices",
    None,
    "how many devices there are for the mesh; by default all accelerators, or as many cores as pay",
    1,
)
MESH = flags.DEFINE_string(
    "mesh", None, "what devices share, as --config.mesh.KEY sets it: data=2,sequence=4"
)
PROCESSES = flags.DEFINE_string(
    "processes", None, "how many processes train together, or auto where a cluster started them"
)
PROCESS = flags.DEFINE_integer("process", None, "which of the processes this is, from 0")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT where process 0 listens")
PROFILE = flags.DEFINE_integer(
    "profile", 0, "trace so many steps with jax.profiler, into profile/ in the workdir", 0
)
SHARING = flags.DEFINE_integer(
    "sharing", 1, "how many runs share the machine, to be noted with what this one cost", 1
)
DESCRIBE = flags.DEFINE_boolean(
    "describe", False, "print the config and what its model costs by block, and train nothing"
)
SMOKE = flags.DEFINE_boolean("smoke", False, "train a few steps only, to see whether it runs")
LOG = flags.DEFINE_list(
    "log", [], "where events go besides the folder: wandb, trackio, mlflow, several by commas"
)
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run; made if missing")


def main() -> None:
    """Reads the config and trains."""
    cli.set_section("mesh", MESH.value)
    loaded = cli.read_config(CONFIG.value, shorten if SMOKE.value else None)
    if DESCRIBE.value:
        from seqmodels.training.describing import describe

        print("\n".join(as_flags(loaded.config)))
        describe(loaded.config)
    elif SMOKE.value and not WORKDIR.value:
        with tempfile.TemporaryDirectory(prefix="smoke-") as workdir:
            train(loaded, workdir)
        print("it runs; without --workdir nothing is kept of --smoke")
    else:
        train(loaded, cli.require_flag(WORKDIR))


def train(loaded: Loaded, workdir: str) -> None:
    """Trains, alone or with other processes."""
    # After the config is read: these imports take seconds.
    from seqmodels.training.fit import fit
    from seqmodels.training.processes import join_processes

    join_processes(PROCESSES.value, PROCESS.value, COORDINATOR.value)
    config, origin = loaded
    fit(
        config,
        workdir,
        profile_steps=PROFILE.value,
        devices=DEVICES.value,
        origin=origin,
        sharing=SHARING.value,
        log=LOG.value,
    )
