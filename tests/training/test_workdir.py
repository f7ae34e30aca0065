"""A run's folder: whose run lies there, and files that are whole or absent."""

import json
import os

import pytest
from ml_collections import ConfigDict

from seqmodels.errors import UserError
from seqmodels.training.environment import read_starts
from seqmodels.training.workdir import Workdir


def config(**changes) -> ConfigDict:
    return ConfigDict({"seed": 0, "model": {"width": 8, "pattern": ("a", "b")}} | changes)


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_new_folder_gets_config_and_environment(tmp_path):
    run = Workdir(tmp_path / "a/b")
    run.open_for(config())
    assert json.loads((run.path / "config.json").read_text()) == {
        "seed": 0,
        "model": {"width": 8, "pattern": ["a", "b"]},
    }
    (environment,) = read_starts(run.path)
    assert environment.keys() >= {"command", "commit", "python", "packages", "devices"}
    assert {"jax", "flax", "optax", "orbax-checkpoint"} <= environment["packages"].keys()
    assert len(environment["devices"]) == 8
    assert sorted(file.name for file in run.path.iterdir()) == ["config.json", "environment.json"]
    assert run.results() is None


def test_the_same_config_may_go_on(tmp_path):
    Workdir(tmp_path).open_for(config())
    Workdir(tmp_path).open_for(config())
    stored = Workdir(tmp_path).config()
    assert stored.is_locked
    assert stored.model.width == 8


def test_another_config_may_not(tmp_path):
    Workdir(tmp_path).open_for(config())
    before = (tmp_path / "config.json").read_bytes()
    message = refusal(Workdir(tmp_path).open_for, config(seed=1, extra=2))
    assert message == (
        f"--workdir={tmp_path} holds a run of another config: "
        "extra=absent, now 2; seed=0, now 1. Choose another folder, or the same config"
    )
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_finished_run_stays_as_it_is(tmp_path):
    run = Workdir(tmp_path)
    run.open_for(config())
    run.write("environment.json", {"command": "long ago"})
    run.write("results.json", {"steps": 3})
    run.open_for(config())
    assert run.results() == {"steps": 3}
    assert run.read("environment.json") == {"command": "long ago"}


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_can_not_be_written(tmp_path, place):
    (tmp_path / "file").write_text("precious")
    message = refusal(Workdir(tmp_path / place).open_for, config())
    assert message.startswith(f"--workdir={tmp_path / place} can't be written (")
    assert message.endswith("); choose another folder")
    assert (tmp_path / "file").read_text() == "precious"


def test_no_run_lies_there(tmp_path):
    message = refusal(Workdir(tmp_path / "nowhere").config)
    assert message == f"--workdir={tmp_path}/nowhere holds no run (no config.json); train first"


@pytest.mark.parametrize("content", [b"", b'{"seed": 0,', b"\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    message = refusal(Workdir(tmp_path).open_for, config())
    assert message.startswith(f"{tmp_path}/config.json is not valid JSON (")
    assert message.endswith("); delete it to go on")
    assert (tmp_path / "config.json").read_bytes() == content


def test_a_file_is_written_wholly_or_not_at_all(tmp_path, monkeypatch):
    run = Workdir(tmp_path)
    run.write("results.json", {"steps": 1})

    def killed(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        run.write("results.json", {"steps": 2})
    assert run.results() == {"steps": 1}


def test_a_file_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "results.json").mkdir()
    message = refusal(Workdir(tmp_path).write, "results.json", {})
    assert message == f"{tmp_path}/results.json can't be written (Is a directory)"
