"""Puts a measured table into a document, between two comments that name it."""

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
