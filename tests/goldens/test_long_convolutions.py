"""Our long convolutions against their authors', as make_modules.py stored them."""

import jax.numpy as jnp
import pytest
from flax import nnx

from seqmodels.mixers import Hyena, LongConvolution, Short
from tests.goldens.stored import Recorded
from tests.goldens.theirs import linear, short

D = 8


@pytest.mark.parametrize("order", [2, 3])
def test_hyena(order):
    """Of order 3 its filters are longer than the sequence."""
    case, gates = Recorded("modules", f"hyena{order}"), (order + 1, D)

    def layer(weights, bias=None):
        made = {"matrix": weights.T}
        return made if bias is None else {**made, "bias": bias}

    def parameters(theirs):
        mlp = "filter_fn.implicit_filter"
        hidden = [(theirs[f"{mlp}.{i}.weight"], theirs[f"{mlp}.{i}.bias"]) for i in (0, 2, 4)]
        last = theirs[f"{mlp}.6.weight"].T
        weights, bias = theirs["short_filter.weight"], theirs["short_filter.bias"]
        return {
            "inputs": linear(theirs["in_proj.weight"], *gates, bias=theirs["in_proj.bias"]),
            "short": short(weights, bias, inputs=gates),
            "hidden": dict(enumerate(layer(*each) for each in hidden)),
            "last": {"matrix": last.reshape(len(last), order - 1, D)},
            "frequency": theirs[f"{mlp}.1.freq"][0],
            "skip": theirs["filter_fn.bias"].reshape(order - 1, D),
            "outputs": linear(theirs["out_proj.weight"], bias=theirs["out_proj.bias"]),
        }

    length = int(case.settings["length"])

    def make():
        return Hyena(D, length, order, 8, 2, short=Short(3), rngs=nnx.Rngs(0))

    case.check_mixer(make, parameters)


def test_long_convolution():
    """Smoothed and squashed; each feature's filter lies along the last axis there."""
    case = Recorded("modules", "long_convolution")
    squash, smooth = float(case.settings["lam"]), int(case.settings["ma_window_len"])

    def parameters(theirs):
        weights = jnp.split(theirs["output_linear.0.weight"][..., 0], 2)
        biases = jnp.split(theirs["output_linear.0.bias"], 2)
        return {
            "filter": theirs["kernel.kernel"][0].T,
            "skip": theirs["D"][0],
            "outputs": linear(weights[0], bias=biases[0]),
            "gate": linear(weights[1], bias=biases[1]),
        }

    length = case.inputs["x"].shape[1]

    def make():
        return LongConvolution(D, length, squash, smooth, rngs=nnx.Rngs(0))

    case.check_mixer(make, parameters)
