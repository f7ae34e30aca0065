"""What benchmarks/layers.py times: every mixer, two operations and a whole training step.

A new mixer is a line in CASES, and one of the same name in torch_layers.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from seqmodels.mixers import MIXERS
from seqmodels.ops.convolution import depthwise_convolution
from seqmodels.ops.fft_convolution import fft_convolution
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


def mixer(kind: str, lengths: tuple[int, ...], **settings: Any) -> Case:
    """A mixer of MIXERS."""
    B, D = SIZES["batch"], SIZES["width"]

    def make() -> Any:
        return MIXERS[kind](D, **settings, rngs=nnx.Rngs(0))

    def build(length: int, dtype: str, backward: bool):
        graph, state = nnx.split(make(), nnx.Param)

        def apply(params, x):
            return nnx.merge(graph, params)(x)

        return pure(apply, nnx.to_pure_dict(state), length, dtype, backward)

    def work(length: int) -> Work:
        return Work(B * make().cost(length).flops, 2 * B * length * D)

    return Case(build, work, lengths)


def operation(apply: Callable, shape: Callable[[int], tuple[int, ...]], lengths) -> Case:
    """An op with one array of weights, bound by memory's rate."""
    B, D = SIZES["batch"], SIZES["width"]

    def build(length: int, dtype: str, backward: bool):
        weights = normal(shape(length), "float32") / shape(length)[0]
        return pure(apply, weights, length, dtype, backward)

    return Case(build, lambda length: Work(0, 2 * B * length * D), lengths)


def pure(apply: Callable, params: Any, length: int, dtype: str, backward: bool):
    """The forward pass, or the gradients by parameters and input for a given output gradient."""
    shape = (SIZES["batch"], length, SIZES["width"])
    x, d_y = normal(shape, dtype), normal(shape, dtype, seed=1)

    def step(params, x, d_y):
        return jax.vjp(apply, params, x)[1](d_y)

    return (step, (params, x, d_y)) if backward else (apply, (params, x))


def normal(shape: tuple[int, ...], dtype: str, seed: int = 0) -> jax.Array:
    """Reproducible values."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def transformer() -> Case:
    """A Transformer language model's step: forward, backward, clipping and AdamW."""
    section = {
        "width": SIZES["width"],
        "depth": SIZES["depth"],
        "pattern": ("global",),
        "mixers": {"global": {"kind": "attention", "heads": SIZES["heads"], "positions": "none"}},
        "mlp": "gelu",
        "mlp_expansion": 4.0,
    }

    def build(length: int, dtype: str, backward: bool):
        del backward
        of = language_model(section | {"dtype": dtype}, length, SIZES["batch"])
        return of.step(), (of.state(), of.batch())

    def work(length: int) -> Work:
        return Work(SIZES["batch"] * language_model(section, length, 1).cost(length).flops, 0)

    return Case(build, work, (1024,), forward=False)


def _pad(x, kernel):
    return jnp.pad(x, ((0, 0), (kernel - 1, 0), (0, 0)))


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
    "step": transformer(),
}
