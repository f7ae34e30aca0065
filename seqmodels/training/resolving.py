"""A config with every key of its schema: what it leaves out has its default.

The schema of a section is the signature of what it makes.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from ml_collections import ConfigDict

from seqmodels.block import BlockSettings
from seqmodels.config import Loaded, Section, load_config
from seqmodels.config_files import DECIDED
from seqmodels.earlier import Before, renew
from seqmodels.encoder_decoder import EncoderDecoderSettings
from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS
from seqmodels.model import SequenceSettings
from seqmodels.stack_settings import StackSettings
from seqmodels.tasks import TASKS
from seqmodels.tasks.files.finding import is_there
from seqmodels.training.experiment import Settings, TrainSettings
from seqmodels.training.mesh import MeshSettings
from seqmodels.training.optimizer import OPTIMIZERS, USUAL
from seqmodels.training.schedules import SCHEDULES

_Made = tuple[Callable[..., Any], ConfigDict, Any, Collection[str]]


def resolved(config: Section, stored: Section | None = None) -> ConfigDict:
    """A config in which each key stands, without what a run decided by itself.

    What is no part of a config stays as it is.

    Args:
      config: the config; it stays as it is.
      stored: that of the folder of its run, if it has one. A key that it lacks came with a later
        version than the one that began the run, and has the value that leaves the run as it was
        (:class:`~seqmodels.earlier.Before`), whatever a config file of today says. A config that
        was read from a run's folder is its own.

    Raises:
      ConfigError: a key that no config can have.
    """
    try:
        given: Any = config
        whole = ConfigDict(given).copy_and_resolve_references()
    except (ValueError, AttributeError) as error:  # a key with a dot, or a name of its own
        raise ConfigError(str(error)) from None
    with whole.unlocked(), whole.ignore_type():
        renew(whole)
        if DECIDED in whole:
            stored = config if stored is None else stored
            del whole[DECIDED]
        for made in _sections(whole, stored):
            _fill(*made)
    return whole.lock()


def without_defaults(whole: ConfigDict) -> ConfigDict:
    """What a config with every key says beyond what it would be without: versions of more keys
    say the same.
    """
    bare: Any = whole.copy_and_resolve_references()
    with bare.unlocked(), bare.ignore_type():
        for function, section, _, given in reversed([*_sections(bare, None)]):  # inner ones first
            for name, default, before in _defaults(function):
                absent = default if before is None else before.value
                value = section.get(name, absent) if name not in given else None
                value = value.to_dict() if isinstance(value, ConfigDict) else value
                if name in section and name not in given and value == absent:
                    del section[name]
    return bare.lock()


def load_whole(spec: str, overrides: Iterable[tuple[str, str]] = ()) -> Loaded:
    """As :func:`~seqmodels.config.load_config`, with every key; each of them may be set."""
    config, origin = load_config(spec, overrides, settable)
    return Loaded(resolved(config), origin)


def read_config(spec: str, overrides: Mapping[str, Any] | None = None) -> ConfigDict:
    """A config as commands read it, with every key, for programs and notebooks.

    ``read_config("recall:mixer=gru", {"train.steps": 200})``

    Raises:
      ConfigError: as :func:`~seqmodels.config.load_config`.
    """
    return load_whole(spec, [(key, str(value)) for key, value in (overrides or {}).items()]).config


def settable(config: Section, key: str) -> ConfigDict:
    """As :func:`resolved`; on the way to a key also what a config says of blocks by their names.

    There each name of a mixer has all settings of a block, those of the model where it has none.
    """
    whole = resolved(config)
    if "blocks" in key.split(".")[:-1]:
        model, _ = _part("model", whole, None)
        with whole.unlocked(), whole.ignore_type():
            stacks = ("encoder", "decoder") if "decoder" in (model or ()) else ()
            for stack in [_part(name, model, None)[0] for name in stacks] or [model]:
                _open_blocks(stack, model)
    return whole


def _open_blocks(stack: Any, model: Any) -> None:
    mixers, _ = _part("mixers", stack, None)
    if not isinstance(mixers, ConfigDict):
        return
    if stack.blocks is None:
        stack.blocks = ConfigDict()
    shared = {field.name: model[field.name] for field in fields(BlockSettings)}
    for name in mixers if isinstance(stack.blocks, ConfigDict) else ():
        own = stack.blocks[name] if name in stack.blocks else ConfigDict()
        if isinstance(own, ConfigDict):
            stack.blocks[name] = ConfigDict(shared | dict(own.items()))


def located(
    config: ConfigDict, stored: Section | None, facts: Mapping[str, Any] | None
) -> ConfigDict:
    """A config whose task reads its files where the run read them, from whatever folder.

    What isn't there any more is looked for as the config says it, from here.

    Args:
      config: the config; it stays as it is.
      stored: that of the run's folder; a setting that it has otherwise is left as it is.
      facts: what the run noted.
    """
    places = (facts or {}).get("places", {})
    before, now = _task(stored or {}), _task(config)
    found: Any = config.copy_and_resolve_references()
    for name, place in places.items():
        if now and before.get(name) == now.get(name) and is_there(place):
            with found.unlocked(), found.ignore_type():
                found.task[name] = place
    return found.lock()


def _task(stored: Section) -> dict[str, Any]:
    task: Any = stored.get("task")
    return dict(task.items()) if isinstance(task, Mapping | ConfigDict) else {}


def _part(name: str, config: Any, stored: Any) -> tuple[Any, Any]:
    """A section of two configs; of the second one ``{}`` where it has none, None without it."""
    found = stored.get(name) if isinstance(stored, Mapping | ConfigDict) else None
    old = found if isinstance(found, Mapping | ConfigDict) or stored is None else {}
    return config.get(name) if isinstance(config, ConfigDict) else None, old


def _sections(whole: ConfigDict, stored: Any) -> Iterator[_Made]:
    """Each section with what it makes, itself, what is stored of it, and what code gives to that.

    A section's keys may say what the next one is of: fill each before the next.
    """
    yield Settings, whole, stored, ()
    yield from _of_kind(TASKS, *_part("task", whole, stored), given=("seed",))
    optimizer, before = _part("optimizer", whole, stored)
    if isinstance(optimizer, ConfigDict) and "kind" not in optimizer:
        optimizer.kind = USUAL
    yield from _of_kind(OPTIMIZERS, optimizer, before, given=())
    yield from _of_kind(SCHEDULES, *_part("schedule", optimizer, before), given=())
    train, before = _part("train", whole, stored)
    if isinstance(train, ConfigDict):
        yield TrainSettings, train, before, ()
    mesh, before = _part("mesh", whole, stored)
    if isinstance(mesh, ConfigDict):
        yield MeshSettings, mesh, before, ()
    yield from _of_model(*_part("model", whole, stored))


def _of_model(model: Any, stored: Any) -> Iterator[_Made]:
    if not isinstance(model, ConfigDict):
        return
    yield EncoderDecoderSettings if "decoder" in model else SequenceSettings, model, stored, ()
    stacks = [_part(name, model, stored) for name in ("encoder", "decoder")]
    for stack, old in stacks:
        if isinstance(stack, ConfigDict):
            yield StackSettings, stack, old, ()
    for stack, old in ((model, stored), *stacks):
        mixers, before = _part("mixers", stack, old)
        for name in mixers if isinstance(mixers, ConfigDict) else ():
            yield from _of_mixer(*_part(name, mixers, before))


def _of_mixer(mixer: Any, stored: Any) -> Iterator[_Made]:
    """A mixer, and what is a mixer among its settings."""
    yield from _of_kind(MIXERS, mixer, stored, given=("width", "short"))
    for name in list(mixer) if isinstance(mixer, ConfigDict) else ():
        if isinstance(mixer[name], ConfigDict):
            yield from _of_mixer(*_part(name, mixer, stored))


def _of_kind(
    table: Mapping[str, Callable[..., Any]], section: Any, stored: Any, given: Collection[str]
) -> Iterator[_Made]:
    kind: Any = section.get("kind") if isinstance(section, ConfigDict) else None
    if isinstance(kind, str) and kind in table:
        yield table[kind], section, stored, given


def _fill(
    function: Callable[..., Any], section: ConfigDict, stored: Any, given: Collection[str]
) -> None:
    """Adds to a section the keys that what it makes has besides those that code gives to it."""
    for name, default, before in _defaults(function):
        if name in given:
            continue
        if before is not None and stored is not None and name not in stored:
            section[name] = before.value
        elif name not in section:
            section[name] = ConfigDict(dict(default)) if isinstance(default, Mapping) else default


@cache
def _defaults(function: Callable[..., Any]) -> list[tuple[str, Any, Before | None]]:
    """Of each setting that a config may leave out the name, the default, and what it was before."""
    target = function.__init__ if inspect.isclass(function) else function
    hints = get_type_hints(target, include_extras=True)
    return [
        (name, p.default, next((e for e in get_args(hints[name]) if isinstance(e, Before)), None))
        for name, p in inspect.signature(target).parameters.items()
        if (p.kind is not p.KEYWORD_ONLY or is_dataclass(function))  # others are given by code
        and p.default is not p.empty
    ]
