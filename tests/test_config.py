"""Configs: what is read, what is refused, and what each refusal says."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest
from ml_collections import ConfigDict

from seqmodels.config import (
    construct,
    construct_kind,
    differing_keys,
    flatten,
    load_config,
    override,
    read_arguments,
    to_dict,
)
from seqmodels.errors import ConfigError, require

FILE = """
from ml_collections import ConfigDict
from seqmodels.config import read_arguments

def get_config(arg=""):
    arguments = read_arguments(arg, mixer="lstm", length=64, rate=1.0)
    return ConfigDict({"mixer": arguments.mixer, "length": arguments.length})
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "digits.py"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def config():
    """One leaf of each type."""
    leaves = {"count": 3, "rate": 0.5, "flag": True, "name": "a", "pattern": ("a", "b"), "no": None}
    return ConfigDict({"seed": 0, "part": leaves}).lock()


def refusal(function, *arguments, **keywords) -> str:
    """The message of the ConfigError that a call must raise: one line."""
    with pytest.raises(ConfigError) as caught:
        function(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_load_reads_arguments_and_overrides(file):
    config = load_config(f"{file}:mixer=gru,length=7", [("length", "9")]).config
    assert to_dict(config) == {"mixer": "gru", "length": 9}
    assert config.is_locked


def test_load_refuses_a_file_that_is_not_there(tmp_path, file):
    missing = tmp_path / "digit.py"
    expected = f"config={missing}: no such file; did you mean {file!r}? (known: {file})"
    assert refusal(load_config, str(missing)) == expected
    assert "no such file" in refusal(load_config, "")
    for name in ("x" * 5000, f"{'x' * 5000}/y.py", f"{'x/' * 3000}y.py"):
        assert "no such file" in refusal(load_config, name)
    assert "no such file" in refusal(load_config, str(tmp_path))


def test_load_refuses_a_file_without_get_config(tmp_path):
    (tmp_path / "empty.py").touch()
    message = refusal(load_config, str(tmp_path / "empty.py"))
    assert message == f"config={tmp_path / 'empty.py'}: defines no get_config(arg)"


def test_arguments_take_the_type_of_their_defaults():
    arguments = read_arguments("length=5,rate=2,name=7", length=64, rate=1.0, name="x")
    assert arguments.to_dict() == {"length": 5, "rate": 2.0, "name": "7"}
    assert isinstance(arguments.rate, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixr=lstm", "argument 'mixr' is not known; did you mean 'mixer'? (known: length, mixer)"),
        ("gru", "argument 'gru' is not known; known: length, mixer"),
        ("mixer", "argument 'mixer' has no value; write mixer=VALUE"),
        ("length=long", "key length=long: wants int (now 64)"),
        ("length=1.5", "key length=1.5: wants int (now 64)"),
        ("length=8,length=9", "argument 'length' stands there twice; leave one out"),
    ],
)
def test_arguments_that_are_refused(text, message):
    assert refusal(read_arguments, text, mixer="lstm", length=64) == f"config {message}"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "7", 7),
        ("part.rate", "2", 2.0),
        ("part.rate", "1e-3", 1e-3),
        ("part.flag", "false", False),
        ("part.name", "b c", "b c"),
        ("part.name", "3", "3"),
        ("part.name", "True", "True"),
        ("part.name", "None", None),
        ("part.pattern", "x,y,z", ("x", "y", "z")),
        ("part.pattern", "x", ("x",)),
        ("part.pattern", "('x', 'y')", ("x", "y")),
        ("part.no", "5", 5),
        ("part.no", "none", None),
        ("part.count", "None", None),
    ],
)
def test_override_keeps_the_type(config, key, text, value):
    override(config, key, text)
    assert repr(flatten(config)[key]) == repr(value)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("sed", "1", "'sed' does not exist; did you mean 'seed'?"),
        ("part.cuont", "1", "'part.cuont' does not exist; did you mean 'part.count'?"),
        ("prt.count", "1", "'prt.count' does not exist; did you mean 'part.count'?"),
        ("seed.x", "1", "'seed.x' does not exist; did you mean 'seed'?"),
        ("count", "1", "'count' does not exist; did you mean 'part.count'?"),
        ("zzz", "1", "'zzz' does not exist; known: part.count, part.flag, part.name,"),
        ("part", "1", "'part' is a section; set one of part.count, part.flag, part.name,"),
        ("part.count", "1.5", "part.count=1.5: wants int (now 3)"),
        ("part.count", "many", "part.count=many: wants int (now 3)"),
        ("part.count", "true", "part.count=true: wants int (now 3)"),
        ("part.count", "{[1]: 2}", "part.count={[1]: 2}: wants int (now 3)"),
        ("part.rate", "high", "part.rate=high: wants float (now 0.5)"),
        ("part.rate", "True", "part.rate=True: wants float (now 0.5)"),
        ("part.flag", "1", "part.flag=1: wants bool (now True)"),
    ],
)
def test_override_refuses(config, key, text, message):
    before = to_dict(config)
    assert refusal(override, config, key, text).startswith(f"config key {message}")
    assert to_dict(config) == before


