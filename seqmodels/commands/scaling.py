"""Measures what each mixer costs, against the length.

seqmodels scaling --config=scaling --workdir=scaling

Running the same command again continues where it stopped; more mixers or lengths are added to the
folder. Ctrl-C keeps what is done. A cell is measured again once its file in cells/ is deleted.

For a machine that isn't here: --target=tpu:v5e:4x4 or --target=gpu:h100:8, with the extra tpu or
cuda; --mesh=data=4,sequence=4 shares rows and positions among its devices.
"""

from absl import flags

from seqmodels import cli

CONFIG = flags.DEFINE_string("config", None, "config: scaling")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the table; made if missing")
TARGET = flags.DEFINE_string("target", None, "compile for tpu:NAME:TOPOLOGY or gpu:NAME:NUMBER")
MESH = flags.DEFINE_string(
    "mesh", None, "how a target's devices share rows, positions and features: data=16,sequence=16"
)
WITHIN_GIB = flags.DEFINE_float(
    "within_gib", None, "say what length a training step serves in so much memory", 0.0
)
WITHIN_SECONDS = flags.DEFINE_float(
    "within_seconds", None, "say what length a training step serves in so much time", 0.0
)
QUALITY = flags.DEFINE_list("quality", [], "also train each cell on these tasks: needle,recall")


def main() -> None:
    """Reads the config and fills the table."""
    config, _ = cli.read_config(CONFIG.value, complete=None)
    workdir = cli.require_flag(WORKDIR)
    # After the config is read: these imports take seconds.
    from seqmodels.scaling.run import scale

    limits = {"gib": WITHIN_GIB.value, "seconds": WITHIN_SECONDS.value}
    within = {name: value for name, value in limits.items() if value is not None}
    tasks, mesh = tuple(QUALITY.value), MESH.value
    scale(config, str(CONFIG.value), workdir, TARGET.value, within, tasks, mesh)
