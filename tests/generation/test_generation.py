"""Generated tokens are those of recomputing every prefix from scratch."""

from pathlib import Path

import jax
import numpy as np
import pytest

from seqmodels.errors import UserError
from seqmodels.generation.decoding import Sampling
from seqmodels.generation.run import generate, generate_run, write_for
from seqmodels.model import build_model
from seqmodels.presets import preset
from seqmodels.tasks.base import Batch
from seqmodels.tasks.files.text import Text
from tests.run_folders import drawn, loaded


def recompute(model, params, prompt, count):
    """The best next token of the whole sequence so far, again and again."""
    apply = jax.jit(model.apply)
    tokens = np.pad(prompt, ((0, 0), (0, count)))
    weights = np.ones(tokens.shape, np.float32)
    for place in range(prompt.shape[1], tokens.shape[1]):
        scores = np.asarray(apply(params, Batch(tokens, tokens, weights), None))
        tokens[:, place] = scores[:, place - 1].argmax(axis=-1)
    return tokens[:, prompt.shape[1] :]


def drawn_model(name, parameters, depth):
    """A preset's language model, and parameters with which tokens differ and ties are unlikely."""
    section = preset(name, parameters=parameters, depth=depth, causal=True, pooling=None)
    model = build_model(section, Text.spec)
    return model, drawn(jax.eval_shape(model.init, jax.random.key(0)), wide=4.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "conv", "local", "global"])
def test_greedy_generation_equals_recomputation(name):
    model, params = drawn_model(name, 4000, 2)
    prompt = jax.device_put(np.random.default_rng(1).integers(0, 256, (2, 5), dtype=np.int32))
    generated = generate(model, params, prompt, 30, Sampling(), jax.random.key(2))
    expected = recompute(model, params, prompt, 30)
    assert len(np.unique(expected)) > 5
    np.testing.assert_array_equal(generated, expected)


@pytest.mark.slow
def test_sampling_follows_the_key_and_the_temperature():
    model, params = drawn_model("gru", 1000, 1)
    prompt = jax.device_put(np.zeros((1, 1), np.int32))

    def draw(seed, temperature):
        choice = Sampling(temperature)
        return generate(model, params, prompt, 20, choice, jax.random.key(seed))

    np.testing.assert_array_equal(draw(0, 1.0), draw(0, 1.0))
    assert (draw(0, 1.0) != draw(1, 1.0)).any()
    assert (draw(0, 0.0) == draw(1, 0.0)).all()


@pytest.mark.slow
def test_answers_are_what_the_run_writes(run):
    folder = run("reverse", "gru")
    task = loaded(folder).experiment.task
    batch = task.batch("test", 0, 3, 5)
    written = write_for(loaded(folder), batch, Sampling(), jax.random.key(0))
    text = generate_run(folder, "best", 3)
    for source, tokens in zip(batch.inputs, written, strict=True):
        assert task.show_source(source) in text
        assert task.show_target(tokens) in text
    answers = [list(map(task.show_target, rows)) for rows in (written, batch.targets)]
    right = sum(a == b for a, b in zip(*answers, strict=True))
    assert text.endswith(f"{right} of 3 wholly right")
    assert (Path(folder) / "sample.txt").read_text() == text + "\n"
    one = generate_run(folder, "best", 1, prompt=task.show_source(batch.inputs[0]))
    assert one == task.show_target(written[0])
    assert generate_run(folder, "best", 1, prompt="1 2", beams=1) == generate_run(
        folder, "best", 1, prompt="1 2"
    )
    drawn = [generate_run(folder, "best", 8, temperature=5.0, top_k=9, seed=s) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.slow
def test_a_digit_is_written_for_its_name(run):
    shown = generate_run(run("digits_from_class", "gru"), "best", 1, prompt="3")
    assert [len(line) for line in shown.splitlines()] == [16] * 8
    table = generate_run(run("digits_from_class", "gru"), "best", 2)
    assert "in the data" in table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "flags", "message"),
    [
        (
            "reverse",
            {"prompt": "3 x"},
            "prompt='3 x': ['x'] is no word of this task; known: 0, 1, 2",
        ),
        ("reverse", {"top_k": 3}, "top_k=3 is never read with temperature=0"),
        ("reverse", {"top_p": 0.0, "temperature": 1.0}, "top_p=0.0 is not above 0"),
        ("reverse", {"beams": 0}, "beams=0 is below 1"),
        ("reverse", {"beams": 2, "temperature": 1.0}, "beams=2 takes the best sequence"),
        ("digits_grid", {}, "generate=2 takes a model of text or of a task that writes"),
    ],
)
def test_a_mistake_in_generation(run, file, flags, message):
    mixer = "conv" if file == "digits_grid" else "gru"
    with pytest.raises(UserError) as raised:
        generate_run(run(file, mixer), "best", 2, **flags)
    assert str(raised.value).startswith(message)
