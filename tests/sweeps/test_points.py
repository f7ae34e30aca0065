"""Points of a sweep: products, zips and chains; what is refused."""

import pytest

from seqmodels.errors import ConfigError
from seqmodels.sweeps.points import (
    Between,
    chain,
    product,
    require_points,
    split,
    zipped,
)


def test_a_product_has_each_value_with_each_and_each_point():
    pairs = zipped({"length": (64, 128), "pairs": (4, 8)})
    points = product({"mixer": ("rnn", "gru")}, pairs, {"seed": (0, 1, 2)})
    assert len(points) == 2 * 2 * 3
    assert points[0] == {"mixer": "rnn", "length": 64, "pairs": 4, "seed": 0}
    assert points[-1] == {"mixer": "gru", "length": 128, "pairs": 8, "seed": 2}
    assert len({tuple(point.items()) for point in points}) == len(points)


def test_a_chain_keeps_the_order():
    first, second = product({"seed": (3, 1)}), zipped({"mixer": ("rnn",)})
    assert chain(first, second) == [{"seed": 3}, {"seed": 1}, {"mixer": "rnn"}]


def test_arguments_are_told_from_keys():
    point = {"mixer": "rnn", "task": "sort", "seed": 1, "model.depth": 3}
    assert split(point) == ({"mixer": "rnn", "task": "sort"}, {"seed": 1, "model.depth": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: product({"mixer": "rnn"}), r"mixer='rnn' is not a tuple; write \('rnn',\)"),
        (lambda: product({"seed": 0}), r"seed=0 is not a tuple; write \(0,\)"),
        (lambda: product({"a.b": Between(1, 2)}), "is not a tuple"),
        (lambda: product({"seed": (0,)}, {"seed": (1,)}), "'seed' in two of its factors"),
        (lambda: zipped({"length": (1, 2), "pairs": (1,)}), "length has 2, pairs has 1"),
        (lambda: require_points([], "c.py"), "not a list of at least one point"),
        (lambda: require_points(None, "c.py"), "returns None, not a list"),
        (lambda: require_points([3], "c.py"), "which is no dict"),
        (lambda: require_points([{"a.b": Between(2, 1)}], "c.py"), "is not 0 < low < high"),
    ],
)
def test_what_is_no_point_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
