"""What a sweep found: a row a group, of the setting that validates best."""

import csv
import io
import statistics
from pathlib import Path
from typing import Any

from seqmodels.experiments.trials import Trial, read_json, write_json

REPEATED = "seed"


def summarise(folder: Path) -> list[dict[str, Any]]:
    """A row for each choice of arguments, from what the folders of a sweep hold now.

    Of a group's settings that one is chosen which most seeds have finished and, of several, whose
    mean validation score is best: on validation alone, so that the test score stays one of data
    that decided nothing. Deviations are of a sample, None of a single value.
    """
    sweep = read_json(folder / "sweep.json")
    assert sweep is not None
    score, sign = sweep["score"], 1 if sweep["higher_is_better"] else -1
    everywhere = {REPEATED, *sweep["common"]}
    if sweep["match"]["by"] is not None:
        everywhere.add("model.width")
    groups: dict[str, list[dict[str, Any]]] = {}
    for point in sweep["points"]:
        groups.setdefault(repr(point["arguments"]), []).append(point)
    rows = []
    for points in groups.values():
        settings: dict[str, list[dict[str, Any]]] = {}
        chosen: dict[str, dict[str, Any]] = {}
        for point in points:
            setting = {k: v for k, v in point["overrides"].items() if k not in everywhere}
            chosen[repr(setting)] = setting
            results = Trial(folder, point["name"]).results()
            settings.setdefault(repr(setting), []).extend([results] if results else [])

        def rank(name: str, settings: dict = settings) -> tuple[int, float]:
            values = [results["validation"][score] for results in settings[name]]
            return len(values), sign * statistics.fmean(values) if values else 0.0

        best = max(settings, key=rank)
        finished = settings[best]
        states = [(Trial(folder, point["name"]).read() or {}).get("state") for point in points]
        rows.append(
            {
                "arguments": points[0]["arguments"],
                "parameters": points[0]["size"]["parameters"],
                "chosen": chosen[best] if finished else {},
                "validation": _spread([results["validation"][score] for results in finished]),
                "test": _spread([results["test"][score] for results in finished]),
                "seeds": len(finished),
                "failed": states.count("failed"),
                "trials": len(points),
                "seconds": _mean([results["seconds"] for results in finished]),
            }
        )
    return rows


def write_summary(folder: Path) -> None:
    """Writes ``summary.json`` and ``summary.csv``."""
    rows = summarise(folder)
    write_json(folder / "summary.json", rows)
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(flat)
    temporary = folder / ".summary.csv"
    temporary.write_text(text.getvalue())
    temporary.replace(folder / "summary.csv")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    spreads = {
        f"{split}_{name}": row[split][name]
        for split in ("validation", "test")
        for name in ("mean", "deviation")
    }
    counts = {name: row[name] for name in ("seeds", "failed", "trials", "seconds")}
    return {
        **row["arguments"],
        "parameters": row["parameters"],
        **row["chosen"],
        **spreads,
        **counts,
    }


def _spread(values: list[float]) -> dict[str, Any]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": _mean(values), "deviation": deviation, "values": values}


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None
