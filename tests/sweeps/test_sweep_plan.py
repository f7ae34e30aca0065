"""A sweep's plan: every run is built as it will be run, and has a size and a width of its own."""

import json
import re
from unittest.mock import patch

import pytest

from seqmodels.config import load_sweep
from seqmodels.errors import ConfigError
from seqmodels.sweeps import group_builder as builder
from seqmodels.sweeps.display import print_plan
from seqmodels.sweeps.files import read_sweep
from seqmodels.sweeps.groups import argument_text, make_run, override_texts
from seqmodels.sweeps.matching import Match, measure
from seqmodels.sweeps.plan import make_plan
from seqmodels.sweeps.plan_file import first_widths, found_before, store_plan
from seqmodels.sweeps.points import split
from seqmodels.sweeps.summary import summary_rows
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.command_line import call
from tests.sweeps.bench import RESULTS
from tests.sweeps.small_sweep import SmallSweep

RATE = "optimizer.learning_rate"
DEPTHS = f"product({{'mixer': ('gru',)}}, {{'model.depth': (1, 2), '{RATE}': (0.1, 0.2)}})"


@pytest.fixture(autouse=True)
def matched_by_its_depth(monkeypatch):
    """What is near to a size is tests/sweeps/test_matching.py's."""

    def stub(_, config, *rest):
        return 24 // config.model.depth

    monkeypatch.setattr(builder, "match_width", stub)


def plan_of(folder, points, match=None, search="grid", widths=None, met=None):
    sweep = SmallSweep(folder, points)
    trials = 3 if search == "random" else None
    return make_plan(str(sweep.config), [], match, search, trials, widths, met=met)


RATES = f"product({{'mixer': ('gru',)}}, {{'{RATE}': (0.1, 0.2), 'seed': (0,)}})"
SEEDS = f"product({{'mixer': ('gru',)}}, {{'{RATE}': (0.2,), 'seed': (1, 2)}})"
LONGER = f"product({{'mixer': ('gru',)}}, {{'model.depth': (1,), '{RATE}': (0.1,)}})"


@pytest.mark.parametrize("points", [f"chain({RATES}, {SEEDS})", f"chain({LONGER}, {RATES})"])
def test_a_grid_runs_the_points_that_it_has_and_no_others(tmp_path, points):
    """A setting isn't repeated with the seeds of another."""
    plan = plan_of(tmp_path, points)
    asked = [split(point)[1] for point in load_sweep(str(tmp_path / "small.py"))]
    (group,) = plan.groups
    for runs in (plan.runs, group.every()):
        made = [run.overrides for run in runs]
        assert len(made) == len(asked)
        assert all(point in made for point in asked)
    assert group.expected("grid", None) == len(asked)


@pytest.mark.parametrize("search", ["stages", "random"])
def test_what_chooses_a_setting_repeats_it_with_the_seeds_of_all(tmp_path, search):
    plan = plan_of(tmp_path, f"chain({RATES}, {SEEDS})", search=search)
    (group,) = plan.groups
    for setting in (*group.settings, *group.below, *group.above):
        assert [run.overrides["seed"] for run in group.runs(setting)] == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "key", "values"),
    [
        ("'mixer': ('gru',)", "model.depth", (1, 2)),
        ("'mixer': ('transformer',)", "model.mlp_expansion", (1.0, 2.0)),
    ],
)
def test_a_size_is_that_of_its_run(tmp_path, arguments, key, values):
    plan = plan_of(tmp_path, f"product({{{arguments}}}, {{'{key}': {values}}})")
    spec = f"{tmp_path}/small.py:{argument_text(plan.runs[1].arguments)}"
    own = build_experiment(load_whole(spec, override_texts(plan.runs[1].overrides)).config)
    assert plan.runs[1].size == measure(own)._asdict()
    assert plan.runs[1].size != plan.runs[0].size


@pytest.mark.slow
def test_each_setting_is_matched_and_what_settings_share_is_built_once(tmp_path):
    match = patch.object(builder, "match_width", side_effect=builder.match_width)
    build = patch.object(builder, "build_experiment", side_effect=build_experiment)
    with match as matched, build as built:
        plan = plan_of(tmp_path, DEPTHS[:-1] + ", {'seed': (0, 7)})", Match("parameters", 30e3))
    assert matched.call_count == 2, "each depth, at one learning rate and one seed"
    assert built.call_count == 6, "each depth, and another seed, before and after it is matched"
    assert len(plan.runs) == 8
    widths = {run.overrides["model.depth"]: run.overrides["model.width"] for run in plan.runs}
    assert widths == {1: 24, 2: 12}
    assert len({json.dumps(run.size) for run in plan.runs}) == 2
    for run in plan.runs:
        assert run.overrides["model.width"] == widths[run.overrides["model.depth"]]


