"""The command ``seqmodels``, and the scripts that are parts of it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from seqmodels.commands import COMMANDS
from seqmodels.commands.list import KINDS
from seqmodels.mixers import MIXERS
from seqmodels.presets import PRESETS
from seqmodels.sweeps.groups import Run
from seqmodels.sweeps.orders import Orders, train_command
from seqmodels.sweeps.trials import Trial
from seqmodels.tasks import TASKS
from tests.command_line import ROOT, SEQMODELS, call
from tests.test_cli import assert_one_line

SCRIPTS = sorted(path.stem for path in ROOT.glob("*.py"))


def test_a_command_is_a_module_and_a_name():
    files = {path.stem for path in (ROOT / "seqmodels/commands").glob("[a-z]*.py")}
    assert files == set(COMMANDS)
    assert set(SCRIPTS) <= files


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name):
    """Its docstring, by the name that it was called by, and its flags."""
    code, output, errors = call(SEQMODELS, name, "--help")
    assert (code, errors) == (0, "")
    text = (ROOT / f"seqmodels/commands/{name}.py").read_text()
    assert text.startswith(f'"""{output.splitlines()[0]}\n\nseqmodels {name}') or name == "evaluate"
    assert re.search(rf"^(Its scores: )?python -m seqmodels {name} ", output, re.MULTILINE)
    for flag in ("--workdir:", "--config:", "--out:"):
        assert (flag in output) == (f'"{flag[2:-1]}"' in text)
    assert "--[no]traceback:" in output


def test_a_script_is_the_command_of_its_name():
    code, output, errors = call("report.py", "--help")
    assert (code, errors) == (0, "")
    assert "\npython report.py sweeps/ runs/ --out=report\n" in output


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_all_commands_are_listed(words):
    code, output, errors = call(SEQMODELS, *words)
    assert (code, errors) == (0, "")
    for name in COMMANDS:
        assert f"  seqmodels {name} " in output
    assert max(map(len, output.splitlines())) <= 120


def test_the_version_is_that_of_the_project():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert call(SEQMODELS, "--version") == (0, f"seqmodels {version}\n", "")


def test_they_are_listed_fast():
    """As installed, in a process of its own: what JAX takes to import is not spent."""
    program = (
        "import sys; sys.argv = ['/x/bin/seqmodels']; from seqmodels.__main__ import main\n"
        "try: main()\n"
        "finally: print({'jax', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout.endswith("set()\n")


def test_a_sweeps_runs_are_started_by_the_command():
    """From whatever folder, of which no module is imported; a script in its place is its own."""
    run = Run("a", {"mixer": "gru"}, {"seed": 1}, {})
    orders = Orders._make([None] * len(Orders._fields))
    orders = orders._replace(folder=Path("/s"), config="recall", sharing=1)
    words = ["--config=recall:mixer=gru", "--workdir=/s/trials/a", "--config.seed=1"]
    assert train_command(orders, run) == ["-P", "-m", "seqmodels", "train", *words]
    assert train_command(orders._replace(train=Path("x.py")), run) == ["x.py", *words]


@pytest.mark.parametrize("program", ["python -m seqmodels train", "seqmodels train", "/a/train.py"])
def test_of_what_a_run_said_last_its_program_is_left_out(tmp_path, program):
    trial = Trial(tmp_path, "a")
    trial.folder.mkdir(parents=True)
    (trial.folder / "output.txt").write_text(f"step 1\n{program}: --seed=x: try train: 1\n\n")
    assert trial.last_line() == "--seed=x: try train: 1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "python -m seqmodels: 'trian' is not a command; did you mean 'train'? (kn"),
        (["runs/x", "train"], "python -m seqmodels: 'runs/x' is not a command; known: evaluate, "),
        (["--wrong"], "python -m seqmodels: Unknown command line flag 'wrong'"),
        (["train"], "python -m seqmodels train: --config is missing; name one, such as"),
        (["list", "mixer"], "python -m seqmodels list: 'mixer' can't be listed; did you mean 'mix"),
    ],
)
def test_a_mistake_costs_one_line(words, message):
    assert_one_line(call(SEQMODELS, *words), message)


def test_what_there_is_is_listed():
    code, output, errors = call(SEQMODELS, "list")
    assert (code, errors) == (0, "")
    sections = output.strip("\n").split("\n\n")
    listed = {
        head.partition(":")[0]: dict(line.split(maxsplit=1) for line in lines)
        for head, *lines in map(str.splitlines, sections)
    }
    assert list(listed) == list(KINDS)
    assert listed["mixers"].keys() == MIXERS.keys()
    assert listed["tasks"].keys() == TASKS.keys()
    griffin = "rglru, attention window=16; MLPs 4 times as wide"
    assert listed["presets"]["griffin"] == griffin
    assert listed["presets"]["bidirectional"] == "bidirectional mixer=gru"
    assert listed["presets"].keys() == PRESETS.keys()
    assert listed["configs"].keys() == {path.stem for path in ROOT.glob("configs/*.py")}
    assert listed["configs"]["recall"].startswith("Multi-query associative recall: which mixers")
