"""Files of a sweep or a scaling that hold something else: a line each, and the rest goes on."""

import json
import shutil
from pathlib import Path
from unittest.mock import patch

import jax
import pytest

from seqmodels.errors import ConfigError, UserError
from seqmodels.json_files import UnreadableError
from seqmodels.scaling import cell as cells
from seqmodels.scaling import run as scaling
from seqmodels.scaling.files import EMPTY, CellFile, read_cell
from seqmodels.scaling.run import scale
from seqmodels.sweeps import run as sweep
from seqmodels.sweeps.files import known_runs, read_sweep
from seqmodels.sweeps.plan import make_plan
from seqmodels.sweeps.summary import summary_rows
from seqmodels.sweeps.trials import Trial
from tests.scaling.test_scaling import FILE, config
from tests.sweeps.small_sweep import SmallSweep, WorkerHere, read_json

RATE = "optimizer.learning_rate"
WRONG = {
    "an empty object": "{}",
    "a list": "[]",
    "a string": '"finished"',
    "null": "null",
    "a number": "7",
    "nothing": "",
    "cut short": '{"name": "a", "st',
    "10,000 levels": '{"name": ' * 10_000 + "1" + "}" * 10_000,
    "no text": "\x00\x01",
}


def spoilt(content, key):
    """A file's JSON with one key missing, of another type, or of a number of no use."""
    if key not in MAY_BE_ABSENT:
        yield {name: value for name, value in content.items() if name != key}
    for value in ([], {}, "x", None, float("nan"), -1, 10**400, 1e999, True):
        is_fine = value in MAY_BE.get(key, ()) or type(value) is type(content[key])
        if not is_fine:
            yield content | {key: value}


MAY_BE_ABSENT = ("kills", "deaths", "exit_code")
MAY_BE = {"reason": ("x", None), "seconds": (None,), "exit_code": (None,)}


