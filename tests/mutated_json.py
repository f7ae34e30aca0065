"""JSON that is no longer what was written: how files are changed, and what reads which of them.

A reader is called as its command calls it, but computes nothing. It must end in one line, or say in
one line what it does without.
"""

import contextlib
import copy
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from seqmodels.config import load_config
from seqmodels.errors import UserError
from seqmodels.evaluation import lengths_run
from seqmodels.evaluation import splits as evaluation
from seqmodels.evaluation.intervals import Score
from seqmodels.evaluation.lengths import LengthScores
from seqmodels.generation.run import generate_run
from seqmodels.report.reading import find
from seqmodels.report.styles import Styles
from seqmodels.report.writing import report_sections
from seqmodels.scaling import run as scaling
from seqmodels.scaling.child import Ending
from seqmodels.sweeps.run import SweepOptions, _Sweep, run_sweep
from seqmodels.training import fit as training
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.resolving import load_whole
from tests.command_line import ROOT

Reader = Callable[[Path, Callable[[str], None]], None]
"""Reads a folder, and tells what it does without."""

WHOLE: dict[str, bytes] = {
    "empty": b"",
    "no text": b"\xff\xfe\x00{",
    "{}": b"{}",
    "a list": b"[]",
    "a text": b'"finished"',
    "null": b"null",
    "a number": b"3",
    "NaN": b"NaN",
    "400 digits": b"9" * 400,
    "10,000 levels": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
}
"""What stands in the place of a whole file; none of them is one of ours."""
PARTS: tuple[Any, ...] = (
    *({}, [], "finished", "", None, True, -1, 0, 3, 2.5, float("nan"), float("inf")),
    *(10**400, 10**18, 1e300, [[]], {"a": 1}, [1, "a"], "/etc/passwd", "a\nb", "²"),
)
"""What stands in the place of a part."""


EMPTY = {("metrics.jsonl", "empty"), ("environment.json", "{}"), ("summary.json", "a list")}
"""Files that may hold nothing."""
NOTES = ("lock",)
"""Files that say who holds what nobody holds here: whatever stands there, it means nothing."""


class Mutation(NamedTuple):
    """A changed file."""

    file: str
    what: str
    content: bytes
    is_noticed: bool
    """Whether nothing is left that fits, so that a reader must say something."""


def mutate(random: np.random.Generator, file: str, content: bytes) -> Mutation:
    """Another content of a file: all of it, cut short, or one part of it."""
    kind = random.integers(4)
    if kind == 0:
        name = str(random.choice(list(WHOLE)))
        # Of lines the last, where it doesn't end, was cut short.
        end = b"\n" if file.endswith(".jsonl") and name != "empty" else b""
        noticed = (Path(file).name, name) not in EMPTY and Path(file).name not in NOTES
        return Mutation(file, name, WHOLE[name] + end, noticed)
    if kind == 1 and content.strip():
        end = int(random.integers(1, len(content.rstrip())))
        noticed = not file.endswith(".jsonl") and Path(file).name not in NOTES
        return Mutation(file, f"cut at {end}", content[:end], noticed)
    lines = content.splitlines() if file.endswith(".jsonl") else [content]
    place = int(random.integers(len(lines)))
    told = json.loads(lines[place] or b"{}")
    what, told = _change(random, told)
    lines[place] = json.dumps(told).encode()
    return Mutation(file, f"{what} in line {place}", b"\n".join([*lines, b""]), False)


def _change(random: np.random.Generator, content: Any) -> tuple[str, Any]:
    content = copy.deepcopy(content)
    places = list(_places(content))
    if not places:
        return "[]", []
    holder, key = places[int(random.integers(len(places)))]
    if random.integers(4) == 0:
        del holder[key]
        return f"without {key!r}", content
    holder[key] = PARTS[int(random.integers(len(PARTS)))]
    return f"{key!r}={holder[key]!r:.40}", content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


# Readers.


def train(folder: Path, say: Callable[[str], None]) -> None:
    """train.py up to the first step; the config is the folder's own, from before."""
    config = load_whole(f"{ROOT}/configs/copy.py:mixer=gru,length=12", _SETTINGS).config
    stop = RunInterruptedError("stopped", 15)
    with (
        mock.patch.object(training._Run, "_loop", side_effect=stop),
        mock.patch.object(training.Programs, "compile", return_value=""),
        mock.patch.object(training, "say", say),
        mock.patch("seqmodels.training.facts.say", say),
        mock.patch("seqmodels.training.processes.say", say),
        contextlib.suppress(RunInterruptedError),
    ):
        training.fit(config, folder, devices=1)


_SETTINGS = [
    ("train.steps", "12"), ("train.batch_size", "8"), ("train.log_every", "3"),
    ("optimizer.warmup_steps", "2"), ("train.evaluate_every", "4"), ("model.width", "8"),
    ("task.pattern", "3"), ("task.symbols", "4"), ("task.evaluation_examples", "32"),
    ("model.depth", "1"),
]  # fmt: skip
SCORES = {"accuracy": 0.5, "exact_match": 0.0, "loss": 1.0}
WARN = "seqmodels.evaluation.runs.warn"


def evaluate(folder: Path, say: Callable[[str], None]) -> None:
    """evaluate.py."""
    scored = mock.patch("seqmodels.evaluation.loaded.evaluate", return_value=SCORES)
    with scored, mock.patch(WARN, say):
        evaluation.evaluate_run(str(folder), "best", ["test"], 1)


