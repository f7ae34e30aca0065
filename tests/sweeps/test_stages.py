"""Sweeps in stages: each rate once, further ones where the best lies at an end, then more seeds."""

import json
import re
from collections import Counter

import pytest

from seqmodels import product, staged
from seqmodels.errors import ConfigError, UserError
from seqmodels.sweeps.display import print_plan
from seqmodels.sweeps.files import add_points, read_sweep
from seqmodels.sweeps.plan import make_plan
from seqmodels.sweeps.plan_file import store_plan
from seqmodels.sweeps.points import Staged
from seqmodels.sweeps.stages import due
from seqmodels.sweeps.summary import summary_rows, write_summary
from seqmodels.sweeps.worker import Ending
from tests.command_line import call
from tests.sweeps.bench import RATE, Bench, finish, group
from tests.sweeps.small_sweep import SmallSweep, states

FIVE = (0.0003, 0.001, 0.003, 0.01, 0.03)


def staged_group(*rates, below=(), above=(), seeds=(0, 1, 2), mixer="gru"):
    ends = {"below": below, "above": above}
    beyond = {end: tuple(group(*own, seeds=seeds).settings) for end, own in ends.items()}
    return group(*rates, seeds=seeds, mixer=mixer)._replace(**beyond)


def run_all(own, score, higher_is_better=True):
    """The runs of a group in the order in which they are due, as (rate, seed); each ends at once.

    ``score(rate, seed)`` is None for a run that fails.
    """
    outcomes = {}

    def outcome(run):
        return outcomes.get(run.name, ("waiting", None))

    ended = []
    while True:
        runs = due(own, outcome, higher_is_better)
        waiting = [run for run in runs if run.name not in outcomes]
        if not waiting:
            return ended
        run = waiting[-1]  # in any order
        rate, seed = run.overrides[RATE], run.overrides["seed"]
        value = score(rate, seed)
        outcomes[run.name] = ("failed", None) if value is None else ("finished", value)
        ended.append((rate, seed))


def falls_from(best):
    """A score that is best at a rate."""
    return lambda rate, seed: -abs(rate - best)


def test_seven_runs_do_what_fifteen_did():
    ended = run_all(staged_group(*FIVE, below=(1e-4,), above=(0.1,)), falls_from(0.003))
    assert sorted(ended[:5]) == [(rate, 0) for rate in FIVE]
    assert sorted(ended[5:]) == [(0.003, 1), (0.003, 2)]


@pytest.mark.parametrize(
    ("best", "beyond"),
    [(0.09, [0.09, 0.27]), (0.3, [0.09, 0.27, 0.81]), (9.0, [0.09, 0.27, 0.81]), (0.03, [0.09])],
)
def test_a_grid_grows_until_the_best_lies_inside(best, beyond):
    own = staged_group(*FIVE, above=(0.09, 0.27, 0.81))
    ended = run_all(own, falls_from(best))
    assert ended[5 : 5 + len(beyond)] == [(rate, 0) for rate in beyond]
    repeated = Counter(rate for rate, seed in ended if seed > 0)
    rates = [*FIVE, *beyond]
    assert repeated == {min(rates, key=lambda rate: abs(rate - best)): 2}


def test_where_less_is_better_it_grows_likewise():
    own = staged_group(*FIVE, below=(9e-5, 2.7e-5), seeds=(0, 1))
    ended = run_all(own, lambda rate, seed: abs(rate - 1e-4), higher_is_better=False)
    assert ended[5:] == [(9e-5, 0), (2.7e-5, 0), (9e-5, 1)]


@pytest.mark.parametrize(
    ("scores", "then"),
    [
        # What diverged at the end is worse than what did not: the best lies inside.
        ((0.1, 0.5, 0.7, None, None), [(0.003, 1)]),
        ((0.7, None, None, None, None), [(1e-4, 0), (0.0003, 1)]),
        # Of some alike none is at an end if it can be helped.
        ((0.9, 0.9, 0.9, 0.9, 0.9), [(0.003, 1)]),
        ((0.5, 0.9, 0.5, 0.5, 0.9), [(0.001, 1)]),
        ((0.5, 0.5, 0.5, 0.9, 0.9), [(0.01, 1)]),
        ((0.9, 0.9, 0.5, 0.5, 0.5), [(0.001, 1)]),
        ((0.5, 0.5, 0.5, 0.5, 0.9), [(0.1, 0), (0.03, 1)]),
        # Nothing is known of which is best.
        ((None, None, None, None, None), []),
    ],
)
def test_failures_and_ties(scores, then):
    """What lies beyond, where it is tried, fails."""
    known = dict(zip(FIVE, scores, strict=True))
    own = staged_group(*FIVE, below=(1e-4,), above=(0.1,), seeds=(0, 1))
    assert run_all(own, lambda rate, seed: known.get(rate))[5:] == then


def test_one_setting_is_repeated():
    assert run_all(staged_group(0.01), falls_from(1)) == [(0.01, 0), (0.01, 2), (0.01, 1)]


