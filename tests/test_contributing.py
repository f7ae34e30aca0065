"""CONTRIBUTING.md to the letter: its mixer, task and optimizer, each a class and a line, are tested
as all others are."""

import importlib.util
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seqmodels.config import construct_kind
from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS
from seqmodels.tasks import TASKS
from seqmodels.training.optimizer import OPTIMIZERS, make_optimizer
from tests.mixers import test_contract, test_observed, variants
from tests.tasks import test_chance, test_tasks
from tests.training import test_optimizer

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
TABLES = {"MIXERS": MIXERS, "TASKS": TASKS, "OPTIMIZERS": OPTIMIZERS}


@pytest.fixture
def add(tmp_path, monkeypatch) -> Callable[[str], str]:
    """Does to a table what the guide says, and gives the kind that it has one add."""

    def add_(table: str) -> str:
        line = rf'Add a line to `{table}` in `([\w/]+\.py)`: `"(\w+)": (\w+)`'
        ((file, kind, name),) = re.findall(line, GUIDE)
        assert f"\n{table}" in (ROOT / file).read_text()
        blocks = map(textwrap.dedent, re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL))
        (code,) = [block for block in blocks if f"class {name}" in block]
        own = tmp_path / f"{kind}.py"
        own.write_text(code)
        spec = importlib.util.spec_from_file_location(kind, own)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert kind not in TABLES[table], "the guide's example is one that there isn't"
        monkeypatch.setitem(TABLES[table], kind, vars(module)[name])
        return kind

    return add_


def asked_of_all(
    module: ModuleType, *lists_of_names: Any
) -> Iterator[tuple[Callable, dict[str, Any]]]:
    """A module's tests that are asked of each name of a list, and with what else they are asked."""
    for test in vars(module).values():
        marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        lists = {mark.args[0]: mark.args[1] for mark in marks}
        names = lists.pop("name", None)
        if any(names is of_all for of_all in lists_of_names):
            for values in itertools.product(*lists.values()):
                yield test, dict(zip(lists, values, strict=True))


def test_a_task_is_a_class_and_a_line(add, monkeypatch):
    kind = add("TASKS")
    monkeypatch.setitem(test_tasks.CASES, kind, test_tasks.small(kind))
    construct_kind(TASKS, {"kind": kind}, "task", seed=0)
    asked = [*asked_of_all(test_tasks, TASKS), *asked_of_all(test_chance, TASKS)]
    assert len(asked) > 15
    for test, others in asked:
        test(name=kind, **others)


def test_an_optimizer_is_a_class_and_a_line(add):
    kind = add("OPTIMIZERS")
    asked = list(asked_of_all(test_optimizer, OPTIMIZERS))
    assert asked
    for test, others in asked:
        test(name=kind, **others)
    settings = {"kind": kind, "learning_rate": 0.1, "beta2": 0.5, "clip_norm": None}
    with pytest.raises(ConfigError, match=r"^optimizer.nesterov=True is never read by AdaBelief;"):
        make_optimizer({**settings, "nesterov": True}, 10, {})


def test_a_mixer_is_a_class_and_a_line(add, monkeypatch):
    kind = add("MIXERS")
    monkeypatch.setitem(variants.CASES, kind, (kind, {}))
    marks = [variants.every_mixer, variants.every_kind]
    if variants.make(kind, {}).causal:
        marks += [variants.every_causal_mixer, variants.every_causal_kind]
    lists = [mark.mark.args[1] for mark in marks]
    asked = [*asked_of_all(test_contract, *lists), *asked_of_all(test_observed, *lists)]
    assert len(asked) > 10
    for test, _ in asked:
        test(name=kind)
