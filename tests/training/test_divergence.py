"""Runs whose loss diverges: which steps do, what is done about it, and that a resume repeats it."""

import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.errors import DivergedError
from seqmodels.parameters import About
from seqmodels.tasks.base import Batch
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.divergence import Divergence, WentBackError
from seqmodels.training.experiment import TrainSettings, build_experiment
from seqmodels.training.fit import fit
from seqmodels.training.guard import DIVERGED, Guarding
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.metrics import MetricWriter
from seqmodels.training.moments import Observer
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.programs import step_batch
from seqmodels.training.sharding import make_mesh
from seqmodels.training.step import GuardedState, initial_state, make_train_step
from tests.command_line import assert_same_end, end_of, events, tiny_config
from tests.moments import at, terminate
from tests.training.poisoned import poison_losses
from tests.training.test_step import NextToken

SKIP = {"on_divergence": "skip", "most_divergences": 3}
BACK = {"on_divergence": "back", "most_divergences": 3, "back": 1}


def test_what_a_spike_is():
    """The median of the last finite losses, once there are so many; a spike counts among them."""
    guarding = Guarding(spike=3.0, losses=3, skips=True)
    guard, found = guarding.begin(), []
    losses = [9.0, math.nan, 1.0, 100.0, 28.0, 83.0, 85.0, 81.0]
    for loss in losses:
        diverged, guard = guarding.look(guard, jnp.float32(loss), jnp.float32(1))
        found.append(bool(diverged))
    # The medians are 9 of 9, 1, 100, and 28 of 1, 100, 28: 28 is a spike, and 83 isn't.
    assert found == [False, True, False, False, True, False, False, False]
    assert int(guard.skipped) == 2
    assert guard.losses is not None
    assert guard.losses.tolist() == [83.0, 85.0, 81.0]
    diverged, _ = guarding.look(guard, jnp.float32(80), jnp.float32(math.inf))
    assert bool(diverged), "its gradient is"


