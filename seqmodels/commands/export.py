"""Exports a run's parameters for other programs.

seqmodels export runs/digits --to=model.safetensors

The parameters go there, and JSON that says what they are beside them (docs/python.md).
"""

from absl import flags

from seqmodels import cli
from seqmodels.errors import UserError

TO = flags.DEFINE_string("to", None, "file to write; its name ends in .safetensors")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest or a step")


def main(runs: list[str]) -> None:
    """Exports one run."""
    if len(runs) != 1:
        raise UserError(f"{len(runs)} runs are named; name the folder of one to export")
    to = cli.require_flag(TO)
    from seqmodels import export

    print(f"{to}, and {export(runs[0], to, CHECKPOINT.value)}, which says what it holds")
