"""Pictures by matplotlib: text as it stands, and files that are whole or absent."""

import os
import warnings
from pathlib import Path
from typing import Any


def new_figure(width: float, height: float, title: str) -> Any:
    """A figure of so many inches, with a title."""
    from matplotlib.figure import Figure  # here, because the import takes a second

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    figure.suptitle(literal(title), fontsize=10)
    return figure


def literal(text: str) -> str:
    """Text that matplotlib takes for no formula and no hidden label.

    >>> literal("$NAME of_x^"), literal("_hidden")
    ('\\\\$NAME of_x^', ' _hidden')
    """
    plain = "".join(c if c.isprintable() or c == "\n" else " " for c in text).replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain


def save(figure: Any, path: Path) -> None:
    """Writes a figure as a PNG, wholly or not at all.

    Raises:
      OSError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with warnings.catch_warnings():  # text may have letters that the font lacks: boxes then
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.savefig(temporary, format="png")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