class Nobody(WorkerHere):
    def look(self):
        return False


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of a sweep of which two runs have finished and one waits."""
    whole = SmallSweep(tmp_path_factory.mktemp("made"), f"product({{'{RATE}': (0.1, 0.2, 0.3)}})")
    whole.run(crew=Nobody)
    plan = make_plan(str(whole.config), [], None, "grid", None)
    for run, score in zip(plan.runs[:2], (0.5, 0.6), strict=True):
        results = {"validation": {"accuracy": score}, "test": {"accuracy": 0.4}}
        results |= {"steps": 10, "best_step": 10, "parameters": 5, "seconds": 2.0}
        folder = Trial(whole.folder, run.name).folder
        (folder / "results.json").write_text(json.dumps(results))
    with patch.object(sweep, "make_plan", lambda *_: plan):
        whole.run(crew=Nobody)
    assert [row["seeds"] for row in summary_rows(whole.folder)] == [1]
    return whole, plan


@pytest.fixture
def copied(made, tmp_path):
    whole, plan = made
    shutil.copytree(whole.folder, tmp_path / "sweep")
    whole.folder, before = tmp_path / "sweep", whole.folder
    with patch.object(sweep, "make_plan", lambda *_: plan):
        yield whole, plan
    whole.folder = before


def readers(folder, name):
    trial = Trial(folder, name)
    return {
        folder / "sweep.json": lambda: read_sweep(folder),
        trial.folder / "trial.json": trial.read,
        trial.folder / "results.json": lambda: trial.results("accuracy"),
    }


@pytest.mark.slow
def test_what_is_something_else_is_one_line(copied):
    whole, plan = copied
    for file, read in readers(whole.folder, plan.runs[0].name).items():
        content = read_json(file)
        assert read() is not None
        texts = list(WRONG.values())
        keys = set(content)
        texts += [json.dumps(bad) for key in keys for bad in spoilt(content, key)]
        if file.name == "results.json":
            for score in ({}, {"accuracy": None}, {"accuracy": float("nan")}, {"other": 1.0}):
                texts += [json.dumps(content | {"validation": score})]
        if file.name == "sweep.json":
            (point, *_) = content["points"]
            texts += [
                json.dumps(content | {"points": [bad]})
                for key in point
                for bad in spoilt(point, key)
            ]
        for text in texts:
            file.write_text(text)
            with pytest.raises(UnreadableError) as caught:
                pytest.fail(f"{file.name} was read: {text[:200]} {read()!r}")
            assert str(caught.value).startswith(f"{file} ")
            assert "\n" not in str(caught.value)


def test_a_name_leads_nowhere_else(copied):
    whole, plan = copied
    file = Trial(whole.folder, plan.runs[0].name).folder / "trial.json"
    for name in ("../x", "/x", "..", "", ".x", "a/b", plan.runs[1].name):
        file.write_text(json.dumps(read_json(file) | {"name": name}))
        with pytest.raises(UnreadableError):
            Trial(whole.folder, plan.runs[0].name).read()


def named(lines):
    """The files that warnings begin with."""
    return [line.split(" ")[1].rpartition("/")[2] for line in lines]


def test_one_bad_trial_costs_itself_alone(copied, capsys):
    """A bad trial.json is written anew; a run with bad results has failed and says why."""
    text = "{}"
    whole, plan = copied
    first, second, third = (Trial(whole.folder, run.name) for run in plan.runs)
    (first.folder / "results.json").write_text(text)
    for name in ("trial.json", "config.json", "metrics.jsonl", "lock"):
        (second.folder / name).write_text(text)
        (third.folder / name).write_text(text)
    whole.run(crew=Nobody)
    shown = capsys.readouterr()
    assert "1 of 3 runs finished, 1 failed" in shown.out
    lines = shown.err.splitlines()
    configs = ["config.json", "config.json"]
    assert named(lines) == [*configs, "results.json", "trial.json", "trial.json"]
    assert all(line.startswith("warning: ") for line in lines)
    stored = first.read()
    assert stored["state"] == "failed"
    assert stored["reason"].endswith("; put back a copy of it, or delete it to go on")
    assert (second.read()["state"], third.read()["state"]) == ("finished", "waiting")
    assert third.validations("accuracy") == {}
    (first.folder / "results.json").unlink()
    whole.run(crew=Nobody)
    assert named(capsys.readouterr().err.splitlines()) == configs
    assert first.read()["state"] == "waiting"


def test_a_bad_plan_is_refused_and_made_again(copied):
    whole, plan = copied
    (whole.folder / "sweep.json").write_text("[]")
    with pytest.raises(UserError, match="put back a copy of it, or delete it to go on with the"):
        whole.run(crew=Nobody)
    (whole.folder / "sweep.json").unlink()
    whole.run(crew=Nobody)
    assert [p["name"] for p in read_json(whole.folder / "sweep.json")["points"]] == [
        run.name for run in plan.runs
    ]


def test_a_search_knows_a_run_whose_trial_is_damaged(copied):
    whole, plan = copied
    (Trial(whole.folder, plan.runs[0].name).folder / "trial.json").write_text("[]")
    assert {run.name for run in known_runs(whole.folder)} == {run.name for run in plan.runs}


def test_bad_lines_of_metrics_are_left_out(copied):
    whole, plan = copied
    trial = Trial(whole.folder, plan.runs[0].name)
    good = {"step": 3, "split": "validation", "seconds": 1.0, "accuracy": 0.5}
    bad = [{"step": step} for step in (-1, 1.5, "1", None, [], 10**400, 2**40, float("nan"))]
    bad += [{"split": "train"}, {"split": 7}, {"step": 1, "accuracy": "x"}, {"accuracy": None}]
    lines = [*WRONG.values(), *(json.dumps(good | change) for change in bad), json.dumps(good)]
    lines.append(json.dumps(good | {"accuracy": 0.9}))  # a step is validated once
    (trial.folder / "metrics.jsonl").write_text("\n".join(lines) + "\n" + '{"step": 4, "split"')
    assert trial.validations("accuracy") == {3: 0.5}


def cell(mixer="rnn", length=256, **changes):
    times = {"median": 1e-3, "low": 1e-3, "high": 2e-3, "repeats": 3}
    numbers = {name: 7 for name, value in EMPTY.items() if value is None}
    whole = {
        **numbers,
        **dict.fromkeys(("forward_seconds", "step_seconds", "decode_seconds"), times),
    }
    whole |= {"mixer": mixer, "length": length, "status": "measured", "reason": None}
    whole |= {"compile_seconds": 1.0, "roofline_seconds": None, "forms": None, "bound": "links"}
    sent = {"all-reduce": {"count": 1, "bytes": 8, "sent": 8}}
    return whole | {"collectives": sent, "sent_at_least": False} | changes


FINE = {"reason": "x", "forms": "x", "collectives": {}, "sent_at_least": True}
"""What a key of a cell may be."""


def test_a_cell_that_is_something_else_is_one_line(tmp_path):
    file = tmp_path / "rnn-256.json"
    texts = list(WRONG.values())
    content = cell()
    for key in content:
        if key in CellFile.__required_keys__:  # others earlier versions didn't write
            texts += [json.dumps({k: v for k, v in content.items() if k != key})]
        wrong = [bad for bad in ([], {}, "x", True, 10**400) if bad != FINE.get(key)]
        texts += [json.dumps(content | {key: bad}) for bad in wrong]
    for name in ("median", "low", "repeats"):
        for bad in (None, "x", -1, float("nan"), 10**400):
            times = content["step_seconds"] | {name: bad}
            texts += [json.dumps(content | {"step_seconds": times})]
    texts += [json.dumps(cell(mixer="gru")), json.dumps(cell(length=512))]
    texts += [json.dumps(cell(step_seconds=None)), json.dumps(cell(step_flops=None))]
    for text in texts:
        file.write_text(text)
        with pytest.raises(UnreadableError) as caught:
            pytest.fail(f"was read: {text[:300]} {read_cell(tmp_path, 'rnn', 256)!r}")
        assert "\n" not in str(caught.value)
    file.write_text(json.dumps(content))
    assert read_cell(tmp_path, "rnn", 256) == content
    file.write_text(json.dumps(cell(status="too slow", reason="was slow", forward_seconds=None)))
    assert read_cell(tmp_path, "rnn", 256)["forward_seconds"] is None


REQUEST = cells.CellRequest(
    mixer="rnn", length=512, width=8, depth=1, dtype="float32", batch_size=1, repeats=3,
    memory_gib=1.0, seconds=5e-3, target=None, previous=None,
)  # fmt: skip


@pytest.mark.parametrize("mixer", ["hyena", "long_convolution"])
def test_filters_are_as_long_as_what_is_decoded(mixer):
    of = cells.model_of(REQUEST._replace(mixer=mixer))
    room, params = cells._room(512, 3), jax.eval_shape(of.state).params

    def start(length):
        return jax.eval_shape(lambda params: of.model.start(params, 1, length), params)

    start(room)
    with pytest.raises(ConfigError, match=f"max_length={room} is below the length {room + 1} "):
        start(room + 1)


def test_a_cell_ended_between_two_timings_says_what_it_knows():
    """The next one's time is that of the steps alone."""
    before = cell(status="too slow", reason="was slow", forward_seconds=None, batch_size=1)
    request = REQUEST._replace(previous=before)
    of = cells.language_model(cells.model_section("rnn", 8, 1, "float32"), 512, 1)
    with pytest.raises(cells.StoppedError, match=r"a step would take about 0\.002 s"):
        cells._require_time(request, of)
    cells._require_time(request._replace(seconds=1.0), of)
    cells._require_time(request._replace(previous=before | {"step_seconds": None}), of)


