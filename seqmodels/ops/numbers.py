"""Numbers as tuples of arrays: of one where they are real, of two where they are complex.

The two are the real and the imaginary part. Gradients by parts are those of complex numbers: a
product's by one factor is the other one's conjugate times what comes in.
"""

import jax.numpy as jnp
from jax import lax


def times(a, b):
    """The product."""
    if len(a) == 1:
        return (a[0] * b[0],)
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def plus(a, b):
    """The sum; b may be real where a is complex."""
    return (*(x + y for x, y in zip(a, b, strict=False)), *a[len(b) :])


def conjugate(a):
    """The complex conjugate."""
    return (a[0], *(-part for part in a[1:]))


def one_like(a):
    """Ones of the shape of others."""
    return (jnp.ones_like(a[0]), *(jnp.zeros_like(part) for part in a[1:]))


def in_padding(numbers, valid, fill):
    """Numbers [B, L, ...] with a given one where the mask is False."""
    if valid is None:
        return numbers
    real = valid.reshape(*valid.shape, *(1,) * (numbers[0].ndim - 2))
    return tuple(jnp.where(real, part, one) for part, one in zip(numbers, fill, strict=False))


def product(numbers, valid):
    """That of all positions' [B, L, ...] but those in padding."""
    numbers = in_padding(numbers, valid, (1.0, 0.0))
    if len(numbers) == 1:
        return (jnp.prod(numbers[0], axis=1),)
    whole = jnp.prod(lax.complex(*numbers), axis=1)
    return whole.real, whole.imag
