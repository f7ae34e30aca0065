"""What a sweep found: a row a group, of the setting that validates best."""

import json
import statistics
from pathlib import Path
from typing import Any

from seqmodels.csv_files import write_csv
from seqmodels.json_files import write_json
from seqmodels.sweeps.files import CurveFile, GroupFile, RungFile, SpreadFile, read_sweep
from seqmodels.sweeps.matching import WIDTH
from seqmodels.sweeps.trials import PointFile, SizeFile, Trial

REPEATED = "seed"


def summary_rows(folder: Path) -> list[GroupFile]:
    """A row for each choice of arguments, from what the folders of a sweep hold now.

    Of a group's settings that one is chosen which most seeds have finished and, of several, whose
    mean validation score is best: on validation alone, so that the test score stays one of data
    that decided nothing. Deviations are of a sample, None of a single value.
    """
    sweep = read_sweep(folder)
    assert sweep is not None
    score = sweep["score"]
    everywhere = {REPEATED, *sweep["common"]}
    if sweep["match"]["by"] is not None:
        everywhere |= {WIDTH, *sweep["match"].get("settings", [])}
    groups: dict[str, list[PointFile]] = {}
    for point in sweep["points"]:
        groups.setdefault(repr(point["arguments"]), []).append(point)
    rows = []
    for points in groups.values():
        settings: dict[str, list[dict[str, Any]]] = {}
        chosen: dict[str, dict[str, Any]] = {}
        sizes: dict[str, SizeFile] = {}
        states = []
        for point in points:
            setting = {k: v for k, v in point["overrides"].items() if k not in everywhere}
            chosen[repr(setting)] = setting
            sizes[repr(setting)] = point["size"]
            results, state = Trial(folder, point["name"]).outcome(score)
            states.append(state)
            settings.setdefault(repr(setting), []).extend([results] if results else [])

        validated = {n: [r["validation"][score] for r in runs] for n, runs in settings.items()}
        best = best_setting(validated, sweep["higher_is_better"])
        finished = settings[best]
        counts = {s["parameters"] for s in ([sizes[best]] if finished else sizes.values())}
        rows.append(
            GroupFile(
                arguments=points[0]["arguments"],
                parameters=counts.pop() if len(counts) == 1 else None,
                chosen=chosen[best] if finished else {},
                validation=_spread([results["validation"][score] for results in finished]),
                test=_spread([results["test"][score] for results in finished]),
                seeds=len(finished),
                failed=states.count("failed"),
                trials=len(points),
                seconds=_seconds(finished),
                curve=_curve([(chosen[name], settings[name]) for name in settings], score),
            )
        )
    return rows


def best_setting(validated: dict[str, list[float]], higher_is_better: bool) -> str:
    """The name of the setting that most seeds have finished and, of several, whose mean validation
    is best; the first of those alike.

    >>> best_setting({"1e-3": [0.9], "3e-3": [0.7, 0.8], "1e-2": [0.7, 0.7]}, True)
    '3e-3'
    """
    sign = 1 if higher_is_better else -1

    def rank(name: str) -> tuple[int, float]:
        values = validated[name]
        return len(values), sign * statistics.fmean(values) if values else 0.0

    return max(validated, key=rank)


def write_summary(folder: Path) -> None:
    """Writes ``summary.json`` and ``summary.csv``, the latter in stages with the curves."""
    rows = summary_rows(folder)
    write_json(folder / "summary.json", rows)
    sweep = read_sweep(folder)
    in_stages = sweep is not None and sweep["search"] == "stages"
    flat = [{**_flat(row), **(_flat_curve(row) if in_stages else {})} for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    write_csv(folder / "summary.csv", columns, flat)


def _curve(settings: list[tuple[dict[str, Any], list[Any]]], score: str) -> CurveFile | None:
    """The validation scores by the one key in which settings differ, from each with its results."""
    keys = dict.fromkeys(key for values, _ in settings for key in values)
    first, _ = settings[0]
    tuned = [k for k in keys if any(values.get(k) != first.get(k) for values, _ in settings)]
    if len(tuned) != 1:
        return None
    (key,) = tuned
    rungs = []
    for values, finished in settings:
        if type(values.get(key)) not in (int, float):
            return None
        scores = [results["validation"][score] for results in finished]
        rungs.append(RungFile(value=values[key], validation=scores))
    return CurveFile(key=key, points=sorted(rungs, key=lambda rung: rung["value"]))


def _flat(row: GroupFile) -> dict[str, Any]:
    spreads = {
        f"{split}_{name}": row[split][name]
        for split in ("validation", "test")
        for name in ("mean", "deviation")
    }
    counts = {name: row[name] for name in ("seeds", "failed", "trials", "seconds")}
    size = {"parameters": row["parameters"]}
    return {**row["arguments"], **size, **row["chosen"], **spreads, **counts}


def _flat_curve(row: GroupFile) -> dict[str, Any]:
    """A column a value, with the mean over its seeds."""
    if (curve := row.get("curve")) is None:
        return {}
    return {
        f"validation at {curve['key']}={r['value']}": _mean(r["validation"])
        for r in curve["points"]
    }


def _spread(values: list[float]) -> SpreadFile:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return SpreadFile(mean=_mean(values), deviation=deviation, values=values)


def _seconds(finished: list[dict[str, Any]]) -> float | None:
    """The mean time of some runs; None of none, and of runs on machines that differ."""
    machines = {json.dumps(results.get("cost", {}).get("machine")) for results in finished}
    return _mean([results["seconds"] for results in finished]) if len(machines) == 1 else None


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
