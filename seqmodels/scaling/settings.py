"""The keys of a scaling config, checked before anything is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ml_collections import ConfigDict

from seqmodels.config import Section, construct
from seqmodels.errors import ConfigError, nearest, require, require_least
from seqmodels.presets import PRESETS
from seqmodels.scaling.programs import FORMS, language_model, model_section


def _require_positive(settings: Any) -> None:
    for field in fields(settings):
        value = getattr(settings, field.name)
        require(value > 0, f"{field.name}={value} is not above 0")


@dataclass(frozen=True)
class Limits:
    """Of one cell; the keys of a config's ``limits`` section."""

    memory_gib: float
    seconds: float

    def __post_init__(self):
        _require_positive(self)


@dataclass(frozen=True)
class Quality:
    """What a cell is trained for; the keys of a config's ``quality`` section."""

    steps: int
    batch_size: int
    learning_rate: float
    examples: int
    longest: int
    seconds: float

    def __post_init__(self):
        _require_positive(self)


@dataclass(frozen=True)
class Settings:
    """The keys of a scaling config."""

    mixers: tuple[str, ...]
    """Presets, or names of :data:`~seqmodels.scaling.programs.FORMS`."""
    lengths: tuple[int, ...]
    width: int
    depth: int
    dtype: Literal["float32", "bfloat16"]
    batch_size: int
    repeats: int
    from_length: int
    limits: Limits
    quality: Quality
    tokens: int = 0
    """Of a step on each device, whose batch is then ``tokens / length``; 0 keeps batch_size."""

    def __post_init__(self):
        require(len(self.mixers) > 0, f"mixers=() names none; known: {', '.join(PRESETS)}")
        require(len(self.lengths) > 0, "lengths=() names none; such as (256, 512, 1024)")
        for name in ("mixers", "lengths"):
            values = getattr(self, name)
            require(len(set(values)) == len(values), f"{name}={values} names one twice")
        shortest = min(self.lengths)
        require(shortest >= 1, f"lengths={self.lengths}: {shortest} is below 1")
        counts = ("width", "depth", "batch_size", "repeats", "from_length")
        require_least(1, **{name: getattr(self, name) for name in counts})
        require_least(0, tokens=self.tokens)
        odd = [length for length in self.lengths if self.tokens % length]
        require(
            not odd,
            f"tokens={self.tokens} is no multiple of the length {odd[:1]}; take one of all "
            "lengths, such as the longest, or 0 to keep batch_size",
        )
        names = (*PRESETS, *FORMS)
        for mixer in self.mixers:
            require(mixer in names, f"mixers: {mixer!r} can't be scaled; {nearest(mixer, names)}")
            try:
                section = model_section(
                    mixer, self.width, self.depth, self.dtype, max(self.lengths)
                )
                language_model(section, max(self.lengths), self.batch_size)
            except ConfigError as error:
                raise ConfigError(
                    f"config: {mixer} of width={self.width} and depth={self.depth}: {error}"
                ) from None

    def batch_at(self, length: int) -> int:
        """Sequences of a step on each device."""
        return self.tokens // length if self.tokens else self.batch_size


_SECTIONS = {"limits": Limits, "quality": Quality}


def read_settings(config: Section) -> Settings:
    """Checks every key of a scaling config; its lengths are put in order.

    Raises:
      ConfigError: one line that names the key, its value and what is allowed.
    """
    rest: dict[str, Any] = dict(config.items())
    found = {
        name: construct(kind, rest.pop(name), name)
        for name, kind in _SECTIONS.items()
        if isinstance(rest.get(name), Mapping | ConfigDict)
    }
    settings = construct(Settings, rest, "config", **found)
    return replace(settings, lengths=tuple(sorted(settings.lengths)))
