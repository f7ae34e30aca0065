"""Our layers against PyTorch's, on the values that make_torch.py stored.

How PyTorch's parameters become ours stands here alone. PyTorch keeps weights as [outputs,
inputs], and two biases where a recurrence needs one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.block import Block, BlockSettings
from seqmodels.mixers import GRU, LSTM, RNN, Attention, Bidirectional, CrossAttention
from seqmodels.ops.convolution import convolution, depthwise_convolution
from tests.goldens.stored import Stored, by_heads, stored

WIDTH, HEADS, HIDDEN, LENGTHS = 8, 2, 16, (9, 5)
MASK = jnp.arange(9)[None] < jnp.array(LENGTHS)[:, None]


def by_gates(array: np.ndarray) -> np.ndarray:
    """What ends in all gates' features side by side, by gate."""
    return array.reshape(*array.shape[:-1], -1, WIDTH)


class Case(Stored):
    """One case, and how PyTorch's state dicts become our parameters."""

    def __init__(self, name: str):
        super().__init__("torch", name)

    def norm(self, name: str) -> dict[str, Any]:
        """A layer norm."""
        state = self.state
        return {"norm": {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}}

    def recurrence(self, kind: type, suffix: str = "") -> dict[str, Any]:
        """A recurrent layer; PyTorch's order of gates is ours."""
        state = self.state
        ours, theirs = state[f"bias_ih_l0{suffix}"], state[f"bias_hh_l0{suffix}"]
        params: dict[str, Any] = {"weights": by_gates(state[f"weight_hh_l0{suffix}"].T)}
        bias = ours + theirs
        if kind is GRU:  # the reset gate multiplies a part of the second bias
            bias = np.concatenate([bias[: 2 * WIDTH], ours[2 * WIDTH :]])
            params["bias"] = theirs[2 * WIDTH :]
        weights = by_gates(state[f"weight_ih_l0{suffix}"].T)
        params["inputs"] = {"weights": weights, "bias": by_gates(bias)}
        return params

    def attention(self, prefix: str = "") -> dict[str, Any]:
        """Multi-head attention, to itself or to another sequence."""
        weights = np.split(self.state[f"{prefix}in_proj_weight"].T, 3, axis=1)
        biases = np.split(self.state[f"{prefix}in_proj_bias"], 3)
        params = {"outputs": self.joined(f"{prefix}out_proj", HEADS)}
        parts = ("queries", "keys", "values")
        for part, weight, bias in zip(parts, weights, biases, strict=True):
            params[part] = by_heads({"weights": weight, "bias": bias}, HEADS)
        return params


