"""What a report shows of a comparison: results, figures, runs and their recipes."""

from typing import Any

from seqmodels.report.alike import differing
from seqmodels.report.asked import THRESHOLD
from seqmodels.report.comparison import Comparison, Contender, links, names_of
from seqmodels.report.comparison_figures import (
    curve_figures,
    edge_findings,
    short,
    tuning_figures,
)
from seqmodels.report.cost_figure import cost_figures, cost_of
from seqmodels.report.costs import MEASURES
from seqmodels.report.findings import findings
from seqmodels.report.intervals import interval, limits_of
from seqmodels.report.length_figures import beyond_training, effective_lengths, swept_figures
from seqmodels.report.page import Section
from seqmodels.report.recipes import run_recipe
from seqmodels.report.slice_figures import position_figures, slice_figures
from seqmodels.report.styles import Styles
from seqmodels.report.table import Column, Row, Table
from seqmodels.report.values import number, readable


def comparison_section(comparison: Comparison, styles: Styles) -> Section:
    better = "more" if comparison.higher_is_better else "less"
    states = [run.state[0].split(":")[0] for run in comparison.runs]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    text = (
        f"Score: {comparison.what}; {better} is better. {len(states)} runs: {counts}. The "
        "checkpoint, and in a sweep the learning rate, are chosen on validation and scored once on "
        "test."
    )
    costs, shown = cost_figures(comparison, styles)
    shown = {s.text: f"table-{comparison.name}-results" for s, _ in comparison.settings()} | shown
    tuning = tuning_figures(comparison, styles)
    figures = [
        *costs,
        swept_figures(comparison, styles),
        beyond_training(comparison, styles),
        position_figures(comparison, styles),
        slice_figures(comparison, styles),
        tuning,
        curve_figures(comparison, styles),
    ]
    title = f"{comparison.title}: {'a sweep' if comparison.kind == 'sweep' else 'runs'}"
    found = findings(comparison, shown)
    if tuning is not None:
        found += edge_findings(comparison, tuning.name)
    return Section(
        comparison.name,
        title,
        text,
        comparison.origin,
        [figure for figure in figures if figure is not None],
        [_results(comparison), _runs(comparison)],
        found,
    )


def _results(comparison: Comparison) -> Table:
    groups, what = comparison.groups, comparison.what
    has_setting = any(group.setting.text for group in groups)
    chosen = list(dict.fromkeys(key for group in groups for key in group.chosen))
    measured = [name for name in MEASURES if any(cost_of(g, name) is not None for g in groups)]
    several = len({group.costs.machine for group in groups if group.seeds}) > 1
    effective = effective_lengths(comparison)
    columns = [Column("mixer"), *([Column("setting")] if has_setting else [])]
    for split in ("validation", "test"):
        columns.append(Column(f"{split} {what}", "score"))
        columns += [Column("low", "score"), Column("high", "score")] if split == "test" else []
    columns += [Column("seeds", "count"), Column("runs", "links")]
    columns += [Column("effective length", "count")] if effective else []
    columns += [Column(MEASURES[name].heading, MEASURES[name].kind) for name in measured]
    columns += [Column("machine")] if several else []
    columns += [Column(f"chosen {short(key)}", "number") for key in chosen]
    columns += [Column("failed", "count"), Column("runs tried", "count")]
    rows = []
    for group in _best_first(comparison):
        values: tuple[Any, ...] = (group.label, *([group.setting.text] if has_setting else []))
        found = interval(group.test.values, limits_of(comparison.score))
        values += (group.validation.mean, group.test.mean)
        values += (None, None) if found is None else (found.low, found.high)
        values += (group.seeds, links(comparison, group.runs))
        values += (effective.get(groups.index(group)),) if effective else ()
        values += tuple(cost_of(group, name) for name in measured)
        values += (group.costs.machine,) if several else ()
        values += tuple(_plain(group.chosen.get(key)) for key in chosen)
        rows.append(Row((*values, group.failed, group.trials)))
    caption = (
        "Means over seeds; of test the 95% interval. The best on validation stand first"
        + (", in each setting: only those of one are compared." if has_setting else ".")
        + (f" Effective length: up to which {what} stays at {THRESHOLD:.0%}." if effective else "")
    )
    return Table(f"{comparison.name}-results", "Results.", caption, columns, rows)


def _best_first(comparison: Comparison) -> list[Contender]:
    """By setting, and within it by validation score."""
    settings = [setting for setting, _ in comparison.settings()]
    sign = -1 if comparison.higher_is_better else 1

    def order(group: Contender) -> tuple[int, bool, float | int]:
        mean = group.validation.mean
        return settings.index(group.setting), mean is None, sign * (mean or 0)

    return sorted(comparison.groups, key=order)


def _plain(value: Any) -> Any:
    return value if value is None or number(value) is not None else readable(str(value))


def _runs(comparison: Comparison) -> Table:
    """A row a run, with its recipe."""
    runs, what = comparison.runs, comparison.what
    overrides = [run.trial.get("overrides", {}) | {"seed": None} for run in runs]
    arguments = [run.trial.get("arguments", {}) | {"mixer": None} for run in runs]
    keys = [(arguments, key) for key in differing(arguments)]
    keys += [(overrides, key) for key in differing(overrides)]
    several = comparison.kind == "runs" and len({run.length for run in runs}) > 1
    columns = [Column("run"), Column("mixer"), *([Column("length", "count")] if several else [])]
    columns += [Column(short(key), "number") for _, key in keys]
    columns += [Column("seed", "count"), Column("state", "state"), Column("parameters", "count")]
    columns += [Column(f"validation {what}", "score"), Column(f"test {what}", "score")]
    columns += [Column("best step", "count"), Column("time", "seconds")]
    rows = []
    for place, (run, name) in enumerate(zip(runs, names_of(runs), strict=True)):
        results = run.results or {"validation": {}, "test": {}}
        values: tuple[Any, ...] = (name, run.mixer)
        values += (run.length,) if several else ()
        values += tuple(_plain(source[place].get(key)) for source, key in keys)
        values += (run.seed, run.state, results.get("parameters"))
        scores = [results[split].get(comparison.score) for split in ("validation", "test")]
        values += tuple(map(number, scores))
        values += (results.get("best_step"), results.get("seconds") or run.trial.get("seconds"))
        rows.append(Row(values, run_recipe(run), comparison.anchor(run)))
    return Table(
        f"{comparison.name}-runs",
        "Runs.",
        "Each with its recipe: command, config, overrides, seed, versions and machine.",
        columns,
        rows,
    )
