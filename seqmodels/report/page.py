"""The page: sections of charts and tables in one HTML file that asks for nothing else.

A policy in its head forbids every connection, and every script but the two that it holds, which
it knows by their hashes: a name that got past the escaping still could not run.
"""

import base64
import hashlib
import json
import re
import zlib
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple

from seqmodels.report import heat_map
from seqmodels.report.chart import to_chart
from seqmodels.report.figure import Choice, Figure, data_table
from seqmodels.report.findings import Finding, Part, in_order
from seqmodels.report.heat_map import HeatMap
from seqmodels.report.styles import Styles
from seqmodels.report.table import Recipe, Table, recipe_html, to_html
from seqmodels.report.values import UNITS

Drawn = Figure | Choice | HeatMap


class Section(NamedTuple):
    """A part of the page: what was found, the figures behind it under a heading, and tables."""

    name: str
    title: str
    text: str
    recipe: Recipe
    figures: list[Drawn]
    tables: list[Table]
    findings: list[Finding]


class Kept(NamedTuple):
    """What the page draws or opens when it is asked to, in few bytes until then."""

    charts: dict[str, Any]
    html: dict[str, str]
    """Captions, data and recipes, by the anchors of where they are shown."""

    def packed(self) -> str:
        text = json.dumps(self._asdict(), separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


PLOTLY = "vendored/plotly-basic.min.js"
LONG = 60
"""Rows from which on a table is packed too."""
SHOWN = 7
"""Findings that stand open; the others are behind a click."""


def to_page(
    sections: list[Section],
    overview: str,
    skipped: list[str],
    made_with: str,
    styles: Styles,
    reload: int | None = None,
) -> str:
    """The whole page: the answer, the pictures behind it, the evidence.

    Without JavaScript there are the findings, the heat map and all but long tables.

    Args:
      overview: what was read.
      skipped: a line for each thing that had to be left out.
      made_with: the command that makes it.
      reload: seconds after which it loads itself again, where nothing on it has been opened.
    """
    kept = Kept({}, {})
    scripts = {"plotly": _part(PLOTLY), "script": _part("page.js")}
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts.values())
    found = in_order([finding for section in sections for finding in section.findings])
    links = "".join(
        f'<li><a href="#{escape(section.name)}">{escape(section.title)}</a></li>'
        for section in sections
    )
    return Template(_part("page.html")).substitute(
        scripts,
        hashes=hashes,
        reload=f' data-reload="{reload}"' if reload else "",
        style=_part("page.css"),
        overview=escape(overview),
        findings=_findings(found, styles),
        skipped=_skipped(skipped),
        contents=links,
        sections="\n".join(_section(section, styles, kept) for section in sections),
        evidence="\n".join(_evidence(section, kept) for section in sections),
        kept=kept.packed(),
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


def _findings(found: list[Finding], styles: Styles) -> str:
    """What holds of all; the first in large letters, some below it, the rest behind a click."""
    told = [_finding(one, styles) for one in found if one.kind != "seeds"]
    lead = f'<p class="lead">{told[0]}</p>' if told else ""
    notices = dict.fromkeys(escape(one.text) for one in found if one.kind == "seeds")
    notice = "".join(f'<p class="caution">{text}</p>' for text in notices)
    items = [f"<li>{text}</li>" for text in told[1:]]
    shown, rest = "".join(items[: SHOWN - 1]), "".join(items[SHOWN - 1 :])
    more = len(items) - SHOWN + 1
    return (
        f"{notice}{lead}"
        + (f"<ul>{shown}</ul>" if shown else "")
        + (f"<details><summary>{more} more</summary><ul>{rest}</ul></details>" if rest else "")
        + ("" if told else "<p>Nothing has a score yet.</p>")
    )


def _finding(finding: Finding, styles: Styles) -> str:
    text = "".join(_words(part, styles) for part in finding.parts)
    if not finding.figure:
        return text
    about = f'<span class="unseen"> of: {escape(finding.text)}</span>'
    return f'{text} <a class="to" href="#{escape(finding.figure)}">figure{about}</a>'


_COUNTED = ("points", "positions", "times")
"""Words that sentences count in, beside the units of values."""
_TOGETHER = re.compile(rf"(?<=[0-9]) (?=(?:{'|'.join((*UNITS, *_COUNTED))})\b|±)|(?<=±) ")
"""The space between a number and its unit or its margin, which stand in one line."""


def _words(part: Part, styles: Styles) -> str:
    if isinstance(part, str):
        return _in_one_line(part)
    if not part.mixer:
        return f"<strong>{_in_one_line(part.text)}</strong>"
    style = styles[part.mixer]
    colours = f"--light:{style.light};--dark:{style.dark}"
    return f'<strong class="mixer" style="{colours}">{escape(part.text)}</strong>'


def _in_one_line(text: str) -> str:
    return _TOGETHER.sub("&nbsp;", escape(text))


def _section(section: Section, styles: Styles, kept: Kept) -> str:
    """A heading and the figures."""
    name = escape(section.name)
    figures = "".join(_drawn(figure, styles, kept) for figure in section.figures)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">'
        f"{escape(section.title)}</h2><p>{escape(section.text)}</p>"
        f'<div class="figures">{figures}</div></section>'
    )


