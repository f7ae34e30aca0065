"""Chance: the best score of an answer that knows the task, length and place, and not the input.

It is chosen on DRAWS of the task's own examples and scored on as many others: at each labelled
place the most frequent answer for accuracy, the shares of answers for a cross-entropy, the mean for
a squared error, and the most frequent whole answer for an exact match. A task that can tell it in
closed form says so in its ``chance`` instead; the tests hold each to its draws.
"""

import contextlib
import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from seqmodels.arrays import Bool, Float, Int
from seqmodels.errors import ParameterError, UserError
from seqmodels.json_files import read_json, write_json
from seqmodels.tasks.base import SPLITS, Batch, ShowingTask, Split, Task, TaskSpec
from seqmodels.tasks.reading import ReadingTask, record_file
from seqmodels.tasks.sampling import previous

DRAWS = 2000
"""Examples that an answer is chosen on, and others that it is scored on."""
POSITIONS, FEWEST = 2**24, 100
"""Of long sequences as many examples as have so many positions, but never fewer."""
AT_ONCE, ROWS = 2**18, 250
"""Positions that are drawn together, and examples at most."""
COUNTED = 2**22
"""How often each answer comes at a place: so many counts are held together."""
FIRST = 16
"""Examples of a batch that tells what a task reads from what another does."""
STREAM = 0xC4A7CE
"""Sets the random numbers of these draws apart from those of batches."""
SOURCE = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""Of this file: what an earlier version of it has kept is worked out anew."""


WORDS = {"chance": "chance", "shown_chance": "one of those shown"}
"""What :func:`levels` are called."""


def levels(task: Task, split: Split, length: int) -> dict[str, float]:
    """What a score is held against, by the names of WORDS: chance, and where a task shows its
    answers among others also one of those.

    >>> from seqmodels.tasks import TASKS
    >>> levels(TASKS["recall"](seed=0, vocabulary=64, pairs=4), "test", length=32)
    {'chance': 0.03125, 'shown_chance': 0.25}
    """
    found = {"chance": task.chance(split, length)}
    if isinstance(task, ShowingTask):
        found["shown_chance"] = task.shown_chance(split, length)
    return found


@runtime_checkable
class DrawnTask(Task, Protocol):
    """A task that draws its examples."""

    def draw(
        self, random: np.random.Generator, split: Split, batch_size: int, length: int
    ) -> Batch:
        """A batch; its weights may be 1 for all targets."""
        ...


class Answers(NamedTuple):
    """What some examples ask for."""

    targets: Int[np.ndarray, "n *P"] | Float[np.ndarray, "n"]
    counted: Bool[np.ndarray, "n *P"]


def chance_of_draws(task: DrawnTask, split: Split, length: int, draws: int = DRAWS) -> float:
    """The chance of a task that draws its examples; it depends on its settings, not on its seed."""
    drawn = _Draws(task, split, length, draws)
    return drawn.once("chance", lambda: best_score(task.spec, drawn.half(0), drawn.half(1)))


def shown_share(task: DrawnTask, split: Split, length: int, values: range) -> float:
    """By draws, the score of one of the values that stand in the input up to the question."""
    drawn = _Draws(task, split, length, DRAWS)

    def share(batch: Batch) -> tuple[float, int]:
        inputs, asked = np.asarray(batch.inputs), np.asarray(batch.weights) > 0
        new = (previous(inputs) < 0) & (inputs >= values.start) & (inputs < values.stop)
        shown = new.cumsum(axis=1)
        if batch.positions is not None:
            shown = np.take_along_axis(shown, np.asarray(batch.positions), axis=1)
        return float((1 / shown[asked]).sum()), int(asked.sum())

    def work() -> float:
        right, count = np.sum([share(batch) for batch in drawn.batches(0)], axis=0)
        return float(right / count)

    return drawn.once("shown", work)


@lru_cache(maxsize=256)
def chance_of_examples(task: Task, split: Split, length: int) -> float:
    """The chance of a task that reads its examples, chosen on those of training.

    Of more than DRAWS those are taken that lie evenly spread; training's own are scored by the
    other half of them.
    """

    def work() -> float:
        if split == "train":
            targets, counted = _spread(task, split, length, 2)
            chosen, scored = (Answers(targets[half::2], counted[half::2]) for half in (0, 1))
        else:
            chosen, scored = _spread(task, "train", length), _spread(task, split, length)
        return best_score(task.spec, chosen, scored)

    if not isinstance(task, ReadingTask):
        return work()
    files = {name: record_file(path) for name, path in task.reads().items()}
    splits: tuple[Split, ...] = ("train", split)
    told = (_settings(task), split, length, files)
    return _once(told, lambda: [task.batch(s, 0, FIRST, length) for s in splits], work)


def chance_of_labels(labels: Mapping[Any, Int[np.ndarray, "n"]], split: Split) -> float:
    """The share of a split that has the most frequent of training's labels.

    >>> labels = {"train": np.array([0, 1, 1, 1]), "test": np.array([1, 0, 2, 2])}
    >>> chance_of_labels(labels, "test")
    0.25
    """
    chosen, scored = labels["train"], labels[split]
    if split == "train":
        chosen, scored = chosen[::2], scored[1::2]
    return float(np.mean(scored == np.bincount(chosen).argmax()))


def best_score(spec: TaskSpec, chosen: Answers, scored: Answers) -> float:
    """The score, on some answers, of what is best on others.

    An answer for each place knows more than one for all places together, and is chosen on fewer:
    the better one counts.

    Raises:
      ParameterError: it is not known what is best for the task's score.
    """
    if spec.score == "exact_match":
        return _exact_match(chosen, scored)
    if not np.issubdtype(chosen.targets.dtype, np.integer):
        mean = chosen.targets[chosen.counted].mean(dtype=np.float64)
        return float(np.mean((scored.targets[scored.counted] - mean) ** 2))
    ways = [(_together(chosen), _together(scored))]
    if chosen.targets.ndim == 2:
        ways.append((chosen, scored))
    if spec.score == "accuracy":
        return max(_accuracy(spec.outputs, *way) for way in ways)
    nats = min(_cross_entropy(spec.outputs, *way) for way in ways)
    if spec.score == "loss":
        return nats
    if spec.score.startswith("bits_per_"):
        return nats / math.log(2)
    raise ParameterError(
        f"score={spec.score!r} has no best answer that is known; give the task its own chance"
    )


def _together(answers: Answers) -> Answers:
    """As if all stood at one place."""
    return Answers(answers.targets.reshape(-1, 1), answers.counted.reshape(-1, 1))


def _accuracy(outputs: int, chosen: Answers, scored: Answers) -> float:
    right = 0
    for counts, places, asked in _places(outputs, chosen, scored):
        right += int((asked == counts.argmax(axis=1)[places]).sum())
    return right / int(scored.counted.sum())


def _cross_entropy(outputs: int, chosen: Answers, scored: Answers) -> float:
    """In nats an answer, under the chosen ones' counts plus one."""
    nats = 0.0
    for counts, places, asked in _places(outputs, chosen, scored):
        totals = counts.sum(axis=1) + outputs
        nats += float(np.log(totals[places] / (counts[places, asked] + 1)).sum())
    return nats / int(scored.counted.sum())


