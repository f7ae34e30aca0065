"""Windows with sinks against the softmax that they stand for, in NumPy's float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.errors import ParameterError
from seqmodels.mixers import Attention
from seqmodels.observing import observed
from tests.mixers.variants import WIDTH, normal

HEADS, LENGTH, WINDOW = 2, 130, 9
K = WIDTH // HEADS


def projected(mixer, name: str, x: np.ndarray) -> np.ndarray:
    linear = getattr(mixer, name)
    return np.tensordot(x, np.asarray(linear.weights[...], np.float64), 1)


@pytest.mark.parametrize("sinks", [None, 3])
@pytest.mark.parametrize("logits", [None, (0.5, 2.0)])
def test_first_positions_and_nothing_are_attended_to(sinks, logits):
    """By blocks of the window; the second row begins with padding, which is no first position."""
    mixer = Attention(
        WIDTH,
        HEADS,
        WINDOW,
        positions="none",
        sinks=sinks,
        sink_logit=logits is not None,
        rngs=nnx.Rngs(0),
    )
    if logits is not None:
        mixer.sink_logits[...] = jnp.array(logits)
    x = normal((2, LENGTH, WIDTH))
    valid = np.arange(LENGTH)[None] >= np.array([[0], [20]])
    query, keys, values = (projected(mixer, name, x) for name in ("queries", "keys", "values"))
    weights, mixed = np.zeros((2, HEADS, LENGTH, LENGTH)), np.zeros_like(query)
    for b, i, h in np.argwhere(np.broadcast_to(valid[:, :, None], query.shape[:3])):
        first = 20 * b
        seen = {j for j in range(first, i + 1) if j > i - WINDOW or j < first + (sinks or 0)}
        seen = sorted(seen)
        powers = np.exp(keys[b, seen, h] @ query[b, i, h] / math.sqrt(K))
        total = powers.sum() + (0 if logits is None else np.exp(logits[h]))
        weights[b, h, i, seen] = powers / total
        mixed[b, i, h] = weights[b, h, i] @ values[b, :, h]
    expected = np.tensordot(mixed, np.asarray(mixer.outputs.weights[...], np.float64), 2)
    graph, params = nnx.split(mixer)

    def call(params, x):
        built = nnx.merge(graph, params)
        return observed(built)(x, built.context(x, valid))

    found, seen = jax.jit(call)(params, x)
    difference = np.linalg.norm((found - expected)[valid])
    assert difference < 1e-5 * np.linalg.norm(expected[valid])
    shown = np.asarray(seen["weights"]).swapaxes(1, 2)[valid]
    np.testing.assert_allclose(shown, weights.swapaxes(1, 2)[valid], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sinks": 0, "window": 5}, "sinks=0 is not from 1 to 4,096 positions; None is none"),
        ({"sinks": 2}, "sinks=2 stay in sight where a causal window of products leaves them; with"),
        ({"sinks": 2, "window": 5, "causal": False}, "causal=False, window=5, score='scaled_dot' "),
        ({"sink_logit": True, "forgetting": True}, "sink_logit=True is a score beside products"),
        ({"forgetting": True, "causal": False}, "forgetting=True lowers products of queries and"),
        (
            {"forgetting": True, "score": "additive", "positions": "none"},
            "with causal=True, score='additive' set it to False",
        ),
    ],
    ids=str,
)
def test_what_can_not_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ParameterError) as raised:
        nnx.eval_shape(lambda: Attention(WIDTH, **settings, rngs=nnx.Rngs(0)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
