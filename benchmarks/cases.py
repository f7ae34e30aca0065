"""What benchmarks/layers.py times: every mixer, two operations and a whole training step.

A new mixer is a line in CASES, and one of the same name in torch_layers.py. Forms of operations
are timed without one (``--forms``).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.mixers import MIXERS
from seqmodels.ops.attention.additive import ADDITIVE, additive_attention
from seqmodels.ops.attention.dot_product import ATTENTION, attention
from seqmodels.ops.convolution import CONVOLUTION, convolution, depthwise_convolution
from seqmodels.ops.delta_rule import DELTA_RULE, delta_rule
from seqmodels.ops.diagonal_forms import DIAGONAL
from seqmodels.ops.diagonal_recurrence import diagonal_recurrence
from seqmodels.ops.fft_convolution import FFT_CONVOLUTION, fft_convolution
from seqmodels.ops.matrix_state import MATRIX_STATE, matrix_state
from seqmodels.ops.recurrence import RECURRENCE, lstm
from seqmodels.scaling.programs import language_model

SIZES = {
    "batch": 8,
    "width": 128,
    "heads": 4,
    "window": 128,
    "kernel": 7,
    "short_kernel": 4,
    "depth": 4,
    "vocabulary": 256,
}
WIDE = SIZES | {"batch": 2, "width": 512, "heads": 8}
STEPS = {"step": SIZES, "wide step": WIDE}
"""Whole training steps, which are built as a function that lowers them for a mesh."""


class Work(NamedTuple):
    """What one call must do at least, for the fraction of the peak."""

    flops: float
    bytes: float


class Case(NamedTuple):
    """A line of the table: ``build(length, dtype, backward)`` gives a function and its arguments.

    The first argument is the parameters, replicated over devices; the others are
    split by rows.
    """

    build: Callable[[int, str, bool], tuple[Callable, tuple]]
    work: Callable[[int], Work]
    """Of a forward pass; a step is three times as much."""
    lengths: tuple[int, ...]
    forward: bool = True
    """Whether the forward pass alone is a case too."""
    alone: int | None = None
    """From this length on, a batch is one row."""
    sizes: dict[str, int] = SIZES

    def rows(self, length: int) -> int:
        """Of a batch of a length."""
        return 1 if self.alone and length >= self.alone else self.sizes["batch"]


def mixer(kind: str, lengths: tuple[int, ...], alone: int | None = None, **settings: Any) -> Case:
    """A mixer of MIXERS; one whose filters are as long as the sequence is made for that length."""
    D = SIZES["width"]

    def make(length: int) -> Any:
        longest = {"max_length": length} if kind in LONG else {}
        return MIXERS[kind](D, **settings, **longest, rngs=nnx.Rngs(0))

    def build(length: int, dtype: str, backward: bool):
        graph, state = nnx.split(make(length), nnx.Param)

        def apply(params, x):
            return nnx.merge(graph, params)(x)

        return pure(apply, nnx.to_pure_dict(state), (length, case.rows(length)), dtype, backward)

    def work(length: int) -> Work:
        B = case.rows(length)
        return Work(B * make(length).cost(length).flops, 2 * B * length * D)

    case = Case(build, work, lengths, alone=alone)
    return case


def operation(apply: Callable, shape: Callable[[int], tuple[int, ...]], lengths) -> Case:
    """An op with one array of weights, bound by memory's rate."""
    B, D = SIZES["batch"], SIZES["width"]

    def build(length: int, dtype: str, backward: bool):
        weights = normal(shape(length), "float32") / shape(length)[0]
        return pure(apply, weights, (length, B), dtype, backward)

    return Case(build, lambda length: Work(0, 2 * B * length * D), lengths)


def pure(apply: Callable, params: Any, size: tuple[int, int], dtype: str, backward: bool):
    """The forward pass, or the gradients by parameters and input for a given output gradient.

    The size is the length, and the rows of a batch.
    """
    shape = (size[1], size[0], SIZES["width"])
    x, d_y = normal(shape, dtype), normal(shape, dtype, seed=1)

    def step(params, x, d_y):
        y, pull = jax.vjp(apply, params, x)
        return pull(d_y.reshape(-1)[: y.size].reshape(y.shape))

    return (step, (params, x, d_y)) if backward else (apply, (params, x))


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> jax.Array:
    """Reproducible values."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def transformer(sizes: dict[str, int]) -> Case:
    """A Transformer language model's step: forward, backward, clipping and AdamW."""
    section = {
        "width": sizes["width"],
        "depth": sizes["depth"],
        "pattern": ("global",),
        "mixers": {"global": {"kind": "attention", "heads": sizes["heads"], "positions": "none"}},
        "mlp": "gelu",
        "mlp_expansion": 4.0,
    }

    def build(length: int, dtype: str, backward: bool):
        del backward
        of = language_model(section | {"dtype": dtype}, length, sizes["batch"])
        return of.lower_step, (of.state(), of.batch())

    def work(length: int) -> Work:
        return Work(sizes["batch"] * language_model(section, length, 1).cost(length).flops, 0)

    return Case(build, work, (1024,), forward=False, sizes=sizes)


