"""The keys of a scaling config, checked before anything is measured."""

from typing import NamedTuple

from seqmodels.config import Section, construct
from seqmodels.errors import ConfigError, nearest, require
from seqmodels.scaling.programs import SCALED, language_model, model_section


class Limits(NamedTuple):
    """Of one cell."""

    memory_gib: float
    seconds: float


class Quality(NamedTuple):
    """What a cell is trained for; the keys of a config's ``quality`` section."""

    steps: int
    batch_size: int
    learning_rate: float
    examples: int
    longest: int
    seconds: float


class Settings(NamedTuple):
    """The keys of a scaling config."""

    mixers: tuple[str, ...]
    lengths: tuple[int, ...]
    width: int
    depth: int
    dtype: str
    batch_size: int
    repeats: int
    from_length: int
    limits: Limits
    quality: Quality


def read_settings(config: Section) -> Settings:
    """Checks every key of a scaling config.

    Raises:
      ConfigError: one line that names the key, its value and what is allowed.
    """
    return construct(_settings, config, "config")


def _settings(
    mixers: tuple[str, ...],
    lengths: tuple[int, ...],
    width: int,
    depth: int,
    dtype: str,
    batch_size: int,
    repeats: int,
    from_length: int,
    limits: Section,
    quality: Section,
) -> Settings:
    require(len(mixers) > 0, f"mixers=() names none; known: {', '.join(SCALED)}")
    for mixer in mixers:
        require(mixer in SCALED, f"mixers: {mixer!r} can't be scaled; {nearest(mixer, SCALED)}")
    require(len(lengths) > 0, "lengths=() names none; such as (256, 512, 1024)")
    for name, values in (("mixers", mixers), ("lengths", lengths)):
        require(len(set(values)) == len(values), f"{name}={values} names one twice")
    require(min(lengths) >= 1, f"lengths={lengths}: {min(lengths)} is below 1")
    sizes = {
        "width": width,
        "depth": depth,
        "batch_size": batch_size,
        "repeats": repeats,
        "from_length": from_length,
    }
    for name, value in sizes.items():
        require(value >= 1, f"{name}={value} is below 1")
    dtypes = ("float32", "bfloat16")
    require(dtype in dtypes, f"dtype={dtype!r} is not one of {', '.join(dtypes)}")
    for mixer in mixers:
        try:
            language_model(model_section(mixer, width, depth, dtype), max(lengths), batch_size)
        except ConfigError as error:
            raise ConfigError(
                f"config: {mixer} of width={width} and depth={depth}: {error}"
            ) from None
    return Settings(
        tuple(mixers),
        tuple(sorted(lengths)),
        width,
        depth,
        dtype,
        batch_size,
        repeats,
        from_length,
        construct(_limits, limits, "limits"),
        construct(_quality, quality, "quality"),
    )


def _limits(memory_gib: float, seconds: float) -> Limits:
    require(memory_gib > 0, f"memory_gib={memory_gib} is not above 0")
    require(seconds > 0, f"seconds={seconds} is not above 0")
    return Limits(memory_gib, seconds)


def _quality(
    steps: int, batch_size: int, learning_rate: float, examples: int, longest: int, seconds: float
) -> Quality:
    settings = Quality(steps, batch_size, learning_rate, examples, longest, seconds)
    for name, value in settings._asdict().items():
        require(value > 0, f"{name}={value} is not above 0")
    return settings
