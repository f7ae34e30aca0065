"""Runs the check cell of each experiment again, and holds it against its committed runs.

python -m experiments.check rnn_long

Without names those of all; make check-results does so. A page names its cell as CHECK; its runs lie
in check.json, and --keep makes them anew. Trainings go on two at a time, each on a core of its own;
costs are measured before, alone.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from absl import flags

from experiments.checks import ROOT, Check, Costs
from experiments.draw import PAGES
from seqmodels import cli
from seqmodels.errors import UserError, nearest
from seqmodels.terminal import print_table

KEEP = flags.DEFINE_boolean("keep", False, "make the runs of check.json anew")


def main(names: list[str]) -> None:
    """Checks each, prints a table, and fails where one is outside."""
    found = checks(names)
    if KEEP.value:
        for name in found:
            (ROOT / "experiments" / name / "check.json").unlink(missing_ok=True)
        run_all(found, {name: ROOT / "experiments" / name / "check.json" for name in found})
        return
    lacking = [n for n in found if not (ROOT / "experiments" / n / "check.json").exists()]
    if lacking:
        raise UserError(
            f"{', '.join(lacking)}: no check.json; python -m experiments.check --keep makes it"
        )
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.json" for name in found}
        run_all(found, files)
        report(found, ROOT / "experiments", files)


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
    cores = sorted(os.sched_getaffinity(0))
    halves = [cores[::2], cores[1::2]] if len(cores) > 1 else [cores]
    free = list(halves)
    with tempfile.TemporaryDirectory() as folder:

        def one(name: str, taken: list[int]) -> None:
            print(f"{name} ...", flush=True)
            found[name].run(Path(folder) / name, files[name], taken)

        def shared(name: str) -> None:
            taken = free.pop()  # as many threads as there are halves: one is free
            try:
                one(name, taken)
            finally:
                free.append(taken)

        for name in alone:
            one(name, cores)
        with ThreadPoolExecutor(len(halves)) as threads:
            list(threads.map(shared, [name for name in found if name not in alone]))


def report(found: Mapping[str, Check], committed: Path, files: Mapping[str, Path]) -> None:
    """Prints what was committed beside what is now.

    Raises:
      UserError: a value is outside of what the committed ones allow.
    """
    rows, outside = [], []
    for name, check in found.items():
        before, now = check.values(committed / name / "check.json"), check.values(files[name])
        low, high = check.allowed(before)
        wrong = [value for value in now if not low <= value <= high]
        outside += [f"{name} has {value:.3g}, allowed {low:.3g} to {high:.3g}" for value in wrong]
        said = [", ".join(f"{value:.3f}" for value in values) for values in (before, now)]
        rows.append([name, check.said, *said, f"{low:.3f} to {high:.3f}", "no" if wrong else "yes"])
    print_table(["experiment", "cell", "committed", "now", "allowed", "within"], rows)
    if outside:
        raise UserError("; ".join(outside))


if __name__ == "__main__":
    cli.run(main)
