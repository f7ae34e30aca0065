"""Settings of mixers that can't be: each refused in one line by its path, or it serves.

Every setting of every kind is tried, by the signatures, so that a new mixer is covered.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from seqmodels.errors import ConfigError
from seqmodels.mixers import MIXERS, Short, construct_mixer
from tests.mixers.variants import WIDTH
from tests.soaking import SOAK

VALUES = (0, -1, 3, 1.5, "a", 2**24 - 1, 1e9, 1e30) if SOAK else (-1, 1.5, "a", 2**24 - 1)
"""What counts of features and positions may be lies below 2**24 in every config."""
NEEDED: dict[str, dict[str, Any]] = {
    "bidirectional": {"mixer": {"kind": "lstm"}},
    "long_convolution": {"max_length": 16},
    "hyena": {"max_length": 16},
}
BESIDE = {
    "kv_heads": {"heads": 4},
    "sinks": {"window": 2},
    "trained_length": {"rotary_scaling": "linear"},
}
"""What a setting goes with."""
MOST = 2**31
"""Parameters that no machine of the tests' could hold: those are counted before they are drawn
(seqmodels/training/memory.py)."""
PATH = "model.mixers.mixer"

pytestmark = pytest.mark.slow


def make(section: dict[str, Any]) -> Any:
    """The mixer of a config's section, without memory for its parameters."""
    return nnx.eval_shape(
        lambda: construct_mixer(section, PATH, width=WIDTH, short=Short(4), rngs=nnx.Rngs(0))[0]
    )


def serve(mixer: Any) -> None:
    """Traces it on a sequence or a grid, where its parameters may be held."""
    graph, params = nnx.split(mixer, nnx.Param)
    if sum(leaf.size for leaf in jax.tree.leaves(params)) < MOST:
        x = jax.ShapeDtypeStruct((2, *(7,) * (mixer.rank or 1), WIDTH), jnp.float32)
        made = jax.eval_shape(lambda params, x: nnx.merge(graph, params)(x), params, x)
        assert made.shape[-1] == WIDTH


def settings(kind: str) -> list[str]:
    """What its section of a config may have beside the kind."""
    names = inspect.signature(MIXERS[kind].__init__).parameters
    return [name for name in names if name not in ("self", "width", "short", "rngs")]


@pytest.mark.parametrize("kind", MIXERS)
def test_what_can_not_be_is_one_line(kind):
    for name in settings(kind):
        for value in VALUES:
            section = {"kind": kind, **NEEDED.get(kind, {}), **BESIDE.get(name, {}), name: value}
            try:
                mixer = make(section)
            except ConfigError as error:
                message = str(error)
                assert message.startswith(f"{PATH}."), (section, message)
                assert f"{name}={value}" in message or f"{name}={value!r}" in message, message
            else:
                serve(mixer)


@pytest.mark.parametrize("kind", MIXERS)
def test_both_directions_take_a_causal_mixer(kind):
    own = {"kind": kind, **NEEDED.get(kind, {})}
    both = {"kind": "bidirectional", "mixer": own}
    if make(own).has_state:
        serve(make(both))
    else:
        no_direction = f"^{PATH}.mixer.kind='{kind}' has no direction; it takes a causal mixer"
        with pytest.raises(ConfigError, match=no_direction):
            make(both)
    if "causal" not in settings(kind):
        with pytest.raises(ConfigError, match=rf"^{PATH}.causal=False is never read by \w+; "):
            make(own | {"causal": False})
