"""Configs: read, override, check, and turn into objects.

A config file defines ``get_config(arg) -> ConfigDict``. The signature of what a
section constructs is that section's schema: :func:`construct` refuses, before
anything is compiled, keys that nothing reads, values of the wrong type and
values that the constructor rejects, and names the full path of the key.
"""

import ast
import difflib
import importlib.util
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from beartype import BeartypeConf
from beartype.door import is_bearable
from ml_collections import ConfigDict

from seqmodels.errors import ConfigError, ParameterError, nearest

Section = Mapping[str, Any] | ConfigDict
"""A config, or a part of one."""

Flat = dict[str, Any]
"""A config's leaves by dotted path: ``{"model.width": 64}``."""


def load_config(spec: str, overrides: Iterable[tuple[str, str]] = ()) -> ConfigDict:
    """Loads ``FILE.py`` or ``FILE.py:ARGUMENTS`` and applies ``(dotted key, text)`` overrides.

    Returns the locked config. Raises :class:`ConfigError` where the file is
    missing, defines no ``get_config``, refuses its argument, or where an
    override names no key or has the wrong type.
    """
    file, _, argument = spec.partition(":")
    module = _load_module(file)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"--config={file}: defines no get_config(arg)")
    config = module.get_config(argument)
    config.lock()
    for key, text in overrides:
        override(config, key, text)
    return config


def load_sweep(file: str) -> Any:
    """What ``sweep()`` of a config file returns (:mod:`seqmodels.experiments.points`).

    Raises :class:`ConfigError` where the file is missing or defines none.
    """
    module = _load_module(file)
    if not hasattr(module, "sweep"):
        raise ConfigError(
            f"--config={file}: defines no sweep(); copy that of configs/digits.py, which returns "
            "the points to run"
        )
    return module.sweep()


def _load_module(file: str) -> types.ModuleType:
    path = Path(file)
    if not path.is_file():
        siblings = [str(p) for p in path.parent.glob("*.py")]
        raise ConfigError(f"--config={file}: no such file; {nearest(str(path), siblings)}")
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def read_arguments(text: str, **defaults: Any) -> Any:
    """Reads a config's argument ``name=value,name=value`` by the types of its defaults.

    >>> read_arguments("mixer=lstm,length=512", mixer="rnn", length=64).to_dict()
    {'length': 512, 'mixer': 'lstm'}
    """
    arguments = ConfigDict(defaults)
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if name not in defaults:
            raise ConfigError(f"config argument {name!r} is not known; {nearest(name, defaults)}")
        if not equals:
            raise ConfigError(f"config argument {name!r} has no value; write {name}=VALUE")
        override(arguments, name, value)
    return arguments


def override(config: ConfigDict, key: str, text: str) -> None:
    """Sets the leaf at a dotted path from text, keeping the type that it has.

    A leaf that is None or was given as an optional may take ``None``, a number, a
    word or a tuple. Of a leaf that is a word only ``None``, so written, is no word.
    :func:`construct` has the last word on its type.
    """
    *parents, leaf = key.split(".")
    section: Any = config
    for name in (*parents, leaf):
        if not isinstance(section, ConfigDict) or name not in section:
            known = list(flatten(config))
            raise ConfigError(f"config key {key!r} does not exist; {_nearest_key(key, known)}")
        parent, section = section, section[name]
    if isinstance(section, ConfigDict):
        inside = ", ".join(f"{key}.{name}" for name in section)
        raise ConfigError(f"config key {key!r} is a section; set one of {inside}")
    value = _parse(text)
    if isinstance(section, str) and text != "None":
        value = text  # also where it reads as something else: none is a word of many settings
    if isinstance(section, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(section, tuple) and not isinstance(value, tuple):
        value = tuple(_parse(word) for word in text.split(","))
    if section is not None and value is not None and type(value) is not type(section):
        wanted = type(section).__name__
        raise ConfigError(f"config key {key}={text}: wants {wanted} (now {section!r})")
    with parent.ignore_type():
        parent[leaf] = value


def _parse(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def _nearest_key(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    same_leaf = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    best = (same_leaf or close or [None])[0]
    return f"did you mean {best!r}?" if best else f"known: {', '.join(known)}"


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
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    return json.loads(json.dumps(plain))


def differing_keys(old: Section, new: Section) -> list[str]:
    """``key=old, now new`` for each leaf in which two configs differ.

    A key that is None in one of them may be absent in the other: it came with a later version.
    """
    a, b = flatten(old), flatten(new)
    absent = object()
    lines = []
    for key in sorted(a.keys() | b.keys()):
        before, after = a.get(key, absent), b.get(key, absent)
        if before != after and not _is_none_and_absent(before, after, absent):
            shown = ["absent" if v is absent else repr(v) for v in (before, after)]
            lines.append(f"{key}={shown[0]}, now {shown[1]}")
    return lines


def _is_none_and_absent(before: Any, after: Any, absent: object) -> bool:
    return (before is None and after is absent) or (before is absent and after is None)


def construct(function: Callable[..., Any], section: Section, path: str, **given: Any) -> Any:
    """Calls ``function(**section, **given)`` after checking the section against its signature.

    Args:
      function: a class or function without ``**kwargs``; its annotations are the types.
      section: the config section; a key that the function lacks is an error.
      path: the section's dotted path, for messages.
      given: what the code supplies, and the config may not.

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
        if key not in readable:
            raise ConfigError(
                f"{path}.{key}={value!r} is never read by {owner}; {nearest(key, readable)}"
            )
        if key in hints and not _fits(value, hints[key]):
            raise ConfigError(f"{path}.{key}={value!r}: {owner} wants {_describe(hints[key])}")
        if isinstance(value, list):
            section[key] = tuple(value)
    missing = [
        name
        for name in readable
        if name not in section and parameters[name].default is inspect.Parameter.empty
    ]
    if missing:
        raise ConfigError(f"{path}.{missing[0]} is missing; {owner} needs it")
    try:
        return function(**section, **given)
    except ParameterError as error:
        raise ConfigError(f"{path}.{error}") from None


def construct_kind(
    table: Mapping[str, Callable[..., Any]], section: Any, path: str, **given: Any
) -> Any:
    """Constructs ``table[kind](**rest)`` from a section ``{"kind": ..., **rest}``."""
    if not isinstance(section, Mapping | ConfigDict):
        raise ConfigError(f"{path}={section!r} is not a section with a key 'kind'")
    rest: dict[str, Any] = dict(section.items())
    kind: Any = rest.pop("kind", None)
    if kind not in table:
        raise ConfigError(f"{path}.kind={kind!r} is not known; {nearest(str(kind), table)}")
    return construct(table[kind], rest, path, **given)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) and not is_bearable(True, _without_int(hint)):
        return False
    value = tuple(value) if isinstance(value, list) else value
    value = dict(value.items()) if isinstance(value, ConfigDict) else value
    return is_bearable(value, hint, conf=BeartypeConf(is_pep484_tower=True))


def _without_int(hint: Any) -> Any:
    """The hint without int and float, which Python lets a bool pass for."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    options = typing.get_args(hint) if is_union else (hint,)
    kept = [o for o in options if o not in (int, float)]
    return typing.Union[tuple(kept)] if kept else type(None)  # noqa: UP007


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(hint))
    options = typing.get_args(hint)
    if options and typing.get_origin(hint) is not tuple:
        return " or ".join(_describe(o) for o in options)
    if hint is type(None):
        return "None"
    return hint.__name__ if inspect.isclass(hint) and not options else str(hint)
