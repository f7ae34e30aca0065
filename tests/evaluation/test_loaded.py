"""What a program may ask of a run that it has loaded."""

import jax
import numpy as np
import pytest

from seqmodels.errors import UserError
from seqmodels.tasks.base import Batch
from seqmodels.tasks.files.text import Text
from tests.run_folders import loaded


@pytest.fixture(scope="module")
def of(run):
    """A run, a batch of its task, and its scores at all positions."""
    found = loaded(run("copy", "gru", 1))
    batch = found.task.batch("test", 0, 2, 22)
    return found, batch, found.scores(batch.inputs)


@pytest.mark.slow
def test_scores_are_those_of_the_model(of):
    run, batch, everywhere = of
    scores = run.scores(batch)
    assert isinstance(scores, np.ndarray)
    assert everywhere.shape == (*batch.inputs.shape, run.task.spec.outputs)
    places = np.broadcast_to(batch.positions[:, :, None], scores.shape)
    np.testing.assert_allclose(scores, np.take_along_axis(everywhere, places, 1), atol=1e-5)
    np.testing.assert_allclose(run.to_nnx()(batch), scores, atol=1e-5)


def test_a_chunk_is_read_after_the_other(of):
    run, batch, everywhere = of
    first, state = run.read(batch.inputs[:, :8])
    rest, state = run.read(batch.inputs[:, 8:], state)
    np.testing.assert_allclose(np.concatenate([first, rest], 1), everywhere, atol=1e-5)
    assert state["blocks"][0]["mixer"].shape == (2, run.model.facts.width)


def test_activations_are_named_by_where_they_are_made(of):
    run, batch, _ = of
    seen = run.activations(batch)
    assert {name: array.shape for name, array in seen.items()} == {
        "blocks.0.outputs": (*batch.inputs.shape, run.model.facts.width)
    }
    with pytest.raises(UserError, match=r"names='\*\.weights' is nothing that .* shows: inputs, b"):
        run.activations(batch, "*.weights")


def test_what_a_run_can_not_do_is_said(of):
    run, batch, _ = of
    with pytest.raises(UserError, match="Copy has no text"):
        run.tokens("abc")
    with pytest.raises(UserError, match="Copy has no text"):
        run.text(batch.targets[0])
    facts = run.model.facts

    def other(**changed: bool):
        model = run.model._replace(facts=facts._replace(**changed))
        return run._replace(experiment=run.experiment._replace(model=model))

    with pytest.raises(UserError, match=r"read.* takes causal mixers on a sequence"):
        other(streams=False).read(batch.inputs)
    with pytest.raises(UserError, match=r"generate.* takes a model that scores the next token"):
        other(streams=False).generate(batch.inputs, 3)
    with pytest.raises(UserError, match="a model that writes scores each target after"):
        other(writes=True).scores(batch.inputs)


@pytest.mark.slow
def test_a_state_without_room_for_more_is_refused(run):
    attends = loaded(run("copy", "global", 1))
    tokens = np.zeros((1, 4), np.int32)
    scores, state = attends.read(tokens, room=4)
    assert np.isfinite(scores).all()
    with pytest.raises(UserError, match="room for 4 positions can't go on to 5"):
        attends.read(tokens[:, :1], state)


@pytest.mark.slow
def test_a_model_that_writes_does_so_for_batches_and_for_inputs(run):
    writes = loaded(run("reverse", "gru"))
    batch = writes.task.batch("test", 0, 2, 5)
    tokens = writes.generate(batch.inputs, 6)
    whole = Batch(batch.inputs, batch.targets, batch.weights)  # without its mask
    np.testing.assert_array_equal(writes.generate(whole), tokens)
    assert tokens.shape == (2, 6)
    assert writes.text(tokens[0]) == writes.task.show_target(tokens[0])
    source = writes.task.show_source(batch.inputs[0][batch.mask[0]])
    np.testing.assert_array_equal(
        writes.tokens(source)[0, : batch.mask[0].sum()], batch.inputs[0][batch.mask[0]]
    )


def test_text_is_bytes():
    text = object.__new__(Text)
    assert text.show_text(text.read_text("é\udc80")) == "é�"
    assert text.read_text("").tolist() == [10]
    assert jax.eval_shape(lambda x: x, text.read_text("ab")).dtype == np.int32
