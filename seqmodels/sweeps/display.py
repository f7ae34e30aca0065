"""What a sweep shows: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table

from seqmodels.json_files import UnreadableError
from seqmodels.output import decoration
from seqmodels.sweeps.groups import Setting, argument_text
from seqmodels.sweeps.plan import Plan
from seqmodels.sweeps.trials import Trial, TrialFile
from seqmodels.terminal import plain_console
from seqmodels.training.processes import say
from seqmodels.training.progress import format_value

_ENDED = ("finished", "failed", "pruned")


class SweepDisplay:
    """Counts a sweep's runs by group and shows how far they are. Use it in a ``with`` statement.

    ``expected`` is how many runs each group will have, by its arguments' text.
    """

    def __init__(self, folder: Path, score: str, higher_is_better: bool, expected: dict[str, int]):
        self._folder = folder
        self._score = score
        self._best_of = max if higher_is_better else min
        self._expected = expected
        self._trials: dict[str, TrialFile] = {}
        self._scores: dict[str, float] = {}
        self._console = plain_console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._begun = time.monotonic()
        self._ended_before: int | None = None

    def __enter__(self) -> "SweepDisplay":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, names: list[str]) -> bool:
        """Looks at the folders and shows what has changed; whether a run has ended since."""
        ended = []
        for name in names:
            known, trial, results = self._trials.get(name), Trial(self._folder, name), None
            if known is not None and known["state"] in _ENDED:
                continue
            try:
                if (now := trial.read()) is None:
                    continue
                if now["state"] == "finished":
                    results = trial.results(self._score)
            except UnreadableError:  # it is said where its run is entered
                continue
            self._trials[name] = now
            if now["state"] in _ENDED:
                ended.append(now)
            if results is not None:
                self._scores[name] = results["validation"][self._score]
        is_first = self._ended_before is None
        if is_first:
            self._ended_before = self.count(*_ENDED)
        with decoration("warning: the sweep's progress can't be shown", say):
            if self._console.is_terminal:
                self._live.update(self._table(), refresh=True)
            elif not is_first:
                for trial in ended:
                    self._console.print(self._line(trial))
        return bool(ended)

    def count(self, *states: str) -> int:
        return sum(trial["state"] in states for trial in self._trials.values())

    @property
    def total(self) -> int:
        return max(sum(self._expected.values()), len(self._trials))

    def _left(self) -> str:
        """The time left, by the pace since this sweep was started."""
        ended = self.count(*_ENDED)
        here = ended - (self._ended_before or 0)
        if ended >= self.total:
            return "nothing left"
        if not here:
            return "time left unknown"
        seconds = (time.monotonic() - self._begun) / here * (self.total - ended)
        return f"{format_seconds(seconds)} left"

    def _line(self, trial: TrialFile) -> str:
        ended = f"{self.count(*_ENDED)}/{self.total}"
        what = f"{trial['state']}: {trial['reason']}" if trial["reason"] else trial["state"]
        if trial["name"] in self._scores:
            what = f"validation {self._score} {format_value(self._scores[trial['name']])}"
        return f"{ended}  {point_text(trial)}  {what}  {self._left()}"

    def _table(self) -> Table:
        title = (
            f"{self.count('finished')} of {self.total} finished, {self.count('running')} running, "
            f"{self.count('failed')} failed, {self.count('pruned')} pruned; {self._left()}"
        )
        table = Table(title=title, title_justify="left", title_style="")
        # In a narrow window the settings take several lines, and no number is cut.
        table.add_column("", overflow="fold")
        for name in ("finished", "running", "failed", "pruned", "waiting"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column(f"best {self._score}, validation", justify="right", overflow="fold")
        for text, expected in self._expected.items():
            own = [t for t in self._trials.values() if argument_text(t["arguments"]) == text]
            counts = [
                sum(trial["state"] == state for trial in own)
                for state in ("finished", "running", "failed", "pruned")
            ]
            scores = [self._scores[t["name"]] for t in own if t["name"] in self._scores]
            best = format_value(self._best_of(scores)) if scores else ""
            waiting = max(expected, len(own)) - sum(counts)
            table.add_row(text, *map(str, counts), str(waiting), best)
        return table


def print_plan(plan: Plan) -> None:
    """Lists what a sweep would run: in stages the first of them, and how much may follow."""
    for run in plan.runs:
        print(f"{run.name}  {point_text(run._asdict())}  {_size(run.size)}")
    for group in plan.groups if plan.search != "grid" else ():
        seeds = f"{len(group.seeds)} seed{'s' if len(group.seeds) > 1 else ''}"
        if plan.trials is not None:
            settings = f"{plan.trials} settings, each with {seeds}"
            sizes = dict.fromkeys(_size(setting.size) for setting in group.settings)
            print(f"{group.text}  {settings}  {'; or '.join(sizes)}")
        else:
            ends = (("below", group.below), ("above", group.above))
            beyond = [f"{side} {_values(s)}" for side, s in ends if s]
            then = f"then, where the best lies at an end, {' or '.join(beyond)}; " if beyond else ""
            print(f"{group.text}  {then}then the best with {seeds} in all")
    total = sum(group.expected(plan.search, plan.trials) for group in plan.groups)
    beyond = sum(max(len(group.below), len(group.above)) for group in plan.groups)
    most = f", at most {total + beyond}" if beyond else ""
    print(f"{total} runs{most}; none was begun")


def _values(settings: Sequence[Setting]) -> str:
    """The values of some settings, of which each has other ones of the same keys."""
    first, *others = (argument_text(setting.values) for setting in settings)
    return ", ".join([first, *(text.rpartition("=")[2] for text in others)])


def point_text(point: Mapping[str, Any]) -> str:
    """What a run is, in a line: its arguments and overrides.

    >>> point_text({"arguments": {"mixer": "rnn"}, "overrides": {"seed": 0}})
    'mixer=rnn seed=0'
    """
    parts = [argument_text(point["arguments"]), argument_text(point["overrides"])]
    return " ".join(part.replace(",", " ") for part in parts if part)


def format_seconds(seconds: float) -> str:
    """A stretch of time.

    >>> format_seconds(42.0), format_seconds(125.0), format_seconds(7300.0)
    ('42 s', '2 min', '2 h 2 min')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _size(size: dict[str, Any]) -> str:
    flops, state = size["flops"] / 1e6, size["state_bytes"]
    return f"{size['parameters']:,} parameters, {flops:,.1f} MFLOPs, {state:,} bytes of state"
