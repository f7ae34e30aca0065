"""The page: sections of charts and tables in one HTML file that asks for nothing else.

A policy in its head forbids every connection, and every script but the two that it holds, which
it knows by their hashes: a name that got past the escaping still could not run.
"""

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from seqmodels.report.chart import to_plotly
from seqmodels.report.figure import Figure, data_table
from seqmodels.report.table import Recipe, Table, recipe_html, to_html


class Section(NamedTuple):
    """A part of the page, with a heading of its own."""

    name: str
    title: str
    text: str
    recipe: Recipe
    figures: list[Figure]
    tables: list[Table]


def to_page(sections: list[Section], overview: str, skipped: list[str], made_with: str) -> str:
    """The whole page: what was found, what left out, the sections, and what command made it."""
    from plotly.offline import get_plotlyjs

    scripts = {"plotly": get_plotlyjs(), "script": _part("page.js")}
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts.values())
    links = "".join(
        f'<li><a href="#{escape(section.name)}">{escape(section.title)}</a></li>'
        for section in sections
    )
    return Template(_part("page.html")).substitute(
        scripts,
        hashes=hashes,
        style=_part("page.css"),
        overview=escape(overview),
        skipped=_skipped(skipped),
        contents=links,
        sections="\n".join(_section(section) for section in sections),
        made_with=escape(made_with),
    )


def _part(name: str) -> str:
    return (files("seqmodels.report") / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _skipped(lines: list[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        '<section class="notice" aria-labelledby="skipped"><h2 id="skipped">Left out</h2>'
        f"<ul>{items}</ul></section>"
    )


def _section(section: Section) -> str:
    name = escape(section.name)
    figures = "".join(_figure(figure) for figure in section.figures)
    first, *rest = [f'<div class="table">{to_html(table)}</div>' for table in section.tables]
    origin = (
        f'<details class="origin"><summary>Where this comes from</summary>'
        f"{recipe_html(section.recipe)}</details>"
        if section.recipe
        else ""
    )
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{escape(section.title)}</h2><p>{escape(section.text)}</p>{origin}{first}"
        f'<div class="figures">{figures}</div>{"".join(rest)}</section>'
    )


def _figure(figure: Figure) -> str:
    """The chart; below it what it says, and its data as a table."""
    name = escape(figure.name)
    wide = ' class="wide"' if figure.wide else ""
    return (
        f'<figure{wide}><h3 id="{name}-title">{escape(figure.title)}</h3>'
        f'<div class="chart" id="chart-{name}" role="img" aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-text"></div>'
        f'<script type="application/json" id="data-{name}">{_embedded(to_plotly(figure))}</script>'
        f'<figcaption id="{name}-text">{escape(figure.description)}</figcaption>'
        f'<details><summary>Data<span class="unseen"> of {escape(figure.title)}</span></summary>'
        f"{to_html(data_table(figure))}"
        f'<p class="files">figures/{name}.png, .csv, .md</p></details></figure>'
    )


def _embedded(json_text: str) -> str:
    """JSON that can't end the script element that holds it."""
    return json_text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