@pytest.mark.slow
def test_what_a_folder_was_matched_by_is_not_sought_again(tmp_path):
    match = Match("parameters", 30e3)
    plan = plan_of(tmp_path, DEPTHS, match)
    store_plan(plan, tmp_path, {})
    met = found_before(read_sweep(tmp_path))
    with patch.object(builder, "match_width", side_effect=builder.match_width) as sought:
        again = plan_of(tmp_path, DEPTHS, match, met=met)
        assert again.runs == plan.runs
        assert sought.call_count == 0
        # Of another model, as of a config that has changed, the size is another.
        other = plan_of(tmp_path, DEPTHS.replace("(1, 2)", "(3, 2)"), match, met=met)
        assert sought.call_count == 1
    assert {run.overrides["model.width"] for run in other.runs} == {8, 12}


def test_a_time_is_given_to_every_run(tmp_path):
    """In place of a width, and to the command that shares it: workers have it from the plan."""
    plan = plan_of(tmp_path, DEPTHS, Match("seconds", 120))
    assert plan.common == {"train.seconds": "120.0"}
    for run in plan.runs:
        assert run.overrides["train.seconds"] == 120.0
        assert "model.width" not in run.overrides
    store_plan(plan, tmp_path, {})
    assert read_sweep(tmp_path)["match"]["by"] == "seconds"
    store_plan(plan, tmp_path, first_widths(read_sweep(tmp_path)))


@pytest.mark.slow
def test_two_things_are_matched_by_the_width_and_a_setting(tmp_path, monkeypatch):
    """What it is brought to is tests/sweeps/test_state_matching.py's."""
    expansion = "model.mixers.mingru.expansion"
    both = {"model.width": 24, expansion: 2.0}
    monkeypatch.setattr(builder, "match_both", lambda *_: both)
    match = Match("parameters", 30e3, 512.0)
    rates = f"product({{'mixer': ('mingru',)}}, {{'{RATE}': (0.1, 0.2)}}"
    plan = plan_of(tmp_path, f"{rates})", match)
    assert [run.overrides for run in plan.runs] == [{RATE: 0.1} | both, {RATE: 0.2} | both]
    assert plan.runs[0].size["state_bytes"] == 4 * 2 * 24 * 2, "of 2 blocks"
    for _ in range(2):
        store_plan(plan, tmp_path, {})
    stored = read_sweep(tmp_path)["match"]
    assert stored["state"] == 512.0
    assert stored["settings"] == sorted(both)
    (met,) = found_before(read_sweep(tmp_path))["mixer=mingru"]
    assert met.settings == both
    trial = tmp_path / "trials" / plan.runs[0].name
    trial.mkdir(parents=True)
    results = RESULTS | {"validation": {"accuracy": 0.5}}
    (trial / "results.json").write_text(json.dumps(results))
    (row,) = summary_rows(tmp_path)
    assert row["chosen"] == {RATE: 0.1}
    with pytest.raises(ConfigError, match=f"match=SIZE chooses {expansion}; don't set it"):
        plan_of(tmp_path, f"{rates}, {{'{expansion}': (1.0, 2.0)}})", match)


def test_a_search_says_each_size(tmp_path, capsys):
    plan = plan_of(tmp_path, DEPTHS, search="random")
    print_plan(plan)
    assert len(re.findall(r"[\d,]+ parameters", capsys.readouterr().out)) == 2


