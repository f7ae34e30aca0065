"""Recurrences whose positions several devices share: what one device makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.ops.by_positions import by_positions
from seqmodels.ops.linear import linear, linear_in_blocks
from seqmodels.ops.running import previous, running_max, running_sum
from seqmodels.scaling.collectives import traffic
from seqmodels.training.sharding import make_mesh
from tests.ops import test_by_positions
from tests.ops.across import check, gathered
from tests.ops.recurrences_across import CASES, ROWS, function
from tests.soaking import soak_only

L = 24  # of 12 positions, or 6, a part
MESHES = {"2 by 2 by 2": (2, 2), "2 by 4": (4, 1)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mesh"),
    [
        ("complex at each", "2 by 4"),  # more than one round of summaries
        ("selective", "2 by 2 by 2"),
        ("constant", "2 by 2 by 2"),
        ("decay a key", "2 by 2 by 2"),
        ("delta, three steps", "2 by 4"),
        ("lstm", "2 by 4"),
        ("slstm", "2 by 2 by 2"),
    ],
)
def test_devices_that_share_positions_make_what_one_does(name, mesh):
    given = CASES[name].arguments(L)
    text = check(function(name, None), given, make_mesh(8, *MESHES[mesh]), (ROWS, L), 1e-5)
    assert gathered(text, L) == gathered(text, 3 * L) == []


@pytest.mark.slow
def test_a_row_that_no_axis_shares():
    """Of its features the compiler would share some, in steps that not all devices take."""
    given = CASES["lstm"].arguments(L)
    given = jax.tree.map(lambda x: x[:1] if x.shape[0] == ROWS else x, given)
    check(function("lstm", None), given, make_mesh(8, 4), (1, L), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shared"),
    [("selective", ("A",)), soak_only("constant", ("decay", "C")), ("slstm", ("weights",))],
)
def test_gradients_of_what_rows_share_are_added_up_once(name, shared):
    """And not in each step of a loop, of which there are several; nor before they are sums."""
    length = 3 * L * 2
    given = CASES[name].arguments(length) | {"valid": None}
    text = check(function(name, None), given, make_mesh(2), (ROWS, length), 1e-5)
    size = sum(leaf.nbytes for key in shared for leaf in jax.tree.leaves(given[key]))
    assert 0 < traffic(text).sent <= 2 * size


def test_positions_know_of_those_before_them():
    def run(given):
        x = given["x"]
        later = running_sum(x, reverse=True)
        return previous(x, given["first"]), running_sum(x), later, running_max(x)

    random = np.random.default_rng(0)
    x = -5 + random.normal(size=(ROWS, L, 3)).astype(np.float32)
    given = {"x": x, "first": random.normal(size=(ROWS, 3)).astype(np.float32)}
    text = check(run, given, make_mesh(8, 4), (ROWS, L), 1e-6)
    assert gathered(text, L) == []


def test_each_device_goes_through_its_own_positions():
    """In chunks of 4 of its 6; rows are told of all of them."""

    def run(given):
        inputs = given["x"], given["weights"]
        return by_positions(
            test_by_positions.of_part, test_by_positions.join, 4, given["params"], inputs
        )

    random = np.random.default_rng(0)
    given = {
        "x": random.normal(size=(ROWS, L, 4)).astype(np.float32),
        "weights": random.normal(size=(ROWS, L)).astype(np.float32),
        "params": {"w": jnp.asarray(random.normal(size=(4, 5)), jnp.float32)},
    }
    text = check(run, given, make_mesh(8, 4), (ROWS, L), 1e-5)
    assert gathered(text, L) == []
    assert len([line for line in text.splitlines() if "all-reduce(" in line]) == 1


def test_projections_gather_no_positions():
    """Also where blocks of features are projected by themselves."""

    def run(given):
        return linear(given["x"], given["weights"]), linear_in_blocks(given["x"], given["blocks"])

    random = np.random.default_rng(0)
    rows = 2 * ROWS  # two a device: one row's parts have a sharding when they are flattened too
    shapes = {"x": (rows, L, 6), "weights": (6, 4), "blocks": (2, 3, 5)}
    given = {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    text = check(run, given, make_mesh(8, 4), (rows, L), 1e-5)
    assert gathered(text, L) == []
