"""What each block of a model has, costs and keeps, told before anything is compiled."""

from functools import cache

import jax.numpy as jnp
import pytest

from seqmodels.model import count_parameters
from seqmodels.model_parts import Part, kept_bytes
from seqmodels.training.describing import experiment_parts, total
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.command_line import CONFIG, TINY, call
from tests.test_cli import COMPILED

SMALL = (("model.width", "8"), ("task.evaluation_examples", "8"), ("train.batch_size", "6"))


@cache
def parts_of(spec: str, *overrides: tuple[str, str]) -> list[Part]:
    """Of a config, whose sums are held against what is known of the whole model."""
    experiment = build_experiment(load_whole(spec, [*SMALL, *overrides]).config)
    parts = experiment_parts(experiment)
    whole = total(parts)
    assert whole.parameters == count_parameters(experiment.model)
    assert whole.cost == experiment.cost()
    assert all(part.kept > 0 for part in parts)
    return parts


def test_what_is_kept_of_a_layer():
    """Of ``sin(x w + b)`` its input, for w, and a cosine; no parameter, and nothing given."""
    params = {"w": jnp.zeros((3, 5)), "b": jnp.zeros((1, 5))}
    x = jnp.zeros((2, 3))
    kept = kept_bytes(lambda p, x: jnp.sin(x @ p["w"] + p["b"]), params, x)
    assert kept == 4 * (2 * 3 + 2 * 5)
    assert kept_bytes(lambda p, x, y: x * y + jnp.sum(p["b"]), params, x, x) == 0


@pytest.mark.slow
def test_each_block_of_a_hybrid():
    gru, local, attention, rest = parts_of(
        "copy:mixer=hybrid,length=32", ("model.mlp", "gelu"), ("model.mlp_expansion", "2.0")
    )
    assert [part.name for part in (gru, local, attention)] == [f"blocks.{i}" for i in range(3)]
    assert [part.mixer for part in (gru, local, attention)] == ["gru", "local", "global"]
    assert gru.cost.state_bytes == 4 * 8
    assert local.cost.flops < attention.cost.flops
    assert local.parameters == attention.parameters
    assert rest.name == ""
    assert rest.cost.state_bytes == 0


@pytest.mark.slow
def test_blocks_that_are_computed_again_keep_their_inputs():
    one, other = (
        parts_of("copy:mixer=gru,length=32", *settings)
        for settings in ((), (("model.remat", "block"),))
    )
    for kept, again in zip(one[:-1], other[:-1], strict=True):
        assert again.kept == 4 * 6 * 32 * 8 < kept.kept
        assert again._replace(kept=0) == kept._replace(kept=0)


@pytest.mark.slow
def test_scores_in_chunks_are_not_kept():
    """Up to 4,194,304 are made at once."""

    def kept(length: int) -> int:
        settings = {"model.width": 8, "train.batch_size": 2, "train.length": length}
        overrides = [(key, str(value)) for key, value in settings.items()]
        experiment = build_experiment(load_whole("text:mixer=gru", overrides).config)
        return experiment_parts(experiment)[-1].kept

    assert kept(4096) > 4 * 2 * 4096 * 256
    assert kept(16384) < 4 * 2 * 16384 * 256 / 2


@pytest.mark.slow
def test_of_micro_batches_one_is_kept_at_a_time():
    whole = total(parts_of("copy:mixer=gru,length=32"))
    part = total(parts_of("copy:mixer=gru,length=32", ("train.accumulate", "3")))
    assert part.kept == pytest.approx(whole.kept / 3, rel=0.1)


@pytest.mark.slow
def test_an_encoder_and_a_decoder_that_attends():
    parts = parts_of("reverse:cross=additive,length=6")
    assert [part.name for part in parts][::2] == ["encoder.blocks.0", ""]
    reads, writes = parts[0], parts[1]
    assert writes.name == "decoder.blocks.0"
    assert (reads.cost.state_bytes, writes.cost.state_bytes > 0) == (0, True)


def test_a_run_is_described_and_not_begun(tmp_path):
    compiled = len(COMPILED)
    code, output, errors = call(
        "train.py", CONFIG, *TINY, "--describe", f"--workdir={tmp_path}/run"
    )
    assert (code, errors) == (0, "")
    assert len(COMPILED) == compiled
    assert "--config.train.batch_size=8\n" in output
    for words in (
        "blocks.0 gru",
        "embedding, head and loss",
        "in all",
        "parameters",
        "is an estim",
    ):
        assert words in output
    assert not (tmp_path / "run").exists()