def evaluate_lengths(folder: Path, say: Callable[[str], None]) -> None:
    """evaluate.py --lengths."""
    scores = LengthScores({name: Score(v, v, v, 9) for name, v in SCORES.items()}, {}, {}, {})
    with (
        mock.patch.object(lengths_run, "evaluate_lengths", return_value=[(12, scores)]),
        mock.patch.object(lengths_run, "draw_lengths", return_value=""),
        mock.patch(WARN, say),
    ):
        lengths_run.lengths_run(str(folder), "latest", ["test"], "12")


def generate(folder: Path, say: Callable[[str], None]) -> None:
    """evaluate.py --generate, which such a run does not do, once it has been read."""
    with mock.patch(WARN, say):
        try:
            generate_run(str(folder), "best", 3)
        except UserError as error:
            if "does neither" not in str(error):
                raise


def report(folder: Path, say: Callable[[str], None]) -> None:
    """report.py, but for drawing."""
    report_sections(find([str(folder)], say), Styles())


def sweep(folder: Path, say: Callable[[str], None]) -> None:
    """sweep.py on a sweep whose runs have finished; it begins none."""
    with (
        mock.patch.object(_Sweep, "_watch", return_value=None),
        mock.patch("builtins.print", lambda *words, **_: say(" ".join(map(str, words)))),
    ):
        run_sweep("small.py", [], f"sweeps/{folder.name}", ROOT / "train.py", SweepOptions(1))


def scale(folder: Path, say: Callable[[str], None]) -> None:
    """scaling.py on a table that is filled; a cell that is lost is not measured again."""
    settings = [("mixers", "gru"), ("lengths", "16,32,64"), ("width", "8"), ("depth", "1")]
    settings += [("repeats", "2"), ("from_length", "16")]
    file = f"{ROOT}/configs/scaling.py"

    def not_measured(*_: Any) -> Ending:
        say("one of the cells is measured again")
        return Ending({}, "failed", "not measured")

    with mock.patch.object(scaling, "run_child", not_measured):
        scaling.scale(load_config(file, settings).config, file, str(folder))


RUN: dict[str, tuple[Reader, ...]] = {
    "config.json": (train, evaluate, evaluate_lengths, generate, report),
    "environment.json": (train, report),
    "metrics.jsonl": (train, report),
}
READERS: dict[str, dict[str, tuple[Reader, ...]]] = {
    "finished/gru": {
        **RUN,
        "environment.json": (report,),
        "metrics.jsonl": (report,),
        "results.json": (train, report),
        "evaluations.json": (evaluate,),
        "lengths.json": (evaluate_lengths, report),
        "checkpoints/12/metrics/metrics": (evaluate,),
    },
    "unfinished/gru": {**RUN, "checkpoints/4/metrics/metrics": (evaluate,)},
    "sweeps/finished": {
        "sweep.json": (sweep, report),
        "summary.json": (report,),
        "trials/*/trial.json": (sweep, report),
        "trials/*/results.json": (sweep, report),
        "trials/*/config.json": (sweep, report),
        "trials/*/metrics.jsonl": (report,),
        "trials/*/lock": (sweep,),
    },
    "scaling": {
        "config.json": (scale,),
        "scaling.json": (scale, report),
        "cells/*.json": (scale,),
    },
}
"""The files of each folder, and who must notice what becomes of them."""


class Outcome(NamedTuple):
    """What a reader did with a mutation."""

    folder: str
    reader: str
    mutation: Mutation
    ended: str
    """``refused``, ``said``, ``as it stands``, or what is wrong."""
    message: str

    @property
    def is_right(self) -> bool:
        return self.ended in ("refused", "said", "as it stands")

    def __str__(self) -> str:
        what = f"{self.folder}/{self.mutation.file} with {self.mutation.what}"
        return f"{what}, read by {self.reader}: {self.ended}: {self.message}"


def outcomes(
    old: Path, scratch: Path, count: int, among: tuple[Reader, ...] | None = None
) -> Iterator[Outcome]:
    """So many mutations, evenly over the files, each read by all who read it, or by some of them.

    Args:
      old: what holds the folders.
      scratch: where they are copied to.
      count: how many mutations.
      among: the readers that are called; None for all.
    """
    random = np.random.default_rng(0)
    cases = [
        (folder, name, called)
        for folder, files in READERS.items()
        for name, readers in files.items()
        if (called := [reader for reader in readers if among is None or reader in among])
    ]
    for number in range(count):
        folder, name, readers = cases[number % len(cases)]
        found = sorted((old / folder).glob(name))
        file = found[int(random.integers(len(found)))]
        relative = str(file.relative_to(old / folder))
        mutation = mutate(random, relative, file.read_bytes())
        for reader in readers:
            mutated = scratch / "mutated"
            shutil.rmtree(mutated, ignore_errors=True)
            shutil.copytree(old / folder, mutated / folder)
            shutil.copy(old / "small.py", mutated)
            (mutated / folder / relative).write_bytes(mutation.content)
            with contextlib.chdir(mutated):  # where its commands ran
                yield _judge(folder, mutated / folder, reader, mutation)


def _judge(folder: str, copied: Path, reader: Reader, mutation: Mutation) -> Outcome:
    said: list[str] = []
    ended, message = "as it stands", ""
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as errors,
        ):
            reader(copied, said.append)
        said += errors.getvalue().splitlines()
    except UserError as error:
        ended, message = "refused", str(error)
    except Exception as error:
        ended, message = "traceback", repr(error)
    else:
        name = str(copied / mutation.file)
        named = [line for line in said if name in line or Path(mutation.file).stem in line]
        if named:
            ended, message = "said", named[0]
        elif mutation.is_noticed:
            ended = "wrong success"
    if "\n" in message:
        ended = "several lines"
    return Outcome(folder, reader.__name__, mutation, ended, message)