def test_stages_run_by_workers_leave_a_curve(tmp_path):
    """Each group by itself, and what there is is written down."""
    made = Bench(
        tmp_path,
        staged_group(0.1, 0.2, 0.3, seeds=(0, 1)),
        staged_group(0.1, 0.2, above=(0.4, 0.8), seeds=(0, 1), mixer="rnn"),
        search="stages",
    )

    def train(worker, taken):
        rate = taken.run.overrides[RATE]
        if rate == 0.3:
            (taken.trial.folder / "output.txt").write_text("train.py: it diverged")
            return Ending(3, None)
        best = {"gru": 0.2, "rnn": 0.4}[taken.run.arguments["mixer"]]
        return finish(worker, taken, 1 - abs(rate - best) + taken.run.overrides["seed"] / 100)

    assert made.work(train) == 0
    assert states(tmp_path) == {"finished": 3 + 5, "failed": 1}
    points = [run._asdict() for run in made.storage.runs()]
    sweep = {
        "kind": "sweep", "config": "x.py", "command": "", "search": "stages", "score": "accuracy",
        "higher_is_better": True, "common": {}, "points": points,
        "match": {"by": None, "target": None, "tolerance": 0.03},
    }  # fmt: skip
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    gru, rnn = summary_rows(tmp_path)
    assert gru["curve"] == {
        "key": RATE,
        "points": [
            {"value": 0.1, "validation": [pytest.approx(0.9)]},
            {"value": 0.2, "validation": [1.0, 1.01]},
            {"value": 0.3, "validation": []},
        ],
    }
    assert [rung["value"] for rung in rnn["curve"]["points"]] == [0.1, 0.2, 0.4, 0.8]
    assert (gru["chosen"], gru["seeds"], rnn["chosen"]) == ({RATE: 0.2}, 2, {RATE: 0.4})
    write_summary(tmp_path)
    header, first, _ = (tmp_path / "summary.csv").read_text().splitlines()
    columns = dict(zip(header.split(","), first.split(","), strict=True))
    assert columns[f"validation at {RATE}=0.2"] == "1.005"
    assert columns[f"validation at {RATE}=0.3"] == columns[f"validation at {RATE}=0.4"] == ""


POINTS = f"product({{'mixer': ('gru', 'rnn')}}, {{'{RATE}': (0.01, 0.001, 0.1), 'seed': (4, 5)}})"


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    sweep = SmallSweep(tmp_path_factory.mktemp("planned"), f"staged({POINTS})")
    return sweep, make_plan(str(sweep.config), [], None, None, None)


@pytest.mark.slow
def test_a_plan_knows_what_may_follow(planned):
    _, plan = planned
    assert plan.search == "stages"
    first = [
        (run.arguments["mixer"], run.overrides[RATE], run.overrides["seed"]) for run in plan.runs
    ]
    assert first == [(mixer, rate, 4) for rate in (0.001, 0.01, 0.1) for mixer in ("gru", "rnn")]
    for own in plan.groups:
        assert [setting.values[RATE] for setting in own.below] == [1e-4, 1e-5, 1e-6]
        assert [setting.values[RATE] for setting in own.above] == [1.0, 10.0, 100.0]


def test_a_dry_run_says_what_stages_would_do(planned, capsys):
    print_plan(planned[1])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == [run.name for run in planned[1].runs]
    assert lines[6] == (
        f"mixer=gru  then, where the best lies at an end, below {RATE}=0.0001, 1e-05, 1e-06 or "
        f"above {RATE}=1.0, 10.0, 100.0; then the best with 2 seeds in all"
    )
    assert lines[8:] == ["8 runs, at most 14; none was begun"]


def test_a_plan_keeps_what_it_went_on_to(planned):
    """Also when it is written anew; and other ones than in stages are another sweep."""
    sweep, plan = planned
    sweep.folder.mkdir()
    store_plan(plan, sweep.folder, {})
    beyond = plan.groups[0].runs(plan.groups[0].above[0])
    add_points(sweep.folder, beyond)
    store_plan(plan, sweep.folder, {})
    names = [point["name"] for point in read_sweep(sweep.folder)["points"]]
    assert names == [run.name for run in (*plan.runs, *beyond)]
    with pytest.raises(UserError, match="holds another sweep: search='stages', now 'grid'"):
        store_plan(plan._replace(search="grid"), sweep.folder, {})


@pytest.mark.slow
def test_a_config_allows_no_more(tmp_path):
    sweep = SmallSweep(tmp_path, "product({'model.dropout': (0.0, 0.2, 0.4)})")
    (own,) = make_plan(str(sweep.config), [], None, "stages", None).groups
    assert own.below == ()
    assert [setting.values["model.dropout"] for setting in own.above] == [0.8]


def test_a_search_of_the_command_line_wins(tmp_path):
    sweep = SmallSweep(tmp_path, f"staged(product({{'{RATE}': (0.1, 0.2), 'seed': (0, 1)}}))")
    plan = make_plan(str(sweep.config), [], None, "grid", None)
    assert (plan.search, len(plan.runs)) == ("grid", 4)
    assert plan.groups[0].above == ()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            f"product({{'{RATE}': (0.1, 0.2)}}, {{'optimizer.beta1': (0.8, 0.9)}})",
            f"stages tune one key, by numbers, and sweep() sets {RATE} and optimizer.beta1 to 4",
        ),
        (
            "product({'model.positions': ('none', 'sinusoidal')})",
            "small.py: stages tune one key, by numbers, and sweep() sets model.positions to "
            "'none', 'sinusoidal'; take search=grid",
        ),
        (f"[{{'{RATE}': Between(0.1, 0.2)}}]", "is a range; take search=random or tpe"),
    ],
)
def test_what_has_no_stages_is_refused(tmp_path, points, message):
    sweep = SmallSweep(tmp_path, f"staged({points})")
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_plan(str(sweep.config), [], None, None, None)


def test_two_searches_are_refused():
    given = ["--config=configs/digits.py", "--workdir=x", "--stages", "--search=tpe"]
    said = "sweep.py: --stages and --search=tpe are two searches; take one\n"
    assert call("sweep.py", *given) == (2, "", said)
    with pytest.raises(UserError, match=r"search=stages, which try all, take none"):
        make_plan("configs/digits.py", [], None, "stages", 3)


def test_points_stay_what_they_are():
    points = product({RATE: (0.1, 0.2)})
    assert staged(points) == points
    assert isinstance(staged(points), Staged)
