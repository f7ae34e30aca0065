"""--smoke cuts any config down; --help and --show_config tell what a config takes."""

import shlex

import pytest

from seqmodels.config import construct
from seqmodels.config_help import as_flags, describe_config
from seqmodels.errors import ConfigError
from seqmodels.smoke import STEPS, shorten
from seqmodels.training import fit as fitting
from seqmodels.training.experiment import TrainSettings
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.resolving import load_whole
from tests.command_line import CONFIG, ROOT, call

FILES = sorted(str(file) for file in ROOT.glob("configs/*.py") if file.stem != "scaling")


def check(config):
    """Refuses what training would of steps, lengths and the schedule."""
    settings = construct(TrainSettings, config.train, "train")
    make_optimizer(config.optimizer, settings.steps, {})
    return settings


@pytest.mark.parametrize("file", FILES)
def test_any_config_takes_a_few_steps(file):
    config = load_whole(file).config
    with config.unlocked(), config.ignore_type():
        config.train.lengths, config.train.shortest = "curriculum", 1
        config.train.truncate = None
        config.train.curriculum_steps = config.train.steps
        config.train.seconds = 60.0
    shorten(config)
    settings = check(config)
    assert (settings.steps, settings.seconds) == (STEPS, None)
    assert settings.evaluate_every < STEPS


@pytest.mark.parametrize("workdir", [None, "runs/x"])
def test_smoke_needs_no_folder(monkeypatch, workdir):
    asked = {}

    def note(config, workdir, log, **_):
        asked.update(steps=config.train.steps, seed=config.seed, workdir=workdir, log=log)
        assert "beta1" not in config.optimizer, "of another kind than it has"

    monkeypatch.setattr(fitting, "fit", note)
    flags = ["--config.optimizer.kind=sgd", "--log=wandb,trackio"]
    flags += [f"--workdir={workdir}"] if workdir else []
    code, output, errors = call("train.py", CONFIG, "--smoke", "--config.seed=3", *flags)
    assert (code, errors) == (0, "")
    assert (asked["steps"], asked["seed"], asked["log"]) == (STEPS, 3, ["wandb", "trackio"])
    assert (asked["workdir"] == workdir) == (workdir is not None)
    assert ("nothing is kept" in output) == (workdir is None)


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("optimizer.warmup_steps", 200, "set optimizer.warmup_steps=6, a tenth of the steps"),
        ("train.curriculum_steps", 200, "set train.curriculum_steps=60 or lower"),
    ],
)
def test_fewer_steps_than_another_key_needs_say_what_to_set(key, value, advice):
    config = load_whole(f"{ROOT}/configs/recall.py").config
    with config.ignore_type():
        config.train.steps = 60
        if "curriculum" in key:
            config.train.lengths, config.train.shortest = "curriculum", 8
        section, name = key.split(".")
        config[section][name] = value
    with pytest.raises(ConfigError, match=advice):
        check(config)


@pytest.mark.parametrize("file", FILES)
def test_every_config_tells_its_arguments(file):
    """The defaults that are told are the defaults that are read."""
    said = describe_config(file)
    line = next(line for line in said.splitlines() if line.startswith("Arguments and their"))
    spec = line.partition("--config=")[2]
    assert as_flags(load_whole(spec).config) == as_flags(load_whole(file).config)


@pytest.mark.parametrize("file", FILES)
def test_a_config_that_is_shown_is_made_again_by_what_is_shown(file):
    config = load_whole(file).config
    words = shlex.split(" ".join(as_flags(config)))
    overrides = [word.removeprefix("--config.").split("=", 1) for word in words]
    with config.ignore_type():
        config.seed = 77
    again = load_whole(file, [(key, text) for key, text in overrides]).config
    assert as_flags(again) == as_flags(load_whole(file).config)


@pytest.mark.parametrize("script", ["train.py", "sweep.py"])
def test_flags_show_a_config(script):
    shown = call(script, CONFIG, "--config.seed=5", "--show_config")
    assert (shown[0], shown[2]) == (0, "")
    assert "--config.seed=5\n" in shown[1]
    assert "--config.model.depth=2\n" in shown[1]
    code, output, errors = call(script, "--help", CONFIG)
    assert (code, errors) == (0, "")
    assert "configs/copy.py:mixer=" in output