class Mean(NextToken):
    """A task whose loss is the mean of what the model says."""

    def metrics(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        return {"loss": (jnp.sum(outputs), jnp.float32(outputs.size))}


@pytest.fixture(scope="module")
def taken() -> Callable[[bool, float], tuple[Any, Any, dict]]:
    """A state, the one after a step whose loss has a factor, and the step's report."""
    model: Any = build_experiment(tiny_config()).model._replace(
        init=lambda key: {"w": jnp.ones(3)},
        vectors=lambda params, batch, key: jnp.sum(params["w"]) * batch.weights,
        score=lambda params, x: x,
    )
    optimizer = make_optimizer(
        {"learning_rate": 0.1, "warmup_steps": 1}, 5, {"w": About(("D",), decays=False)}
    )

    def taken_(skips: bool, factor: float) -> tuple[Any, Any, dict]:
        guarding = Guarding(None, None, skips)
        state = initial_state(model, optimizer, 0, None, guarding)
        step = make_train_step(model, Mean(), optimizer, 1, 0, None, guarding)
        batch = Batch(*(np.ones((2, 1), dtype) for dtype in (np.int32, np.int32, np.float32)))
        after, report = jax.jit(step)(state, batch._replace(weights=np.float32([[1], [factor]])))
        return state, after, report.read()

    return taken_


@pytest.mark.parametrize("factor", [1.0, math.nan, 1e30])
def test_the_update_of_a_step_that_diverges_is_left_out(taken, factor):
    """1e30 squared is infinite, in the gradient's norm alone."""
    before, after, report = taken(True, factor)
    good = factor == 1
    assert report[DIVERGED] == (0.0 if good else 1.0, 1.0)
    assert (int(after.step), int(after.guard.skipped)) == (1, 0 if good else 1)
    kept = jax.tree.map(
        lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(),
        (before.params, before.optimizer),
        (after.params, after.optimizer),
    )
    assert all(jax.tree.leaves(kept)) != good
    assert any(jax.tree.leaves(kept)) != good


def test_only_skip_leaves_it_out(taken):
    _, after, report = taken(False, math.nan)
    assert report[DIVERGED] == (1.0, 1.0)
    assert np.isnan(after.params["w"]).all()
    assert int(after.guard.skipped) == 0


def settings(**train: Any) -> TrainSettings:
    return TrainSettings(steps=100, batch_size=8, length=8, evaluate_every=10, **train)


def report(loss: float, norm: float = 1.0, diverged: bool = True) -> dict:
    return {"loss": (2 * loss, 2.0), "gradient_norm": (norm, 1.0), DIVERGED: (diverged, 1.0)}


@pytest.fixture
def judge(tmp_path):
    """A run's :class:`Divergence`, the lines that it says, its events, and where they go."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", "accuracy", True, pytest.fail)
    writer = MetricWriter(tmp_path / "metrics.jsonl", 0)

    def judge_(**train: Any) -> tuple[Divergence, list[str], MetricWriter]:
        said: list[str] = []
        return Divergence(settings(**train), checkpoints, said.append), said, writer

    yield judge_
    writer.close()
    checkpoints.close()


def test_skipped_steps_are_said_noted_and_bounded(judge, tmp_path):
    divergence, said, writer = judge(**SKIP, spike=4.0, spike_losses=50)
    metrics = report(1.0, diverged=False)
    assert divergence.counts(1, metrics, writer)
    assert DIVERGED not in metrics
    assert not divergence.counts(2, report(math.nan), writer)
    assert not divergence.counts(3, report(2.0, math.inf), writer)
    assert not divergence.counts(4, report(23.456), writer)
    assert said == [
        "the loss is nan at step 2: its update is skipped (1 of at most 3)",
        "the gradient's norm is inf at step 3: its update is skipped (2 of at most 3)",
        "the loss is 23.46 at step 4, above 4 times the median of 50: its update is skipped "
        "(3 of at most 3)",
    ]
    noted = [(event["step"], event["gradient_norm"]) for event in events(tmp_path, "skipped")]
    assert noted == [(2, 1.0), (3, math.inf), (4, 1.0)]
    why = r"^the loss is nan at step 9, after train.most_divergences=3 others; none was saved "
    with pytest.raises(DivergedError, match=why):
        divergence.counts(9, report(math.nan), writer)
    with pytest.raises(DivergedError, match=r"^the validation loss is nan at step 20; none was"):
        divergence.require_finite(20, "validation loss", math.nan, writer)


def test_ways_back_are_said_noted_and_bounded(judge, tmp_path):
    divergence, _, writer = judge(**BACK | {"back": 2})
    for number, (step, to) in enumerate([(40, "step 20"), (15, "the beginning"), (30, "step 10")]):
        why = re.escape(
            f"the loss is inf at step {step}: back to {to}, with other data "
            f"({number + 1} of at most 3)"
        )
        with pytest.raises(WentBackError, match=f"^{why}$") as back:
            divergence.counts(step, report(math.inf), writer)
        assert back.value.step == int(re.sub(r"\D", "", to) or 0)
        divergence.note(back.value.step, writer)
    divergence.note(10, writer)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(e["step"], e["split"], e["from_step"], e["reversals"]) for e in lines] == [
        (20, "reversal 1", 40, 1),
        (0, "reversal 2", 15, 2),
        (10, "reversal 3", 30, 3),
    ]
    with pytest.raises(DivergedError, match=r"after train.most_divergences=3 others; none was"):
        divergence.require_finite(30, "validation loss", math.nan, writer)


def test_a_spike_stops_a_run_that_neither_skips_nor_goes_back(judge, tmp_path):
    divergence, _, writer = judge(spike=4.0, spike_losses=50)
    with pytest.raises(DivergedError, match=r"^the loss is 7 at step 2, above 4 times the median"):
        divergence.counts(2, report(7.0), writer)
    assert events(tmp_path, "diverged") == [
        {"step": 2, "split": "diverged", "loss": 7.0, "gradient_norm": 1.0}
    ]


def test_a_run_that_stops_is_as_it_was():
    """Its state, and so its checkpoints, hold nothing for it."""
    assert settings().guarding is None
    assert settings(**BACK).guarding == Guarding(None, None, skips=False)


def test_the_state_that_is_gone_on_from_has_the_reversals_since(judge):
    divergence, _, writer = judge(**BACK)
    guard = Guarding(None, None, False).begin()
    state = GuardedState(jnp.zeros((), jnp.int32), {}, {}, guard._replace(reversals=jnp.int32(1)))
    assert divergence.begin(state) is state
    with pytest.raises(WentBackError):
        divergence.counts(40, report(math.inf), writer)
    assert int(divergence.begin(state).guard.reversals) == 2  # type: ignore[union-attr]


def test_a_resumed_run_counts_on(judge):
    divergence, _, writer = judge(**SKIP)
    guard = Guarding(None, None, True).begin()._replace(skipped=jnp.int32(3))
    divergence.begin(GuardedState(jnp.zeros((), jnp.int32), {}, {}, guard))
    with pytest.raises(DivergedError, match=r"^the loss is nan at step 9, after train\.most_div"):
        divergence.counts(9, report(math.nan), writer)


STEPS = 12


def config(**train: Any) -> ConfigDict:
    found = tiny_config(steps=STEPS, evaluate_every=3, log_every=2).unlock()
    found.task.evaluation_examples = 16
    with found.ignore_type():
        found.train.update(train)
    return found.lock()


@pytest.fixture
def poison(monkeypatch) -> Callable[[set[tuple[int, int]]], None]:
    """Makes the loss of some steps NaN, by how many are done and how often a run went back."""

    return partial(poison_losses, monkeypatch)


def interrupted() -> None:
    raise KeyboardInterrupt


def told(folder: Path) -> list[tuple[int, str]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [(event["step"], event["split"]) for event in lines]


@pytest.mark.slow
def test_a_run_that_goes_back_repeats_it_when_it_is_resumed(poison, tmp_path, capsys):
    """Killed after its first way back, and stopped after its second, before anything is saved."""
    poison({(7, 0), (8, 1)})
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def run(folder: Path, *observers: Observer) -> None:
        fit(config(**BACK), folder, observers=observers)

    run(whole)
    said = capsys.readouterr().out
    for number, step in ((1, 8), (2, 9)):
        line = f"the loss is nan at step {step}: back to step 6, with other data ({number} of at "
        assert f"\n{line}most 3)\ncontinuing from step 6 in {whole}\n" in said
    found = told(whole)
    assert [e for e in found if "reversal" in e[1]] == [(6, "reversal 1"), (6, "reversal 2")]
    assert [step for step, split in found if split == "train"] == [2, 4, 6, 8, 10, 12]
    assert [step for step, split in found if split == "validation"] == [3, 6, 9, 12]

    with pytest.raises(KeyboardInterrupt):
        run(broken, at("step done", 7, interrupted, time=2))
    with pytest.raises(RunInterruptedError):
        run(broken, at("step done", 7, terminate, time=3))
    run(broken)
    assert_same_end(broken, end_of(whole))
    assert told(broken) == found
    assert not (broken / "damaged-metrics.jsonl").exists(), "no event twice"
    assert events(broken, "train") == events(whole, "train")


@pytest.mark.slow
def test_a_run_that_skips_goes_on(poison, tmp_path, capsys):
    """soak_disturbances.py resumes such runs."""
    poison({(4, 0), (5, 0), (10, 0)})
    fit(config(**SKIP, spike=50.0, spike_losses=5), tmp_path)
    line = "the loss is nan at step 6: its update is skipped (2 of at most 3)"
    assert f"\n{line}\n" in capsys.readouterr().out
    assert [step for step, split in told(tmp_path) if split == "skipped"] == [5, 6, 11]
    trained = events(tmp_path, "train")
    assert [event["step"] for event in trained] == [2, 4, 8, 10, 12], "5 and 6 are skipped"
    rate = build_experiment(config(**SKIP)).optimizer.learning_rate
    assert trained[-1]["learning_rate"] == float(rate(STEPS - 1 - 3)), "that of its update"


def test_other_data_are_those_of_steps_to_which_no_run_comes():
    of, mesh = build_experiment(config()), make_mesh(1)
    first, again = (step_batch(of, mesh, 7, reversals).batch.inputs for reversals in (0, 1))
    assert (first != again).any()
    assert (again == of.lengths.batch(7 + STEPS).batch.inputs).all()
