"""A run's folder: whose run lies there, and files that are whole or absent."""

import errno
import json
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.training.environment import starts
from seqmodels.training.fit import _Run
from seqmodels.training.resolving import resolved
from seqmodels.training.step import TrainState
from seqmodels.training.workdir import Workdir


def config(**changes) -> ConfigDict:
    sections = {
        "task": {"kind": "copy"},
        "model": {"width": 8, "pattern": ("a", "b")},
        "optimizer": {},
        "train": {"steps": 3, "length": 8},
    }
    return ConfigDict({"seed": 0, **sections} | changes)


SCORES = {"loss": 0.5, "accuracy": 1.0}
AT_LENGTH = {"mean": 0.5, "low": 0.4, "high": 0.6, "examples": 8}
COUNTS = {"steps": 3, "best_step": 3, "parameters": 9, "seconds": 0.5}
RESULTS = {"validation": SCORES, "test": SCORES, **COUNTS}


def dump(content: Any) -> bytes:
    return json.dumps(content).encode()


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_new_folder_gets_config_and_environment(tmp_path):
    run = Workdir(tmp_path / "a/b")
    run.open_for(config())
    stored = json.loads((run.path / "config.json").read_text())
    assert stored == to_dict(resolved(config())) | {"decided": {}}
    content = run.read("environment.json")
    assert content is not None
    (environment,) = starts(content)
    assert environment.keys() >= {"command", "commit", "python", "packages", "devices"}
    assert {"jax", "flax", "optax", "orbax-checkpoint"} <= environment["packages"].keys()
    assert len(environment["devices"]) == 8
    assert sorted(file.name for file in run.path.iterdir()) == ["config.json", "environment.json"]
    assert run.results() is None


def test_one_process_trains_in_a_folder_at_a_time(tmp_path):
    run, other = Workdir(tmp_path / "a/b"), Workdir(tmp_path / "a/b")
    with run.held():
        run.open_for(config())

        def take() -> None:
            with other.held():
                pass

        message = refusal(take)
        assert message.startswith(f"workdir={run.path} is in use by process {os.getpid()} on ")
        assert message.endswith("; wait, stop it, or choose another folder")
        assert other.config().seed == 0, "it may be read"
    assert sorted(file.name for file in run.path.iterdir()) == ["config.json", "environment.json"]
    with other.held():
        other.open_for(config())


def take(folder) -> None:
    with Workdir(folder).held():
        pass


def test_a_run_begins_beside_no_folders_of_others(tmp_path):
    """``--workdir=.``, or the folder that holds all runs, whose others a report would miss."""
    (tmp_path / "log.txt").touch()
    (tmp_path / ".git").mkdir()
    take(tmp_path)
    (tmp_path / "other-run").mkdir()
    assert refusal(take, tmp_path) == (
        f"workdir={tmp_path} holds other things and no run, such as {tmp_path}/other-run; choose "
        "another folder"
    )
    Workdir(tmp_path).open_for(config())
    take(tmp_path)


@pytest.mark.parametrize("left", ["checkpoints", "results.json", "facts.json", "metrics.jsonl"])
def test_a_run_that_lost_its_config_is_not_gone_on_with(tmp_path, left):
    """Whatever config is given: checkpoints of other settings may be of the same shapes."""
    (tmp_path / left).mkdir()
    assert refusal(take, tmp_path) == (
        f"workdir={tmp_path} holds {left} of a run, and no config.json that says of which; put "
        "back a copy of it, or choose another folder"
    )


def test_a_run_whose_folder_has_gone_saves_nothing_there(tmp_path):
    """Checkpoints would lie in a new folder of that name, without the config they are of."""
    run = object.__new__(_Run)
    run.workdir, run.checkpoints = Workdir(tmp_path / "run"), mock.Mock()
    run.workdir.open_for(config())
    run.workdir.require_there()
    run.workdir.path.rename(tmp_path / "elsewhere")
    state = TrainState(jnp.zeros((), jnp.int32), {}, {})
    said = f"workdir={tmp_path}/run has been moved or deleted while its run went on; "
    assert refusal(run._save, state, None).startswith(said)
    run.checkpoints.save.assert_not_called()


@pytest.mark.parametrize(("number", "said"), [(errno.ENOLCK, True), (errno.EROFS, False)])
def test_where_there_are_no_locks_there_may_be_runs(tmp_path, monkeypatch, capsys, number, said):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with Workdir(tmp_path).held():
        pass
    warning = f"warning: {tmp_path} can't be locked; see that nobody else works there\n"
    assert capsys.readouterr().out == (warning if said else "")


