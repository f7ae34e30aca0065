"""What the README and the guides show is what happens."""

import re
import shlex
from pathlib import Path

import pytest

from seqmodels.config import load_config
from seqmodels.training.experiment import build_experiment

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.slow
def test_python_example_runs(capsys: pytest.CaptureFixture[str]):
    (example,) = blocks(README, "python")
    exec(compile(example, "README.md", "exec"), {})
    assert "Cost(" in capsys.readouterr().out


def test_train_commands_name_configs_that_build():
    commands = [
        shlex.split(line)
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("python train.py")
    ]
    assert commands, "the README shows no train.py command"
    for command in commands:
        spec = next(a for a in command if a.startswith("--config=")).removeprefix("--config=")
        overrides = [
            tuple(a.removeprefix("--config.").split("=", 1))
            for a in command
            if a.startswith("--config.")
        ]
        build_experiment(load_config(str(ROOT / spec), overrides))


def test_every_row_of_the_architectures_builds():
    rows = re.findall(r"`(configs/\S+\.py[^`]*)`", (ROOT / "docs/architectures.md").read_text())
    assert len(rows) > 40
    for row in rows:
        spec, *flags = shlex.split(row)
        assert all(flag.startswith("--config.") for flag in flags)
        overrides = [tuple(flag.removeprefix("--config.").split("=", 1)) for flag in flags]
        build_experiment(load_config(str(ROOT / spec), overrides))


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", README + CONTRIBUTING))
    assert named <= targets


def test_guides_examples_work():
    """A mixer written from CONTRIBUTING.md's text runs as it stands."""
    mixer, _ = (
        re.sub(r"^   ", "", block, flags=re.MULTILINE)
        for block in re.findall(r"   ```python\n(.*?)   ```", CONTRIBUTING, flags=re.DOTALL)
    )
    names: dict = {}
    exec(
        "import jax, numpy as np\nimport jax.numpy as jnp\nfrom flax import nnx\n"
        "from seqmodels.mixers import Cost\nfrom seqmodels.parameters import parameter\n"
        f"{mixer}",
        names,
    )
    import jax
    import jax.numpy as jnp
    from flax import nnx

    average = names["ExponentialAverage"](8, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 9, 8))
    first, state = average.extend(x[:, :4], average.initial_state(2, 9))
    rest, _ = average.extend(x[:, 4:], state)
    assert jnp.allclose(average(x), jnp.concatenate([first, rest], axis=1), atol=1e-6)
