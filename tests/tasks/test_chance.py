"""Chance levels: what the best answers are, closed forms against draws, and once for settings."""

import math
from fractions import Fraction
from itertools import product

import jax
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks import TASKS, chance
from seqmodels.tasks.base import ShowingTask, TaskSpec
from seqmodels.tasks.chance import Answers, best_score, chance_of_draws, shown_share
from seqmodels.tasks.generated.task import GeneratedTask
from tests.tasks.test_tasks import CASES, make

# More settings and lengths at which closed forms must hold.
MORE = [
    ("copy", {"symbols": 3}, 8),
    ("cycle_navigation", {}, 1),
    ("cycle_navigation", {}, 2),
    ("even_pairs", {}, 1),
    ("in_context_recall", {"vocabulary": 9, "noise": 0.3, "noise_vocabulary": 2}, 20),
    ("modular_arithmetic", {}, 1),
    ("modular_arithmetic", {}, 3),
    ("modular_arithmetic_brackets", {}, 4),
    ("modular_arithmetic_brackets", {}, 5),
    ("modular_arithmetic_brackets", {}, 30),
    ("reverse", {"symbols": 2, "shortest": 1}, 3),
    ("set", {"operation": "count", "symbols": 16}, 8),
    ("set", {"operation": "count", "symbols": 3}, 8),
    ("set", {"operation": "maximum", "symbols": 16}, 2),
    ("sort", {"symbols": 2}, 5),
    ("word_problem", {"group": "s3"}, 2),
]
SHARES = ("accuracy", "exact_match")


def has_closed_form(name: str) -> bool:
    kind = TASKS[name]
    if not issubclass(kind, GeneratedTask):
        return False
    return kind.chance is not GeneratedTask.chance or make(name).answers is not None


CLOSED = [(name, {}, CASES[name][1]) for name in TASKS if has_closed_form(name)]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("name", "settings", "length"), CLOSED + MORE)
def test_closed_forms_are_what_draws_score(name, settings, length, split):
    """To within 5 standard deviations of as many independent answers as examples."""
    task, draws = make(name, **settings), 60 if name == "pathfinder" else 2000
    said, drawn = task.chance(split, length), chance_of_draws(task, split, length, draws)
    if task.spec.score in SHARES:
        assert abs(said - drawn) < 5 * (said * (1 - said) / draws) ** 0.5 + 1e-9
    else:
        assert drawn == pytest.approx(said, rel=0.2)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_one(name, split):
    task, length = make(name), CASES[name][1]
    found = task.chance(split, length)
    assert type(found) is float
    if task.spec.score in SHARES:
        assert 0 <= found <= 1
    else:
        assert 0 < found < 10


@pytest.mark.parametrize(
    ("name", "settings", "length", "least"),
    [
        ("modular_arithmetic_brackets", {}, 40, 0.28),  # 0 is the answer more often than others
        ("modular_arithmetic", {}, 3, 0.21),
        ("set", {"operation": "count"}, 8, 0.22),
        ("listops", {}, 64, 0.15),
    ],
)
def test_what_is_answered_most_often_is_no_more_often_right(name, settings, length, least):
    task = TASKS[name](seed=3, **settings)
    found, targets = task.chance("test", length), task.batch("train", 0, 2000, length).targets
    best = np.bincount(targets).max() / len(targets)
    assert least < found
    assert abs(best - found) < 0.05


