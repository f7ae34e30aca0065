"""The errors that a user can mend, and the names that were probably meant.

Everything raised here reaches the terminal as one line without a traceback
(:func:`seqmodels.cli.run`): what, its value, what is allowed, what to do.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from seqmodels.secrets import without_secrets

LONGEST = 2000
"""Letters of a message."""


class UserError(Exception):
    """A mistake that the user can mend; the message says how. Exit code 2.

    The message is one line of what can be printed, whatever names and files it cites; passwords
    are left out, and the middle of one of more than LONGEST letters.

    >>> print(UserError("model.a\\nb=1 is never read with --storage=postgresql://me:secret@host/x"))
    model.a\\nb=1 is never read with --storage=postgresql://me:***@host/x
    """

    exit_code = 2

    def __str__(self) -> str:
        said = without_secrets(super().__str__())
        said = "".join(c if c.isprintable() else repr(c)[1:-1] for c in said)
        if len(said) <= LONGEST:
            return said
        return f"{said[: LONGEST // 2]} … {said[3 - LONGEST // 2 :]}"

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: a notebook has it in one line, as a terminal does."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(UserError, ValueError):
    """A config key or value that can't be used; the message begins with the key's full path."""


class ParameterError(UserError, ValueError):
    """A constructor's argument that can't be used; the message begins with its name and value.

    :func:`seqmodels.config.construct` puts the config path in front of it.
    """


class CheckpointError(UserError):
    """A checkpoint that is missing or can't be read."""


class DivergedError(UserError):
    """The loss or the gradient stopped being finite. Exit code 3."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which of the known names was probably meant, and lists them all.

    >>> nearest("lstn", ["gru", "lstm"])
    "did you mean 'lstm'? (known: gru, lstm)"
    >>> nearest("x", ["gru", "lstm"])
    'known: gru, lstm'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    listing = "known: " + (", ".join(names) or "none")
    return f"did you mean {close[0]!r}? ({listing})" if close else listing


def require(condition: bool, message: str) -> None:
    """Raises :class:`ParameterError` with the message unless the condition holds."""
    if not condition:
        raise ParameterError(message)


@contextmanager
def under(path: str) -> Iterator[None]:
    """Puts a config's path in front of what a constructor refuses, where the path is known.

    >>> with under("model"):
    ...     require(False, "width=0 is below 1")
    Traceback (most recent call last):
    seqmodels.errors.ConfigError: model.width=0 is below 1
    """
    try:
        yield
    except ParameterError as error:
        raise ConfigError(f"{path}.{error}") from None


def require_least(least: int | float, **settings: int | float | None) -> None:
    """Refuses settings below a number; one that is None is not looked at.

    >>> require_least(1, heads=4, window=None, depth=0)
    Traceback (most recent call last):
    seqmodels.errors.ParameterError: depth=0 is below 1
    """
    for name, value in settings.items():
        require(value is None or value >= least, f"{name}={value} is below {least}")


def require_seed(seed: int) -> None:
    """Refuses a seed that ``jax.random.key`` doesn't take, or doesn't tell from another one.

    Those are 32 bits without 64-bit types.
    """
    require(0 <= seed < 2**32, f"seed={seed} is not at least 0 and below 2**32")


def require_with(
    value: Any, wanted: bool, name: str, owner: str, wanted_if_missing: bool = True
) -> None:
    """Refuses a setting that is missing where it is needed, or that nothing would read."""
    require(wanted or value is None, f"{name}={value!r} is never read with {owner}; leave it None")
    if wanted_if_missing:
        require(not wanted or value is not None, f"{name}=None; {owner} needs it")
