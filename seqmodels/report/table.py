"""A table of a report: for the page, as CSV and as Markdown."""

import re
from html import escape
from typing import Any, NamedTuple

from seqmodels.csv_files import csv_text
from seqmodels.report.values import Kind, shown

Recipe = list[tuple[str, str]]
"""What a number was made with: headings, each with its text."""


class Column(NamedTuple):
    """A column: its heading, and how its values are written."""

    title: str
    kind: Kind = "text"


class Row(NamedTuple):
    """A row: a value a column; where its numbers come from, and where links to it lead."""

    values: tuple[Any, ...]
    recipe: Recipe | None = None
    anchor: str | None = None


class Link(NamedTuple):
    """A word that leads to an anchor of the page."""

    text: str
    anchor: str


class Table(NamedTuple):
    """A table. ``name`` is that of its files, of letters, digits and hyphens."""

    name: str
    title: str
    caption: str
    columns: list[Column]
    rows: list[Row]


def to_csv(table: Table) -> str:
    """Values in full, a line a row; a text can't become a formula of a spreadsheet's.

    >>> print(to_csv(Table("t", "", "", [Column("a"), Column("b")], [Row(("=1+1", -2.5))])), end="")
    a,b
    '=1+1,-2.5
    """
    titles = [column.title for column in table.columns]
    rows = (
        [v if isinstance(v, int | float | None) else _text(v) for v in r.values] for r in table.rows
    )
    return csv_text(titles, rows)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(link.text if isinstance(link, Link) else str(link) for link in value)
    return str(value)


def to_markdown(table: Table) -> str:
    """Values as shown, under the title.

    >>> print(to_markdown(Table("t", "T", "Why.", [Column("a", "number")], [Row((0.5,))])), end="")
    ### T
    <BLANKLINE>
    Why.
    <BLANKLINE>
    | a |
    |---:|
    | 0.5 |
    """
    columns = table.columns
    lines = [f"### {_markdown(table.title)}", "", _markdown(table.caption), ""]
    lines.append("".join(f"| {_markdown(c.title)} " for c in columns) + "|")
    lines.append("".join("|---" if _is_words(c.kind) else "|---:" for c in columns) + "|")
    for row in table.rows:
        cells = zip(columns, row.values, strict=True)
        words = [
            _text(v) if _is_words(c.kind) and v is not None else shown(v, c.kind) for c, v in cells
        ]
        lines.append("".join(f"| {_markdown(word)} " for word in words) + "|")
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    """Text that Markdown takes for nothing else.

    >>> print(_markdown("a|b *c* <d>"))
    a\\|b \\*c\\* &lt;d&gt;
    """
    text = re.sub(r"([\\`*_\[\]|#~!])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_words(kind: Kind) -> bool:
    return kind in ("text", "state", "links")


def to_html(table: Table, kept: dict[str, str]) -> str:
    """The table as it stands on the page: each row a body of its own, with room for its recipe.

    The recipes are put into ``kept``, by the anchors of where they open.
    """
    has_recipes = any(row.recipe for row in table.rows)
    width = len(table.columns) + has_recipes
    heads = "".join(_html_head(column) for column in table.columns)
    if has_recipes:
        heads += '<th scope="col">recipe</th>'
    bodies = "".join(
        _html_row(row, table.columns, f"{table.name}-{place}", width if has_recipes else 0, kept)
        for place, row in enumerate(table.rows)
    )
    name = escape(table.name)
    filter_ = (
        f'<div class="filter"><label for="filter-{name}">Filter rows</label>'
        f'<input type="search" id="filter-{name}" data-table="table-{name}" autocomplete="off" '
        f'spellcheck="false" placeholder="words, all of which a row must hold">'
        f'<output for="filter-{name}">{len(table.rows):,} rows</output></div>'
        if len(table.rows) > 1
        else ""
    )
    return (
        f'{filter_}<div class="scroll" role="region" tabindex="0" aria-labelledby="caption-{name}">'
        f'<table id="table-{name}"><caption id="caption-{name}"><span><strong>'
        f"{escape(table.title)}</strong> {escape(table.caption)}</span></caption>"
        f"<thead><tr>{heads}</tr></thead>{bodies}</table></div>"
    )


def _html_head(column: Column) -> str:
    side = "" if _is_words(column.kind) else ' class="number"'
    return (
        f'<th scope="col" aria-sort="none"{side}><button type="button">{escape(column.title)}'
        f'<span class="arrow" aria-hidden="true"></span></button></th>'
    )


def _html_row(row: Row, columns: list[Column], name: str, width: int, kept: dict[str, str]) -> str:
    cells = "".join(
        _html_cell(column, value, first=place == 0)
        for place, (column, value) in enumerate(zip(columns, row.values, strict=True))
    )
    anchor = f' id="{escape(row.anchor)}"' if row.anchor else ""
    if not width:
        return f"<tbody{anchor}><tr>{cells}</tr></tbody>"
    if row.recipe is None:
        return f"<tbody{anchor}><tr>{cells}<td></td></tr></tbody>"
    id_ = f"recipe-{escape(name)}"
    button = (
        f'<button type="button" class="open" aria-expanded="false" aria-controls="{id_}">'
        f'show<span class="unseen"> the recipe of {escape(_text(row.values[0]))}</span></button>'
    )
    kept[id_] = recipe_html(row.recipe)
    return (
        f"<tbody{anchor}><tr>{cells}<td>{button}</td></tr>"
        f'<tr class="recipe" id="{id_}" hidden><td colspan="{width}"></td></tr></tbody>'
    )


def _html_cell(column: Column, value: Any, first: bool) -> str:
    tag, end = ('th scope="row"', "th") if first else ("td", "td")
    if column.kind == "state":
        badges = "".join(_badge(str(word)) for word in value or ())
        return f"<{tag}>{badges}</{end}>"
    if column.kind == "links":
        links = ", ".join(
            f'<a href="#{escape(link.anchor)}">{escape(link.text)}</a>' for link in value or ()
        )
        return f"<{tag}>{links}</{end}>"
    if column.kind == "text":
        return f"<{tag}>{escape('' if value is None else _text(value))}</{end}>"
    told = shown(value, column.kind)
    sorted_by = f"{value:.9g}" if isinstance(value, float) else str(value)
    order = "" if value is None or sorted_by == told else f' data-value="{escape(sorted_by)}"'
    return f'<{tag} class="number"{order}>{escape(told)}</{end}>'


_LOOKS = {
    "finished": "good",
    "measured": "good",
    "trained": "good",
    "compiled": "good",
    "failed": "bad",
    "pruned": "neutral",
    "other": "other",
}


def _badge(text: str) -> str:
    look = _LOOKS.get(text.split(" ")[0].rstrip(":"), "waiting")
    return f'<span class="badge {look}">{escape(text)}</span> '


def recipe_html(recipe: Recipe) -> str:
    """Headings and texts, each as it was."""
    return (
        '<dl class="recipe-list">'
        + "".join(f"<dt>{escape(k)}</dt><dd><pre>{escape(v)}</pre></dd>" for k, v in recipe)
        + "</dl>"
    )
