"""The names of a sweep's runs, which are those of their folders, and targets that all meet."""

import re
from pathlib import Path

import pytest

from seqmodels.errors import ConfigError, UserError
from seqmodels.sweeps import group_builder, matching
from seqmodels.sweeps import plan as sweep_plan
from seqmodels.sweeps import run as sweep
from seqmodels.sweeps.groups import HASHED, Group, Setting, make_run
from seqmodels.sweeps.matching import TOLERANCE, Match, UnmatchedError, common_targets
from seqmodels.sweeps.orders import Orders, train_command
from seqmodels.sweeps.plan import Plan, make_plan
from seqmodels.sweeps.plan_file import has_bare_names
from seqmodels.sweeps.run import SweepOptions, run_sweep
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.command_line import ROOT

SIZE = {"parameters": 1, "flops": 1.0, "state_bytes": 1}
POINTS = [
    ({"mixer": "lstm", "length": 64}, {"optimizer.learning_rate": 0.003, "seed": 0}),
    ({"mixer": "lstm", "length": 64}, {"optimizer.learning_rate": 0.003, "seed": 1}),
    ({}, {}),
    ({"mixer": "../[x]*? $HOME"}, {"task.kernel": (3, 3)}),
    ({"mixer": "x" * 300}, {}),
    ({"mixer": "x" * 300 + "y"}, {}),
    ({"mixer": "ä/b\n"}, {"a.b": None}),
]


def test_a_person_can_read_a_run_s_name():
    names = [make_run(*point, SIZE).name for point in POINTS]
    assert names[0].startswith("mixer=lstm,length=64,learning_rate=0.003,seed=0-")
    assert len(set(names)) == len(POINTS)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.,=+_-]*", name), name
        assert len(name) <= 80 + 1 + HASHED


@pytest.mark.parametrize("is_older", [True, False])
def test_a_sweep_goes_on_under_the_names_that_it_has(tmp_path, monkeypatch, is_older):
    group = Group({"mixer": "gru"}, [Setting({}, {}, SIZE, (0, 1))])
    names = [run.name for run in group.runs(group.settings[0])]
    if is_older:
        names = [name[-HASHED:] for name in names]
    stored = {"points": [{"name": name} for name in names], "match": {"by": None}}
    assert has_bare_names(stored) == is_older
    asked = []

    def note(plan, *_):
        asked.append(plan)
        raise KeyboardInterrupt

    runs = group.runs(group.settings[0])
    plan = Plan("x", [group], runs, "accuracy", True, None, "grid", None, {})
    monkeypatch.setattr(sweep, "read_sweep", lambda folder: stored)
    monkeypatch.setattr(sweep, "make_plan", lambda *_: plan)
    monkeypatch.setattr(sweep, "store_plan", note)
    with pytest.raises(KeyboardInterrupt):
        run_sweep("x", [], str(tmp_path), Path("train.py"), SweepOptions(workers=1))
    assert [run.name for run in asked[0].runs] == names
    (own,) = asked[0].groups
    assert [run.name for run in own.runs(own.settings[0])] == names, "of a search's proposals too"


def test_a_target_that_one_model_misses_names_those_that_all_meet(monkeypatch):
    """The first model takes multiples of 8 as its width, the second any above 10."""
    config = load_whole(f"{ROOT}/configs/copy.py:mixer=rnn").config
    other = config.copy_and_resolve_references()
    tables = {
        id(config): lambda width: float(width * width) if width % 8 == 0 else None,
        id(other): lambda width: 5.0 * width * width if width > 10 else None,
    }
    monkeypatch.setattr(matching, "_sizes", lambda experiment, config, match: tables[id(config)])
    experiment = build_experiment(config)
    for target in (1100.0, 7200.0, 100_000.0):
        told = common_targets([(experiment, config), (experiment, other)], Match("flops", target))
        named = [float(text) for text in re.findall(r"target=([\d.e+]+)", told)]
        assert 1 <= len(named) <= 2
        for found in named:
            for size in tables.values():
                sizes = [value for width in range(1, 900) if (value := size(width))]
                assert min(abs(value / found - 1) for value in sizes) <= TOLERANCE
                assert abs(found / target - 1) < 1.5
    tables[id(other)] = lambda width: None
    told = common_targets([(experiment, config), (experiment, other)], Match("flops", 1100.0))
    assert told.startswith("no target near it is met by all of the 2 models")


def test_a_sweep_that_can_not_be_matched_says_what_can(tmp_path, monkeypatch):
    def refuse(experiment, config, match, name):
        raise UnmatchedError(f"{name}: no width brings it to 5")

    asked = []
    monkeypatch.setattr(group_builder, "match_width", refuse)
    monkeypatch.setattr(sweep_plan, "common_targets", lambda models, _: asked.append(models) or "x")
    file = tmp_path / "sizes.py"
    text = (ROOT / "configs/copy.py").read_text()
    file.write_text(
        f'{text}\n\ndef sweep():\n    return [{{"mixer": m}} for m in ("rnn", "gru")]\n'
    )
    with pytest.raises(ConfigError, match=r"^.*sizes.py:mixer=rnn: no width brings it to 5; x$"):
        make_plan(str(file), [], Match("parameters", 5.0), "grid", None)
    assert [len(models) for models in asked] == [2], "all models were looked at"


def test_a_config_whose_name_is_not_utf8_is_refused(tmp_path):
    """Databases take no such name for a study's; in a locale of ASCII all others are such."""
    options = SweepOptions(workers=1)
    with pytest.raises(UserError, match=r"^config='caf\\udce9\.py' has a name that"):
        run_sweep("caf\udce9.py", [], str(tmp_path), ROOT / "train.py", options)
    assert list(tmp_path.iterdir()) == []


def test_a_run_s_command_says_where_its_events_go(tmp_path):
    orders = Orders(
        tmp_path, "c.py", [], "grid", None, False, "loss", False, None, 1, 1, None, None
    )
    run = make_run({}, {"seed": 1}, SIZE)
    said = train_command(orders._replace(log=("wandb", "mlflow")), run)
    assert [word for word in said if word.startswith("--log")] == ["--log=wandb,mlflow"]
    assert set(said) - set(train_command(orders, run)) == {"--log=wandb,mlflow"}
