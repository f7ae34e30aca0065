"""The wheel in an empty folder outside the project: every command, and a notebook's kernel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.command_line import ROOT

SMALL = (
    "--config.model.width=8",
    "--config.train.steps=4",
    "--config.train.batch_size=8",
    "--config.train.log_every=2",
    "--config.train.evaluate_every=2",
    "--config.optimizer.warmup_steps=1",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the project's folder holds, which stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for name in ("seqmodels", "configs"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, f"--wheel-dir={folder}", str(source)], check=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, beside the one that the wheel is installed in."""
    site = tmp_path_factory.mktemp("installed") / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, f"--target={site}", str(wheel)], check=True)
    folder = site.parent / "elsewhere"
    folder.mkdir()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """In which Python finds what is installed there, before the checkout."""
    settings = {"PYTHONPATH": str(folder.parent / "site"), "XDG_CACHE_HOME": f"{folder}/.cache"}
    return os.environ | settings


def run(folder: Path, *words: str) -> str:
    """What a command says that succeeds."""
    command = [sys.executable, str(folder.parent / "site/bin/seqmodels"), *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_a_wheel_holds_configs_and_page(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"seqmodels/configs/{file.name}" for file in ROOT.glob("configs/*.py")}
    page = {f"seqmodels/report/{file.name}" for file in ROOT.glob("seqmodels/report/page.*")}
    assert configs | page <= names
    assert not [name for name in names if name.startswith(("configs/", "tests/"))]


def test_every_command_by_the_names_of_configs(elsewhere):
    assert "recall" in run(elsewhere, "list", "configs")
    train = ["train", "--config=recall:mixer=gru,length=16", *SMALL]
    told = run(elsewhere, *train, "--describe")
    assert "blocks.0 gru" in told
    run(elsewhere, *train, "--workdir=runs/gru")
    again = ["--config=runs/gru/config.json", "--workdir=runs/again", "--config.seed=1"]
    assert "finished in" in run(elsewhere, "train", *again)
    stored = json.loads((elsewhere / "runs/again/config.json").read_text())
    assert (stored["seed"], stored["model"]["width"]) == (1, 8)
    assert "test" in run(elsewhere, "evaluate", "--workdir=runs/gru", "--split=test")
    sweep = elsewhere / "small.py"
    sweep.write_text(
        "from seqmodels import product\n"
        "from seqmodels.config import load_config\n"
        "def get_config(arg=''):\n    return load_config('recall:' + arg).config\n"
        "def sweep():\n    return product({'mixer': ('gru', 'rnn')}, {'length': (16,)})\n"
    )
    told = run(elsewhere, "sweep", "--config=small.py", "--workdir=sweeps/x", "--workers=2", *SMALL)
    assert "2 of 2 runs finished, 0 failed" in told
    (environment,) = {
        json.loads(file.read_text())["starts"][0]["command"].partition(" --")[0]
        for file in elsewhere.glob("sweeps/x/trials/*/environment.json")
    }
    assert environment == "python -m seqmodels train"
    assert "runs" in run(elsewhere, "sweep", "--config=recall", "--dry-run")
    cells = ["--config.mixers=rnn", "--config.lengths=64,128", "--config.repeats=2"]
    run(elsewhere, "scaling", "--config=scaling", "--workdir=scaling", "--config.width=8", *cells)
    run(
        elsewhere,
        "freeze",
        "--config=recall:length=16",
        "--out=frozen",
        "--examples=train=4,validation=4,test=4",
    )
    run(elsewhere, "export", "runs/gru", "--to=gru.safetensors")
    assert json.loads((elsewhere / "gru.json").read_text())
    run(elsewhere, "report", "runs", "sweeps", "scaling", "--out=page")
    assert (elsewhere / "page/index.html").stat().st_size > 10_000


CELLS = (
    "import seqmodels; print(seqmodels.__file__)",
    "from seqmodels.training.resolving import load_whole\n"
    "from seqmodels import fit, load\n"
    f"small = [flag.removeprefix('--config.').split('=') for flag in {SMALL}]\n"
    "config = load_whole('recall:mixer=rnn,length=16', small).config\n"
    "results = fit(config, 'runs/notebook')\n"
    "print(sorted(results['test']))",
    "print(load('runs/notebook').experiment.train.length)",
    "from seqmodels import export, load_results\n"
    "print(export('runs/notebook', 'notebook.safetensors').name)\n"
    "print([row['mixer'] for row in load_results(['runs/notebook'])])",
)


def test_a_notebooks_kernel_trains(elsewhere, monkeypatch):
    for name, value in environment(elsewhere).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, resources={"metadata": {"path": str(elsewhere)}}).execute()
    said = ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells]
    assert said[0].strip() == str(elsewhere.parent / "site/seqmodels/__init__.py")
    assert "accuracy" in said[1]
    assert said[2] == "16\n"
    assert said[3] == "notebook.json\n['rnn']\n"
