"""Runs that answer one question: a sweep's, or those of one task. Seeds are put together."""

import json
import shlex
import statistics
from typing import NamedTuple

from seqmodels.report.alike import (
    Conditions,
    conditions,
    held_to,
    label,
    leaves_of,
    of_the_model,
    told_apart,
    words,
)
from seqmodels.report.costs import Costs, costs_of
from seqmodels.report.reading import Content, Found, StoredRun, Sweep
from seqmodels.report.table import Link
from seqmodels.report.values import Number, number, readable, slug


class Spread(NamedTuple):
    """A score over the seeds: mean, standard deviation and the values themselves."""

    mean: Number | None
    deviation: Number | None
    values: list[Number]

    @property
    def low(self) -> Number | None:
        """The lowest of several."""
        return min(self.values) if len(self.values) > 1 else None

    @property
    def high(self) -> Number | None:
        """The highest of several."""
        return max(self.values) if len(self.values) > 1 else None


class Contender(NamedTuple):
    """What differs in nothing but the seed."""

    label: str
    """The mixer, and what else tells it from the others."""
    mixer: str
    task: str
    setting: Conditions
    """What the comparison holds the same for several labels, such as ``length 64``."""
    point: Content
    """The same by names and values."""
    told: Content
    """What the label says beside the mixer, by names and values."""
    is_a_size: bool
    """Whether what it says are numbers of the model alone."""
    length: int | None
    parameters: Number | None
    flops: Number | None
    chosen: Content
    """What was chosen on validation."""
    validation: Spread
    test: Spread
    seeds: int
    failed: int
    trials: int
    seconds: Number | None
    """Of training a run, on average; None where they ran on several machines."""
    costs: Costs
    """What its runs measured, and on which machine."""
    runs: list[StoredRun]
    curve: Content
    """How validation depends on the one key that a sweep tuned; empty where there is none."""

    def without(self, name: str) -> str:
        """Its label without one thing that it says: all that differ in that alone share it."""
        if name not in self.told:
            return self.label
        return label(self.mixer, {key: v for key, v in self.told.items() if key != name})


class Comparison(NamedTuple):
    """Groups with one score, and every run that belongs to them or was tried for them."""

    name: str
    """Of letters, digits and hyphens; no other comparison's."""
    title: str
    kind: str
    score: str
    higher_is_better: bool
    groups: list[Contender]
    runs: list[StoredRun]
    origin: list[tuple[str, str]]
    """Headings and texts: where it comes from."""

    @property
    def what(self) -> str:
        """The score in words."""
        return self.score.replace("_", " ")

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher_is_better else -1

    def settings(self) -> list[tuple[Conditions, list[Contender]]]:
        """The groups by what they are held to; only those of one are compared."""
        found: dict[Conditions, list[Contender]] = {}
        for group in self.groups:
            found.setdefault(group.setting, []).append(group)
        return list(found.items())

    def anchor(self, run: StoredRun) -> str:
        return f"{self.name}-run-{self.runs.index(run)}"


def comparisons(found: Found) -> list[Comparison]:
    """One for each sweep, and one for the other runs of each task."""
    made = [_of_sweep(sweep, place) for place, sweep in enumerate(found.sweeps)]
    by_task: dict[str, list[StoredRun]] = {}
    for run in found.runs:
        by_task.setdefault(run.task, []).append(run)
    return made + [_of_runs(task, runs) for task, runs in by_task.items()]


def _of_sweep(sweep: Sweep, place: int) -> Comparison:
    content = sweep.content
    rows = sweep.summary
    arguments = [row["arguments"] for row in rows]
    chosen = [_chosen_runs(sweep, row) for row in rows]
    leaves = [next((leaves_of(r.config) for r in runs if r.config), {}) for runs in chosen]
    title = readable(sweep.folder.resolve().name)
    own = of_the_model(arguments, leaves)
    points = held_to([_without(point, own) for point in arguments], leaves)
    lengths = [_swept_length(*pair) for pair in zip(arguments, chosen, strict=True)]
    groups = [
        _swept_group(row, runs, own, setting, point)._replace(
            length=length, task=readable(runs[0].task) if runs and runs[0].config else title
        )
        for row, runs, length, setting, point in zip(
            rows, chosen, lengths, conditions(points, lengths, leaves), points, strict=True
        )
    ]
    origin = [("Folder", readable(sweep.folder)), ("Command", content["command"])]
    origin += [("Config", content["config"]), ("Sized to match", _matched(content["match"]))]
    origin += [
        ("Curves as they go", f"tensorboard --logdir={shlex.quote(f'{sweep.folder}/trials')}")
    ]
    return Comparison(
        f"sweep-{place + 1}-{slug(title)}",
        title,
        "sweep",
        content["score"],
        content["higher_is_better"],
        groups,
        sweep.trials,
        [(heading, readable(str(text))) for heading, text in origin if text],
    )


def _matched(match: Content) -> str | None:
    if match["by"] is None or match["target"] is None:
        return None
    if match["by"] == "seconds":
        return f"seconds of training, {match['target']:,.12g}"
    # In a folder that says nothing of it the width of each group's first setting was taken for all.
    whose = "each" if match.get("widths") == "each setting" else "for the first setting of each"
    state = f" and state, {match['state']:,.12g} bytes" if "state" in match else ""
    return f"{match['by']}, {match['target']:,.12g}{state} {whose}, within {match['tolerance']:.0%}"


