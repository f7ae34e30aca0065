"""Runs the check cell of each experiment again, and holds it against its committed runs.

python -m experiments.check rnn_long

Without names those of all; make check-results does so. A page names its cell as CHECK; its runs lie
in check.json, and --keep makes them anew. Trainings go on two at a time, each on a core of its own;
costs are measured before, alone.
"""

import shutil
import tempfile
from pathlib import Path

from absl import flags

from experiments.again import checks, report, run_all
from seqmodels import cli
from seqmodels.errors import UserError

KEEP = flags.DEFINE_boolean("keep", False, "make the runs of check.json anew")
HERE = Path(__file__).parent


def main(names: list[str]) -> None:
    """Checks each, prints a table, and fails where one is outside."""
    found = checks(names)
    committed = {name: HERE / name / "check.json" for name in found}
    lacking = [name for name, file in committed.items() if not file.exists()]
    if lacking and not KEEP.value:
        raise UserError(
            f"{', '.join(lacking)}: no check.json; python -m experiments.check --keep makes it"
        )
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.json" for name in found}
        run_all(found, files)
        if not KEEP.value:
            report(found, committed, files)
            return
        for name, file in committed.items():  # what is there is replaced by what has ended
            shutil.move(files[name], file)


if __name__ == "__main__":
    cli.run(main)
