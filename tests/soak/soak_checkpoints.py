"""Single flipped bits in the checkpoints of real runs: what loads is what was saved, or it is said.

600 bits, 200 in the newest checkpoint of each of three runs, each bit of all its files as likely as
any other. Two minutes.
"""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.table import Table

from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.checksums import checksums
from seqmodels.training.experiment import build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import initial_state
from tests.states import abstract_state

CONFIGS = ("digits.py:mixer=lstm", "recall.py:mixer=transformer", "reverse.py")
FLIPS = 200
STEPS = 3
SHORT = {
    "train.steps": STEPS,
    "train.log_every": 1,
    "train.evaluate_every": 1,
    "optimizer.warmup_steps": 1,
}
OUTCOMES = ("another was loaded, said", "loaded as saved", "loaded otherwise, unsaid")


@pytest.fixture(scope="module")
def table(show):
    table = Table("config", "arrays", "bytes", "flips", *OUTCOMES)
    yield table
    show(table)


@pytest.mark.parametrize("spec", CONFIGS)
def test_no_flipped_bit_loads_silently(spec, table, tmp_path):
    root = Path(__file__).parents[2]
    config = load_whole(f"{root}/configs/{spec}", [(k, str(v)) for k, v in SHORT.items()]).config
    fit(config, tmp_path / "run", devices=1)
    experiment = build_experiment(config)
    like = abstract_state(
        lambda: initial_state(experiment.model, experiment.optimizer, experiment.seed),
        replicated(make_mesh(1)),
    )
    said: list[str] = []
    folder = tmp_path / "run/checkpoints"
    checkpoints = Checkpoints(folder, "accuracy", True, said.append, read_only=True)
    steps = checkpoints.steps()
    saved = {step: checksums(checkpoints.restore(step, like)[1]) for step in steps}
    newest = folder / str(STEPS)
    files = sorted(path for path in newest.rglob("*") if path.is_file())
    ends = np.cumsum([path.stat().st_size for path in files])
    random = np.random.default_rng(0)
    counts = dict.fromkeys(OUTCOMES, 0)
    for place in random.integers(8 * ends[-1], size=FLIPS).tolist():
        file = files[int(np.searchsorted(ends, place // 8, side="right"))]
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[place // 8 - (int(ends[files.index(file)]) - len(content))] ^= 1 << place % 8
        file.write_bytes(flipped)
        said.clear()
        checkpoints = Checkpoints(folder, "accuracy", True, said.append, read_only=True)
        step, state = checkpoints.restore("latest", like)
        as_saved = checksums(state) == saved[step]
        counts[OUTCOMES[2 if not (as_saved and (said or step == STEPS)) else step == STEPS]] += 1
        assert not any("\n" in line for line in said)
        file.write_bytes(content)
    names = [spec, len(jax.tree.leaves(like)), ends[-1], FLIPS, *counts.values()]
    table.add_row(*map(str, names))
    assert counts[OUTCOMES[2]] == 0
    shutil.rmtree(tmp_path / "run")
