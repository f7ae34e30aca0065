"""Whether a change made any layer slower: every case at an earlier commit and as it is now.

    make bench-check BEFORE=HEAD~5                    # all of it, ten minutes on two cores
    python benchmarks/check.py --before=43b7449 --cases=lstm,prompt --dtypes=float32

Each side is a process with its own checkout's code (benchmarks/checkout.py). They answer in turn,
the order changing from round to round; a case's ratio is the median of the rounds' ratios, after
over before. What lies above the limit is measured once more, and its rounds are counted together.
Beside the layers: a prompt of 2,048 and 4,096 positions and a token after 16,384, by a model of
four blocks; a prompt's temporary memory must be linear.
"""

import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from absl import flags
from cases import CASES, SIZES
from ratios import Measured, above, geometric_mean

from seqmodels import cli
from seqmodels.errors import UserError, nearest

BEFORE = flags.DEFINE_string("before", None, "commit to compare with")
NAMES = flags.DEFINE_list("cases", [], "the cases to time; all of them by default")
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "of float32, bfloat16")
SECONDS = flags.DEFINE_float("seconds", 4.0, "about how long a case is measured, both sides", 0.1)
EACH = flags.DEFINE_float("each", 1.15, "the largest ratio of a case", 0.0)
MEAN = flags.DEFINE_float("mean", 1.03, "the largest geometric mean of the ratios", 0.0)

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("global", "local", "lstm")
"""What reads the prompts and writes the tokens."""
MORE = {"prompt": (2048, 4096), "token": (16384,)}
"""The lengths of the cases that aren't layers."""
MEMORY = (4096, 8192)
"""Between these a prompt's memory is compared; XLA lays out those of shorter ones otherwise."""
DOUBLING = 2.2
"""The largest ratio of a prompt's temporary memory to that of one half as long."""
LEAST_ROUNDS, MOST_ROUNDS = 3, 9


class Side:
    """A checkout's process, answering one request at a time."""

    def __init__(self, checkout: Path):
        self.checkout = checkout
        paths = [str(checkout), str(checkout / "benchmarks")]
        self.process = subprocess.Popen(
            # -P: the folder of the script doesn't stand before the checkout's.
            [sys.executable, "-P", str(ROOT / "benchmarks" / "checkout.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        self.cases: list[str] = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(f"the process of {self.checkout} ended; its own message stands above")
        return json.loads(line)

    def ask(self, calls: int, **request: Any) -> dict[str, float]:
        """Seconds a call, and the program's temporary bytes."""
        assert self.process.stdin is not None
        print(json.dumps({**request, "calls": calls}), file=self.process.stdin, flush=True)
        return self._read()


def requests(name: str) -> list[tuple[str, dict[str, Any]]]:
    """A case's lines, and what is asked of both sides for each."""
    if name in MORE:
        return [
            (f"{name} {length:,} {model}", {"case": name, "length": length, "model": model})
            for model, length in itertools.product(MODELS, MORE[name])
        ]
    case = CASES[name]
    passes = (False, True) if case.forward else (True,)
    # Earlier commits have the same rows for all lengths.
    lengths = [length for length in case.lengths if case.rows(length) == SIZES["batch"]]
    return [
        (
            f"{name} {length:,} {dtype} {'forward and backward' if backward else 'forward'}",
            {"case": name, "length": length, "dtype": dtype, "backward": backward},
        )
        for length, dtype, backward in itertools.product(lengths, DTYPES.value, passes)
    ]


def measure(name: str, request: dict[str, Any], before: Side, after: Side) -> Measured:
    """Rounds in turn, as many as fit into the time."""
    first = [min(side.ask(1, **request)["seconds"] for _ in range(2)) for side in (before, after)]
    calls = max(1, round(SECONDS.value / (2 * MOST_ROUNDS) / min(first)))
    rounds = round(SECONDS.value / (calls * sum(first)))
    measured = Measured(name, request, [], [])
    for number in range(min(max(rounds, LEAST_ROUNDS), MOST_ROUNDS)):
        sides = [(before, measured.before), (after, measured.after)]
        for side, times in sides[:: 1 if number % 2 else -1]:
            times.append(side.ask(calls, **request)["seconds"])
    return measured


def compare(before: Side, after: Side, names: list[str]) -> list[str]:
    """Prints each line and the mean; what is above its limit."""
    rows: list[Measured] = []
    for name, request in itertools.chain.from_iterable(map(requests, names)):
        if request["case"] in before.cases:
            rows.append(measure(name, request, before, after))
            print(rows[-1].line(), flush=True)
        else:
            print(f"{name:<42} isn't there before")
    for number, row in enumerate(rows):
        if row.ratio() > EACH.value:
            again = measure(row.name, row.request, before, after)
            both = row._replace(before=row.before + again.before, after=row.after + again.after)
            rows[number] = both
            print(f"{both.line()}, measured once more", flush=True)
    print(f"geometric mean of {len(rows)}: {geometric_mean(rows):.3f}")
    return above(rows, EACH.value, MEAN.value)


def prompts_memory(before: Side, after: Side) -> list[str]:
    """Prints how a prompt's temporary memory grows; where it isn't linear now."""
    found = []
    for model in MODELS:
        grows = {}
        for which, side in (("before", before), ("after", after)):
            short, long = (
                side.ask(0, case="prompt", length=length, model=model)["bytes"] for length in MEMORY
            )
            grows[which] = long / short
            line = f"prompt's memory {model} {which}"
            print(f"{line:<42} {short / 2**20:>8.1f} MiB {long / 2**20:>7.1f} MiB")
        if grows["after"] > DOUBLING:
            found.append(
                f"a prompt's memory, {model}, grows {grows['after']:.2f}-fold where its length "
                f"doubles (at most {DOUBLING})"
            )
    return found


def unpack(commit: str, folder: str) -> None:
    """Writes a commit's code into a folder."""
    command = ["git", "-C", str(ROOT), "archive", f"--output={folder}/code.tar", commit]
    done = subprocess.run(
        [*command, "seqmodels", "benchmarks"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise UserError(f"--before={commit} can't be read: {said}; name a commit")
    with tarfile.open(f"{folder}/code.tar") as code:
        code.extractall(folder, filter="data")


def main() -> None:
    """Fails where a case, the mean or the memory is above its limit."""
    commit = cli.require_flag(BEFORE)
    known = [*CASES, *MORE]
    for name in NAMES.value:
        if name not in known:
            raise UserError(f"--cases: {name!r} is not one; {nearest(name, known)}")
    names = NAMES.value or known
    with tempfile.TemporaryDirectory() as folder:
        unpack(commit, folder)
        before, after = Side(Path(folder)), Side(ROOT)
        found = compare(before, after, names)
        if "prompt" in names:
            found += prompts_memory(before, after)
    if found:
        raise UserError(f"slower than {commit}: {'; '.join(found)}")


if __name__ == "__main__":
    cli.run(main)
