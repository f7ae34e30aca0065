"""What a run notes of its data, and what is held against it: by training, and by evaluation."""

import json
import os

import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.config import Origin, construct_kind
from seqmodels.errors import UserError
from seqmodels.evaluation import runs
from seqmodels.evaluation import splits as evaluation
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.tasks import TASKS
from seqmodels.tasks.generated.copy import Copy
from seqmodels.tasks.lengths import Lengths
from seqmodels.tasks.reading import HASHED_WHOLE, ReadingTask, record_file
from seqmodels.training.experiment import Experiment, TrainSettings
from seqmodels.training.facts import digest, keep_facts
from seqmodels.training.resolving import load_whole, resolved
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT, tiny_config

FILE_TASKS = ("text", "same_file", "source_package", "images")


@pytest.fixture
def text(tmp_path, monkeypatch) -> ConfigDict:
    """A language model on eight files, named relative to the working directory."""
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"line {number} of many\n" * 30)
    monkeypatch.chdir(tmp_path)
    settings = {"task.files": "*.txt", "train.batch_size": "4", "model.width": "8"}
    return load_whole(f"{ROOT}/configs/text.py:mixer=gru,length=16", settings.items()).config


def with_data(config) -> Experiment:
    """A config's task and batches, without the model, which takes seconds together."""
    task = construct_kind(TASKS, config.task, "task", seed=config.seed)
    train = TrainSettings(**config.train)
    lengths = Lengths(task, config.seed, train.batch_size, train.length)
    return Experiment._make([config.seed, task, None, None, train, lengths, None])


def begin(config, folder, origin=None) -> Workdir:
    """What fit does before it trains."""
    run = Workdir(folder)
    experiment = with_data(run.located(config))
    run.open_for(config)
    keep_facts(experiment, run, origin)
    return run


def evaluated(folder):
    """What evaluation says of the data before it scores."""
    run = Workdir(folder)
    return runs._other_data(run, with_data(run.located(run.config())))


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_noted_of_a_generated_task(tmp_path, capsys):
    origin = Origin(file="copy.py", arguments={"mixer": "gru"}, overrides={"seed": "1"})
    begin(tiny_config(), tmp_path, origin)
    assert capsys.readouterr().out == ""
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts.keys() == {"score", "higher_is_better", "chance", "batches", "drawn_by", "origin"}
    assert (facts["score"], facts["higher_is_better"], facts["chance"]) == ("accuracy", True, 1 / 8)
    assert facts["origin"] == origin
    assert facts["batches"].keys() == {"train", "validation"}
    assert facts["drawn_by"]["numpy"] == np.__version__
    begin(tiny_config(), tmp_path)
    assert json.loads((tmp_path / "facts.json").read_text()) == facts
    assert evaluated(tmp_path) is None
    assert capsys.readouterr() == ("", "")


def test_a_digest_tells_batches_apart():
    batch = Copy(0).batch("train", 0, 4, 30)
    others = [
        Copy(1).batch("train", 0, 4, 30),
        batch._replace(weights=batch.weights * 2),
        batch._replace(inputs=batch.inputs.astype(np.int64)),
        batch._replace(mask=np.ones_like(batch.inputs, bool)),
        batch._replace(inputs=batch.inputs.T),
    ]
    assert len({digest(other) for other in [batch, *others]}) == 6
    assert digest(Copy(0).batch("train", 0, 4, 30)) == digest(batch)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_other_draws_are_refused_in_training_and_marked_in_evaluation(
    split, tmp_path, capsys, monkeypatch
):
    begin(tiny_config(), tmp_path)
    before, draw = (tmp_path / "facts.json").read_bytes(), Copy.draw

    def otherwise(self, random, of, batch_size, length):
        batch = draw(self, random, of, batch_size, length)
        return batch._replace(inputs=batch.inputs[::-1].copy()) if of == split else batch

    monkeypatch.setattr(Copy, "draw", otherwise)
    message = refusal(begin, tiny_config(), tmp_path)
    assert message.startswith(
        f"workdir={tmp_path} began with other data than there are now: another first {split} "
        "batch: by seqmodels "
    )
    assert message.count(f"numpy {np.__version__}") == 2
    mark = evaluated(tmp_path)
    assert mark is not None
    assert mark.startswith(f"another first {split} batch: by seqmodels")
    output, errors = capsys.readouterr()
    assert (output, errors) == (
        "",
        f"warning: the scores are on other data than the run's: {mark}\n",
    )
    assert (tmp_path / "facts.json").read_bytes() == before


def test_scores_on_other_data_are_marked(tmp_path, monkeypatch, capsys):
    config = tiny_config()
    run = Workdir(tmp_path)
    run.open_for(config)
    loaded = LoadedRun(run, with_data(config), 3, {}, make_mesh(1), "another first batch")
    monkeypatch.setattr(evaluation, "load", lambda *arguments: loaded)
    monkeypatch.setattr(LoadedRun, "evaluate", lambda *_: {"test": {"accuracy": 0.5}})
    assert evaluation.evaluate_run(str(tmp_path), "best", ["test"]) == {"test": {"accuracy": 0.5}}
    assert "checkpoint 3 (other data than the run's)" in capsys.readouterr().out
    stored = json.loads((tmp_path / "evaluations.json").read_text())
    assert stored == {"3": {"test": {"accuracy": 0.5, "other_data": "another first batch"}}}


