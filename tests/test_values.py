"""Values of configs: every part is checked, every number is finite, every seed is one."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.config import construct, override
from seqmodels.errors import ConfigError, ParameterError, require_seed
from seqmodels.mixers import MIXERS
from seqmodels.tasks import TASKS
from seqmodels.training.experiment import TrainSettings, build_experiment
from seqmodels.training.optimizer import OPTIMIZERS
from seqmodels.values import fits, plain, require_finite
from tests.command_line import tiny_config

Section = Mapping[str, Any] | ConfigDict


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        *[((256,) * n + ("a",) + (3,) * (9 - n), tuple[int, ...], False) for n in range(10)],
        ((256,) * 10, tuple[int, ...], True),
        ((1, True), tuple[int, ...], False),
        ((1.0, True), tuple[float, ...], False),
        ((1, 2.5), tuple[float, ...], True),
        ([1, 2], int | tuple[int, ...], True),
        ([1, "2"], int | tuple[int, ...], False),
        (3, int | tuple[int, ...], True),
        (True, int | tuple[int, ...], False),
        (True, bool | None, True),
        (1, bool, False),
        (1, float | None, True),
        (True, float | None, False),
        ((("a", 1), ("b", "c")), tuple[tuple[str, int], ...], False),
        (("a", 1), tuple[str, int], True),
        (("a", 1, 2), tuple[str, int], False),
        ({"a": 1, "b": "c"}, dict[str, int], False),
        ({"a": {"b": (1, "x")}}, dict[str, dict[str, tuple[int, ...]]], False),
        (ConfigDict({"a": 1}), Section, True),
        ({"a": 1}, Section | None, True),
        ("a", Section, False),
        ("x", Literal["x", "y"] | None, True),
        (1, Literal["x", "y"], False),
        (True, Literal[1], False),
    ],
)
def test_every_part_of_a_value_is_checked(value, hint, expected):
    """Not a sample of them: a hundred times the same answer."""
    assert {fits(value, hint) for _ in range(100)} == {expected}


def test_a_tuple_of_a_config_is_checked_whole():
    for _ in range(20):
        with pytest.raises(ConfigError, match=r"part.kernel=\(3, 'a'\): Convolution wants"):
            construct(MIXERS["convolution"], {"kernel": (3, "a")}, "part", width=4, rngs=None)


def float_settings() -> list[tuple[Any, str]]:
    """Every setting of a task, a mixer, the optimizer and the training that is a float."""
    import typing

    found = []
    for function in (*TASKS.values(), *MIXERS.values(), *OPTIMIZERS.values(), TrainSettings):
        target = function.__init__ if isinstance(function, type) else function
        for name, hint in typing.get_type_hints(target).items():
            if name != "return" and fits(0.5, hint) and hint is not Any:
                found.append((function, name))
    return found


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_float_setting_may_be_infinite(value):
    settings = float_settings()
    assert {"weight_decay", "clip_norm", "held_out", "learning_rate"} <= {n for _, n in settings}
    for function, name in settings:
        with pytest.raises(ConfigError, match=f"^part.{name}={value} is not finite$"):
            construct(function, {name: value}, "part")


@pytest.mark.parametrize("value", [(1, math.inf), {"a": {"b": [math.nan]}}])
def test_no_part_of_a_value_may_be_infinite(value):
    with pytest.raises(ConfigError, match="is not finite"):
        require_finite(value, "part")


def test_numbers_beyond_64_bits_are_refused_in_a_short_line():
    for value in (2**63, -(2**63) - 1, 10**400):
        with pytest.raises(
            ConfigError, match=r"is a whole number of \d+ bits; at most 63"
        ) as caught:
            require_finite(value, "part")
        assert len(str(caught.value)) < 100
    require_finite((2**63 - 1, -(2**63)), "part")


def test_all_is_computed_in_32_bits():
    require_finite((3.4e38, -3.4e38, 1e-300), "part")
    for value in (3.41e38, -1e308):
        with pytest.raises(ConfigError, match=rf"^part={re.escape(str(value))} does not fit in a "):
            require_finite(value, "part")


def built_with(key: str, text: str) -> Any:
    config = tiny_config()
    override(config, key, text)
    return build_experiment(config)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("optimizer.weight_decay", "1e999", "optimizer.weight_decay=inf is not finite"),
        ("optimizer.learning_rate", "nan", "wants float"),
        ("optimizer.clip_norm", "1e999", "optimizer.clip_norm=inf is not finite"),
        ("seed", str(2**63), "config.seed is a whole number of 64 bits"),
        ("seed", str(2**32), "seed=4294967296 is not at least 0 and below 2**32"),
        ("seed", "-1", "seed=-1 is not at least 0 and below 2**32"),
        ("train.steps", str(2**31), "train.steps=2147483648 is not below 2**31"),
        ("train.steps", "1" + "0" * 5000, ""),
    ],
)
def test_settings_of_a_run_that_are_refused(key, text, message):
    with pytest.raises(ConfigError) as caught:
        built_with(key, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63, 10**30])
def test_seeds_are_checked_alike(seed):
    from seqmodels.errors import UserError
    from seqmodels.generation.run import generate_run

    with pytest.raises(ParameterError, match=f"seed={seed} is not at least 0 and below 2"):
        require_seed(seed)
    with pytest.raises(UserError, match=f"^seed={seed} is not at least 0 and below 2"):
        generate_run("no-such-run", "best", 1, seed=seed)


def test_what_is_no_value():
    assert plain(np.array([[1, 2]]), "x") == ((1, 2),)
    for value in ({1}, object(), b"x", 1j, np.complex64(1)):
        with pytest.raises(ConfigError, match="a value is a number, a word"):
            plain(value, "x")
