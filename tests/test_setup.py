"""Which Python .venv is made with, on machines that have few: tools/find-python.sh."""

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
