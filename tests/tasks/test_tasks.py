"""What seqmodels/tasks/base.py promises, for every task.

A task is tested from the moment that it stands in TASKS, with few examples of a short length; a
line in OWN gives it other settings. What is particular to it has its own file.
"""

import inspect
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SPLITS, Batch, read_rows
from seqmodels.tasks.reading import ReadingTask
from seqmodels.training.facts import older_facts
from tests.tasks.small_sets import frozen_digits, small_sets

ROOT = Path(__file__).parents[2]
IMAGES = {"set": "three_splits", "input": "image", "target": "label"}
# Small settings, and a length, of tasks whose default ones are large, or that take no such length.
OWN = {
    "delayed_copy": ({"delay": 3, "evaluation_examples": 21}, 9),
    "duplicate": ({"symbols": 4, "evaluation_examples": 21}, 9),
    "compression": ({"symbols": 4, "evaluation_examples": 21}, 9),
    "fuzzy_recall": ({"motif": 2, "evaluation_examples": 21}, 20),
    "in_context_recall": ({"vocabulary": 6, "evaluation_examples": 21}, 20),
    "memorisation": ({"vocabulary": 9, "evaluation_examples": 21}, 8),
    "flip_flop": ({"ignored": 0.4, "evaluation_examples": 21}, 10),
    "multi_hop_recall": ({"vocabulary": 9, "chains": 2, "evaluation_examples": 21}, 11),
    "palindrome": ({"symbols": 5, "evaluation_examples": 21}, 10),
    "phone_book": ({"letters": 1, "digits": 2, "evaluation_examples": 21}, 10),
    "stacks": ({"stacks": 2, "symbols": 4, "evaluation_examples": 21}, 12),
    "odds_first": ({"symbols": 4, "evaluation_examples": 21}, 9),
    "pathfinder": ({"evaluation_examples": 21}, 1024),
    "selective_copy": ({"pattern": 3, "symbols": 4, "evaluation_examples": 21}, 9),
    "word_problem": ({"group": "s3", "evaluation_examples": 21}, 9),
    "copy_string": ({"symbols": 4, "evaluation_examples": 21}, 9),
    "dates": ({"evaluation_examples": 21}, 29),
    "digits_from_class": ({}, 64),
    "reverse": ({"symbols": 4, "shortest": 2, "evaluation_examples": 21}, 9),
    "set": ({"symbols": 5, "evaluation_examples": 21}, 9),
    "sort": ({"symbols": 4, "evaluation_examples": 21}, 9),
    "copy": ({"pattern": 3, "symbols": 5, "evaluation_examples": 21}, 12),
    "digits": ({}, 64),
    "images": ({"folder": "images"}, 32),
    "recall": ({"vocabulary": 32, "pairs": 3, "evaluation_examples": 21}, 24),
    "same_file": ({"files": str(ROOT / "seqmodels/tasks"), "evaluation_examples": 21}, 64),
    "source_package": (
        {"files": str(ROOT / "seqmodels/**/*.py"), "classes": 4, "evaluation_examples": 21},
        1024,
    ),
    "text": ({"files": str(ROOT / "seqmodels/**/*.py"), "evaluation_windows": 21}, 16),
    "tokens": ({"path": "tokens.npy", "held_out": 0.2, "evaluation_windows": 21}, 9),
    "frozen": ({}, 64),
    "tfds": ({**IMAGES, "layout": "sequence"}, 64),
    "tfds_pairs": ({"set": "ted_hrlr_translate/pt_to_en", "input": "pt", "target": "en"}, 24),
}


def small(name: str) -> tuple[dict[str, Any], int]:
    """Few examples, where a task has a setting for that, and a short length."""
    takes = inspect.signature(TASKS[name].__init__).parameters
    return {"evaluation_examples": 21} if "evaluation_examples" in takes else {}, 9


CASES = {name: OWN.get(name) or small(name) for name in TASKS}
# Settings that name a folder, which is made when it is asked for.
FOLDERS = {
    "frozen": lambda: {"folder": str(frozen_digits())},
    "tfds": lambda: {"data_dir": str(small_sets())},
    "tfds_pairs": lambda: {"data_dir": str(small_sets())},
}


def make(name, seed=0, **changes):
    folder = FOLDERS[name]() if name in FOLDERS else {}
    return TASKS[name](seed=seed, **(CASES[name][0] | folder | changes))


def same(a: Batch, b: Batch) -> bool:
    return all(
        (x is None and y is None) or (x.dtype == y.dtype and np.array_equal(x, y))
        for x, y in zip(a, b, strict=True)
    )


def is_regression(batch: Batch) -> bool:
    """Whether its targets are numbers and no classes."""
    return np.issubdtype(batch.targets.dtype, np.floating)


