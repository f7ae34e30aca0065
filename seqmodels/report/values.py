"""Numbers and names as a report shows them."""

import hashlib
import math
import os
import re
from typing import Any, Literal

from seqmodels.drawing import Number
from seqmodels.secrets import without_secrets

Kind = Literal["text", "number", "score", "count", "seconds", "bytes", "flops", "state", "links"]
"""How the values of a column or an axis are written."""

_SECONDS = ((1e-6, "ns", 1e-9), (1e-3, "µs", 1e-6), (1.0, "ms", 1e-3))
_THOUSANDS = ("", "K", "M", "G", "T", "P", "E")
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
UNITS = (
    *(unit for _, unit, _ in _SECONDS),
    "s",
    *_BYTES,
    *(f"{thousands}FLOPs" for thousands in _THOUSANDS),
)
"""What :func:`shown` writes behind a number and a space."""


def number(value: Any) -> Number | None:
    """The value where it is a finite number; None for anything else that a file may hold."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def shown(value: Any, kind: Kind, more: int = 0) -> str:
    """A value for a reader, with so many digits more than usual.

    >>> shown(0.98666, "number"), shown(104170, "count"), shown(None, "seconds")
    ('0.9867', '104,170', '')
    >>> shown(0.0031, "seconds"), shown(93.4, "seconds"), shown(3 * 2**30, "bytes")
    ('3.1 ms', '93.4 s', '3 GiB')
    >>> shown(1.92e10, "flops"), shown(0.5, "score")
    ('19.2 GFLOPs', '0.5000')
    """
    if value is None:
        return ""
    finite = number(value)
    if finite is None:
        return str(value)
    if kind == "seconds":
        return _shown_seconds(finite, more)
    if kind == "bytes":
        power = min(int(math.log2(finite) // 10), len(_BYTES) - 1) if finite >= 1 else 0
        return f"{finite / 1024**power:.{4 + more}g} {_BYTES[power]}"
    if kind == "flops":
        power = min(int(math.log10(finite) // 3), len(_THOUSANDS) - 1) if finite >= 1 else 0
        return f"{finite / 1000**power:.{4 + more}g} {_THOUSANDS[power]}FLOPs"
    if kind == "score" and abs(finite) < 10:  # one below the other, their points meet
        return f"{finite:.4f}"
    return _plain(finite, more)


def _plain(value: Number, more: int = 0) -> str:
    """Four digits, and all of a whole number.

    >>> _plain(1234567), _plain(1234.56), _plain(2.5e12), _plain(3e-05)
    ('1,234,567', '1,235', '2.5e+12', '3e-05')
    """
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.{4 + more}g}"
    return f"{value:,.{more}f}" if 1000 <= abs(value) < 1e9 else f"{value:.{4 + more}g}"


def _shown_seconds(seconds: Number, more: int) -> str:
    for below, unit, size in _SECONDS:
        if abs(seconds) < below:
            return f"{seconds / size:.{3 + more}g} {unit}"
    return f"{seconds:.{3 + more}g} s" if seconds < 1000 else f"{seconds:,.{more}f} s"


def readable(name: str | os.PathLike[str]) -> str:
    """A name that can be shown: one of bytes that are not UTF-8 has �, a URL no password.

    >>> readable("a\\udcffb"), readable("postgresql://me:secret@host/x")
    ('a�b', 'postgresql://me:***@host/x')
    """
    return without_secrets(os.fsencode(name).decode("utf-8", "replace"))


def brief(text: str) -> str:
    """A text with at most 64 letters, for a legend.

    >>> len(brief("x" * 100)), brief("lstm")
    (64, 'lstm')
    """
    return text if len(text) <= 64 else f"{text[:63]}…"


def slug(*names: Any) -> str:
    """Names as a part of a file's name or of an anchor: letters a to z, digits and hyphens.

    One that is too long ends in a hash of all of it.

    >>> slug("sweeps/Recall", "score <by> length")
    'sweeps-recall-score-by-length'
    """
    text = " ".join(str(name) for name in names).lower()
    short = re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "unnamed"
    if len(short) <= 80:
        return short
    return f"{short[:71]}-{hashlib.sha256(short.encode()).hexdigest()[:8]}"
