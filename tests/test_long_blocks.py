"""Blocks of very long sequences, which the backward pass makes again a part after the other."""

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from seqmodels import long_blocks
from seqmodels.mixers import MIXERS
from seqmodels.model import build_model
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.training.sharding import make_mesh, traced_under
from tests.drawn_parameters import draw_parameters
from tests.soaking import SOAK

SPEC = TaskSpec("many-to-many", "tokens", 7, 5, True, "accuracy", True)
B, PART, L, D = 2, 16, 40, 8
"""Two parts, and half a one that is left."""
TOKENS = np.random.default_rng(0).integers(7, size=(B, L), dtype=np.int32)
KEY = jax.random.key(0)
OF_ITS_OWN = {"long_convolution": {"max_length": L}, "hyena": {"max_length": L}}
WINDOWED = {"kind": "attention", "heads": 2, "window": 5}
SETTINGS = {
    **{kind: {"kind": kind} | OF_ITS_OWN.get(kind, {}) for kind in MIXERS},
    "attention": WINDOWED,
    "convolution": {"kind": "convolution", "kernel": 3, "dilation": 6},
    "neighbourhood_attention": {"kind": "neighbourhood_attention", "kernel": 3, "heads": 2},
    "global": {"kind": "attention", "heads": 2},
}
ALL_THAT_IS_READ = {"long_convolution", "hyena", "global"}
"""Are their states: they make a block of all positions at once."""
GROWN = sorted(SETTINGS.keys() - ALL_THAT_IS_READ - {"bidirectional", "temporal_block"})
SOME = ("attention",)


def model(name: str, **settings):
    section = {
        "width": D,
        "depth": 2,
        "pattern": (name,),
        "mixers": {name: SETTINGS[name]},
        "blocks": {name: {"short_convolution": 3}},
        "remat": "block",
    }
    return build_model(section | settings, SPEC, L)


def program(of, mask=None, mesh=None, tokens=TOKENS):
    """Scores and gradients of whole sequences, jitted."""
    batch = Batch(tokens, np.zeros_like(tokens), np.ones(tokens.shape, np.float32), mask)

    def run(params):
        scores, back = jax.vjp(lambda params: of.apply(params, batch, KEY), params)
        return scores, back(scores)[0]

    return jax.jit(run if mesh is None else traced_under(mesh, run))


@pytest.fixture
def parts(monkeypatch):
    """Says how many times a block went by parts."""
    gone = []
    monkeypatch.setattr(long_blocks, "PART", PART)
    real = long_blocks.goes_by_parts

    def noted(*given):
        gone.append(real(*given))
        return gone[-1]

    monkeypatch.setattr("seqmodels.stack.goes_by_parts", noted)
    return gone


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWN if SOAK else SOME)
def test_parts_make_what_a_whole_block_does(name, parts, monkeypatch):
    of = model(name)
    params = draw_parameters(of)
    found = program(of)(params)
    assert parts == [True, True]
    monkeypatch.setattr(long_blocks, "PART", L)
    expected = program(of)(params)
    assert parts[2:] == [False, False]
    for actual, wanted, bound in zip(found, expected, (1e-5, 1e-4), strict=True):
        (actual, _), (wanted, _) = ravel_pytree(actual), ravel_pytree(wanted)
        assert np.linalg.norm(actual - wanted) < bound * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("name", "settings", "mask", "sequence"),
    [
        ("global", {}, None, 1),
        ("gru", {"remat": "none"}, None, 1),
        ("gru", {}, np.arange(L) < [[L], [L - 1]], 1),
        ("gru", {}, None, 2),
    ],
)
def test_what_stays_whole(name, settings, mask, sequence, parts):
    """A state that grows, a block that keeps all, padding, positions that devices share."""
    of = model(name, **settings)
    mesh = make_mesh(sequence, sequence)
    jax.eval_shape(program(of, mask, mesh), jax.eval_shape(of.init, KEY))
    assert not any(parts)


def test_dropout_of_parts_differs(parts):
    """Of the same tokens everywhere a convolution makes the same everywhere, but for dropout."""

    def of_two_parts(dropout):
        of = model("convolution", depth=1, dropout=dropout, blocks={})
        scores, _ = program(of, tokens=np.zeros_like(TOKENS))(draw_parameters(of))
        return scores[:, PART - 1], scores[:, 2 * PART - 1]

    np.testing.assert_allclose(*of_two_parts(0.0), rtol=1e-5)
    assert not np.allclose(*of_two_parts(0.5), rtol=1e-5)


def test_a_part_is_all_that_memory_holds(parts, monkeypatch):
    of, tokens = model("gru", depth=1), np.zeros((B, 32 * PART), np.int32)
    params = jax.eval_shape(of.init, KEY)

    def held() -> int:
        memory = program(of, tokens=tokens).lower(params).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    by_parts = held()
    monkeypatch.setattr(long_blocks, "PART", tokens.shape[1])
    whole = held()
    assert parts == [True, False]
    assert by_parts < 0.6 * whole
