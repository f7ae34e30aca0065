"""What configs and scripts import: from seqmodels itself, and for one release by its old names."""

import ast
import importlib
import runpy
import subprocess
import sys

import pytest

import seqmodels
from tests.command_line import ROOT, tiny_config
from tests.run_folders import STEP, write_run

README = (ROOT / "README.md").read_text()
WRITTEN = sorted(ROOT.glob("configs/*.py"))


@pytest.mark.parametrize("name", seqmodels.__all__)
def test_what_is_public_is_there_and_listed(name):
    assert getattr(seqmodels, name).__name__ == name
    assert name in dir(seqmodels)
    assert f"`{name}" in README


def test_what_is_not_there_is_an_error():
    with pytest.raises(AttributeError, match="module 'seqmodels' has no attribute 'nothing'"):
        seqmodels.nothing  # noqa: B018


def test_the_package_alone_imports_none_of_its_parts():
    code = "import sys, seqmodels; print([m for m in sys.modules if m.startswith('seqmodels.')])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.stem)
def test_configs_import_what_is_public(file):
    imports = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in imports if str(n.module).startswith("seqmodels")]
    assert {n.module for n in ours} == {"seqmodels"}
    assert {name.name for n in ours for name in n.names} <= set(seqmodels.__all__)


@pytest.mark.slow
def test_a_run_is_loaded_by_its_folder(tmp_path):
    write_run(tiny_config(), tmp_path)
    run = seqmodels.load(tmp_path, devices=1)
    assert run.step == STEP
    assert run.experiment.train.length == 8


def test_the_old_path_of_points_says_so_once():
    sys.modules.pop("seqmodels.experiments.points", None)
    with pytest.warns(FutureWarning, match="from seqmodels import product"):
        old = importlib.import_module("seqmodels.experiments.points")
    importlib.import_module("seqmodels.experiments.points")  # a warning would be an error
    for name in ("Between", "chain", "product", "zipped"):
        assert getattr(old, name) is getattr(seqmodels, name)


@pytest.mark.parametrize("name", ["seqmodels.tasks.freeze", "seqmodels.tasks.prepared.freeze"])
def test_the_old_commands_that_freeze_say_so(monkeypatch, capsys, name):
    called = []
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("seqmodels.__main__.main", called.append)
    runpy.run_module(name, run_name="__main__")
    assert called == ["freeze"]
    assert capsys.readouterr().err == f"python -m {name} is now seqmodels freeze\n"
