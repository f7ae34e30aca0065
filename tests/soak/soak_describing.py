"""What --describe says that a backward pass keeps, against what the compiler finds."""

import jax
import pytest

from seqmodels.training.describing import experiment_parts, total
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole

SMALL = (("task.evaluation_examples", "8"), ("train.batch_size", "16"))


@pytest.mark.parametrize(
    "mixer", ["gru", "lstm", "conv", "local", "global", "transformer", "mamba"]
)
def test_the_estimate_is_near_what_a_compiler_finds(mixer):
    """Temporaries of the gradient's program: what is kept, less what is fused, and work space."""
    experiment = build_experiment(load_whole(f"copy:mixer={mixer},length=128", SMALL).config)
    model, task = experiment.model, experiment.task
    kept = total(experiment_parts(experiment)).kept
    batch = task.batch("train", 0, 16, 128)

    def loss(params):
        return task.metrics(model.apply(params, batch, None), batch)["loss"][0]

    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    memory = jax.jit(jax.grad(loss)).lower(shapes).compile().memory_analysis()
    ratio = memory.temp_size_in_bytes / kept
    print(f"{mixer}: {kept:,} bytes kept, temporaries {ratio:.2f} times as many")
    assert 0.5 < ratio < 2