class Part:
    """What the tests of construct build: a parameter of each kind of type."""

    def __init__(
        self,
        owner: str,
        count: int,
        rate: float = 0.5,
        flag: bool = False,
        window: int | None = None,
        kind: Literal["a", "b"] | None = "a",
        pattern: tuple[str, ...] = (),
        mixers: Mapping[str, Any] | None = None,
    ):
        require(count >= 1, f"count={count} is below 1")
        self.given = owner, count, rate, flag, window, kind, pattern


def part(**section):
    return construct(Part, section, "model.part", owner="x")


def test_construct_passes_the_section_on():
    assert part(count=2, rate=1, window=3, kind=None, pattern=["a", "b"]).given == (
        ("x", 2, 1, False, 3, None, ("a", "b"))
    )


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"count": 1, "windw": 3},
            "windw=3 is never read by Part; did you mean 'window'? "
            "(known: count, flag, kind, mixers, pattern, rate, window)",
        ),
        ({"count": 1, "part": {"a": 1}}, "part is never read by Part; known: count, flag,"),
        ({"count": 1, "owner": "y"}, "owner='y' is never read by Part; known: count, flag,"),
        ({"count": "1"}, "count='1': Part wants int"),
        ({"count": 1.0}, "count=1.0: Part wants int"),
        ({"count": True}, "count=True: Part wants int"),
        ({"count": None}, "count=None: Part wants int"),
        ({"count": 1, "rate": True}, "rate=True: Part wants float"),
        ({"count": 1, "flag": 1}, "flag=1: Part wants bool"),
        ({"count": 1, "window": False}, "window=False: Part wants int or None"),
        ({"count": 1, "window": "all"}, "window='all': Part wants int or None"),
        ({"count": 1, "kind": "c"}, "kind='c': Part wants one of 'a', 'b' or None"),
        ({"count": 1, "pattern": "ab"}, "pattern='ab': Part wants tuple[str, ...]"),
        ({"count": 1, "pattern": (1,)}, "pattern=(1,): Part wants tuple[str, ...]"),
        ({"count": 1, "pattern": True}, "pattern=True: Part wants tuple[str, ...]"),
        ({"count": 1, "mixers": True}, "mixers=True: Part wants "),
        ({"rate": 1.0}, "count is missing; Part needs it"),
        ({"count": 0}, "count=0 is below 1"),
    ],
)
def test_construct_refuses(section, message):
    assert refusal(part, **section).startswith(f"model.part.{message}")


def test_of_several_missing_keys_the_first_is_named():
    assert (
        refusal(construct, Part, {}, "model.part") == "model.part.owner is missing; Part needs it"
    )


def test_kinds_are_chosen_from_a_table():
    assert (
        construct_kind({"part": Part}, {"kind": "part", "count": 1}, "m", owner="x").given[1] == 1
    )
    message = refusal(construct_kind, {"part": Part}, {"kind": "prt"}, "m", owner="x")
    assert message == "m.kind='prt' is not known; did you mean 'part'? (known: part)"
    for kind in ([], {}, ("part",), 1):
        message = refusal(construct_kind, {"part": Part}, {"kind": kind}, "m", owner="x")
        assert message.startswith(f"m.kind={kind!r} is not known; ")
    message = refusal(construct_kind, {"part": Part}, {"count": 1}, "m", owner="x")
    assert message == "m.kind=None is not known; known: part"
    assert refusal(construct_kind, {}, "lstm", "m") == "m='lstm' is not a section with a key 'kind'"


def test_differing_keys_name_both_values():
    old = {"seed": 0, "model": {"width": 8, "pattern": ["a"]}, "gone": 1}
    new = {"seed": 0, "model": {"width": 9, "pattern": ["a"]}, "fresh": 4}
    assert differing_keys(old, new) == [
        "fresh=absent, now 4",
        "gone=1, now absent",
        "model.width=8, now 9",
    ]
    assert differing_keys(new, new) == []


def test_a_config_compares_equal_to_itself_from_json(config):
    assert differing_keys(to_dict(config), to_dict(ConfigDict(to_dict(config)))) == []


def test_a_key_that_came_later_and_is_none_is_no_difference():
    old, new = {"a": {"b": 1}}, {"a": {"b": 1, "c": None}}
    assert differing_keys(old, new) == differing_keys(new, old) == []
    assert differing_keys(old, {"a": {"b": 1, "c": 2}}) == ["a.c=absent, now 2"]
    assert differing_keys({"a": {"b": 1, "c": 2}}, new) == ["a.c=2, now None"]