def test_a_full_disk_refuses_the_folder(tmp_path, monkeypatch):
    def full(*arguments) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def take() -> None:
        with Workdir(tmp_path).held():
            pass

    monkeypatch.setattr("seqmodels.locks.os.open", full)
    assert refusal(take) == (
        f"workdir={tmp_path} can't be written (No space left on device); choose another folder"
    )


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
        f"workdir={tmp_path} holds a run of another config: "
        "extra=absent, now 2; seed=0, now 1. Choose another folder, or the same config"
    )
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_finished_run_stays_as_it_is(tmp_path):
    run = Workdir(tmp_path)
    run.open_for(config())
    run.write("environment.json", {"command": "long ago"})
    run.write("results.json", RESULTS)
    run.open_for(config())
    assert run.results() == RESULTS
    assert run.read("environment.json") == {"command": "long ago"}


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_can_not_be_written(tmp_path, place):
    (tmp_path / "file").write_text("precious")
    message = refusal(Workdir(tmp_path / place).open_for, config())
    assert message.startswith(f"workdir={tmp_path / place} can't be written (")
    assert message.endswith("); choose another folder")
    assert (tmp_path / "file").read_text() == "precious"


def test_no_run_lies_there(tmp_path):
    message = refusal(Workdir(tmp_path / "nowhere").config)
    assert message == f"workdir={tmp_path}/nowhere holds no run (no config.json); train first"


GOOD = {
    "config.json": config().to_dict(),
    "results.json": RESULTS,
    "environment.json": {
        "command": "train.py",
        "packages": {"jax": None},
        "cores": 2,
        "starts": [],
        "changes": {"digest": "diff"},
    },
    "facts.json": {
        "score": "accuracy",
        "higher_is_better": True,
        "places": {"files": "/texts"},
        "files": {"a.txt": [3, "digest"]},
        "batches": {"train": "digest"},
        "drawn_by": {"numpy": None},
    },
    "evaluations.json": {"3": {"test": SCORES}},
    "lengths.json": {"3": {"test": {"8": {"metrics": {"loss": AT_LENGTH}, "slices": {}}}}},
}
FREE = {
    "config.json": {"width", "pattern"},
    "results.json": {"loss", "accuracy"},
    "environment.json": {"command", "packages", "jax", "cores", "starts", "changes", "digest"},
    "facts.json": {"places", "files", "a.txt", "train", "numpy"},
    "evaluations.json": {"3", "test", "loss", "accuracy"},
    "lengths.json": {"3", "test", "8", "loss"},
}
"""Keys without which a file is still of its kind."""


def places(content: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where something lies in a JSON object."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def changed(content: Any, path: tuple, *value: Any) -> Any:
    """With another value in a place, or without it."""
    if not path:
        return value[0]
    rest = {key: part for key, part in content.items() if key != path[0]}
    if len(path) == 1 and not value:
        return rest
    return rest | {path[0]: changed(content[path[0]], path[1:], *value)}


NONSENSE = ([], "finished", None, True, {"packages": [], "3": 1}, -1, 10**400)


@pytest.mark.parametrize("name", GOOD)
def test_a_file_of_another_shape_is_named(tmp_path, name):
    """Whatever stands in whatever place, and whatever is missing: one line, and it stays there."""
    file, run = tmp_path / name, Workdir(tmp_path)
    contents = [
        b"",
        b'{"seed": 0,',
        b"\xff\xfe",
        b"[" * 10_000,
        b'{"a":' * 10_000,
        *map(dump, NONSENSE),
    ]
    for path in places(GOOD[name]):
        if path[-1] not in FREE[name]:
            contents.append(dump(changed(GOOD[name], path)))
        if path != ("starts",) and (
            path[:1] != ("model",) or len(path) == 1
        ):  # what it holds is checked when it is built
            contents += [dump(changed(GOOD[name], path, value)) for value in ([], 10**400)]
    for content in contents:
        file.write_bytes(content)
        message = refusal(run.read, name)
        assert message.startswith(f"{file} "), content
        assert "; put back a copy of it, or " in message
        assert file.read_bytes() == content
    if name in ("evaluations.json", "lengths.json"):  # whose keys are steps
        return
    later = GOOD[name] | {"a later version's": {}}
    file.write_bytes(dump(later))
    assert run.read(name) == json.loads(dump(later))


def test_a_file_is_written_wholly_or_not_at_all(tmp_path, monkeypatch):
    run = Workdir(tmp_path)
    run.write("results.json", RESULTS)

    def killed(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        run.write("results.json", RESULTS | {"steps": 2})
    assert run.results() == RESULTS


def test_a_file_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "results.json").mkdir()
    message = refusal(Workdir(tmp_path).write, "results.json", {})
    assert message == f"{tmp_path}/results.json can't be written (Is a directory)"