@pytest.mark.slow
def test_bad_files_of_a_scaling_cost_themselves_alone(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(self, mixer, length):
        asked.append((mixer, length))
        return cell(mixer, length)

    monkeypatch.setattr(scaling._Table, "_measure", measure)
    small = config(mixers="rnn,gru", lengths="256")
    scale(small, FILE, str(tmp_path))
    for text in ("{}", WRONG["10,000 levels"]):
        asked.clear()
        (tmp_path / "cells/rnn-256.json").write_text(text)
        (tmp_path / "scaling.json").write_text(text)
        scale(small, FILE, str(tmp_path))
        assert asked == [("rnn", 256)]
        lines = capsys.readouterr().err.splitlines()
        assert named(lines) == ["rnn-256.json", "scaling.json"]
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json|holds a run, not") as caught:
            scale(small, FILE, str(tmp_path))
        assert "\n" not in str(caught.value)
        (tmp_path / "config.json").unlink()
        shutil.rmtree(tmp_path / "cells")
        for file in tmp_path.iterdir():
            file.unlink()
        scale(small, FILE, str(tmp_path))


@pytest.mark.parametrize("moment", ["write_json", "unlink"])
def test_a_scaling_killed_while_it_begins_goes_on(tmp_path, monkeypatch, moment):
    """With other limits what they ended is measured again, whenever the start was killed."""
    asked = []

    def measure(self, mixer, length):
        asked.append(length)
        if self.settings.limits.seconds < 5:
            return EMPTY | {"mixer": mixer, "length": length, "status": "too slow", "reason": "x"}
        return cell(mixer, length)

    monkeypatch.setattr(scaling._Table, "_measure", measure)
    place = (scaling, "write_json") if moment == "write_json" else (Path, "unlink")

    class Killed(BaseException):
        pass

    def start(seconds, is_killed=False):
        settings = config(mixers="rnn", lengths="256,512", limits__seconds=seconds)
        if not is_killed:
            return scale(settings, FILE, str(tmp_path))
        with patch.object(*place, side_effect=Killed), pytest.raises(Killed):
            scale(settings, FILE, str(tmp_path))
        return None

    if moment == "write_json":
        start(2.0, is_killed=True)
    start(2.0)
    asked.clear()
    start(20.0, is_killed=True)
    found = start(20.0)
    assert asked == [256, 512]
    assert [one["status"] for one in found["cells"]] == ["measured", "measured"]
