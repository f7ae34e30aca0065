"""report.py: folders in, a page and its figures and tables out."""

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
from seqmodels.report.figure import data_table
from seqmodels.report.page import Section, to_page
from seqmodels.report.picture import draw
from seqmodels.report.reading import Found, find
from seqmodels.report.scaling_section import mixers, scaling_section
from seqmodels.report.styles import Styles
from seqmodels.report.table import Table, to_csv, to_markdown
from seqmodels.report.values import readable
from seqmodels.training.environment import versions


def write_report(folders: Sequence[str], out: str) -> Path:
    """Writes ``index.html``, ``figures/*.png, .csv, .md`` and ``tables/*.csv, .md``.

    What an earlier report left in ``out`` is overwritten. Returns the page.

    Raises:
      UserError: there is nothing in the folders, or ``out`` can't be written.
    """
    if not folders or "" in folders:  # as of a variable of the shell that is not set
        raise UserError("no folder is named; name those of runs or sweeps: report.py runs/ sweeps/")
    target = local_path(out, "out=")
    found = find([str(local_path(folder)) for folder in folders], warn)
    sections = report_sections(found)
    try:
        page = _write(target, sections, found)
    except OSError as error:
        raise UserError(
            f"out={out} can't be written ({error.strerror}); choose another folder"
        ) from None
    print(f"{overview(found)}\n{page}")
    return page


def report_sections(found: Found) -> list[Section]:
    """Sweeps, runs, scaling experiments; a mixer looks the same in all their figures."""
    compared = comparisons(found)
    labels = [group.label for one in compared for group in one.groups]
    scaled = [mixer for scaling in found.scalings for mixer in mixers(scaling)]
    style = Styles(chain(labels, scaled))
    made = [comparison_section(one, style) for one in compared]
    return made + [scaling_section(s, place, style) for place, s in enumerate(found.scalings)]


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


def _write(out: Path, sections: list[Section], found: Found) -> Path:
    for folder in ("figures", "tables"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for section in sections:
        for figure in section.figures:
            picture = out / "figures" / f"{figure.name}.png"
            with decoration(f"{picture} can't be drawn", warn):
                draw(figure, picture)
            _write_table(data_table(figure), out / "figures")
        for table in section.tables:
            _write_table(table, out / "tables")
    now = versions()
    made = f"seqmodels {now['packages']['seqmodels']}, JAX {now['packages']['jax']}"
    commit = f", commit {now['commit'][:7]}" if now["commit"] else ""
    made_with = f"Made by {readable(command() or 'a call')} with {made}{commit}."
    page = out / "index.html"
    write_whole(page, to_page(sections, overview(found), found.skipped, made_with))
    return page


def _write_table(table: Table, folder: Path) -> None:
    write_whole(folder / f"{table.name}.csv", to_csv(table))
    write_whole(folder / f"{table.name}.md", to_markdown(table))
