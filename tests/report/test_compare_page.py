"""What docs/compare.md shows is what happens."""

import re
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from tests.report.folders import sweep_folder

PAGE = (Path(__file__).parents[2] / "docs/compare.md").read_text()


@pytest.mark.slow
def test_the_runs_of_a_sweep_fill_a_storage_of_optuna_s(tmp_path, monkeypatch):
    sweep_folder(tmp_path / "sweeps/compare", ("gru", "lstm"), (64,), states={0: ("failed", "x")})
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/compare.md", "exec"), {})
    storage = optuna.storages.JournalStorage(JournalFileBackend("compare.log"))
    study = optuna.load_study(study_name="compare", storage=storage)
    assert len(study.trials) == 7
    assert study.best_params == {"mixer": "lstm", "rate": 0.003}
    assert "optuna-dashboard compare.log" in PAGE
