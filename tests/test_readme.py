"""What the README and the guides show is what happens."""

import re
import shlex
from pathlib import Path

import pytest

from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.soaking import SOAK

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_python_example_runs(capsys: pytest.CaptureFixture[str]):
    example, *others = blocks(README, "python")
    page = (ROOT / "docs/python.md").read_text()
    assert all(other in page for other in others), "that page's examples are run"
    exec(compile(example, "README.md", "exec"), {})
    assert "Cost(" in capsys.readouterr().out


@pytest.mark.slow
def test_train_commands_name_configs_that_build():
    commands = [
        shlex.split(line)
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("seqmodels train")
    ]
    assert commands, "the README shows no command that trains"
    for command in commands:
        spec = next(a for a in command if a.startswith("--config=")).removeprefix("--config=")
        overrides = [
            tuple(a.removeprefix("--config.").split("=", 1))
            for a in command
            if a.startswith("--config.")
        ]
        build_experiment(load_whole(spec, overrides).config)


@pytest.mark.slow
def test_every_row_of_the_architectures_builds():
    rows = re.findall(r"`(configs/\S+\.py[^`]*)`", (ROOT / "docs/architectures.md").read_text())
    assert len(rows) > 40
    for place, row in enumerate(rows):
        spec, *flags = shlex.split(row)
        assert all(flag.startswith("--config.") for flag in flags)
        overrides = [tuple(flag.removeprefix("--config.").split("=", 1)) for flag in flags]
        config = load_whole(str(ROOT / spec), overrides).config
        if SOAK or place % 3 == 0:  # as many presets stand in many rows
            build_experiment(config)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", README + CONTRIBUTING))
    assert named <= targets