def _places(outputs: int, chosen: Answers, scored: Answers) -> Iterator[tuple[np.ndarray, ...]]:
    """Of some places at a time how often each answer was chosen there [places, V]; and the places
    and values [n] of what is scored."""
    together = max(1, COUNTED // outputs)
    for start in range(0, chosen.targets.shape[1], together):
        (targets, counted), (others, asked) = (
            (part[:, start : start + together] for part in half) for half in (chosen, scored)
        )
        places = targets.shape[1]
        flat = (outputs * np.arange(places) + targets)[counted]
        counts = np.bincount(flat, minlength=places * outputs).reshape(places, outputs)
        yield counts, asked.nonzero()[1], others[asked]


def _exact_match(chosen: Answers, scored: Answers) -> float:
    rows, others = (
        [row.tobytes() for row in np.where(counted, targets, -1)]
        for targets, counted in (chosen, scored)
    )
    ((frequent, _),) = Counter(rows).most_common(1)
    return others.count(frequent) / len(others)


def _answers(batches: Iterable[Batch], most: int) -> Answers:
    """What the first of some examples ask for; what fills a last batch up counts for nothing."""
    parts = [(b.targets, np.broadcast_to(b.weights, b.targets.shape) > 0) for b in batches]
    targets, counted = map(np.concatenate, zip(*parts, strict=True))
    real = counted.reshape(len(counted), -1).any(axis=1)
    return Answers(targets[real][:most], counted[real][:most])


def _spread(task: Task, split: Split, length: int, times: int = 1) -> Answers:
    """Examples from all over a split, so many times as many as are wanted."""
    wanted = times * min(DRAWS, max(FEWEST, POSITIONS // length))
    held = task.examples(split, length) or wanted
    rows = max(1, min(ROWS, AT_ONCE // length, held))
    steps = np.linspace(0, -(-held // rows) - 1, -(-min(wanted, held) // rows))
    batches = (task.batch(split, step, rows, length) for step in steps.astype(int).tolist())
    return _answers(batches, min(wanted, held))


class _Draws:
    """Examples that a task draws, in two halves, the same for all seeds."""

    def __init__(self, task: DrawnTask, split: Split, length: int, draws: int):
        self.task, self.length = task, length
        self.split: Split = split
        self.count = min(draws, max(FEWEST, POSITIONS // length))
        self.rows = max(1, min(ROWS, AT_ONCE // length))
        self.calls = -(-self.count // self.rows)

    def draw(self, call: int) -> Batch:
        """Some of them."""
        random = np.random.default_rng([STREAM, SPLITS.index(self.split), self.length, call])
        return self.task.draw(random, self.split, self.rows, self.length)

    def batches(self, half: int) -> Iterator[Batch]:
        """Those of a half."""
        return map(self.draw, range(half * self.calls, (half + 1) * self.calls))

    def half(self, half: int) -> Answers:
        """What those of a half ask for."""
        return _answers(self.batches(half), self.count)

    def once(self, what: str, work: Callable[[], float]) -> float:
        """What is worked out of them: how a task draws is told by some of what it draws."""
        # On the two numbers it doesn't depend.
        settings = _settings(self.task) | {"seed": 0, "evaluation_examples": 0}
        asked = (what, self.split, self.length, self.count)
        return _once((settings, asked), lambda: [self.draw(0)], work)


def _settings(task: Task) -> dict[str, Any]:
    """What tells a task from another, as far as its attributes are plain."""
    kind, plain = type(task), (bool, int, float, str, type(None))
    settings = {k: value for k, value in vars(task).items() if isinstance(value, plain)}
    return settings | {"kind": f"{kind.__module__}.{kind.__qualname__}"}


def _once(
    told: object, examples: Callable[[], Iterable[Batch]], work: Callable[[], float]
) -> float:
    """What is worked out of examples; it is kept beside compiled programs, where those are.

    What is told, and some of the examples, say of which.
    """
    folder = jax.config.jax_compilation_cache_dir
    if not (folder and jax.config.jax_enable_compilation_cache) or "://" in folder:
        return work()
    digest = hashlib.sha256(repr((SOURCE, told)).encode())
    for field in itertools.chain.from_iterable(examples()):
        digest.update(b"" if field is None else np.ascontiguousarray(field).tobytes())
    file = Path(folder) / "chance" / f"{digest.hexdigest()[:32]}.json"
    with contextlib.suppress(UserError):  # it holds something else
        if (kept := read_json(file, float)) is not None:
            return kept
    found = work()
    with contextlib.suppress(OSError, UserError):  # a full or read-only disk: it isn't kept
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, found)
    return found
