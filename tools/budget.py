"""Holds the tests' time against the main job's: python tools/budget.py TESTS.xml RESULTS.json.

TESTS.xml is what ``pytest --junitxml`` writes and RESULTS.json what ``make train`` leaves in its
run's folder, both from this machine. Machines differ threefold, so the budget is a ratio: the
tests' seconds over the main job's at most BUDGET. Above it a line warns, and above 1.5 times it (a
machine is noisy) the exit status is 1. Either way the files whose tests grew are named: against
tests/seconds.json, which has each file's share of the main job's seconds and is written anew with
``--write``.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

BUDGET = 19.0
"""Seconds of ``make test`` for each second of ``make train``."""
TOLERANCE = 1.5
KNOWN = Path(__file__).parents[1] / "tests" / "seconds.json"
GREW = 0.25
"""A file has grown when it takes this much of the main job's seconds more than it did."""


def read_tests(file: Path) -> tuple[float, dict[str, float], dict[str, float]]:
    """The seconds of the whole session, of each file's tests and of each test."""
    root = ElementTree.parse(file).getroot()
    files, tests = defaultdict[str, float](float), defaultdict[str, float](float)
    for case in root.iter("testcase"):
        seconds = float(case.attrib["time"])
        files[case.attrib["classname"]] += seconds
        tests[f"{case.attrib['classname']}::{case.attrib['name']}"] += seconds
    return sum(float(suite.attrib["time"]) for suite in root.iter("testsuite")), files, tests


def main() -> int:
    """Prints the figures; returns the exit status."""
    parser = argparse.ArgumentParser(description="Holds the tests' time against the main job's.")
    parser.add_argument("tests", type=Path, help="what pytest --junitxml wrote")
    parser.add_argument("results", type=Path, help="results.json of the main job's run")
    parser.add_argument("--write", action="store_true", help="keep these shares as the known ones")
    asked = parser.parse_args()
    main_job = float(json.loads(asked.results.read_text())["seconds"])
    total, files, tests = read_tests(asked.tests)
    shares = {file: round(seconds / main_job, 2) for file, seconds in sorted(files.items())}
    if asked.write:
        KNOWN.write_text(json.dumps(shares, indent=2) + "\n")
    print(f"make train {main_job:.1f} s, make test {total:.0f} s: ", end="")
    print(f"{total / main_job:.1f} times, of a budget of {BUDGET:g}")
    for test, seconds in sorted(tests.items(), key=lambda item: -item[1])[:10]:
        print(f"{seconds:7.1f} s  {test}")
    if total <= BUDGET * main_job:
        return 0
    known = json.loads(KNOWN.read_text())
    grown = sorted(shares, key=lambda file: known.get(file, 0.0) - shares[file])
    named = [
        f"{file} {known.get(file, 0.0) * main_job:.0f} -> {shares[file] * main_job:.0f} s"
        for file in grown[:8]
        if shares[file] - known.get(file, 0.0) > GREW
    ]
    failed = total > TOLERANCE * BUDGET * main_job
    print(f"{'error' if failed else 'warning'}: the tests are over their budget; ", end="")
    print(f"what grew: {', '.join(named)}" if named else "no file's tests grew: a slow moment?")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