def counted(batch: Batch) -> np.ndarray:
    """Which rows count: [B]."""
    return batch.weights.reshape(len(batch.inputs), -1).max(axis=1) > 0


def test_no_case_is_of_a_task_that_is_gone():
    assert OWN.keys() <= TASKS.keys()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_reads_files_says_which(name):
    """All whose constructor takes a path."""
    constructor = TASKS[name]
    takes = {"files", "path", "folder", "data_dir"} & set(constructor.__init__.__annotations__)
    assert bool(takes) == all(hasattr(constructor, word) for word in ("reads", "holds"))
    if takes:
        task = make(name)
        assert isinstance(task, ReadingTask)
        assert task.places.keys() <= takes
        assert all(place.startswith("/") for place in task.places.values())
        assert all(path.is_file() for path in task.reads().values())
        assert task.reads()
        assert task.holds().keys() == set(SPLITS)


@pytest.mark.parametrize("name", TASKS)
def test_the_score_of_older_runs_is_known(name):
    """Of those that note none, by the metrics that they have."""
    task, length = make(name), CASES[name][1]
    spec, batch = task.spec, task.batch("test", 0, 2, length)
    outputs = jax.ShapeDtypeStruct((*batch.targets.shape, spec.outputs), np.float32)
    metrics = jax.eval_shape(task.metrics, outputs, batch)
    model = {"decoder": {}} if spec.shape in ("one-to-many", "sequence-to-sequence") else {}
    facts = older_facts({"task": {"kind": name}, "model": model}, metrics)
    assert facts == {"score": spec.score, "higher_is_better": spec.higher_is_better}


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_is_a_pure_function_of_its_arguments(name):
    task, length = make(name), CASES[name][1]
    asked = [(split, step) for split in SPLITS for step in (0, 5)]
    first = {key: task.batch(*key, 4, length) for key in asked}
    for key in reversed(asked):
        assert same(task.batch(*key, 4, length), first[key]), key
        assert same(make(name).batch(*key, 4, length), first[key]), key


@pytest.mark.parametrize("name", TASKS)
def test_batches_differ_by_step_seed_and_split(name):
    length = CASES[name][1]
    batches = [make(name).batch(split, step, 4, length) for split in SPLITS for step in (0, 1)]
    batches.append(make(name, seed=1).batch("train", 0, 4, length))
    assert len({batch.inputs.tobytes() for batch in batches}) == len(batches)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", TASKS)
