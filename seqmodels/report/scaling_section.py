"""What a report shows of a scaling experiment: costs by length, fits, crossovers, quality."""

from collections.abc import Sequence
from typing import Any

from seqmodels.report.cost_figure import with_front
from seqmodels.report.costs import MEASURES
from seqmodels.report.figure import Axis, Figure, Mark, Series, choice
from seqmodels.report.levels import with_levels
from seqmodels.report.page import Section
from seqmodels.report.reading import Content, Scaling
from seqmodels.report.recipes import scaling_recipe
from seqmodels.report.scaling_findings import scaling_findings
from seqmodels.report.scaling_modes import Mode
from seqmodels.report.scaling_tables import (
    QUANTITIES,
    cells_table,
    crossovers_table,
    fits_of,
    fits_table,
    longest_table,
    middle,
    quality_table,
    status,
)
from seqmodels.report.styles import Styles
from seqmodels.report.table import Table
from seqmodels.report.values import number, readable, slug
from seqmodels.scaling.files import DONE

_DRAWN = (
    "step_seconds",
    "forward_seconds",
    "decode_seconds",
    "roofline_seconds",
    "peak_bytes",
    "temporary_bytes",
    "state_bytes",
    "step_flops",
    "sent_bytes",
)


_PER_POSITION = ("step_seconds", "forward_seconds", "temporary_bytes", "step_flops")
COUNTED = ("a batch", "a position")
"""How costs are counted: of all that a step reads, or of each position of it."""
LEAST_RATIO = 1.05
"""From which on a line is said to cost more than the cheapest."""


def mixers(scaling: Scaling) -> list[str]:
    entries = [*scaling.content["cells"], *scaling.content["quality"]]
    return list(dict.fromkeys(readable(entry["mixer"]) for entry in entries))


def scaling_section(modes: Sequence[Mode], styles: Styles) -> Section:
    """The section of a scaling experiment, or of several that differ in their batches alone."""
    first, shown = modes[0], [dict[str, str]() for _ in modes]
    options = []
    for counted in COUNTED:
        for quantity in _DRAWN if counted == COUNTED[0] else _PER_POSITION:
            for mode, figures in zip(modes, shown, strict=True):
                figure = _against_length(mode, quantity, styles, counted)
                options.append(((QUANTITIES[quantity][0], counted, mode.batches), figure))
                if figure is not None:
                    figures.setdefault(quantity, figure.name)
    menus = ("cost of", "counted", "steps of")
    cost = choice(slug(first.name, "cost"), "Cost against length", menus, options)
    text = (
        f"{'; '.join(map(_cells, modes))}. "
        "Dashed: fitted power laws, where their intervals tell something; L^a in the legend is "
        "the exponent. At the end of a line: how many times the cheapest there."
    )
    quality = [figure for mode in modes for figure in _quality(mode, styles)]
    return Section(
        first.name,
        f"{' and '.join(mode.title for mode in modes)}: cost by length",
        text,
        [line for mode in modes for line in scaling_recipe(mode.scaling)],
        [*([cost] if cost is not None else []), *quality],
        [table for mode in modes for table in _tables(mode)],
        [
            finding
            for mode, figures in zip(modes, shown, strict=True)
            for finding in scaling_findings(mode.scaling.content, figures, mode.told)
        ],
    )


def _cells(mode: Mode) -> str:
    """How many there are, of which batches, and for what they were compiled."""
    content = mode.scaling.content
    cells, target, mesh = content["cells"], content["target"], content.get("mesh")
    counted = f"{len(cells)} cells of a mixer and a length"
    told = ", ".join(filter(None, [counted, mode.batches]))
    if not target:
        return told
    axes = f" ({readable(mesh)})" if mesh else ""
    return f"{told}, compiled ahead of time for {readable(target)}{axes}; nothing ran there"


def _tables(mode: Mode) -> list[Table]:
    name, content = mode.name, mode.scaling.content
    tables = [
        longest_table(name, content),
        crossovers_table(name, content),
        fits_table(name, content),
        quality_table(name, content),
        cells_table(name, mode.scaling),
    ]
    return [table._replace(title=mode.titled(table.title)) for table in tables if table is not None]


def _against_length(mode: Mode, quantity: str, styles: Styles, counted: str) -> Figure | None:
    content = mode.scaling.content
    title, kind = QUANTITIES[quantity]
    fits = {fit["mixer"]: fit for fit in fits_of(content) if fit["quantity"] == quantity}
    whole = counted == COUNTED[0]
    lines: list[tuple[str, list[Mark]]] = []
    for mixer in dict.fromkeys(cell["mixer"] for cell in content["cells"]):
        own = [cell for cell in content["cells"] if cell["mixer"] == mixer]
        found = [_point(cell, quantity, whole) for cell in own]
        points = sorted((point for point in found if point is not None), key=lambda p: p.x)
        if points:
            lines.append((mixer, points))
    if sum(len(points) for _, points in lines) < 2:
        return None
    ends = _ratios(lines)
    series, fitted = [], []
    for mixer, points in lines:
        fit, called, style = fits.get(mixer), readable(mixer), styles[readable(mixer)]
        law = f" (L^{fit['exponent']:.2f})" if fit and whole else ""
        line = _fitted(fit, points) if fit and whole else []
        form = "points" if line else "line"
        series.append(Series(called + law, style, points, form, ends.get(mixer, "")))
        if line:
            fitted.append(Series(f"{called}, fitted", style, line, "fit"))
    ended = [cell for cell in content["cells"] if cell["status"] not in DONE]
    missing = [f"{readable(c['mixer'])} at {c['length']:,}: {status(c)}" for c in ended]
    without = (
        f" A circled cross at the top is not measured: {'; '.join(missing)}." if missing else ""
    )
    repeats = " Medians; bars from the fastest repeat to the slowest." if kind == "seconds" else ""
    each = "" if whole else " Of a step its share a position: what a step of so many tokens costs."
    return Figure(
        slug(mode.name, quantity, *([] if whole else ["a position"])),
        mode.titled(
            f"{title[0].upper()}{title[1:]} against length{'' if whole else ', a position'}"
        ),
        f"Both axes are logarithmic.{repeats}{each}{without}",
        Axis("length", "count", log=True),
        Axis(title if whole else f"{title}, a position", kind, log=True),
        [*series, *fitted, *_crosses(ended, lines, styles)],
        wide=True,
    )


