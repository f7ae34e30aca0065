"""Configs: read, override, check, and turn into objects.

A config file defines ``get_config(arg) -> ConfigDict`` (:mod:`seqmodels.config_files`).
The signature of what a section constructs is that section's schema: :func:`construct`
refuses, before anything is compiled, keys that nothing reads, values of the wrong type
(:mod:`seqmodels.values`) and values that the constructor rejects, and names the full
path of the key.
"""

import ast
import difflib
import inspect
import json
import reprlib
import typing
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

from ml_collections import ConfigDict, FrozenConfigDict
from ml_collections.config_dict import RequiredValueError

from seqmodels.config_files import DECIDED, run_config
from seqmodels.earlier import renew
from seqmodels.errors import ConfigError, nearest, under
from seqmodels.json_files import DEEPEST
from seqmodels.values import describe, fits, plain, require_finite

Section = Mapping[str, Any] | ConfigDict
"""A config, or a part of one."""

Flat = dict[str, Any]
"""A config's leaves by dotted path: ``{"model.width": 64}``."""


class Origin(TypedDict):
    """Where a config came from, as ``facts.json`` has it."""

    file: str
    arguments: dict[str, str]
    """Of ``get_config``, as they stood behind the file's name."""
    overrides: dict[str, str]
    """Keys that were set besides, by dotted path."""


class Loaded(NamedTuple):
    """A config, locked, and where it came from."""

    config: ConfigDict
    origin: Origin


Complete = Callable[[ConfigDict, str], ConfigDict]
"""A config with all keys that it leaves out, with their defaults, and with the sections that it may
have on the way to a key; the key may be empty."""


def load_config(
    spec: str, overrides: Iterable[tuple[str, str]] = (), complete: Complete | None = None
) -> Loaded:
    """Loads ``NAME`` or ``NAME:ARGUMENTS`` and applies ``(dotted key, text)`` overrides.

    The name is a path, or that of a config that comes with the package (``digits``); it may be that
    of a run's ``config.json``, which takes no arguments.
    These may set the keys of the file, and those that ``complete`` adds to them.

    Raises:
      ConfigError: the file is missing, fails, defines no ``get_config``, or refuses its argument;
        or an override names no key or has the wrong type.
    """
    file, colon, argument = spec.partition(":")
    overrides = list(overrides)
    config = run_config(file, "get_config", argument if colon else None)
    if isinstance(config, Mapping | FrozenConfigDict) and type(config) is not ConfigDict:
        content = plain(config, "config")
        try:
            config = ConfigDict(content)
        except (ValueError, AttributeError) as error:  # a key with a dot, or like __init__
            raise ConfigError(f"config={file}: get_config: {error}") from None
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"config={file}: get_config returns {reprlib.repr(config)}; return a ConfigDict "
            "or a dict"
        )
    _make_plain(config, "config")
    for said in renew(config):
        warnings.warn(f"config={file}: {said}", FutureWarning, stacklevel=2)
    config.lock()
    for key, text in overrides:
        override(config, key, text, complete)
    origin = Origin(file=file, arguments=read_values(argument), overrides=dict(overrides))
    return Loaded(config, origin)


def read_values(argument: str) -> dict[str, str]:
    """What stands behind the colon of ``FILE:NAME=VALUE,NAME=VALUE``."""
    parts = (part.partition("=") for part in filter(None, argument.split(",")))
    return {name: value for name, _, value in parts}


def load_sweep(file: str) -> Any:
    """What ``sweep()`` of a config file returns (:mod:`seqmodels.sweeps.points`).

    Raises :class:`ConfigError` where the file is missing or defines none.
    """
    return run_config(file, "sweep", None)


def _make_plain(config: Any, path: str, depth: int = 0) -> None:
    """Puts Python's numbers in the place of NumPy's; refuses what is no value."""
    if depth > DEEPEST:
        raise ConfigError(f"{path[:80]} is nested more than {DEEPEST} levels deep, or holds itself")
    with config.unlocked(), config.ignore_type():
        for key in list(config):
            try:
                now = config[key]
            except RequiredValueError:
                raise ConfigError(
                    f"{path}.{key} is a required_placeholder, which no flag could set; write "
                    "placeholder(TYPE) in its place"
                ) from None
            if isinstance(now, ConfigDict):
                _make_plain(now, f"{path}.{key}", depth + 1)
            elif repr(value := plain(now, f"{path}.{key}")) != repr(now):
                del config[key]  # which would make a tuple the list that it was
                config[key] = value


def read_arguments(text: str, **defaults: Any) -> Any:
    """Reads a config's argument ``name=value,name=value`` by the types of its defaults.

    Of a tuple one of its values is taken, the first by default.

    >>> read_arguments("mixer=lstm,length=512", mixer="rnn", length=64).to_dict()
    {'length': 512, 'mixer': 'lstm'}
    >>> read_arguments("", task=("recall", "copy")).task
    'recall'
    """
    choices = {name: values for name, values in defaults.items() if isinstance(values, tuple)}
    arguments = ConfigDict(defaults | {name: values[0] for name, values in choices.items()})
    given = set()
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if name not in defaults:
            raise ConfigError(f"config argument {name!r} is not known; {nearest(name, defaults)}")
        if not equals:
            raise ConfigError(f"config argument {name!r} has no value; write {name}=VALUE")
        if name in given:
            raise ConfigError(f"config argument {name!r} stands there twice; leave one out")
        given.add(name)
        override(arguments, name, value)
        if name in choices and arguments[name] not in choices[name]:
            raise ConfigError(f"{name}={value!r} is not known; {nearest(value, choices[name])}")
    return arguments


