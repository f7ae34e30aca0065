"""What a report shows of a scaling experiment: costs by length, fits, crossovers, quality."""

from typing import Any

from seqmodels.report.comparison_figures import with_front
from seqmodels.report.figure import Axis, Figure, Mark, Series
from seqmodels.report.levels import with_levels
from seqmodels.report.page import Section
from seqmodels.report.reading import Content, Scaling
from seqmodels.report.recipes import scaling_recipe
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
)


def mixers(scaling: Scaling) -> list[str]:
    entries = [*scaling.content["cells"], *scaling.content["quality"]]
    return list(dict.fromkeys(readable(entry["mixer"]) for entry in entries))


def scaling_section(scaling: Scaling, place: int, styles: Styles) -> Section:
    """The section of a scaling experiment; ``place`` tells it from others of the same name."""
    content, title = scaling.content, readable(scaling.folder.resolve().name)
    name = f"scaling-{place + 1}-{slug(title)}"
    figures = [_against_length(name, content, quantity, styles) for quantity in _DRAWN]
    target = content["target"]
    text = (
        f"{len(content['cells'])} cells of a mixer and a length. "
        + (f"Compiled ahead of time for {readable(target)}; nothing ran there. " if target else "")
        + "Dashed: fitted power laws; L^a in the legend is the exponent."
    )
    tables = [
        cells_table(name, scaling),
        fits_table(name, content),
        crossovers_table(name, content),
        longest_table(name, content),
        quality_table(name, content),
    ]
    figures += _quality(name, content, styles)
    return Section(
        name,
        f"{title}: cost by length",
        text,
        scaling_recipe(scaling),
        [figure for figure in figures if figure is not None],
        [table for table in tables if table is not None],
    )


def _against_length(name: str, content: Content, quantity: str, styles: Styles) -> Figure | None:
    title, kind = QUANTITIES[quantity]
    fits = {fit["mixer"]: fit for fit in fits_of(content) if fit["quantity"] == quantity}
    series, lines = [], []
    for mixer in dict.fromkeys(cell["mixer"] for cell in content["cells"]):
        points = []
        for cell in content["cells"]:
            value, low, high = middle(cell, quantity)
            if cell["mixer"] == mixer and value is not None and value > 0 and cell["length"] > 0:
                # A logarithm has no place for a range that reaches 0.
                low = low if low is not None and low > 0 else None
                points.append(Mark(cell["length"], value, low, high if low else None))
        if not points:
            continue
        points.sort(key=lambda point: point.x)
        fit, called, style = fits.get(mixer), readable(mixer), styles[readable(mixer)]
        law = f" (L^{fit['exponent']:.2f})" if fit else ""
        line = _fitted(fit, points) if fit else []
        series.append(Series(called + law, style, points, "points" if line else "line"))
        if line:
            lines.append(Series(f"{called}, fitted", style, line, "fit"))
    if sum(len(one.points) for one in series) < 2:
        return None
    missing = [
        f"{readable(cell['mixer'])} at {cell['length']:,}: {status(cell)}"
        for cell in content["cells"]
        if cell["status"] not in DONE
    ]
    without = f" Not measured: {'; '.join(missing)}." if missing else ""
    repeats = " Medians; bars from the fastest repeat to the slowest." if kind == "seconds" else ""
    return Figure(
        slug(name, quantity),
        f"{title[0].upper()}{title[1:]} against length",
        f"Both axes are logarithmic.{repeats}{without}",
        Axis("length", "count", log=True),
        Axis(title, kind, log=True),
        [*series, *lines],
    )


def _fitted(fit: Content, points: list[Mark]) -> list[Mark]:
    """Two points of ``coefficient · L^exponent``, over the lengths that were fitted."""
    lengths = [max(fit["from_length"], points[0].x), points[-1].x]
    if fit["coefficient"] <= 0 or lengths[0] >= lengths[1]:
        return []
    return [Mark(length, fit["coefficient"] * length ** fit["exponent"]) for length in lengths]


def _quality(name: str, content: Content, styles: Styles) -> list[Figure]:
    """Per task, score against length; per length, score against the time of a step."""
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
                f"{title} length",
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
                    f"{title} cost, length {length:,}",
                    "Dotted: the Pareto front, beyond which nothing here is both better and "
                    "cheaper.",
                    Axis("time of a training step", "seconds", log=True),
                    Axis(what),
                    with_front(series, own[0]["higher_is_better"]),
                )
            )
    return made


def _of(entries: list[Content], key: str) -> list[Any]:
    return list(dict.fromkeys(entry[key] for entry in entries))