def _pad(x, kernel):
    return jnp.pad(x, ((0, 0), (kernel - 1, 0), (0, 0)))


LONG = ("hyena", "long_convolution")
_KINDS = "lru rglru s4d s5 mamba linear_attention retention gla mamba2 mamba3 mlstm slstm deltanet"
_KINDS += " gated_deltanet kda deltaproduct rwkv7"
LINEAR: dict[str, dict[str, Any]] = {
    "mingru": {"log_space": True},
    "minlstm": {"log_space": True},
    **{kind: {} for kind in (*_KINDS.split(), *LONG)},
}
"""Mixers of linear time, and their settings here."""
CASES = {
    "rnn": mixer("rnn", (512, 2048)),
    "lstm": mixer("lstm", (512, 2048)),
    "gru": mixer("gru", (512, 2048)),
    "attention": mixer("attention", (2048, 8192), heads=SIZES["heads"], positions="none"),
    "local": mixer(
        "attention",
        (2048, 8192),
        heads=SIZES["heads"],
        positions="none",
        window=SIZES["window"],
    ),
    "convolution": mixer("convolution", (2048,), kernel=SIZES["kernel"]),
    "depthwise": operation(
        lambda w, x: depthwise_convolution(_pad(x, len(w)), w),
        lambda length: (SIZES["short_kernel"], SIZES["width"]),
        (2048, 8192),
    ),
    "fft": operation(
        lambda w, x: fft_convolution(x, w), lambda length: (length, SIZES["width"]), (8192,)
    ),
    **{name: transformer(sizes) for name, sizes in STEPS.items()},
    **{
        kind: mixer(kind, (512, 2048, 8192), alone=8192, **settings)
        for kind, settings in LINEAR.items()
    },
}


def _heads(x):
    return x.reshape(*x.shape[:2], SIZES["heads"], -1)


def _attend(w, x, form, window=None):
    query, key = _heads(w * x), _heads(x)
    return attention(query, key, key, causal=True, window=window, form=form).reshape(x.shape)


def _attend_additively(vector, x, form):
    x = _heads(x)
    return additive_attention(x, x, x, vector, causal=True, form=form).reshape(*x.shape[:2], -1)


def _convolve_a_volume(w, x, form):
    B, L, D = x.shape
    return convolution(x.reshape(B, 8, 8, L // 64, D), w, form=form)


def _remember(w, x, form):
    query, decay = _heads(w * x), -jax.nn.softplus(_heads(x).astype(jnp.float32)[..., 0])
    state = jnp.zeros((x.shape[0], H, D // H, D // H))
    return matrix_state(query, query, query, decay, state, form=form)[0].reshape(x.shape)


def _replace(w, x, form):
    key = _heads(w * x)
    key = key / jnp.linalg.norm(key, axis=-1, keepdims=True)
    strength = jax.nn.sigmoid(_heads(x).astype(jnp.float32)[..., 0])
    state = jnp.zeros((x.shape[0], H, D // H, D // H))
    return delta_rule(key, key, key, -strength, key, None, state, form=form)[0].reshape(x.shape)


def _lstm(w, x, form):
    state = jnp.zeros((x.shape[0], x.shape[2]))
    return lstm(jnp.tile(x, (1, 1, 4)), w, (state, state), form=form)[0]


def _decay(w, x, form):
    state = jnp.zeros((x.shape[0], x.shape[2]))
    decay = jax.nn.sigmoid(x.astype(jnp.float32) + w[None])
    return diagonal_recurrence(decay, x, state, form=form)[0]


def _convolve_by_fourier(w, x, form):
    return fft_convolution(x, w, form=form)


B, D, H, W = (SIZES[name] for name in ("batch", "width", "heads", "window"))
# A call of each operation, the shape of its weights, and a length.
CALLS = {
    "attention": (_attend, ATTENTION, (1,), 2048),
    "local attention": (partial(_attend, window=W), ATTENTION, (1,), 2048),
    "additive attention": (_attend_additively, ADDITIVE, (H, D // H), 256),
    "volume": (_convolve_a_volume, CONVOLUTION, (3, 3, 3, D, D), 2048),
    "lstm": (_lstm, RECURRENCE, (D, 4 * D), 2048),
    "diagonal": (_decay, DIAGONAL, (1, D), 2048),
    "fft": (_convolve_by_fourier, FFT_CONVOLUTION, (2048, D), 2048),
    "matrix state": (_remember, MATRIX_STATE, (1,), 2048),
    "delta rule": (_replace, DELTA_RULE, (1,), 2048),
}
FORMS = {
    f"{name}:{form}": operation(partial(call, form=form), lambda _, shape=shape: shape, (length,))
    for name, (call, table, shape, length) in CALLS.items()
    for form in table.forms
}
"""Each form of each operation that has a choice; whether it can serve shows when it is traced."""