def _point(cell: Content, quantity: str, whole: bool) -> Mark | None:
    value, low, high = middle(cell, quantity)
    if value is None or value <= 0 or cell["length"] <= 0:
        return None
    low = low if low is not None and low > 0 else None  # a logarithm has no place for 0
    share = 1 if whole else cell["length"] * (cell["batch_size"] or 1)
    if share == 1:
        return Mark(cell["length"], value, low, high if low else None)
    ends = (low / share, high / share) if low and high else (None, None)
    return Mark(cell["length"], value / share, *ends)


def _ratios(lines: list[tuple[str, list[Mark]]]) -> dict[str, str]:
    """By mixer ``4.1× at 16,384``: its cost there, in that of the cheapest one there."""
    told = {}
    for mixer, points in lines:
        last = points[-1]
        there = [p.y for _, others in lines for p in others if p.x == last.x]
        if len(there) > 1 and last.y / min(there) >= LEAST_RATIO:
            told[mixer] = f"{last.y / min(there):.2g}× at {last.x:,}"
    return told


def _crosses(
    ended: list[Content], lines: list[tuple[str, list[Mark]]], styles: Styles
) -> list[Series]:
    """A mark at the top for each cell that something ended."""
    heights = [point.y for _, points in lines for point in points]
    top = max(heights) * max((max(heights) / min(heights)) ** 0.08, 1.1)
    made = []
    for mixer in dict.fromkeys(cell["mixer"] for cell in ended):
        own = [cell for cell in ended if cell["mixer"] == mixer]
        marks = [Mark(c["length"], top, note=f"{c['length']:,}: {status(c)}") for c in own]
        made.append(Series(readable(mixer), styles[readable(mixer)], marks, "missing"))
    return made


def _fitted(fit: Content, points: list[Mark]) -> list[Mark]:
    """Two points of ``coefficient · L^exponent``, over the lengths that were fitted."""
    lengths = [max(fit["from_length"], points[0].x), points[-1].x]
    if fit["coefficient"] <= 0 or lengths[0] >= lengths[1]:
        return []
    return [Mark(length, fit["coefficient"] * length ** fit["exponent"]) for length in lengths]


def _quality(mode: Mode, styles: Styles) -> list[Figure]:
    """Per task, score against length; per length, score against the time of a step."""
    name, content = mode.name, mode.scaling.content
    seconds = {
        (cell["mixer"], cell["length"]): middle(cell, "step_seconds")[0]
        for cell in content["cells"]
    }
    made = []
    entries = [e for e in content["quality"] if number(e["mean"]) is not None]
    kinds = [tuple(e[key] for key in ("task", "score", "steps")) for e in entries]
    several = len({steps for _, _, steps in kinds}) > 1
    for task, score, steps in dict.fromkeys(kinds):
        own = [e for e, kind in zip(entries, kinds, strict=True) if kind == (task, score, steps)]
        what = f"{readable(str(score)).replace('_', ' ')} on {readable(str(task))}"
        what += f" after {steps} steps" if several else ""
        title, budget = f"{what[0].upper()}{what[1:]} against", [steps] if several else []
        series = []
        for mixer in _of(own, "mixer"):
            points = [Mark(e["length"], e["mean"]) for e in own if e["mixer"] == mixer]
            series.append(Series(readable(mixer), styles[readable(mixer)], points))
        made.append(
            Figure(
                slug(name, "quality", task, score, *budget),
                mode.titled(f"{title} length"),
                "Each model was trained at its length for the same budget.",
                Axis("length", "count", log=True),
                Axis(what),
                with_levels(series, [(e["length"], e) for e in own]),
            )
        )
        for length in _of(own, "length"):
            series = []
            for entry in own:
                cost, mixer = seconds.get((entry["mixer"], length)), readable(entry["mixer"])
                if cost and entry["length"] == length:
                    point = Mark(cost, entry["mean"])
                    series.append(Series(mixer, styles[mixer], [point], "points"))
            if len(series) < 2:
                continue
            made.append(
                Figure(
                    slug(name, "quality-cost", task, score, length, *budget),
                    mode.titled(f"{title} cost, length {length:,}"),
                    "Shaded: what something else here beats in both.",
                    Axis("time of a training step", "seconds", log=True),
                    Axis(what),
                    with_front(series, own[0]["higher_is_better"], MEASURES["step_seconds"]),
                    better=("less", "more" if own[0]["higher_is_better"] else "less"),
                )
            )
    return made


def _of(entries: list[Content], key: str) -> list[Any]:
    return list(dict.fromkeys(entry[key] for entry in entries))