def test_a_folder_without_a_record_goes_on_with_a_line(tmp_path, capsys):
    begin(tiny_config(), tmp_path)
    (tmp_path / "facts.json").unlink()
    begin(tiny_config(), tmp_path)
    assert capsys.readouterr() == ("", ""), "it was killed as it began"
    (tmp_path / "facts.json").unlink()
    (tmp_path / "checkpoints").mkdir()
    assert evaluated(tmp_path) is None
    said = f"{tmp_path} says nothing of the data that it"
    assert capsys.readouterr().err.startswith(f"warning: {said} was trained on, as an earlier")
    begin(tiny_config(), tmp_path)
    assert capsys.readouterr().out.startswith(f"{said} began with, as an earlier version made it")
    begin(tiny_config(), tmp_path)
    assert capsys.readouterr().out == "", "it is said once"
    assert Workdir(tmp_path).facts() is not None


def test_a_damaged_record_is_named(tmp_path):
    begin(tiny_config(), tmp_path)
    for content in ("", "[]", '{"files": {"a": 3}}', '{"batches": []}'):
        (tmp_path / "facts.json").write_text(content)
        for function in (lambda: begin(tiny_config(), tmp_path), lambda: evaluated(tmp_path)):
            assert refusal(function).startswith(f"{tmp_path}/facts.json ")


def test_files_are_noted_and_printed(text, tmp_path, capsys):
    begin(text, tmp_path / "run")
    line = capsys.readouterr().out
    assert line.startswith(
        "data: train 8 files, 3,240 bytes (90.0%); validation 8 files, 180 bytes"
    )
    facts = Workdir(tmp_path / "run").facts()
    assert facts is not None
    assert facts["places"] == {"files": str(tmp_path / "*.txt")}
    assert tuple(facts["files"]["3.txt"]) == record_file(tmp_path / "3.txt")
    assert len(facts["files"]) == 8


def test_files_are_read_where_they_lay_from_any_folder(text, tmp_path, monkeypatch):
    begin(text, tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number in range(8):
        (elsewhere / f"{number}.txt").write_text(f"line {number} of others\n" * 30)
    monkeypatch.chdir(elsewhere)
    run = Workdir(tmp_path / "run")
    task = with_data(run.located(run.config())).task
    assert isinstance(task, ReadingTask)
    assert task.reads()["3.txt"] == tmp_path / "3.txt"
    assert evaluated(tmp_path / "run") is None
    begin(text, tmp_path / "run")
    for number in range(8):  # gone: what lies here is looked at, and is not what was read
        (tmp_path / f"{number}.txt").unlink()
    message = refusal(evaluated, tmp_path / "run")
    assert message.startswith(f"task.files='{tmp_path}/*.txt' matches nothing")


def test_data_that_moved_along_are_found(text, tmp_path, monkeypatch):
    begin(text, tmp_path / "run")
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    monkeypatch.chdir(moved)
    assert evaluated("run") is None
    begin(text, "run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda path: path.write_text("LINE 3 of many\n" * 40),
            "first '3.txt' (375 bytes, now 600",
        ),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "375 bytes of other content)"),
        (lambda path: path.unlink(), "1 of 8 files, first '3.txt' (375 bytes, now absent)"),
        (
            lambda path: path.with_name("new.txt").write_text("new\n"),
            "1 of 9 files, first 'new.txt'",
        ),
    ],
)
def test_other_files_are_refused(text, tmp_path, change, said):
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"line {number} of many\n" * 25)
    begin(text, tmp_path / "run")
    change(tmp_path / "3.txt")
    training = refusal(begin, text, tmp_path / "run")
    assert training.startswith(f"workdir={tmp_path}/run began with other data than there are now")
    scoring = refusal(evaluated, tmp_path / "run")
    assert scoring.startswith(f"workdir={tmp_path}/run was trained on other files than there are")
    assert said in training
    assert said in scoring


def test_a_large_file_is_told_by_its_size_and_ends(tmp_path):
    path = tmp_path / "large"
    records = []
    for place in (None, 0, HASHED_WHOLE // 2 - 1, HASHED_WHOLE + 1):
        with path.open("wb") as file:
            file.truncate(HASHED_WHOLE + 2)
            if place is not None:
                file.seek(place)
                file.write(b"x")
        records.append(record_file(path))
    path.write_bytes(bytes(HASHED_WHOLE + 3))
    records.append(record_file(path))
    assert len(set(records)) == 5
    os.truncate(path, 2**40)
    assert record_file(path).size == 2**40


@pytest.mark.parametrize("kind", FILE_TASKS)
def test_older_folders_keep_their_splits(kind):
    """Their config lacks how files are split, and it is what it was then; new ones state it.

    What a config file says by default is no wish to split them otherwise.
    """
    new = ConfigDict({"seed": 0, "task": {"kind": kind, "files": "x"}})
    assert resolved(new, None).task.splitting == "shares"
    assert "splitting" not in new.task
    older, stated = new.to_dict(), resolved(new, None).to_dict()
    assert resolved(new, older).task.splitting == "whole_files"
    assert resolved(new, stated).task.splitting == "shares"
    for asked in ("shares", "whole_files"):
        said = ConfigDict({"seed": 0, "task": {"kind": kind, "splitting": asked}})
        assert resolved(said, older).task.splitting == "whole_files"
        assert resolved(said, stated).task.splitting == resolved(said, None).task.splitting == asked


def test_an_older_run_goes_on_with_its_splits(text, tmp_path):
    run = begin(text, tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    assert config["task"].pop("splitting") == "shares"
    (run.path / "config.json").write_text(json.dumps(config))
    (run.path / "facts.json").unlink()
    begin(text, run.path)  # whose config says "shares"
    assert evaluated(run.path) is None
    facts = run.facts()
    assert facts is not None
    task = with_data(run.located(run.config())).task
    assert sorted(len(parts) for parts in task.parts.values()) == [1, 1, 6]
