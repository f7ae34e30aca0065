"""Runs of peers' own scripts until they report a score of ours, for benchmarks/peers.py."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from scaling_tables import table

from seqmodels.errors import UserError
from seqmodels.machine import describe_machine
from seqmodels.sweeps.records import read_records

ROOT = Path(__file__).parents[1]


class Case(NamedTuple):
    """A peer's script, and what of ours it is held against."""

    folder: str
    """Of its repository, where its script is run."""
    script: tuple[str, ...]
    score: str
    """A pattern whose group is what a line reports on held-out examples."""
    higher_is_better: bool
    experiment: str
    cell: dict[str, str]
    """The arguments of our run."""
    metric: str | None = None
    """That of ours, where it isn't the score."""
    share: float = 1.0
    """What ours is multiplied by, to be of the same positions."""


_ADDING = ("add_test.py", "--seq_len", "600", "--ksize", "8", "--levels", "8", "--nhid", "24")
_COPY = ("copymem_test.py", "--seq_len", "10", "--blank_len", "1000", "--ksize", "8")
CASES = {
    "tcn-adding": Case(
        "TCN/adding_problem",
        (*_ADDING, "--lr", "2e-3"),
        r"Test set: Average loss: ([\d.e-]+)",
        False,
        "tcn",
        {"task": "adding", "mixer": "tcn"},
    ),
    "tcn-copy": Case(
        "TCN/copy_memory",
        (*_COPY, "--levels", "8", "--nhid", "10"),
        r"Test set: Average loss: ([\d.e-]+)",
        False,
        "tcn",
        {"task": "copy", "mixer": "tcn"},
        metric="loss",
        share=10 / 1020,
    ),
    "zoology-recall": Case(
        ".",
        ("-m", "zoology.launch", "zoology/experiments/peer_recall_64.py"),
        r"valid/accuracy=([\d.]+)",
        True,
        "zoology_recall",
        {"mixer": "global"},
    ),
}
"""By name. Zoology's experiment is a config of its own: attention, width 64, 64 positions, 4 pairs,
as experiments/zoology_recall/README.md has it; who runs this writes it there."""


class Point(TypedDict):
    """What a peer reported, so many seconds after its start."""

    seconds: float
    score: float


class Run(TypedDict):
    """A peer's run, in ``peers.json`` by its case."""

    command: str
    machine: dict[str, str | int]
    wanted: float
    """Our score, at which it ends."""
    reached: bool
    curve: list[Point]
    ours_seconds: float
    ours_step: float | None


def run(case: Case, code: Path, python: Path, minutes: float) -> Run:
    """Trains a peer until its score is ours, or the time is over.

    Raises:
      UserError: there is no run of ours to hold it against, or its script is not there or ends
        without a score.
    """
    ours = of_ours(case)
    folder = code / case.folder
    command = [str(python.absolute()), *case.script]
    begun, curve, reached, said = time.monotonic(), [], False, ""
    # What it imports lies in its repository, and what it prints comes at once.
    environment = os.environ | {"PYTHONPATH": str(code.absolute()), "PYTHONUNBUFFERED": "1"}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        process = subprocess.Popen(command, cwd=folder, env=environment, **streams)
    except OSError as error:
        raise UserError(f"--code={code}: {folder} or {python}: {error.strerror}") from None
    limit = threading.Timer(60 * minutes, process.terminate)
    limit.start()
    with process:
        for line in process.stdout or ():
            said = line.strip() or said
            if found := re.search(case.score, line):
                score = float(found.group(1))
                curve.append(Point(seconds=round(time.monotonic() - begun, 1), score=score))
                print(f"{curve[-1]['seconds']:,.0f} s: {score:g}", flush=True)
                reached = score >= ours.score if case.higher_is_better else score <= ours.score
            if reached:
                process.terminate()
                break
    limit.cancel()
    if not curve:
        raise UserError(f"{' '.join(case.script)} ended without a score: {said}")
    return Run(
        command=" ".join(case.script),
        machine=describe_machine(),
        wanted=ours.score,
        reached=reached,
        curve=curve,
        ours_seconds=ours.seconds,
        ours_step=ours.step,
    )


class Ours(NamedTuple):
    """Our run: its score on test, and what it took."""

    score: float
    seconds: float
    step: float | None


def of_ours(case: Case) -> Ours:
    """The committed run that scores best."""
    records = read_records(ROOT / "experiments" / case.experiment / "results.json")
    own = [record for record in records if record["arguments"] == case.cell]
    if not own:
        shown = ",".join(f"{name}={value}" for name, value in case.cell.items())
        raise UserError(f"experiments/{case.experiment}/results.json has no run of {shown}")
    best = (max if case.higher_is_better else min)(own, key=lambda record: record["test"])
    score = best["test"] if case.metric is None else best.get("metrics", {})[case.metric]
    return Ours(case.share * score, best["seconds"], best["cost"]["step_seconds"])


def text(stored: dict[str, Run]) -> str:
    """A line a case: ours, and how far the peer came in which time."""
    lines = [["case", "score", "ours, s", "the peer's, s", "it had then", "on"]]
    for name, made in stored.items():
        last, machine = made["curve"][-1], made["machine"]
        taken = f"{'' if made['reached'] else 'more than '}{last['seconds']:,.0f}"
        scores = [f"{score:.3g}" for score in (made["wanted"], last["score"])]
        where = f"{machine['cores']} cores, {machine['processor']}"
        lines.append([name, scores[0], f"{made['ours_seconds']:,.0f}", taken, scores[1], where])
    return table(lines) if len(lines) > 1 else "No peer has run yet."
