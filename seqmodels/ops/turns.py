"""An order for parts of a model that don't need each other, where devices share positions."""

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float
from seqmodels.ops.parts import parts
from seqmodels.ops.platform import platform


def in_turn(
    x: Float[Array, "B L D"], done: Float[Array, "B M D"]
) -> tuple[Float[Array, "B L D"], Float[Array, "B M D"]]:
    """Both; what reads x begins once ``done`` is there.

    Of two loops in which devices send, and that don't need each other, XLA's runtime for CPUs
    would begin either first, another on each device, and they would wait for each other for ever.
    In the backward pass the cotangent of ``done`` waits for that of x.
    """
    return _in_turn(x, done) if _shared() else (x, done)


def before_backward(x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
    """x; the backward pass through it begins once x is there.

    It does so by itself where the loss isn't linear in x. Where devices share positions, what
    they send first in that pass must not come between what they send in the other.
    """
    return _before_backward(x) if _shared() else x


def _shared() -> bool:
    return platform() == "cpu" and parts("sequence") > 1


@jax.custom_vjp
def _in_turn(x, done):
    return _once_there(x, done), done


def _once_there(x, done):
    """x + 0: an addend that no compiler leaves out, as what is infinite would make it NaN."""
    zero = 0 * done if done.shape[1] == x.shape[1] else jnp.sum(0 * done, 1, keepdims=True)
    return x + zero.astype(x.dtype)


def _turned(cotangents):
    of_x, of_done = cotangents
    return of_x, _once_there(of_done, of_x)


_in_turn.defvjp(lambda x, done: (_in_turn(x, done), None), lambda _, ct: _turned(ct))


@jax.custom_vjp
def _before_backward(x):
    return x


_before_backward.defvjp(lambda x: (x, x), lambda x, of_x: (_once_there(of_x, x),))