@pytest.mark.slow
def test_a_folder_with_one_width_a_group_goes_on_with_it(tmp_path):
    match = Match("parameters", 30e3)
    new = plan_of(tmp_path, DEPTHS, match)
    width = new.runs[0].overrides["model.width"]
    store_plan(new, tmp_path, {})
    assert first_widths(read_sweep(tmp_path)) == {}
    # As it was before: the width and the size of the first setting for all.
    old = [
        make_run(run.arguments, run.overrides | {"model.width": width}, new.runs[0].size)
        for run in new.runs
    ]
    content = json.loads((tmp_path / "sweep.json").read_text())
    content["points"] = [run._asdict() for run in old]
    del content["match"]["widths"]
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    widths = first_widths(read_sweep(tmp_path))
    assert widths == {"mixer=gru": width}
    plan = plan_of(tmp_path, DEPTHS, match, widths=widths)
    assert [run.name for run in plan.runs] == [run.name for run in old]
    assert len({run.size["parameters"] for run in plan.runs}) == 2
    store_plan(plan, tmp_path, widths)
    assert read_sweep(tmp_path)["match"]["widths"] == "first setting"
    assert first_widths(read_sweep(tmp_path)) == widths


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            "product({'mixer': ('global',)}, {'model.width': (64, 56), "
            "'model.mixers.global.heads': (4, 16)})",
            "with model.width=56,model.mixers.global.heads=16: model.mixers.global.heads=16",
        ),
        (
            f"product({{'{RATE}': (0.1,), 'train.steps': (50, 5000), "
            "'optimizer.warmup_steps': (10, 200)})",
            "with optimizer.learning_rate=0.1,train.steps=50,optimizer.warmup_steps=200: "
            "optimizer.warmup_steps=200",
        ),
        ("chain([{'seed': 0}], [{'seed': 2**40}])", "with seed=1099511627776: config.seed="),
    ],
)
def test_values_are_checked_together(tmp_path, points, message):
    with pytest.raises(ConfigError) as caught:
        plan_of(tmp_path, points)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("'model.width': Between(8, 32)", "model.width takes whole numbers (now "),
        ("'model.width': Between(8.0, 32.0)", "list its values: (8, 32)"),
        ("'task.pattern': Between(2, 4)", "task.pattern takes whole numbers"),
        ("'optimizer.warmup_steps': Between(1, 9)", "warmup_steps takes whole numbers"),
        ("'model.max_length': Between(30, 90)", "wants int or None"),
        ("'seed': Between(1, 9)", "seed=Between(low=1, high=9) is a range, which is for keys"),
        ("'length': Between(8, 32)", "length=Between(low=8, high=32) is a range, which is for"),
        (f"'{RATE}': Between('a', 1)", "is not 0 < low < high"),
        (f"'{RATE}': Between(None, 1)", "is not 0 < low < high"),
        (f"'{RATE}': Between(1, 10**400)", "is not 0 < low < high"),
        (f"'{RATE}': Between(float('nan'), 1)", "is not 0 < low < high"),
        ("'model.positions': Between(1, 2)", "model.positions='1.0'"),
        (
            "'model.dropout': Between(0.1, 0.2), 'optimizer.beta1': Between(0.5, 1.5)",
            "with model.dropout=Between(low=0.1, high=0.2),optimizer.beta1=Between(low=0.5, "
            "high=1.5): optimizer.beta1=1.5",
        ),
        (
            "'mixer': 'transformer', 'model.mlp_expansion': Between(1, 4)",
            "the size of the model depends on model.mlp_expansion, which is a range here; list",
        ),
    ],
)
def test_a_range_that_fails_in_trials_is_refused(tmp_path, point, message):
    with pytest.raises(ConfigError) as caught:
        plan_of(tmp_path, f"[{{{point}}}]", search="random")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_match_allows_no_width_of_a_point(tmp_path):
    points = "chain([{'model.depth': 1}], [{'model.width': 8}])"
    with pytest.raises(ConfigError, match=r"match=SIZE chooses model\.width; don't set it"):
        plan_of(tmp_path, points, Match("parameters", 30e3))


def test_arguments_name_a_part_of_the_points(tmp_path):
    """Whose runs have the names that they have in the whole."""
    points = "product({'mixer': ('gru', 'lstm')}, {'seed': (0, 1)})"
    sweep = SmallSweep(tmp_path, points)
    whole, part = (
        make_plan(f"{sweep.config}{of}", [], None, None, None) for of in ("", ":mixer=lstm")
    )
    assert [run.arguments for run in part.runs] == [{"mixer": "lstm"}] * 2
    assert {run.name for run in part.runs} < {run.name for run in whole.runs}
    said = r"no point of sweep\(\) has mixer=lstn; did you mean 'lstm'\? \(known: gru, lstm\)"
    with pytest.raises(ConfigError, match=said):
        make_plan(f"{sweep.config}:mixer=lstn", [], None, None, None)


def test_seeds_repeat_one_run_of_a_config_without_a_sweep():
    given = ("configs/copy.py:mixer=gru", [("train.steps", "700")], None, None, None)
    plan = make_plan(*given, seeds=(0, 5))
    assert [run.overrides for run in plan.runs] == [
        {"seed": seed, "train.steps": 700} for seed in (0, 5)
    ]
    assert {run.arguments["mixer"] for run in plan.runs} == {"gru"}


def test_seeds_that_are_no_numbers_are_one_line():
    code, _, errors = call("sweep.py", "--config=configs/copy.py", "--seeds=0,a", "--dry-run")
    said = "--seeds=0,a are not whole numbers from 0 on: 0,1,2"
    assert (code, errors.splitlines()[-1].partition(": ")[2]) == (2, said)
