"""The lines that are kept of a sweep's finished runs."""

import json
import shutil
from pathlib import Path

import pytest

from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.json_files import UnreadableError
from seqmodels.locks import held
from seqmodels.sweeps.groups import Run, text_digest
from seqmodels.sweeps.records import collect, put_back, read_records
from seqmodels.sweeps.trials import Trial
from seqmodels.training.resolving import load_whole, resolved, without_defaults
from tests.sweeps.finished import RATE, finished_sweep


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Two runs, of which one has finished."""
    return finished_sweep(tmp_path / "sweep", {"mixer=gru": [(0.01, 0, 0.9)]}, waiting=1)


def test_a_line_says_what_it_was_how_it_went_and_what_it_cost(sweep, tmp_path):
    assert collect(sweep, tmp_path / "new/results.json") == {"added": 1, "runs": 1}
    text = (tmp_path / "new/results.json").read_text()
    (record,) = json.loads(text)
    assert text == f"[\n{json.dumps(record)}\n]\n"
    assert [record] == read_records(tmp_path / "new/results.json")
    assert record["config"] == "configs/copy.py"
    assert record["arguments"] == {"mixer": "gru"}
    assert record["overrides"] == {RATE: 0.01, "seed": 0}
    assert (record["validation"], record["test"]) == (0.9, 0.8)
    assert (record["score"], record["higher_is_better"]) == ("accuracy", True)
    assert record["cost"]["machine"]["sharing"] == 2
    assert record["cost"]["step_bytes"] == 1000
    assert record["versions"]["commit"] == "abc"
    assert record["chance"] == 0.1
    assert len(record["resolved"]) == len(record["data"]) == 12


def test_what_is_there_stays_and_what_is_new_is_put_in_its_place(sweep, tmp_path):
    """Also where the sweep has gone on, and where it was collected twice."""
    file = tmp_path / "results.json"
    collect(sweep, file)
    text = file.read_text().replace('"seconds": 2.0', '"seconds":  2.0')  # another's spelling
    file.write_text(text)
    assert collect(sweep, file) == {"added": 0, "runs": 1}
    assert file.read_text() == text
    other = finished_sweep(
        tmp_path / "other", {"mixer=abc": [(0.01, 0, 0.5)], "mixer=rnn": [(0.01, 0, 0.6)]}
    )
    assert collect(other, file) == {"added": 2, "runs": 3}
    mixers = [record["arguments"]["mixer"] for record in read_records(file)]
    assert mixers == ["abc", "gru", "rnn"]
    assert text.splitlines()[1] in file.read_text()


def test_lines_of_earlier_versions_are_read_and_become_a_list(sweep, tmp_path):
    """Each as it stands."""
    file = tmp_path / "results.json"
    collect(sweep, file)
    (line,) = file.read_text().splitlines()[1:-1]
    file.write_text(f"{line}\n")
    (record,) = read_records(file)
    other = finished_sweep(tmp_path / "other", {"mixer=abc": [(0.01, 0, 0.5)]})
    collect(other, file)
    assert file.read_text().splitlines()[2] == line
    assert read_records(file) == json.loads(file.read_text())
    assert record in read_records(file)
    file.write_text("[]\n")
    assert read_records(file) == []


def test_a_line_gains_the_scores_by_length_that_were_asked_since(sweep, tmp_path):
    file = tmp_path / "results.json"
    collect(sweep, file)
    before = read_records(file)
    (trial,) = (found.parent for found in sweep.glob("trials/*/results.json"))
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "examples": 9}
    asked = {"metrics": {"accuracy": score}, "slices": {"distance": {"1": score}}}
    for lengths in (("64",), ("64", "128")):
        stored = {"10": {"test": dict.fromkeys(lengths, asked), "validation": {"32": asked}}}
        (trial / "lengths.json").write_text(json.dumps(stored))
        assert collect(sweep, file) == {"added": 0, "runs": 1}
        (record,) = read_records(file)
        found = {"score": 0.5, "examples": 9, "slices": {"distance": {"1": 0.5}}}
        assert record.pop("by_length") == dict.fromkeys(lengths, found)
        assert [record] == before


def test_other_data_and_another_config_have_other_digests(tmp_path):
    lines = []
    for number, changed in enumerate(({}, {"data": "y"}, {"steps": 99})):
        folder = finished_sweep(tmp_path / str(number), {"mixer=gru": [(0.01, 0, 0.9)]}, **changed)
        collect(folder, tmp_path / f"{number}.json")
        lines += read_records(tmp_path / f"{number}.json")
    first, data, config = lines
    assert (first["data"] == data["data"], first["resolved"] == data["resolved"]) == (False, True)
    assert (first["data"] == config["data"], first["resolved"] == config["resolved"]) == (
        True,
        False,
    )


def test_a_run_of_another_config_is_refused(sweep, tmp_path):
    file = tmp_path / "results.json"
    collect(sweep, file)
    before = file.read_text()
    other = finished_sweep(tmp_path / "other", {"mixer=gru": [(0.01, 0, 0.9)]}, steps=99)
    with pytest.raises(UserError, match=r"of another config \(.*\), since configs/copy.py has"):
        collect(other, file)
    assert file.read_text() == before


def test_a_run_that_can_not_be_read_is_left_out(sweep, tmp_path, capsys):
    (trial,) = (file.parent for file in sweep.glob("trials/*/results.json"))
    (trial / "facts.json").unlink()
    assert collect(sweep, tmp_path / "results.json") == {"added": 0, "runs": 0}
    said = capsys.readouterr().err
    assert "lacks its config, facts or cost: an earlier version made it" in said
    assert not (tmp_path / "results.json").exists()
    shutil.copy(trial / "config.json", trial / "results.json")
    assert collect(sweep, tmp_path / "results.json") == {"added": 0, "runs": 0}
    assert "results.json holds something else" in capsys.readouterr().err


def test_what_can_not_be_collected_is_refused(sweep, tmp_path):
    with pytest.raises(UserError, match=r"holds no sweep.json; name the folder of a sweep"):
        collect(tmp_path, tmp_path / "results.json")
    (tmp_path / "cut.json").write_text('[\n{"name": "x"}\n]\n')
    with pytest.raises(UnreadableError, match="line 2, holds something else"):
        collect(sweep, tmp_path / "cut.json")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't be written"):
        collect(sweep, tmp_path / "file/results.json")
    with (
        held(tmp_path / ".results.json.lock"),
        pytest.raises(UserError, match="is being written by process"),
    ):
        collect(sweep, tmp_path / "results.json")


def test_a_folder_that_lost_its_runs_gets_them_back(sweep, tmp_path):
    """But not those of a config that has changed."""
    file, folder = tmp_path / "results.json", tmp_path / "new"
    collect(sweep, file)
    with pytest.raises(UserError, match=r"of another config \(\w+, now \w+\), since configs/copy"):
        put_back(file, folder)
    assert not folder.exists()
    (record,) = read_records(file)
    config, _ = load_whole("configs/copy.py:mixer=gru", [(RATE, "0.01"), ("seed", "0")])
    said = to_dict(without_defaults(config))
    said["model"].pop("repeat", None)
    now = text_digest(json.dumps(said, sort_keys=True))
    file.write_text(file.read_text().replace(record["resolved"], now))
    assert put_back(file, folder) == 1
    assert put_back(file, folder) == 0
    trial = Trial(folder, record["name"])
    size = {"parameters": 9, "flops": 1.0, "state_bytes": 0}
    trial.enter(Run(record["name"], record["arguments"], record["overrides"], size), "accuracy")
    results, state = trial.outcome("accuracy")
    assert state == "finished"
    assert (results["validation"]["accuracy"], results["cost"]) == (0.9, record["cost"])
    with pytest.raises(UserError, match=r"runs=.*none.json is not there"):
        put_back(tmp_path / "none.json", folder)


def test_what_a_config_says_is_the_same_with_more_keys():
    """A default that is given changes nothing, nor does a key that a later version has."""

    def said(*overrides):
        config, _ = load_whole("configs/copy.py:mixer=gru", overrides)
        return to_dict(without_defaults(config))

    assert said() == said(("train.keep", "2"), ("model.dropout", "0.0"))
    assert "keep" not in said()["train"]
    assert said(("train.keep", "3"))["train"].pop("keep") == 3
    assert said(("model.mixers.gru.form", "'steps'")) != said()
    whole, _ = load_whole("configs/copy.py:mixer=gru")
    earlier = to_dict(whole)
    del earlier["train"]["keep"]
    assert to_dict(without_defaults(resolved(earlier, earlier))) == said()
