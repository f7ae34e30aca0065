"""Which Python .venv is made with, on machines that have few, and what setting up says."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "find-python.sh"
# Answers as an interpreter does when it is asked for its version, and for venv.
PYTHON = """#!/bin/sh
case "$3" in *ensurepip*) {venv} ;; *) {version} ;; esac
"""


@pytest.fixture
def find(tmp_path):
    """Runs the script where PATH holds nothing but the commands given, each a shell script."""

    def find_(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", SCRIPT],
            env={"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path / "pyenv")} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return find_


def command(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def python(folder: Path, name: str, version: str, venv: bool = True) -> Path:
    """A stand-in for an interpreter of 3.12 to 3.14; one of another version has none."""
    says = f"echo {folder / name}" if venv else "exit 1"
    return command(folder, name, PYTHON.format(venv=says, version=f"echo {version}"))


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_the_only_python_is_taken(tmp_path, find, version):
    file = python(tmp_path, f"python{version}", version)
    assert find().stdout == f"{file}\n"


def test_pyenvs_pythons_are_found(tmp_path, find):
    file = python(tmp_path / "pyenv/versions/3.14.1/bin", "python", "3.14")
    assert find().stdout == f"{file}\n"


def test_the_named_python_is_the_only_candidate(tmp_path, find):
    python(tmp_path, "python3.13", "3.13")
    other = python(tmp_path / "other", "python", "3.12")
    assert find(PYTHON=str(other)).stdout == f"{other}\n"
    refused = find(PYTHON=str(tmp_path / "none"))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"PYTHON={tmp_path}/none is not a Python 3.12 to 3.14")


def test_uv_brings_one(tmp_path, find):
    """Where no other fits; it is asked to find first, and to install where it finds none."""
    brought = python(tmp_path / "uv-pythons", "python3.13", "3.13")
    installed = tmp_path / "installed"
    command(
        tmp_path,
        "uv",
        f'case "$2" in install) : >{installed} ;; '
        f"find) [ -e {installed} ] && echo {brought} ;; esac",
    )
    command(tmp_path, "python3", "exit 1")
    assert find().stdout == f"{brought}\n"


@pytest.mark.parametrize(
    ("commands", "mend"),
    [
        ((), "install uv, which brings one"),
        (("apt", "apt-cache"), "apt install python3.13-venv"),
        (("brew",), "brew install python@3.13"),
        (("dnf",), "dnf install python3.13"),
    ],
)
def test_where_none_fits_one_line_says_what_to_type(tmp_path, find, commands, mend):
    for name in commands:
        command(tmp_path, name, "exit 0")
    found = find()
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"No Python 3.12 to 3.14 with venv found: {mend} "
        "(or name one: make setup PYTHON=/path/to/python3.13)\n"
    )


def test_debians_python_without_venv_is_named(tmp_path, find):
    python(tmp_path, "python3", "3.14", venv=False)
    command(tmp_path, "apt", "exit 0")
    assert ": apt install python3.14-venv (or" in find().stderr


MAKES_A_VENV = """#!/bin/sh
case "$*" in
*ensurepip*) echo "$0" ;;
"-m venv .venv") mkdir -p .venv/bin && cp pip-stand-in .venv/bin/python ;;
esac
"""


@pytest.fixture
def set_up(tmp_path):
    """Runs tools/setup.sh in a checkout whose Python and pip are stand-ins; pip ends so."""
    shutil.copytree(SCRIPT.parent, tmp_path / "tools")
    for name in ("requirements.lock", "requirements-cuda.lock", "pyproject.toml"):
        (tmp_path / name).write_text("setuptools==1\n")
    command(tmp_path / "bin", "python3.13", MAKES_A_VENV)

    def set_up_(pip: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        stand_in = f'case "$*" in *pip*) echo "$@" >>log; exit {pip} ;; esac'
        command(tmp_path, "pip-stand-in", stand_in)
        return subprocess.run(
            ["/bin/sh", tmp_path / "tools/setup.sh"],
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return set_up_


def test_an_install_that_fails_is_said_and_goes_on(tmp_path, set_up):
    """Without a network pip says that there is no such version, and nothing of a network."""
    failed = set_up(pip=1)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("Setting up .venv stopped, as pip says above. ")
    assert not (tmp_path / ".venv/stamp").exists()
    again = set_up()
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "Setting up .venv (once, about a minute)...\n"
    assert (set_up().stdout, set_up().returncode) == ("", 0)
    assert "--editable ." in (tmp_path / "log").read_text()


def test_an_extra_is_one_that_there_is_and_is_kept(tmp_path, set_up):
    refused = set_up(EXTRA="wrong")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.strip() == "EXTRA=wrong is not one of: cuda"
    assert not (tmp_path / ".venv").exists()
    assert set_up(EXTRA="cuda").returncode == 0
    (tmp_path / "log").unlink()
    (tmp_path / "requirements.lock").write_text("setuptools==2\n")
    assert set_up().stdout == "Updating .venv...\n"
    assert "-r requirements-cuda.lock" in (tmp_path / "log").read_text()