def override(config: ConfigDict, key: str, text: str, complete: Complete | None = None) -> None:
    """Sets the leaf at a dotted path from text, keeping the type that it has.

    A leaf that is None or was given as an optional may take ``None``, a number, a
    word or a tuple. Of a leaf that is a word only ``None``, so written, is no word.
    :func:`construct` has the last word on its type.
    """
    *parents, leaf = key.split(".")
    if parents[:1] == [DECIDED]:
        raise ConfigError(f"config key {key!r} is what a run decided by itself; leave it out")
    whole = config if complete is None or key in flatten(config) else complete(config, key)
    section: Any = whole
    for name in (*parents, leaf):
        if not isinstance(section, ConfigDict) or name not in section:
            known = list(flatten(whole))
            raise ConfigError(f"config key {key!r} does not exist; {_nearest_key(key, known)}")
        section = section[name]
    if isinstance(section, ConfigDict):
        inside = ", ".join(f"{key}.{name}" for name in section)
        raise ConfigError(f"config key {key!r} is a section; set one of {inside}")
    value = plain(_parse(text), f"config key {key}")
    if isinstance(section, str) and text != "None":
        value = text  # also where it reads as something else: none is a word of many settings
    if isinstance(section, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(section, tuple) and not isinstance(value, tuple):
        value = tuple(_parse(word) for word in text.split(","))
    if section is not None and value is not None and type(value) is not type(section):
        wanted = type(section).__name__
        raise ConfigError(f"config key {key}={text}: wants {wanted} (now {section!r})")
    with config.unlocked(), config.ignore_type():
        parent: Any = config
        for name in parents:
            if parent.get(name) is None:
                parent[name] = ConfigDict()
            parent = parent[name]
        parent[leaf] = value


def _parse(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _nearest_key(key: str, known: list[str]) -> str:
    same_leaf = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    cutoff = 0.0 if same_leaf else 0.5
    close = difflib.get_close_matches(key, same_leaf or known, n=1, cutoff=cutoff)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def flatten(config: Section, prefix: str = "") -> Flat:
    """The leaves of a nested config by dotted path.

    >>> flatten({"model": {"width": 8}, "seed": 0})
    {'model.width': 8, 'seed': 0}
    """
    leaves: Flat = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def to_dict(config: Section) -> dict[str, Any]:
    """A plain nested dict as it comes back from JSON, so that two configs compare equal."""
    whole = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    return json.loads(json.dumps(plain(whole, "config")))


def differing_keys(old: Section, new: Section) -> list[str]:
    """``key=old, now new`` for each leaf in which two configs differ.

    A key that is None in one of them may be absent in the other: it came with a later version.
    """
    a, b = flatten(old), flatten(new)
    absent = object()
    lines = []
    for key in sorted(a.keys() | b.keys()):
        before, after = a.get(key, absent), b.get(key, absent)
        came_later = (before, after) in ((None, absent), (absent, None))
        if before != after and not came_later:
            shown = ["absent" if v is absent else repr(v) for v in (before, after)]
            lines.append(f"{key}={shown[0]}, now {shown[1]}")
    return lines


def construct(function: Callable[..., Any], section: Section, path: str, **given: Any) -> Any:
    """Calls ``function(**section, **given)`` after checking the section against its signature.

    The function, or class, has no ``**kwargs``; its annotations are the types. What is ``given``
    the code supplies, and the config may not. Messages begin with the section's dotted path.

    Raises:
      ConfigError: one line with the key's full path, its value and what is allowed.
    """
    section = dict(section.items())
    target = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(target)
    parameters = inspect.signature(target).parameters  # of __init__: Flax hides a class's own
    readable = [name for name in parameters if name not in given and name != "self"]
    owner = function.__name__.strip("_")
    for key, value in section.items():
        is_section = isinstance(value, Mapping | ConfigDict)
        shown = f"{path}.{key}" if is_section else f"{path}.{key}={value!r}"
        if key not in readable:
            raise ConfigError(f"{shown} is never read by {owner}; {nearest(key, readable)}")
        if key in hints and not fits(value, hints[key]):
            raise ConfigError(f"{shown}: {owner} wants {describe(hints[key])}")
        if not is_section:  # which is checked by what it makes
            require_finite(value, f"{path}.{key}")
        if isinstance(value, list):
            section[key] = tuple(value)
        elif type(value) is int and hints.get(key) in (float, float | None):
            section[key] = float(value)
    missing = [
        name
        for name in readable
        if name not in section and parameters[name].default is inspect.Parameter.empty
    ]
    if missing:
        raise ConfigError(f"{path}.{missing[0]} is missing; {owner} needs it")
    with under(path):
        return function(**section, **given)


def construct_kind(
    table: Mapping[str, Callable[..., Any]], section: Any, path: str, **given: Any
) -> Any:
    """Constructs ``table[kind](**rest)`` from a section ``{"kind": ..., **rest}``."""
    if not isinstance(section, Mapping | ConfigDict):
        raise ConfigError(f"{path}={section!r} is not a section with a key 'kind'")
    rest: dict[str, Any] = dict(section.items())
    kind: Any = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in table:
        raise ConfigError(f"{path}.kind={kind!r} is not known; {nearest(str(kind), table)}")
    return construct(table[kind], rest, path, **given)
