"""Check cells run again, and what they give held against what is committed."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from experiments.checks import Check, Costs
from experiments.draw import PAGES
from seqmodels.errors import UserError, nearest
from seqmodels.terminal import print_table


def checks(names: Sequence[str]) -> dict[str, Check]:
    """The check cells of some experiments, or of all that have one."""
    known = {}
    for name in PAGES:
        check = getattr(import_module(f"experiments.{name}.page"), "CHECK", None)
        if check is not None:
            known[name] = check
    for name in names:
        if name not in known:
            raise UserError(f"{name!r} is no experiment with a check cell; {nearest(name, known)}")
    return {name: known[name] for name in names or known}


def run_all(found: Mapping[str, Check], files: Mapping[str, Path]) -> None:
    """Runs check cells into files: costs alone, then trainings two at a time."""
    alone = [name for name in found if isinstance(found[name], Costs)]
    halves = _halves()

    def pin() -> None:
        """Keeps a thread, and the processes that it starts, on its half of the cores."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, halves.pop())

    with tempfile.TemporaryDirectory() as folder:

        def run(name: str) -> None:
            print(f"{name} ...", flush=True)
            found[name].run(Path(folder) / name, files[name])

        for name in alone:
            run(name)
        with ThreadPoolExecutor(len(halves), initializer=pin) as threads:
            list(threads.map(run, [name for name in found if name not in alone]))


def _halves() -> list[list[int]]:
    """The cores that this process may use, in two parts; of one core, one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0, 1]
    return [cores[::2], cores[1::2]] if len(cores) > 1 else [cores]


def report(
    found: Mapping[str, Check], committed: Mapping[str, Path], files: Mapping[str, Path]
) -> None:
    """Prints what was committed beside what is now.

    Raises:
      UserError: a value is outside of what the committed ones allow.
    """
    rows, outside = [], []
    for name, check in found.items():
        before, now = check.values(committed[name]), check.values(files[name])
        low, high = check.allowed(before)
        wrong = [value for value in now if not low <= value <= high]
        outside += [f"{name} has {value:.3g}, allowed {low:.3g} to {high:.3g}" for value in wrong]
        said = [", ".join(f"{value:.3f}" for value in values) for values in (before, now)]
        rows.append([name, check.said, *said, f"{low:.3f} to {high:.3f}", "no" if wrong else "yes"])
    print_table(["experiment", "cell", "committed", "now", "allowed", "within"], rows)
    if outside:
        raise UserError("; ".join(outside))
