"""Writes a run's parameters for other programs, and what they are beside them.

seqmodels export runs/digits --to=model.safetensors

JSON of the same name says what they are (docs/python.md).
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
    from seqmodels.evaluation.export import export

    print(f"{to}, and {export(runs[0], to, CHECKPOINT.value)}, which says what it holds")
