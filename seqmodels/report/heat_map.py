"""A heat map of mixers by tasks and lengths, with the numbers in it; each leads to its runs."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from seqmodels.report.comparison import Comparison, Contender, links
from seqmodels.report.findings import chance_of, mean_of, place, scored, spread
from seqmodels.report.recipes import run_recipe
from seqmodels.report.styles import Styles
from seqmodels.report.table import Column, Link, Recipe, Row, Table, recipe_html
from seqmodels.report.values import Number, number

SHORT = 20
"""Letters of a name that stand in one line."""


class Cell(NamedTuple):
    """A score, where it lies between guessing (0) and the best of its column (1), and its runs."""

    value: Number
    shade: float
    text: str
    told: str
    """In a sentence, with its interval."""
    runs: tuple[Link, ...]
    recipe: Recipe
    """Of the first of its runs."""


class HeatMap(NamedTuple):
    """``name`` is that of its files; a column is a task and what else is held the same."""

    name: str
    title: str
    description: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Cell | None]]]


def heat_map(comparisons: Sequence[Comparison]) -> HeatMap | None:
    """Everything that was compared; None of fewer than two mixers or two columns."""
    columns: list[tuple[str, str]] = []
    found: dict[str, dict[int, Cell]] = {}
    several = len({(one.title, one.kind) for one in comparisons if one.kind == "sweep"}) > 1
    for comparison in comparisons:
        for setting, groups in comparison.settings():
            scored_ = [group for group in groups if group.test.values]
            if not scored_:
                continue
            task = scored_[0].task
            if several and comparison.kind == "sweep" and comparison.title != task:
                task = f"{comparison.title}: {task}"
            rest = place(scored_[0]).removeprefix(scored_[0].task).removeprefix(" at ").strip(", ")
            columns.append((task, rest or setting.text))
            for group, cell in zip(scored_, _cells(comparison, scored_), strict=True):
                found.setdefault(group.label, {})[len(columns) - 1] = cell
    if len(columns) < 2 or len(found) < 2:
        return None
    order = sorted(range(len(columns)), key=lambda n: [c[0] for c in columns].index(columns[n][0]))

    def mean_shade(label: str) -> float:
        return sum(cell.shade for cell in found[label].values()) / len(columns)

    return HeatMap(
        "heat-map",
        "Score by mixer, task and length",
        "Means over seeds on test; in shares, per cent. Darker is nearer to the best of the "
        "column, white is guessing. A number opens its runs and how they were made.",
        [columns[place] for place in order],
        [
            (label, [found[label].get(place) for place in order])
            for label in sorted(found, key=lambda label: -mean_shade(label))
        ],
    )


def _cells(comparison: Comparison, groups: list[Contender]) -> list[Cell]:
    means = [mean_of(comparison, group) for group in groups]
    values, sign = [found.mean for found in means], comparison.sign
    best = max(values, key=lambda value: sign * value)
    worst = min(values, key=lambda value: sign * value)
    level = chance_of(groups)
    floor = worst if level is None or sign * level >= sign * best else level
    cells = []
    for group, found in zip(groups, means, strict=True):
        share = (found.mean - floor) / (best - floor) if best != floor else 1.0
        text = scored(found.mean, comparison.score)
        told = f"{group.label} on {place(group)}: {text} {comparison.what}"
        told += f" ({spread(found, comparison.score)})"
        runs = _links(comparison, group)
        recipe = run_recipe(group.runs[0]) if group.runs else []
        shade = min(max(share, 0.0), 1.0)
        cells.append(Cell(found.mean, shade, text.removesuffix("%"), told, runs, recipe))
    return cells


def _links(comparison: Comparison, group: Contender) -> tuple[Link, ...]:
    """To each run, with its score."""
    made = []
    for run, link in zip(group.runs, links(comparison, group.runs), strict=True):
        value = number((run.results or {"test": {}})["test"].get(comparison.score))
        told = "" if value is None else f": {scored(value, comparison.score)}"
        made.append(link._replace(text=f"{link.text}{told}"))
    return tuple(made)


def numbers(found: HeatMap) -> Table:
    """The heat map as a table."""
    columns = [Column("mixer"), *(Column(", ".join(c), "number") for c in found.columns)]
    rows = [
        Row((label, *(None if cell is None else cell.value for cell in cells)))
        for label, cells in found.rows
    ]
    return Table(found.name, found.title, found.description, columns, rows)


def to_html(found: HeatMap, styles: Styles, kept: dict[str, str]) -> str:
    """The map as a table of buttons; ``kept`` takes what each of them opens."""
    groups: list[list[Any]] = []
    for task, _ in found.columns:
        if groups and groups[-1][0] == task:
            groups[-1][1] += 1
        else:
            groups.append([task, 1])
    head = "".join(
        f'<th scope="colgroup" colspan="{count}">{escape(task)}</th>' for task, count in groups
    )
    below = "".join(f'<th scope="col">{escape(rest)}</th>' for _, rest in found.columns)
    rows = []
    for label, cells in found.rows:
        style = f"--light:{styles[label].light};--dark:{styles[label].dark}"
        fits = " short" if len(label) <= SHORT else ""
        name = f'<span class="mixer{fits}" style="{style}">{escape(label)}</span>'
        first = f'<th scope="row">{name}</th>'
        rows.append(f"<tr>{first}{''.join(_html_cell(found, c, kept) for c in cells)}</tr>")
    name = escape(found.name)
    return (
        f'<figure id="{name}" class="wide heat"><h3 id="{name}-title">{escape(found.title)}</h3>'
        f'<figcaption>{escape(found.description)}</figcaption><div class="scroll" tabindex="0" '
        f'role="region" aria-labelledby="{name}-title"><table><caption class="unseen">'
        f"{escape(found.title)}</caption>"
        f'<thead><tr><td rowspan="2"></td>{head}</tr><tr>{below}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><div class="opened" id="{name}-opened" '
        f'aria-live="polite"></div><p class="files">figures/{name}.png, .csv, .md</p></figure>'
    )


def _html_cell(found: HeatMap, cell: Cell | None, kept: dict[str, str]) -> str:
    if cell is None:
        return "<td></td>"
    key = f"{found.name}-{len(kept)}"
    links = ", ".join(f'<a href="#{escape(to.anchor)}">{escape(to.text)}</a>' for to in cell.runs)
    kept[key] = (
        f"<p><strong>{escape(cell.told)}</strong></p>"
        + (f"<p>Its runs: {links}. The first one's recipe:</p>" if links else "")
        + recipe_html(cell.recipe)
    )
    return (
        f'<td><button type="button" class="cell" data-key="{key}" aria-pressed="false" '
        f'aria-controls="{escape(found.name)}-opened" title="{escape(cell.told)}" '
        f'style="--shade:{round(100 * cell.shade)}%">{escape(cell.text)}</button></td>'
    )