RECURRENT = {
    "rnn-tanh": (RNN, {"activation": "tanh"}),
    "rnn-relu": (RNN, {"activation": "relu"}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent(name, padded):
    case = Case(f"{name}-padded" if padded else name)
    kind, settings = RECURRENT[name]
    mask = MASK if padded else None

    def call(mixer, x):
        out = mixer(x, mixer.context(x, mask))
        return out if mask is None else out * mask[:, :, None]  # PyTorch pads outputs with zeros

    case.check(lambda: kind(WIDTH, **settings, rngs=nnx.Rngs(0)), case.recurrence(kind), call)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", RECURRENT)
def test_bidirectional(name, padded):
    """Our projection of both directions is set to hand out one, and then the other."""
    case = Case(f"{name}-bidirectional-padded" if padded else f"{name}-bidirectional")
    kind, settings = RECURRENT[name]
    mask = MASK if padded else None
    section = {"kind": name.split("-")[0], **settings}
    params = {
        "forward": case.recurrence(kind),
        "backward": case.recurrence(kind, "_reverse"),
    }

    def call(mixer, x):
        halves = []
        for half in range(2):
            chosen = jnp.zeros((2, WIDTH, WIDTH)).at[half].set(jnp.eye(WIDTH))
            mixer.outputs.weights = nnx.Param(chosen)
            halves.append(mixer(x, mixer.context(x, mask)))
        out = jnp.concatenate(halves, axis=-1)
        return out if mask is None else out * mask[:, :, None]

    params["outputs"] = {
        "weights": np.zeros((2, WIDTH, WIDTH), np.float32),
        "bias": np.zeros(WIDTH, np.float32),
    }
    case.check(lambda: Bidirectional(WIDTH, section, rngs=nnx.Rngs(0)), params, call)


@pytest.mark.parametrize(
    ("name", "causal", "mask"),
    [
        ("attention", False, None),
        ("attention-causal", True, None),
        ("attention-padded", False, MASK),
    ],
)
def test_multi_head_attention(name, causal, mask):
    case = Case(name)

    def make():
        return Attention(WIDTH, HEADS, None, causal, "none", rngs=nnx.Rngs(0))

    case.check(make, case.attention(), lambda mixer, x: mixer(x, mixer.context(x, mask)))


def around(order: Any) -> BlockSettings:
    """What stands around the attention of a Transformer's layer."""
    return BlockSettings(norm_position=order, mlp="gelu", mlp_expansion=HIDDEN / WIDTH)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_transformer_encoder_layer(order):
    case = Case(f"encoder-{order}")

    def make():
        rngs = nnx.Rngs(0)
        mixer = Attention(WIDTH, HEADS, None, False, "none", rngs=rngs)
        return Block(mixer, WIDTH, around(order), rngs=rngs)

    params = {
        "mixer": case.attention("self_attn."),
        "mixer_norm": case.norm("norm1"),
        "mlp": {"inputs": case.linear("linear1"), "outputs": case.linear("linear2")},
        "mlp_norm": case.norm("norm2"),
    }

    def call(block, x):
        return block(x, block.start(None), block.mixer.context(x, MASK))[0]

    case.check(make, params, call)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_transformer_decoder_layer(order):
    case = Case(f"decoder-{order}")
    memory = jnp.asarray(stored("torch")["memory"])

    def make():
        rngs = nnx.Rngs(0)
        mixer = Attention(WIDTH, HEADS, None, True, "none", rngs=rngs)
        cross = CrossAttention(WIDTH, HEADS, rngs=rngs)
        return Block(mixer, WIDTH, around(order), cross=cross, rngs=rngs)

    params = {
        "mixer": case.attention("self_attn."),
        "mixer_norm": case.norm("norm1"),
        "cross": case.attention("multihead_attn."),
        "cross_norm": case.norm("norm2"),
        "mlp": {"inputs": case.linear("linear1"), "outputs": case.linear("linear2")},
        "mlp_norm": case.norm("norm3"),
    }

    def call(block, x):
        return block(x, block.start(None, memory, MASK), block.mixer.context(x))[0]

    case.check(make, params, call)


CONVOLUTIONS = {
    "conv1d": {},
    "conv1d-dilated": {"dilation": 4},
    "conv1d-grouped": {"groups": 2},
    "conv2d": {},
    "conv2d-dilated": {"dilation": 2},
    "conv2d-strided": {"stride": 2},
    "conv2d-grouped": {"groups": 3},
    "conv2d-depthwise": {"groups": 6},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    """PyTorch has features before positions, and weights [outputs, inputs, *kernel]."""
    case = Case(name)

    def last(x):
        return np.moveaxis(x, 1, -1)

    weights = np.moveaxis(case.state["weight"], (0, 1), (-1, -2))
    forms = [lambda x, weights: convolution(x, weights, **CONVOLUTIONS[name])]
    if name == "conv2d-depthwise":
        forms.append(lambda x, weights: depthwise_convolution(x, weights[..., 0, :]))

    @jax.jit
    def run(x, weights, d_out):
        results = []
        for form in forms:
            out, backward = jax.vjp(lambda x, form=form: form(x, weights), x)
            results.append((out, *backward(d_out)))
        return results

    for out, d_x in run(last(case.x), weights, last(case.weights)):
        out = np.asarray(out) + case.state["bias"].reshape((1,) * (out.ndim - 1) + (-1,))
        np.testing.assert_allclose(out, last(case.out), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(d_x, last(case.d_x), rtol=1e-4, atol=1e-5)
