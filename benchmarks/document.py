"""Puts what was measured into a document: a table between two comments that name it, or a line."""

from collections.abc import Sequence
from pathlib import Path

from seqmodels.errors import UserError


def replace_table(document: str, name: str, text: str) -> None:
    """Replaces what stands between ``<!-- name -->`` and ``<!-- end of name -->``."""
    file = Path(document)
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    try:
        before, _, rest = file.read_text().partition(begin)
        _, found, after = rest.partition(end)
    except OSError as error:
        raise UserError(f"{document}: {error.strerror}") from None
    if not found:
        raise UserError(f"{document} has no lines {begin.strip()} and {end}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def set_line(document: str, order: Sequence[str], begin: str, line: str) -> None:
    """Puts a line in the place of the one that begins so, else after those that come before it.

    Args:
      document: the Markdown file.
      order: how the lines of its list or table begin, in their order.
      begin: one of them.
      line: what stands there then.
    """
    lines = Path(document).read_text().splitlines()
    places = {
        other: place
        for place, text in enumerate(lines)
        for other in order
        if text.startswith(other)
    }
    if begin in places:
        lines[places[begin]] = line
    else:
        before = [places[other] for other in order[: order.index(begin)] if other in places]
        lines.insert(max(before, default=min(places.values()) - 1) + 1, line)
    Path(document).write_text("\n".join(lines) + "\n")
