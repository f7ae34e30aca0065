"""What is counted: each example of a finite split once, and whole sequences as such."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.evaluation.lengths import Asked, _evaluate_length, _sliced
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.evaluation.scoring import Scores
from seqmodels.model import build_model
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import (
    SPLITS,
    Batch,
    TaskSpec,
    count_rows,
    exact_match_metrics,
    example_indices,
)
from seqmodels.tasks.row_metrics import join_parts, row_metrics
from seqmodels.training.experiment import build_experiment
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.scores import evaluate
from seqmodels.training.sharding import make_mesh
from seqmodels.training.step import initial_state, make_train_step
from seqmodels.training.workdir import Workdir
from tests.command_line import tiny_config
from tests.soaking import soak_only


class Numbered:
    """21 examples of two targets each, which are the example's number."""

    spec = TaskSpec("many-to-many", "tokens", 21, 21, True, "accuracy", True)

    def examples(self, split, length):
        del split, length
        return 21

    def batch(self, split, step, batch_size, length):
        indices, weights = example_indices(21, split, step, batch_size, 0)
        numbers = np.tile(indices[:, None], (1, length)).astype(np.int32)
        return Batch(numbers, numbers, np.tile(weights[:, None], (1, length)))

    def chance(self, split, length):
        return 0.0

    def metrics(self, outputs, batch):
        del outputs
        found = jax.nn.one_hot(batch.targets, 21) * batch.weights[..., None]
        return {
            "loss": (batch.weights.sum(), batch.weights.sum()),
            **{f"example_{n}": (found[..., n].sum(), jnp.ones(())) for n in range(21)},
        }


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("batch_size", [1, 8, 21, 64])
def test_each_example_of_a_split_counts_once(split, batch_size):
    """Of a training split too, whose last batch goes on with the next epoch's first examples."""

    def step(params, batch):
        return Numbered().metrics(None, batch)

    found = evaluate(step, {}, Numbered(), split, batch_size, 2, make_mesh(1))
    batches = -(-21 // batch_size)
    counted = {name: mean * batches for name, mean in found.items() if name != "loss"}
    assert counted == pytest.approx({f"example_{n}": 2.0 for n in range(21)})


@pytest.mark.parametrize("kind", ["digits", "digits_from_class"])
def test_a_training_split_of_a_task_counts_as_many_as_it_says(kind):
    """1,280 of 1,200 were counted with batches of 128."""
    task = TASKS[kind](seed=0)

    def count(params, batch):
        return {"n": ((batch.weights > 0).sum() / batch.weights[0].size, 1.0)}

    found = evaluate(count, {}, task, "train", 128, 64, make_mesh(1))
    assert found["n"] * -(-task.examples("train", 64) // 128) == task.examples("train", 64)


@pytest.mark.parametrize("weights", ["B", "B P"])
def test_rows_that_do_not_count_keep_the_others_weights(weights):
    shape = (4, 3)[: len(weights.split())]
    batch = Batch(np.zeros((4, 3), np.int32), np.zeros(shape, np.int32), np.full(shape, 0.5, "f4"))
    counted = count_rows(batch, np.array([True, False, True, False])).weights
    assert counted.dtype == np.float32
    assert np.reshape(counted, (4, -1))[:, 0].tolist() == [0.5, 0, 0.5, 0]


class Pairs:
    """A task scored by whole sequences, with a target at each position."""

    spec = TaskSpec("many-to-many", "tokens", 3, 3, True, "exact_match", True)

    def batch(self, split, step, batch_size, length):
        raise NotImplementedError

    def examples(self, split, length):
        raise NotImplementedError

    def metrics(self, outputs, batch):
        return exact_match_metrics(outputs, batch)

    def chance(self, split, length):
        raise NotImplementedError


def some_answers() -> tuple[np.ndarray, Batch]:
    """Six sequences: right, wrong at the start, at the end, in what doesn't count, in all, none."""
    targets = np.random.default_rng(0).integers(0, 3, (6, 12)).astype(np.int32)
    answers, weights = targets.copy(), np.ones((6, 12), np.float32)
    for row, wrong in enumerate([[], [0], [11], [3], range(12), []]):
        answers[row, list(wrong)] = (targets[row, list(wrong)] + 1) % 3
    weights[3, 2:5] = 0
    weights[5] = 0
    return answers, Batch(answers, targets, weights)


@pytest.mark.parametrize("wrong", [slice(None), slice(2, 3)])
def test_no_answer_is_right_among_scores_that_are_no_numbers(wrong):
    """The best of them, as argmax has it, is the first: class 0 would be right."""
    outputs = np.zeros((2, 4, 3), np.float32)
    outputs[..., 0] = 1
    outputs[0, :, wrong] = np.nan
    batch = Batch(np.zeros((2, 4), np.int32), np.zeros((2, 4), np.int32), np.ones((2, 4), "f4"))
    found = Pairs().metrics(jnp.asarray(outputs), batch)
    assert {name: pair[0].tolist() for name, pair in found.items() if name != "loss"} == {
        "accuracy": 4,
        "exact_match": 1,
    }
    assert np.isnan(found["loss"][0])


@pytest.mark.slow
@pytest.mark.parametrize("segments", [1, 2, 3, 12])
def test_parts_make_the_metrics_of_the_whole(segments):
    answers, batch = some_answers()
    outputs = jax.nn.one_hot(jnp.asarray(answers), 3)
    parts = [
        row_metrics(Pairs(), outputs[:, places], jax.tree.map(lambda x, p=places: x[:, p], batch))
        for places in np.split(np.arange(12), segments)
    ]
    found = parts[0]
    for part in parts[1:]:
        found = join_parts(found, part)
    assert np.asarray(found["exact_match"][0]).tolist() == [1, 0, 0, 1, 0, 0]
    assert np.asarray(found["exact_match"][1]).tolist() == [1, 1, 1, 1, 1, 0]
    whole = Pairs().metrics(outputs, batch)
    for name, pair in jax.tree.map(jnp.sum, found).items():
        np.testing.assert_allclose(pair, whole[name], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truncate", "accumulate"),
    [(4, 2), *[soak_only(*c) for c in ((None, 1), (4, 1), (1, 1))]],
)
def test_truncated_training_reports_whole_sequences(truncate, accumulate):
    """The model says what it reads: it has learned nothing, and its weights copy."""
    _, batch = some_answers()
    section = {"width": 3, "depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
    model = build_model(section | {"norm": "rms"}, Pairs.spec)
    zero = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    zero["embedding"]["table"] = jnp.eye(3) * 4
    zero["norm"]["norm"]["scale"] = jnp.ones(3)
    zero["head"]["weights"] = jnp.eye(3) * 4
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "clip_norm": None}
    optimizer = make_optimizer(settings, 2, model.parameters)
    step = jax.jit(make_train_step(model, Pairs(), optimizer, accumulate, 0, truncate))
    report = step(initial_state(model, optimizer, 0)._replace(params=zero), batch)[1].read()
    assert report["exact_match"] == (2.0, 5.0)
    assert report["accuracy"][1] == batch.weights.sum()


def test_lengths_of_a_training_split_count_each_example_once():
    """evaluate.py --lengths --split=train: the rows that are asked for, and not a batch's rest."""
    seen = []

    def scorer(params, batch):
        del params
        seen.append(batch)
        rows = (batch.weights[:, 0], batch.weights[:, 0])
        return Scores({"accuracy": rows}, {})

    of = build_experiment(tiny_config())
    of = of._replace(task=Numbered(), train=replace(of.train, batch_size=8, length=2))
    run = LoadedRun(Workdir("no-such-run"), of, 0, {}, make_mesh(1))
    scores = _evaluate_length(run, Asked("train", (2,), chunk=2), 2, scorer)
    assert scores.metrics["accuracy"].examples == 21
    counted = [b.inputs[b.weights[:, 0] > 0, 0] for b in seen]
    assert sorted(np.concatenate(counted).tolist()) == list(range(21))


def test_a_slice_of_exact_match_counts_examples_and_not_targets():
    """Three examples of four targets; of those of value 1 all are right in the second alone."""
    values = np.array([[1, 1, 2, 2], [1, 2, 2, 2], [1, 1, 1, 2]])
    right = np.array([[1, 0, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0]], np.float32)
    counts = np.ones((3, 4), np.float32)
    counts[2] = [1, 1, 0, 0]  # padding
    found = _sliced("exact_match", values, right, counts)
    assert {value: (made.mean, made.examples) for value, made in found.items()} == {
        "1": (pytest.approx(1 / 3), 3),
        "2": (pytest.approx(1 / 2), 2),
    }
    assert _sliced("accuracy", values, right, counts)["1"].mean == pytest.approx(2 / 5)
