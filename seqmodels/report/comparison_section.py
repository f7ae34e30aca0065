"""What a report shows of a comparison: results, figures, runs and their recipes."""

from typing import Any

from seqmodels.report.alike import differing
from seqmodels.report.comparison import Comparison, Contender, links, names_of
from seqmodels.report.comparison_figures import ComparisonFigures, short
from seqmodels.report.costs import COLUMNS
from seqmodels.report.page import Section
from seqmodels.report.recipes import run_recipe
from seqmodels.report.styles import Styles
from seqmodels.report.table import Column, Row, Table
from seqmodels.report.values import number, readable


def comparison_section(comparison: Comparison, styles: Styles) -> Section:
    what = comparison.score.replace("_", " ")
    better = "more" if comparison.higher_is_better else "less"
    states = [run.state[0].split(":")[0] for run in comparison.runs]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    text = (
        f"Score: {what}; {better} is better. {len(states)} runs: {counts}. The checkpoint, and in "
        "a sweep the learning rate, are chosen on validation and scored once on test."
    )
    drawn = ComparisonFigures(comparison, styles, what)
    figures = [*drawn.by_length(), drawn.beyond_training()]
    machines = _machines(comparison)
    for setting in dict.fromkeys(group.setting for group in comparison.groups):
        groups = [group for group in comparison.groups if group.setting == setting]
        for machine in machines:
            own = [group for group in groups if group.costs.machine == machine]
            on = machine if len(machines) > 1 else ""
            figures.append(drawn.cost(own, "seconds", "training time of a run", "seconds", on))
        figures.append(drawn.cost(groups, "flops", "FLOPs by the sweep's count", "flops"))
        figures += drawn.tuning(groups)
        figures += [drawn.curves(groups, "validation"), drawn.curves(groups, "train")]
    title = f"{comparison.title}: {'a sweep' if comparison.kind == 'sweep' else 'runs'}"
    return Section(
        comparison.name,
        title,
        text,
        comparison.origin,
        [figure for figure in figures if figure is not None],
        [_results(comparison, what), _runs(comparison, what)],
    )


def _machines(comparison: Comparison) -> list[str]:
    """Those on which the groups ran; times are compared on each alone."""
    finished = [group for group in comparison.groups if group.seeds]
    return list(dict.fromkeys(group.costs.machine for group in finished))


def _results(comparison: Comparison, what: str) -> Table:
    groups = comparison.groups
    has_setting = any(group.setting.text for group in groups)
    has_flops = any(group.flops is not None for group in groups)
    chosen = list(dict.fromkeys(key for group in groups for key in group.chosen))
    measured = [name for name in COLUMNS if any(name in g.costs.values for g in groups)]
    several = len(_machines(comparison)) > 1
    columns = [Column("mixer"), *([Column("setting")] if has_setting else [])]
    for split in ("test", "validation"):
        columns += [Column(f"{split} {what}", "number"), Column(f"{split} ±", "number")]
    columns += [Column("a run takes", "seconds"), Column("runs", "links")]
    columns += [Column("parameters", "count"), *([Column("FLOPs", "flops")] if has_flops else [])]
    columns += [Column(*COLUMNS[name]) for name in measured]
    columns += [Column("machine")] if several else []
    columns += [Column(f"chosen {short(key)}", "number") for key in chosen]
    columns += [Column("seeds", "count"), Column("failed", "count"), Column("runs tried", "count")]
    rows = []
    for group in _best_first(comparison):
        values: tuple[Any, ...] = (group.label, *([group.setting.text] if has_setting else []))
        for spread in (group.test, group.validation):
            values += (spread.mean, spread.deviation)
        values += (group.seconds, links(comparison, group.runs), group.parameters)
        values += (group.flops,) if has_flops else ()
        values += tuple(group.costs.values.get(name) for name in measured)
        values += (group.costs.machine,) if several else ()
        values += tuple(_plain(group.chosen.get(key)) for key in chosen)
        rows.append(Row((*values, group.seeds, group.failed, group.trials)))
    return Table(
        f"{comparison.name}-results",
        "Results.",
        "Mean and, after ±, standard deviation over seeds; the best on test stand first"
        + (", in each setting: only those of one are compared." if has_setting else "."),
        columns,
        rows,
    )


def _best_first(comparison: Comparison) -> list[Contender]:
    """By setting, and within it by test score."""
    settings = list(dict.fromkeys(group.setting for group in comparison.groups))
    sign = -1 if comparison.higher_is_better else 1

    def place(group: Contender) -> tuple[int, bool, float | int]:
        mean = group.test.mean
        return settings.index(group.setting), mean is None, sign * (mean or 0)

    return sorted(comparison.groups, key=place)


def _plain(value: Any) -> Any:
    return value if value is None or number(value) is not None else readable(str(value))


def _runs(comparison: Comparison, what: str) -> Table:
    """A row a run, with its recipe."""
    runs = comparison.runs
    overrides = [run.trial.get("overrides", {}) | {"seed": None} for run in runs]
    arguments = [run.trial.get("arguments", {}) | {"mixer": None} for run in runs]
    keys = [(arguments, key) for key in differing(arguments)]
    keys += [(overrides, key) for key in differing(overrides)]
    several = comparison.kind == "runs" and len({run.length for run in runs}) > 1
    columns = [Column("run"), Column("mixer"), *([Column("length", "count")] if several else [])]
    columns += [Column(short(key), "number") for _, key in keys]
    columns += [Column("seed", "count"), Column("state", "state"), Column("parameters", "count")]
    columns += [Column(f"validation {what}", "number"), Column(f"test {what}", "number")]
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
