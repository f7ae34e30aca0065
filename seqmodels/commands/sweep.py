"""Trains every point of a config's sweep, and compares them.

seqmodels sweep --config=recall --workdir=sweeps/recall --workers=2

Every point of the config's sweep() is trained in a folder of its own. The same command again goes
on where it stopped; on another machine that reaches the folder it adds workers. --dry-run lists the
runs. Any key of the config can be set for all of them: --config.train.steps=500. Arguments name a
part of the points, as --config=recall:mixer=gru does; --seeds=0,1,2 repeats one run, of any config.
"""

from absl import flags

from seqmodels import cli
from seqmodels.errors import UserError

CONFIG = flags.DEFINE_string("config", None, "config that has a sweep(): recall")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the sweep; made if missing")
MESH = flags.DEFINE_string("mesh", None, "of each run, as train takes it: data=2,sequence=4")
WORKERS = flags.DEFINE_integer("workers", 1, "runs at a time; several share the cores", 1)
SEARCH = flags.DEFINE_enum(
    "search",
    None,
    ["grid", "stages", "random", "tpe"],
    "how settings are chosen; by default as sweep() says: stages, or else grid",
)
STAGES = flags.DEFINE_boolean("stages", False, "as --search=stages: seeds for the best setting")
SEEDS = flags.DEFINE_list("seeds", [], "repeat the config's one run with these, without sweep()")
TRIALS = flags.DEFINE_integer("trials", None, "random, tpe: how many settings of each group", 1)
PRUNE = flags.DEFINE_boolean("prune", False, "stop runs that validate below their group's median")
MATCH = flags.DEFINE_string(
    "match",
    None,
    "bring models to one size: parameters, flops or state, or to two: parameters,state; or runs to "
    "one time: seconds",
)
TARGET = flags.DEFINE_string(
    "target", None, "that size, or both: 108000,16384; or the seconds that steps take"
)
LOG = flags.DEFINE_list("log", [], "of each run, as train takes it: wandb, trackio, mlflow")
STORAGE = flags.DEFINE_string("storage", None, "means nothing any more: the workdir knows all")
SLURM = flags.DEFINE_string("slurm", None, "partition of a cluster whose jobs are the workers")
HEARTBEAT = flags.DEFINE_integer("heartbeat", None, "means nothing any more: locks tell who lives")
DRY_RUN = flags.DEFINE_boolean("dry_run", False, "list the runs and their sizes, run none")


def main() -> None:
    """Reads the flags and sweeps."""
    cli.set_section("mesh", MESH.value)
    spec, overrides = cli.read_config_flags(CONFIG.value)
    workdir = "" if DRY_RUN.value else cli.require_flag(WORKDIR)
    if STAGES.value and SEARCH.value not in (None, "stages"):
        raise UserError(f"--stages and --search={SEARCH.value} are two searches; take one")
    if STORAGE.value is not None:
        print("--storage is not needed: the workdir deals out the runs and knows what was tried")
    from seqmodels.sweeps.run import SweepOptions, run_sweep

    options = SweepOptions(
        workers=WORKERS.value,
        search="stages" if STAGES.value else SEARCH.value,
        trials=TRIALS.value,
        prune=PRUNE.value,
        match=MATCH.value,
        target=TARGET.value,
        dry_run=DRY_RUN.value,
        slurm=SLURM.value,
        log=tuple(LOG.value),
        seeds=tuple(map(_seed, SEEDS.value)),
    )
    run_sweep(spec, overrides, workdir, None, options)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds={','.join(SEEDS.value)} are not whole numbers from 0 on: 0,1,2")
    return int(text)
