"""Plants faults, one at a time, and shows which of the tests that ought to catch them do.

.venv/bin/python tests/mutants/run.py [--only NAME ...] [--checkout DIR]

faults.toml beside this file holds the faults, each with the tests that are run against it.
The checkout itself is left alone: each job has a copy of its tracked files, as they are now.
With --checkout another version's tests are held against the same faults. A test that it no longer
has is looked for in the whole of its file.
"""

import argparse
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("faults.toml")
AREAS = (
    "ops",
    "mixers",
    "block and model",
    "decoding",
    "tasks",
    "batches",
    "optimizer and schedule",
    "checkpoint and resume",
    "sharding",
    "configs",
    "sweep",
    "matching",
    "scaling and fits",
    "report",
    "command line",
    "messages",
    "failures",
)
# By pytest's exit code; a fault that hangs it is none of them.
ENDINGS = {0: "MISSED", 1: "caught", 2: "caught (collection)"}
LIMIT_SECONDS = 900


class Fault(NamedTuple):
    """A change of one to three lines that some test should notice."""

    name: str
    area: str
    file: str
    before: str
    """What stands exactly once in the file, and ``after`` in its place."""
    after: str
    tests: list[str]
    """Files, or tests in files, that ought to catch it."""

    def why_not(self, root: Path) -> str | None:
        """Why it can't be planted in a checkout; None where it can."""
        file = root / self.file
        count = file.read_text().count(self.before) if file.is_file() else -1
        if count == 1:
            return None
        found = "is no file" if count < 0 else f"has its text {count} times, not once"
        return f"{self.name}: {self.file} {found}"


class Outcome(NamedTuple):
    """What became of a fault."""

    fault: str
    area: str
    ending: str
    by: str
    """The first test that failed."""
    seconds: float

    @property
    def is_caught(self) -> bool:
        """Whether a test failed because of it."""
        return self.ending.startswith("caught")


def read_faults(file: Path = TABLE) -> list[Fault]:
    """The faults of the table, in its order."""
    return [Fault(**entry) for entry in tomllib.loads(file.read_text())["fault"]]


def copy_checkout(root: Path, to: Path) -> None:
    """Copies the tracked files into a repository of their own: some tests ask for its commit."""
    names = _git(root, "ls-files", "-z").split("\0")
    for name in filter(None, names):
        if (root / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name, follow_symlinks=False)
    _git(to, "init", "--quiet")
    _git(to, "add", "--all", "--force")
    author = ("-c", "user.name=mutants", "-c", "user.email=mutants@localhost")
    _git(to, *author, "commit", "--quiet", "--no-verify", "--message=copy")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def present_tests(fault: Fault, root: Path) -> list[str]:
    """The fault's tests as a checkout has them: the whole file for a test that it lacks."""
    found = []
    for test in fault.tests:
        name, _, function = test.partition("::")
        if (root / name).is_file():
            defined = f"def {function.partition('[')[0]}(" in (root / name).read_text()
            found.append(test if function and defined else name)
    return list(dict.fromkeys(found))


def run_tests(root: Path, tests: Sequence[str], *options: str) -> tuple[int | None, str]:
    """pytest's exit code, None after LIMIT_SECONDS, and its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    process = subprocess.Popen(
        [*command, *options, *tests],
        cwd=root,
        # A fault may come and go within the second that compiled files are told apart by.
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=LIMIT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]
    return process.returncode, output


def failures(output: str) -> list[str]:
    """The tests that failed, by the summary that ends pytest's output."""
    lines = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return list(dict.fromkeys(lines))


def plant(fault: Fault, root: Path, whole: bool) -> Outcome:
    """Runs the fault's tests, or all, against a copy with the fault, and takes it out again."""
    file, begun = root / fault.file, time.monotonic()
    sound = file.read_text()
    tests = [] if whole else present_tests(fault, root)
    if not tests and not whole:
        return Outcome(fault.name, fault.area, "MISSED (no such test)", "", 0.0)
    file.write_text(sound.replace(fault.before, fault.after))
    try:
        code, output = run_tests(root, tests, "-x")
    finally:
        file.write_text(sound)
    ending = (
        "MISSED (too slow)" if code is None else ENDINGS.get(code, f"MISSED (exit code {code})")
    )
    by = next(iter(failures(output)), "") if ending.startswith("caught") else ""
    return Outcome(fault.name, fault.area, ending, by, round(time.monotonic() - begun, 1))


def without_faults(outcomes: Sequence[Outcome], root: Path) -> list[Outcome]:
    """The outcomes, where those don't count as caught whose test fails without the fault too."""
    tests = sorted({one.by for one in outcomes if one.ending == "caught" and one.by})
    files = sorted({one.by for one in outcomes if one.ending == "caught (collection)" and one.by})
    failing = failures(run_tests(root, tests)[1]) if tests else []
    failing += failures(run_tests(root, files, "--collect-only")[1]) if files else []
    anyway = "MISSED (fails without it)"
    return [one._replace(ending=anyway) if one.by in failing else one for one in outcomes]


def hold(faults: Sequence[Fault], checkout: Path, jobs: int, whole: bool) -> list[Outcome]:
    """Plants every fault in copies of a checkout; prints each outcome as it comes."""
    width = max(len(fault.name) for fault in faults)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: queue.Queue[Path] = queue.Queue()
        for job in range(jobs):
            copies.put(Path(folder) / str(job))
            (Path(folder) / str(job)).mkdir()
            copy_checkout(checkout, Path(folder) / str(job))

        def work(fault: Fault) -> Outcome:
            copy = copies.get()
            try:
                return plant(fault, copy, whole)
            finally:
                copies.put(copy)

        done: dict[str, Outcome] = {}
        with ThreadPoolExecutor(jobs) as workers:
            for future in as_completed([workers.submit(work, fault) for fault in faults]):
                one = future.result()
                done[one.fault] = one
                print(
                    f"{one.fault:{width}}  {one.area:22}  {one.ending:20} {one.seconds:5.0f} s  "
                    f"{one.by}",
                    flush=True,
                )
        return without_faults([done[fault.name] for fault in faults], copies.get())


def main() -> int:
    """Plants the faults; 0 where all are caught, 1 where one is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (2)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults alone")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose tests (this one's)")
    parser.add_argument("--whole", action="store_true", help="all tests, not those that are named")
    parser.add_argument("--out", type=Path, help="a JSON file for the outcomes")
    flags = parser.parse_args()

    faults, checkout = read_faults(), flags.checkout.resolve()
    unknown = set(flags.only or ()) - {fault.name for fault in faults}
    faults = [fault for fault in faults if not flags.only or fault.name in flags.only]
    refusals = [f"--only={name}: no such fault in {TABLE.name}" for name in sorted(unknown)]
    refusals += [reason for fault in faults if (reason := fault.why_not(checkout))]
    if refusals:
        print(f"run.py: {refusals[0]}", file=sys.stderr)
        return 2

    outcomes = hold(faults, checkout, flags.jobs, flags.whole)
    if flags.out is not None:
        rows = ",\n".join(json.dumps(one._asdict()) for one in outcomes)
        flags.out.write_text(f"[\n{rows}\n]\n")
    missed = [one for one in outcomes if not one.is_caught]
    for one in missed:
        print(f"{one.ending}: {one.fault} ({one.area})")
    collection = sum(one.ending == "caught (collection)" for one in outcomes)
    print(
        f"{len(outcomes)} faults: {len(outcomes) - len(missed) - collection} caught by a test, "
        f"{collection} where tests are collected, {len(missed)} missed"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
