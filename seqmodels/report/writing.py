"""``seqmodels report``: folders in, a page and its figures and tables out."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from seqmodels.command import command
from seqmodels.errors import UserError
from seqmodels.json_files import write_whole
from seqmodels.output import decoration, warn
from seqmodels.paths import local_path
from seqmodels.report.comparison import comparisons
from seqmodels.report.comparison_section import comparison_section
from seqmodels.report.figure import Figure, data_table
from seqmodels.report.heat_map import HeatMap, heat_map, numbers
from seqmodels.report.page import Drawn, Section, to_page
from seqmodels.report.picture import draw, draw_heat_map
from seqmodels.report.reading import Found, find
from seqmodels.report.scaling_modes import modes_of
from seqmodels.report.scaling_section import mixers, scaling_section
from seqmodels.report.styles import Styles
from seqmodels.report.table import Table, to_csv, to_markdown
from seqmodels.report.values import readable
from seqmodels.training.environment import versions


def write_report(
    folders: Sequence[str],
    out: str,
    reload: int | None = None,
    drawn: dict[str, Drawn] | None = None,
) -> Path:
    """Writes ``index.html``, ``figures/*.png, .csv, .md`` and ``tables/*.csv, .md``.

    What an earlier report left in ``out`` is overwritten. Returns the page.

    Args:
      reload: seconds after which an open page loads itself again, unless its reader has opened
        something on it.
      drawn: what pictures show that lie in ``out``; those are not drawn again, the others added.

    Raises:
      UserError: there is nothing in the folders, or ``out`` can't be written.
    """
    if not folders or "" in folders:  # as of a variable of the shell that is not set
        raise UserError(
            "no folder is named; name those of runs or sweeps: seqmodels report sweeps/"
        )
    target = local_path(out, "out=")
    found = find([str(local_path(folder)) for folder in folders], warn)
    styles = Styles()
    sections = report_sections(found, styles)
    try:
        page = _write(target, sections, found, styles, reload, {} if drawn is None else drawn)
    except OSError as error:
        raise UserError(
            f"out={out} can't be written ({error.strerror}); choose another folder"
        ) from None
    print(f"{overview(found)}\n{page}")
    return page


def report_sections(found: Found, styles: Styles) -> list[Section]:
    """Sweeps, runs, scaling experiments; ``styles`` learns how each name looks in all of them."""
    compared = comparisons(found)
    labels = [group.label for one in compared for group in one.groups]
    for name in chain(labels, *map(mixers, found.scalings)):
        _ = styles[name]
    made = [comparison_section(one, styles) for one in compared]
    made += [scaling_section(modes, styles) for modes in modes_of(found.scalings)]
    if (overall := heat_map(compared)) is not None:
        text = "Every mixer that was compared, on everything that it was compared on."
        made.insert(0, Section("overall", "At a glance", text, [], [overall], [], []))
    return made


def overview(found: Found) -> str:
    trials = sum(len(sweep.trials) for sweep in found.sweeps)
    cells = sum(len(scaling.content["cells"]) for scaling in found.scalings)
    parts = [
        _counted(len(found.sweeps), "sweep") + f" of {_counted(trials, 'trial')}",
        _counted(len(found.runs), "run"),
        _counted(len(found.scalings), "scaling experiment") + f" of {_counted(cells, 'cell')}",
    ]
    counts = (len(found.sweeps), len(found.runs), len(found.scalings))
    told = ", ".join(part for part, count in zip(parts, counts, strict=True) if count)
    left_out = f"; {len(found.skipped)} left out" if found.skipped else ""
    return f"{told}{left_out}."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _write(
    out: Path,
    sections: list[Section],
    found: Found,
    styles: Styles,
    reload: int | None,
    known: dict[str, Drawn],
) -> Path:
    for folder in ("figures", "tables"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for section in sections:
        for drawn in section.figures:
            if known.get(drawn.name) != drawn:
                _write_drawn(drawn, out / "figures")
                known[drawn.name] = drawn
        for table in section.tables:
            _write_table(table, out / "tables")
    now = versions()
    made = f"seqmodels {now['packages']['seqmodels']}, JAX {now['packages']['jax']}"
    commit = f", commit {now['commit'][:7]}" if now["commit"] else ""
    made_with = f"Made by {readable(command() or 'a call')} with {made}{commit}."
    page = out / "index.html"
    html = to_page(sections, overview(found), found.skipped, made_with, styles, reload)
    write_whole(page, html)
    return page


def _write_drawn(drawn: Drawn, folder: Path) -> None:
    """The tables of all that it may show, and a picture of what it shows first."""
    picture = folder / f"{drawn.name}.png"
    with decoration(f"{picture} can't be drawn", warn):
        if isinstance(drawn, HeatMap):
            draw_heat_map(drawn, picture)
        else:
            draw(drawn if isinstance(drawn, Figure) else drawn.options[0][1], picture)
    if isinstance(drawn, HeatMap):
        _write_table(numbers(drawn), folder)
    for figure in figures_in(drawn):
        _write_table(data_table(figure), folder)


def figures_in(drawn: Drawn) -> list[Figure]:
    """Those that it may show; a heat map is none."""
    if isinstance(drawn, HeatMap):
        return []
    return [drawn] if isinstance(drawn, Figure) else [figure for _, figure in drawn.options]


def _write_table(table: Table, folder: Path) -> None:
    write_whole(folder / f"{table.name}.csv", to_csv(table))
    write_whole(folder / f"{table.name}.md", to_markdown(table))
