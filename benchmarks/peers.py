r"""Time to accuracy beside the peers' own code on this machine: TCN's and Zoology's.

    sh tools/setup-torch.sh
    python benchmarks/peers.py --case=tcn-adding --code=/path/to/TCN --out=docs/performance
    python benchmarks/peers.py --case=zoology-recall --code=/path/to/zoology --out=docs/performance
    python benchmarks/peers.py --document=docs/reproductions.md --out=docs/performance

A peer's repository is fetched by who runs this, and is no part of this one. Its own script trains,
in .venv-torch with what else it needs, until it reports the score that ours has reached or for 45
minutes, whichever comes first; each line that reports one becomes a point of peers.json. Ours are
the committed runs of experiments/, with the median step of each. Nothing else may run.
"""

from pathlib import Path

from absl import flags
from document import replace_table
from peer_runs import CASES, Run, run, text

from seqmodels import cli
from seqmodels.errors import UserError, nearest
from seqmodels.json_files import read_json, write_json

CASE = flags.DEFINE_string("case", None, "what is trained: tcn-adding, tcn-copy, zoology-recall")
CODE = flags.DEFINE_string("code", None, "the peer's repository, where somebody has put it")
PYTHON = flags.DEFINE_string("python", ".venv-torch/bin/python", "the Python with PyTorch")
MINUTES = flags.DEFINE_float("minutes", 45.0, "the most that a peer runs")
OUT = flags.DEFINE_string("out", "docs/performance", "folder of peers.json")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")


def main() -> None:
    """Runs a case, or writes the table of those that have run."""
    file = Path(OUT.value) / "peers.json"
    stored: dict[str, Run] = read_json(file, dict[str, Run]) or {}
    if CASE.value is not None:
        if CASE.value not in CASES:
            raise UserError(f"--case={CASE.value}: {nearest(CASE.value, CASES)}")
        stored[CASE.value] = run(
            CASES[CASE.value], Path(cli.require_flag(CODE)), Path(PYTHON.value), MINUTES.value
        )
        write_json(file, stored)
    if DOCUMENT.value is not None:
        replace_table(DOCUMENT.value, "peers", text(stored))


if __name__ == "__main__":
    cli.run(main)
