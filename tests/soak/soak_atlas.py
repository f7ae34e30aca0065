"""The atlas: every mixer on every task at one size, as its sweep will run it."""

import json
from pathlib import Path

import pytest

from seqmodels.mixers import MIXERS
from seqmodels.sweeps.matching import TOLERANCE, Match
from seqmodels.sweeps.plan import make_plan
from tests.test_configs import check_sweep

ROOT = Path(__file__).parents[2]
TARGET = 75_300


def test_all_meet_the_size_that_is_asked_for():
    spec = str(ROOT / "configs/atlas.py")
    plan = make_plan(spec, [], Match("parameters", TARGET), None, None)
    assert plan.search == "stages"
    by_cell = {json.dumps(group.arguments): group for group in plan.groups}
    assert len(by_cell) == 26 * 4
    for name, group in by_cell.items():
        for setting in (*group.settings, *group.below, *group.above):
            assert abs(setting.size["parameters"] / TARGET - 1) <= TOLERANCE, name
        assert len(group.settings) == 5
        assert group.seeds == [0, 1, 2]
    kinds = {group.arguments["mixer"] for group in plan.groups} & MIXERS.keys()
    assert len(kinds) == 21 + 2  # of linear time, gru and lstm


@pytest.mark.parametrize("file", ["configs/recall.py", "configs/compare.py"])
def test_every_point_of_a_large_sweep_builds(file):
    check_sweep(file, [0, 1, 2])


def test_every_ratio_of_the_hybrids_builds():
    plan = make_plan(str(ROOT / "configs/hybrid.py"), [], None, None, None)
    sizes = [group.settings[0].size["parameters"] for group in plan.groups]
    assert (len(plan.runs), len(plan.groups)) == (12, 4)
    assert max(sizes) < 1.3 * min(sizes)