def _chosen_runs(sweep: Sweep, row: Content) -> list[StoredRun]:
    """The runs of a row of the summary: those of its arguments and of what was chosen."""
    return [
        run
        for run in sweep.trials
        if run.trial["arguments"] == row["arguments"]
        and all(run.trial["overrides"].get(k) == v for k, v in row["chosen"].items())
    ]


def _swept_length(arguments: Content, runs: list[StoredRun]) -> int | None:
    length = number(arguments.get("length")) or (runs[0].length if runs else None)
    return int(length) if length is not None else None


def _without(point: Content, names: list[str]) -> Content:
    return {name: value for name, value in point.items() if name not in names}


def _swept_group(
    row: Content, runs: list[StoredRun], names: list[str], setting: Conditions, point: Content
) -> Contender:
    arguments = row["arguments"]
    mixer = arguments.get("mixer")
    told = {name: arguments[name] for name in names}
    named = label("" if mixer is None else readable(str(mixer)), told)
    parameters = row["parameters"]
    size = next((run.trial["size"] for run in runs), {})
    own = next((number(run.results.get("parameters")) for run in runs if run.results), None)
    if own is not None and own not in (parameters, number(size.get("parameters"))):
        # An earlier version wrote down the size of the group's first setting for all.
        parameters, size = own, {}
    costs = costs_of(runs)
    return Contender(
        named or words(point, list(point)) or "all",
        readable(str(mixer)) if mixer is not None else (runs[0].mixer if runs else "all"),
        "",
        setting if named else Conditions("", "", ""),
        point if named else {},
        told if named else point,
        bool(told) and all(number(value) is not None for value in told.values()),
        None,
        parameters,
        number(size.get("flops")),
        row["chosen"],
        _spread(row["validation"]),
        _spread(row["test"]),
        row["seeds"],
        row["failed"],
        row["trials"],
        number(row["seconds"]) if costs.is_of_one_machine else None,
        costs,
        [run for run in runs if run.results is not None],
        row.get("curve") or {},
    )


def _spread(content: Content) -> Spread:
    found = [value for value in map(number, content["values"]) if value is not None]
    return Spread(number(content["mean"]), number(content["deviation"]), found)


def _of_runs(task: str, runs: list[StoredRun]) -> Comparison:
    score = runs[0].facts["score"]
    by_config: dict[str, list[StoredRun]] = {}
    for run in runs:
        key = json.dumps(leaves_of(run.config), sort_keys=True)
        by_config.setdefault(key, []).append(run)
    together = list(by_config.values())
    leaves = [leaves_of(members[0].config) for members in together]
    lengths = [members[0].length for members in together]
    mixers = [members[0].mixer for members in together]
    points = held_to([{} for _ in together], leaves)
    groups = [
        _group_of_runs(members, told, score, setting, point)
        for members, told, setting, point in zip(
            together,
            told_apart(mixers, lengths, leaves),
            conditions(points, lengths, leaves),
            points,
            strict=True,
        )
    ]
    return Comparison(
        f"runs-{slug(task)}",
        readable(task),
        "runs",
        score,
        runs[0].facts["higher_is_better"],
        groups,
        runs,
        _origin_of_runs(runs),
    )


def _origin_of_runs(runs: list[StoredRun]) -> list[tuple[str, str]]:
    folders = sorted({str(run.folder.parent) for run in runs})
    commands = [f"tensorboard --logdir={shlex.quote(folder)}" for folder in folders]
    told = [("Folders", ", ".join(folders)), ("Curves as they go", "\n".join(commands))]
    return [(heading, readable(text)) for heading, text in told]


def _group_of_runs(
    runs: list[StoredRun], told: Content, score: str, setting: Conditions, point: Content
) -> Contender:
    # A seed that was run again, here or on another machine, says nothing of how seeds differ.
    once = {run.seed: run for run in reversed(runs) if run.results is not None}
    kept = list(reversed(once.values()))
    results = [run.results for run in kept if run.results is not None]
    parameters = [number(one.get("parameters")) for one in results]
    seconds = [s for one in results if (s := number(one.get("seconds"))) is not None]
    costs = costs_of(kept)
    return Contender(
        label(runs[0].mixer, told),
        runs[0].mixer,
        readable(runs[0].task),
        setting,
        point,
        told,
        bool(told) and all(k.startswith("model.") and number(told[k]) is not None for k in told),
        runs[0].length,
        parameters[0] if parameters else None,
        None,
        {},
        _spread_of(results, "validation", score),
        _spread_of(results, "test", score),
        len(results),
        sum(run.state[0].startswith("failed") for run in runs),
        len(runs),
        statistics.fmean(seconds) if seconds and costs.is_of_one_machine else None,
        costs,
        [run for run in runs if run.results is not None or run.events],
        {},
    )


def _spread_of(results: list[Content], split: str, score: str) -> Spread:
    found = [number(one[split].get(score)) for one in results]
    values = [value for value in found if value is not None]
    mean = statistics.fmean(values) if values else None
    return Spread(mean, statistics.stdev(values) if len(values) > 1 else None, values)


def links(comparison: Comparison, runs: list[StoredRun]) -> tuple[Link, ...]:
    is_sweep, anchor = comparison.kind == "sweep", comparison.anchor
    return tuple(Link(f"seed {r.seed}" if is_sweep else r.name, anchor(r)) for r in runs)


def names_of(runs: list[StoredRun]) -> list[str]:
    """What runs are called: as much of the ends of their folders' paths as tells them apart."""
    paths = [run.folder.resolve().parts for run in runs]
    names: list[str] = []
    for count in range(1, max(map(len, paths), default=0) + 1):
        names = [readable("/".join(path[-count:])) for path in paths]
        if len(set(names)) == len(names):
            break
    return names