def test_closed_forms_by_hand():
    assert TASKS["adding"](seed=0).chance("test", 9) == pytest.approx(1 / 6)
    assert TASKS["set"](seed=0, operation="count").chance("test", 8) == pytest.approx(
        sum(Fraction(1, n + 1) for n in range(1, 9)) / 8
    )
    sets = [max(members) for n in (1, 2) for top in (1, 2, 3) for members in product(range(top),
            repeat=n) for _ in range(36 // top**n)]  # fmt: skip
    assert TASKS["set"](seed=0, symbols=3).chance("test", 2) == pytest.approx(
        np.bincount(sets).max() / len(sets)
    )
    # Of 3 symbols in 4 places: 4! / (2! 1! 1!) orders of 3^4.
    assert TASKS["sort"](seed=0, symbols=3).chance("test", 4) == pytest.approx(12 / 81)
    assert TASKS["reverse"](seed=0, symbols=3).chance("train", 4) == pytest.approx(1 / 3 / 4)
    # 1 or 2 values of the 3 that are used stand before the question.
    assert TASKS["recall"](seed=0, vocabulary=64, pairs=3).shown_chance("test", 24) == 1 / 3


def spec(score: str, outputs: int = 4) -> TaskSpec:
    return TaskSpec("many-to-many", "tokens", outputs, outputs, False, score, True)


def answers(targets, counted=None) -> Answers:
    targets = np.array(targets)
    return Answers(targets, np.ones(targets.shape, bool) if counted is None else np.array(counted))


def test_at_each_place_the_most_frequent_answer():
    chosen = answers([[1, 2], [1, 2], [3, 3]], [[True, True], [True, True], [True, False]])
    scored = answers([[1, 2], [0, 2], [1, 0], [1, 2]], [[True, True]] * 3 + [[True, False]])
    assert best_score(spec("accuracy"), chosen, scored) == 5 / 7


def test_one_answer_for_all_places_where_that_is_better():
    chosen, scored = answers([[1, 2], [1, 1], [2, 2]]), answers([[1, 1], [2, 1]])
    assert best_score(spec("accuracy"), chosen, scored) == 3 / 4


def test_a_cross_entropy_under_counts_plus_one():
    chosen, scored = answers([[0, 1], [0, 1], [0, 2]]), answers([[0, 1]])
    nats = -(math.log(4 / 7) + math.log(3 / 7)) / 2  # of 4 outputs, counts 3 + 1 and 2 + 1
    assert best_score(spec("loss"), chosen, scored) == pytest.approx(nats)
    assert best_score(spec("bits_per_byte"), chosen, scored) == pytest.approx(nats / math.log(2))


def test_the_mean_for_a_squared_error():
    chosen, scored = answers([0.0, 1.0]), answers([0.5, 1.5, -0.5])
    assert best_score(spec("squared_error"), chosen, scored) == pytest.approx(2 / 3)


def test_the_most_frequent_whole_answer():
    """What does not count is no part of it; the best of each place would be right in none."""
    chosen = answers(
        [[0, 1, 9], [1, 0, 9], [0, 1, 8], [1, 1, 1]],
        [[True, True, False], [True, True, True], [True, True, False], [True, True, True]],
    )
    scored = answers([[0, 1, 7], [0, 1, 0]], [[True, True, False], [True, True, True]])
    assert best_score(spec("exact_match"), chosen, scored) == 1 / 2


def test_a_score_of_which_nothing_is_known():
    with pytest.raises(ParameterError, match="score='f1' has no best answer that is known; give"):
        best_score(spec("f1"), answers([[1]]), answers([[1]]))


@pytest.mark.parametrize("name", ["digits", "images", "tfds"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_of_read_examples_the_most_frequent_in_training(name, split):
    task, length = make(name), CASES[name][1]
    train, scored = (
        np.concatenate([task.batch(part, step, 1, length).targets for step in range(held)])
        for part in ("train", split)
        for held in [task.examples(part, length)]
    )
    frequent = np.flatnonzero(np.bincount(train) == np.bincount(train).max())
    found = task.chance(split, length)
    assert any(found == pytest.approx(np.mean(scored == label)) for label in frequent)


@pytest.mark.parametrize("name", ["text", "tokens", "digits_from_class"])
def test_of_read_text_by_how_often_each_token_comes(name):
    """Below what all tokens alike would give, and above what a position's own entropy could."""
    task, length = make(name), CASES[name][1]
    found, most = task.chance("test", length), math.log(task.spec.outputs)
    assert found < most / (1 if task.spec.score == "loss" else math.log(2)) + 0.05
    other = make(name, seed=1).chance("test", length)
    assert found == pytest.approx(other, rel=0.1)


def test_one_of_those_shown_is_right_as_often_as_there_are_few():
    """Against a plain loop over the values that stand before each question."""
    for name in ("in_context_recall", "fuzzy_recall"):
        task, length = make(name), CASES[name][1]
        batch = task.batch("train", 0, 300, length)
        shares = []
        positions = np.broadcast_to(np.arange(length), batch.inputs.shape)
        positions = positions if batch.positions is None else batch.positions
        for row, places, weights in zip(batch.inputs, positions, batch.weights, strict=True):
            for place in places[weights > 0]:
                shares.append(1 / len(set(row[: place + 1].tolist()) & set(task.values)))
        assert task.shown_chance("train", length) == pytest.approx(np.mean(shares), abs=0.05)
    shown = {name for name in TASKS if issubclass(TASKS[name], GeneratedTask)}
    shown = {name for name in shown if isinstance(make(name), ShowingTask)}
    assert shown >= {"recall", "in_context_recall", "fuzzy_recall"}


@pytest.fixture
def keep_in():
    """Names the folder beside whose programs chances are kept; None keeps none."""
    before = jax.config.jax_compilation_cache_dir
    yield lambda folder: jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_compilation_cache_dir", before)


def test_it_is_worked_out_once_for_settings(monkeypatch, tmp_path, keep_in):
    """Whatever the seed and the process: it is kept in a file, which nothing depends on."""
    keep_in(str(tmp_path / "programs"))
    kind, rows = TASKS["stack_manipulation"], []
    draw = kind.draw
    monkeypatch.setattr(kind, "draw", lambda *args: rows.append(args[3]) or draw(*args))
    first = kind(seed=0).chance("test", 6)
    (file,) = (tmp_path / "programs").rglob("*.json")
    worked_out = sum(rows)
    assert worked_out >= 4000
    assert kind(seed=1, evaluation_examples=7).chance("test", 6) == first
    assert sum(rows) - worked_out < 300  # which tell how it draws
    file.write_text('{"chance": ')
    assert kind(seed=0).chance("test", 6) == first
    assert float(file.read_text()) == first
    kind(seed=0).chance("test", 7)
    kind(seed=0).chance("train", 6)
    assert len(list((tmp_path / "programs").rglob("*.json"))) == 3
    # Another way of drawing is another task.
    monkeypatch.setattr(kind, "draw", lambda *args: draw(args[0], args[1], "train", *args[3:]))
    assert kind(seed=0).chance("test", 6) != first


def test_of_files_it_is_worked_out_once_for_what_they_hold(monkeypatch, tmp_path, keep_in):
    """In each process of a sweep it is read; of other content, or other windows, it is another."""
    keep_in(str(tmp_path / "programs"))
    letters = np.random.default_rng(0).integers(97, 123, (20, 300), np.uint8)
    for number, text in enumerate(letters):
        (tmp_path / f"{number}.txt").write_bytes(text.tobytes())
    worked_out, best = [], chance.best_score
    monkeypatch.setattr(chance, "best_score", lambda *args: worked_out.append(0) or best(*args))

    def found(**settings) -> float:
        return TASKS["text"](seed=0, files=f"{tmp_path}/*.txt", **settings).chance("test", 8)

    first = found()
    assert (found(), len(worked_out)) == (first, 1)
    assert found(evaluation_windows=3) != first
    (tmp_path / "7.txt").write_bytes(letters[8].tobytes())
    assert found() != first
    assert len(worked_out) == 3


def test_settings_that_show_in_no_draw_are_told_apart(tmp_path, keep_in):
    keep_in(str(tmp_path))
    for depth in (9, 10):
        TASKS["listops"](seed=0, depth=depth).chance("test", 8)
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_where_nothing_can_be_kept_it_is_worked_out(tmp_path, keep_in):
    (tmp_path / "file").touch()
    task = make("in_context_recall")
    keep_in(str(tmp_path / "file"))
    once = shown_share(task, "test", 20, task.values)
    keep_in(None)
    assert shown_share(task, "test", 20, task.values) == once