def test_shapes_types_and_ranges(name, split):
    task, length = make(name), CASES[name][1]
    spec, batch = task.spec, task.batch(split, 2, 5, length)
    if spec.inputs == "tokens":
        assert batch.inputs.shape == ((5,) if spec.shape == "one-to-many" else (5, length))
        assert batch.inputs.dtype == np.int32
        assert 0 <= batch.inputs.min() <= batch.inputs.max() < spec.input_size
    else:
        assert batch.inputs.shape == (5, length, spec.input_size)
        assert batch.inputs.dtype == np.float32
    labelled = length if batch.positions is None else batch.positions.shape[1]
    if spec.shape == "sequence-to-sequence":
        labelled = batch.targets.shape[1]
        assert batch.mask is not None
    assert batch.targets.shape == ((5,) if spec.shape == "many-to-one" else (5, labelled))
    if is_regression(batch):
        assert (batch.targets.dtype, spec.outputs) == (np.float32, 1)
    else:
        assert batch.targets.dtype == np.int32
        assert 0 <= batch.targets.min() <= batch.targets.max() < spec.outputs
    assert batch.weights.shape == batch.targets.shape
    assert batch.weights.dtype == np.float32
    if batch.mask is not None:
        assert (batch.mask.shape, batch.mask.dtype) == (batch.inputs.shape, bool)
        assert batch.mask.any(axis=1).all()
        assert not batch.inputs[~batch.mask].any()
    if batch.positions is not None:
        assert batch.positions.dtype == np.int32
        assert 0 <= batch.positions.min() <= batch.positions.max() < length


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", TASKS)
def test_some_rows_of_a_batch_are_those_of_the_whole(name, split):
    """Of the last batch of an evaluation too, which is filled up."""
    task, length = make(name), CASES[name][1]
    examples = task.examples(split, length) or 8
    rows = np.array([1, 2, 6])
    for step in (0, (examples - 1) // 8):
        whole = read_rows(task, split, step, 8, length, None)
        assert same(whole, task.batch(split, step, 8, length))
        some = read_rows(task, split, step, 8, length, rows)
        assert same(some, Batch(*(x if x is None else x[rows] for x in whole)))


@pytest.mark.parametrize("batch_size", [1, 8, "more than there are"])
@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", TASKS)
def test_an_evaluation_pass_counts_every_example_once(name, split, batch_size):
    task, length = make(name), CASES[name][1]
    examples = task.examples(split, length)
    batch_size = examples + 3 if isinstance(batch_size, str) else batch_size
    passes = -(-examples // batch_size)
    weights = [task.batch(split, step, batch_size, length).weights for step in range(passes + 1)]
    rows = np.concatenate([w.reshape(batch_size, -1) for w in weights])
    np.testing.assert_array_equal(rows.max(axis=1), np.arange(len(rows)) < examples)
    if task.batch("train", 0, 100, length).weights.all():  # else not as many count in each example
        np.testing.assert_array_equal(rows.min(axis=1), rows.max(axis=1))


@pytest.mark.parametrize("name", TASKS)
def test_the_batch_size_does_not_change_what_is_evaluated(name):
    task, length = make(name), CASES[name][1]

    def rows(batch_size):
        passes = -(-task.examples("test", length) // batch_size)
        batches = [task.batch("test", step, batch_size, length) for step in range(passes)]
        return np.concatenate([batch.inputs[counted(batch)] for batch in batches])

    assert np.array_equal(rows(8), rows(37))


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_metrics_are_sums_and_counts_over_rows_that_count(name):
    """Against a plain loop; the last two rows have weight 0, whatever stands there."""
    task, length = make(name), CASES[name][1]
    last = task.examples("validation", length) // 8
    batch = task.batch("validation", last, 8, length)
    rows = counted(batch)
    assert 0 < rows.sum() < 8
    if is_regression(batch):
        return  # as the next test has it
    random = np.random.default_rng(0)
    outputs = random.normal(size=(*batch.targets.shape, task.spec.outputs)).astype(np.float32)
    outputs[0] = 20 * np.eye(task.spec.outputs)[batch.targets[0]]  # one row wholly right
    outputs[0][batch.weights[0] == 0] *= -1  # as far as it counts
    losses, right, exact = [], [], []
    for scores, targets, weights in zip(
        outputs[rows], batch.targets[rows], batch.weights[rows], strict=True
    ):
        asked = np.ravel(weights) > 0
        scores, targets = scores.reshape(-1, scores.shape[-1])[asked], np.ravel(targets)[asked]
        losses += [
            math.log(np.exp(s, dtype=np.float64).sum()) - s[t]
            for s, t in zip(scores, targets, strict=True)
        ]
        hits = [s.argmax() == t for s, t in zip(scores, targets, strict=True)]
        right += hits
        exact.append(all(hits))
    expected = {
        "loss": (sum(losses), len(losses)),
        "accuracy": (sum(right), len(right)),
        "exact_match": (sum(exact), len(exact)),
        "bits_per_byte": (sum(losses) / math.log(2), len(losses)),
        "bits_per_pixel": (sum(losses) / math.log(2), len(losses)),
    }
    measure = jax.jit(task.metrics)
    metrics = measure(outputs, batch)
    assert {"loss", task.spec.score} <= metrics.keys() <= expected.keys()
    others = outputs.copy()  # JAX may still be reading what it was given
    others[~rows] *= -100
    changed = measure(others, batch)
    for metric, (total, count) in metrics.items():
        np.testing.assert_allclose((total, count), expected[metric], rtol=1e-5, err_msg=metric)
        assert (total, count) == changed[metric]


@pytest.mark.parametrize("name", ["adding"])
def test_errors_are_sums_and_counts_over_rows_that_count(name):
    task, length = make(name), CASES[name][1]
    batch = task.batch("validation", task.examples("validation", length) // 8, 8, length)
    rows = counted(batch)
    assert 0 < rows.sum() < 8
    off = np.array([0.0, 0.03, -0.03, 0.05, -2.0, 9.0, 9.0, 9.0], np.float32)
    metrics = jax.jit(task.metrics)((batch.targets + off)[:, None], batch)
    expected = np.sum(off[rows] ** 2), rows.sum()
    np.testing.assert_allclose(metrics["squared_error"], expected, rtol=1e-4)
    assert metrics["loss"] == metrics["squared_error"]
    assert metrics["accuracy"] == (3, 5)


@pytest.mark.parametrize(
    ("name", "split", "length"),
    [
        ("copy", "train", 5),
        ("delayed_copy", "train", 3),
        ("delayed_copy", "train", 8),
        ("selective_copy", "train", 5),
        ("adding", "train", 1),
        ("induction", "train", 2),
        ("needle", "train", 2),
        ("parity", "train", 0),
        ("even_pairs", "train", 0),
        ("cycle_navigation", "train", 0),
        ("modular_arithmetic", "train", 4),
        ("modular_arithmetic_brackets", "train", 0),
        ("word_problem", "train", 0),
        ("listops", "train", 3),
        ("compression", "train", 0),
        ("in_context_recall", "train", 2),
        ("in_context_recall", "train", 5),
        ("fuzzy_recall", "train", 8),
        ("memorisation", "train", 3),
        ("stack_manipulation", "train", 0),
        ("digits", "train", 63),
        ("pathfinder", "train", 1023),
        ("digits", "test", 65),
        ("recall", "train", 11),
        ("images", "train", 31),
        ("images", "test", 64),
        ("same_file", "train", 2),
        ("same_file", "test", 1_000_000),
        ("source_package", "train", 0),
        ("source_package", "validation", 1_000_000),
        ("text", "train", 0),
        ("tokens", "train", 0),
        ("tokens", "train", 1200),
        ("tokens", "test", 400),
        ("reverse", "train", 1),
        ("sort", "test", 0),
        ("copy_string", "train", 0),
        ("dates", "train", 28),
        ("set", "train", 0),
        ("digits_from_class", "train", 32),
        ("frozen", "train", 63),
        ("tfds", "train", 63),
        ("tfds_pairs", "train", 0),
        ("text", "validation", 10_000_000),
    ],
)
def test_a_length_that_can_not_be_made(name, split, length):
    with pytest.raises(ParameterError, match=f"length={length} can't be made by the task {name}: "):
        make(name).batch(split, 0, 1, length)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("copy", {"pattern": 0}, "pattern=0 is below 1"),
        ("copy", {"symbols": 1}, "symbols=1 is below 2"),
        ("copy", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("in_context_recall", {"noise": 1.0}, "noise=1.0 is not at least 0 and below 1"),
        ("in_context_recall", {"noise": 0.5}, "noise_vocabulary=0 does not go with noise=0.5"),
        ("in_context_recall", {"noise_vocabulary": 1}, "noise_vocabulary=1 does not go with"),
        ("in_context_recall", {"vocabulary": 3}, "vocabulary=3 leaves fewer than 2 keys"),
        ("fuzzy_recall", {"motif": 0}, "motif=0 is below 1"),
        ("fuzzy_recall", {"vocabulary": 5}, "vocabulary=5 has no 2 different tokens"),
        ("memorisation", {"vocabulary": 4}, "vocabulary=4 is below 5"),
        ("listops", {"depth": 1}, "depth=1 is below 2"),
        ("listops", {"arguments": 1}, "arguments=1 is below 2"),
        ("delayed_copy", {"delay": -1}, "delay=-1 is below 0"),
        ("delayed_copy", {"symbols": 1}, "symbols=1 is below 2"),
        ("selective_copy", {"pattern": 0}, "pattern=0 is below 1"),
        ("selective_copy", {"symbols": 1}, "symbols=1 is below 2"),
        ("induction", {"vocabulary": 2}, "vocabulary=2 is below 3"),
        ("needle", {"vocabulary": 3}, "vocabulary=3 is below 4"),
        ("needle", {"distance": 0}, "distance=0 is below 1"),
        ("parity", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("digits", {"shift": 8.0}, "shift=8.0 is not at least 0 and below 8 pixels"),
        ("digits", {"rotation": -1.0}, "rotation=-1.0 is not within 0 and 180 degrees"),
        ("digits", {"scaling": 1.0}, "scaling=1.0 is not at least 0 and below 1"),
        ("pathfinder", {"side": 64}, "side=64 is not 32 or 128 pixels"),
        ("recall", {"vocabulary": 33}, "vocabulary=33 is not an even number above 6"),
        ("recall", {"vocabulary": 6}, "vocabulary=6 is not an even number above 6"),
        ("recall", {"pairs": 0}, "pairs=0 is below 1"),
        ("recall", {"power": 0.0}, "power=0.0 is not above 0"),
        ("recall", {"evaluation_examples": -3}, "evaluation_examples=-3 is below 1"),
        ("reverse", {"symbols": 1}, "symbols=1 is below 2"),
        ("sort", {"shortest": 0}, "shortest=0 is below 1"),
        ("copy_string", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("dates", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("set", {"symbols": 1}, "symbols=1 is below 2"),
        ("set", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("images", {"held_out": 0.5}, "held_out=0.5 is not above 0 and below 0.5"),
        ("same_file", {"held_out": 0.0}, "held_out=0.0 is not above 0 and below 0.5"),
        ("same_file", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("source_package", {"classes": 1}, "classes=1 is below 2"),
        ("source_package", {"evaluation_examples": 0}, "evaluation_examples=0 is below 1"),
        ("tokens", {"vocabulary": 1}, "vocabulary=1 is below 2"),
        ("tokens", {"held_out": -0.1}, "held_out=-0.1 is not above 0 and below 0.5"),
        ("tokens", {"evaluation_windows": 0}, "evaluation_windows=0 is below 1"),
        ("text", {"evaluation_windows": 0}, "evaluation_windows=0 is below 1"),
    ],
)
def test_settings_that_can_not_be_used(name, changes, message):
    with pytest.raises(ParameterError, match=message):
        make(name, **changes)
