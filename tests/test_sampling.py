"""What may be drawn where scores are equal, and that the unlikely is drawn as often as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ParameterError
from seqmodels.generation.decoding import Sampling, allowed_scores, sample
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec


def by_definition(scores: np.ndarray, top_k: int | None, top_p: float | None) -> np.ndarray:
    """Which tokens may be drawn, one after another from the best on."""
    order = sorted(range(len(scores)), key=lambda token: (-scores[token], token))[:top_k]
    shares = np.exp(scores[order] - scores.max())
    kept, held = [], 0.0
    for token, share in zip(order, shares / shares.sum(), strict=True):
        if held < (top_p or 1.0):
            kept.append(token)
        held += share
    return np.isin(np.arange(len(scores)), kept)


@pytest.mark.parametrize("top_k", [None, 1, 3, 4, 8, 10**30])
@pytest.mark.parametrize("top_p", [None, 1e-300, 1e-6, 0.3, 0.62, 1.0])
def test_what_may_be_drawn_of_equal_scores(top_k, top_p):
    """Whole numbers, of which many are equal, as bfloat16 gives them; and all equal."""
    random = np.random.default_rng(0)
    scores = np.concatenate([random.integers(0, 3, (20, 8)), np.zeros((1, 8))]).astype(np.float32)
    found = np.isfinite(allowed_scores(jnp.asarray(scores), top_k, top_p))
    expected = np.stack([by_definition(row, top_k, top_p) for row in scores])
    np.testing.assert_array_equal(found, expected)
    if top_k is not None and top_p is None:
        assert (found.sum(-1) == min(top_k, 8)).all()


@pytest.mark.slow
def test_a_share_of_tokens_that_are_alike_is_so_many():
    """Three tenths of ten are three, whatever sums in float32 come to."""
    for count in (7, 10, 48, 100):
        scores = jnp.zeros((1, count))
        kept = [int(jnp.isfinite(allowed_scores(scores, None, k / count)).sum()) for k in (1, 3, 7)]
        assert kept == [1, 3, 7], count


@pytest.mark.parametrize("temperature", [1e-30, 1e-3, 1e30])
def test_a_temperature_of_any_size_draws_tokens(temperature):
    scores = jnp.asarray([[1e4, 2e4, 2e4, -1e4]], jnp.bfloat16)
    tokens = {int(sample(scores, Sampling(temperature), jax.random.key(n))[0]) for n in range(30)}
    assert tokens == ({1, 2} if temperature < 1 else {0, 1, 2, 3})


@pytest.mark.parametrize("temperature", [float("nan"), float("inf"), 1e-300])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ParameterError, match=r"temperature=.* is (not finite|neither 0)"):
        Sampling(temperature).check()


@pytest.mark.slow
def test_scheduled_sampling_draws_the_unlikely_as_often_as_it_is():
    """A token of probability 0.001, of 32,000: with noise in bfloat16 there are other shares."""
    spec = TaskSpec("one-to-many", "tokens", 2, 3, False, "accuracy", True)
    section = {
        "width": 4,
        "decoder": {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}},
        "scheduled_sampling": 1.0,
        "dtype": "bfloat16",
    }
    model = build_model(section, spec)
    # All else 0: a token's embedding goes by the residual to the head, which tells token 0 apart.
    params = jax.tree.map(jnp.zeros_like, model.init(jax.random.key(0)))
    params["written"]["table"] = jnp.eye(4) * 8.0
    params["decoder"]["norm"]["norm"]["scale"] = jnp.ones(4)
    params["head"]["bias"] = jnp.log(jnp.asarray([0.001, 0.9, 0.099]))
    params["head"]["weights"] = jnp.zeros((4, 3)).at[0, 2].set(0.5)
    targets = np.full((16, 2000), 1, np.int32)
    batch = Batch(np.zeros(16, np.int32), targets, np.ones(targets.shape, np.float32))
    scores = jax.jit(model.apply)(params, batch, jax.random.key(0))[:, 1:, 2]
    after_0 = np.asarray(scores, np.float32) > float(scores.min()) + 0.5
    probability = 0.001 * np.exp(0) / (0.001 + 0.9 + 0.099 * np.exp(-0.5 / 3**0.5))
    assert after_0.mean() == pytest.approx(probability, abs=5 * (0.001 / 32_000) ** 0.5)