def _evidence(section: Section, kept: Kept) -> str:
    """Where a section's numbers come from, and its tables."""
    origin = (
        f'<details class="origin"><summary>Where this comes from<span class="unseen">: '
        f"{escape(section.title)}</span></summary>{recipe_html(section.recipe)}</details>"
        if section.recipe
        else ""
    )
    tables = [_table(one, kept) for one in section.tables]
    if not (origin or tables):
        return ""
    return f"<h3>{escape(section.title)}</h3>{origin}{''.join(tables)}"


def _table(table: Table, kept: Kept) -> str:
    """The table, or of a long one the place into which it is put."""
    html = to_html(table, kept.html)
    if len(table.rows) <= LONG:
        return f'<div class="table">{html}</div>'
    key = f"long-{table.name}"
    kept.html[key] = html
    files = f"tables/{table.name}.csv, .md"
    return (
        f'<div class="table" data-kept="{escape(key)}"><p class="files">{escape(files)}</p></div>'
    )


def _drawn(drawn: Drawn, styles: Styles, kept: Kept) -> str:
    if isinstance(drawn, HeatMap):
        return heat_map.to_html(drawn, styles, kept.html)
    if isinstance(drawn, Figure):
        return _figure(drawn.name, drawn.title, drawn.wide, [drawn], "", kept)
    figures = [figure for _, figure in drawn.options]
    return _figure(drawn.name, drawn.title, drawn.wide, figures, _menus(drawn), kept)


def _menus(drawn: Choice) -> str:
    """A menu for each thing that is chosen, and what every choice of all of them shows."""
    made = []
    for place, menu in enumerate(drawn.menus):
        entries = dict.fromkeys(labels[place] for labels, _ in drawn.options)
        options = "".join(f"<option>{escape(entry)}</option>" for entry in entries)
        hidden = "" if len(entries) > 1 else " hidden"
        label = f"<label{hidden}><span>{escape(menu)}</span> <select>{options}</select></label>"
        made.append(label)
    options = [[list(labels), figure.name] for labels, figure in drawn.options]
    return f'<div class="menus" data-options="{escape(json.dumps(options))}">{"".join(made)}</div>'


def _figure(
    name: str, title: str, wide: bool, figures: list[Figure], menus: str, kept: Kept
) -> str:
    """The chart of the first figure; below it what it says, and its data as a table."""
    for figure in figures:
        kept.charts[figure.name] = to_chart(figure)
        kept.html[f"text-{figure.name}"] = escape(figure.description)
        table = to_html(data_table(figure), kept.html)
        files = f'<p class="files">figures/{escape(figure.name)}.csv, .md; {escape(name)}.png</p>'
        kept.html[f"data-{figure.name}"] = f"{table}{files}"
    first, name = figures[0], escape(name)
    others = "".join(
        f'<span id="{escape(figure.name)}" class="option"></span>'
        for figure in figures
        if menus and figure.name != name
    )
    return (
        f'<figure id="{name}"{" class=wide" if wide else ""}><h3 id="{name}-title">{escape(title)}'
        f'</h3>{menus}{others}<div class="chart" id="chart-{name}" role="img" '
        f'data-figure="{escape(first.name)}" aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-text"></div>'
        f'<figcaption id="{name}-text">{escape(first.description)}</figcaption>'
        f'<details class="data"><summary>Data<span class="unseen"> of {escape(title)}</span>'
        f"</summary><div></div></details></figure>"
    )
