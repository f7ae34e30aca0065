"""train.py, noting what the devices hold of every batch: what test_processes.py starts.

    python -m tests.training.recorded_run RECORD [flags of train.py]

RECORD gets a line for each batch that the loop is given: {"step": 3, "rows": {"0": DIGEST, ...}},
with the rows that devices of this process hold.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seqmodels.training import fit
from seqmodels.training.batches import Batches
from tests.compiled import keep_programs


def rows_of(batch: Any) -> dict[int, str]:
    """A digest of each row of a batch that this process holds, by the row's global number."""
    parts: dict[int, list[bytes]] = {}
    for array in jax.tree.leaves(batch):
        pieces = [(0, array)]
        if isinstance(array, jax.Array):
            pieces = [(s.index[0].start or 0, s.data) for s in array.addressable_shards]
        for first, piece in pieces:
            for number, row in enumerate(np.asarray(piece), first):
                parts.setdefault(number, []).append(row.tobytes())
    return {row: hashlib.sha256(b"|".join(part)).hexdigest() for row, part in parts.items()}


def recording(record: Path) -> type[Batches]:
    """Batches that note what they give."""

    class Recording(Batches):
        def __init__(self, make, steps):
            super().__init__(make, steps)
            self.given = iter(steps)

        def next(self):
            prepared = super().next()
            if prepared is not None:
                line = {"step": next(self.given), "rows": rows_of(prepared.batch)}
                with record.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            return prepared

    return Recording


if __name__ == "__main__":
    from seqmodels import cli
    from seqmodels.commands import train

    keep_programs()
    fit.Batches = recording(Path(sys.argv.pop(1)))
    cli.run(train.main)
