"""The sweeps of the experiments, by the commands that their pages give."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SWEEPS = [
    (page.parent.name, command)
    for page in sorted(ROOT.glob("experiments/*/README.md"))
    for command in re.findall(r"(?m)^timeout 90m python (sweep\.py .*)$", page.read_text())
]


def test_pages_give_commands():
    assert len({name for name, _ in SWEEPS}) == len(list(ROOT.glob("experiments/*/config.py"))) + 1


@pytest.mark.parametrize(("name", "command"), SWEEPS)
def test_every_run_of_a_command_builds_at_the_size_it_asks_for(name, command):
    asked = [sys.executable, *command.split(), "--dry_run"]
    ended = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^[1-9]\d* runs.*; none was begun$", ended.stdout, re.MULTILINE)
