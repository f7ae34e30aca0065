"""FLOPs counted over a jaxpr, as the independent check of what a mixer says it costs."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def matmul_flops(function: Callable, *arguments: Any) -> int:
    """Floating-point operations of the matrix products and convolutions in a function.

    A scan's body counts as often as it runs, which XLA's own analysis does not do. A
    loop whose length is known only when it runs can't be counted and raises.

    >>> import jax.numpy as jnp
    >>> power = lambda x, w: jax.lax.scan(lambda h, _: (h @ w, None), x, length=5)[0]
    >>> matmul_flops(power, jnp.ones((2, 3)), jnp.ones((3, 3)))  # 5 steps, 2 * 3 * 3 * 2 each
    180
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        ((contracted, _), _), left = params["dimension_numbers"], equation.invars[0].aval
        terms = math.prod(left.shape[axis] for axis in contracted)
        return 2 * equation.outvars[0].aval.size * terms
    if name == "conv_general_dilated":
        weights = equation.invars[1].aval
        terms = weights.size // weights.shape[params["dimension_numbers"].rhs_spec[0]]
        return 2 * equation.outvars[0].aval.size * terms
    inner = [_count(jaxpr) for jaxpr in _inner_jaxprs(params)]
    if name == "scan":
        return params["length"] * sum(inner)
    if name == "while" and sum(inner):
        raise ValueError("a while loop has no length to count")
    return max(inner, default=0) if name == "cond" else sum(inner)


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for candidate in value if isinstance(value, tuple) else (value,):
            jaxpr = getattr(candidate, "jaxpr", candidate)  # a ClosedJaxpr has it inside
            if hasattr(jaxpr, "eqns"):
                yield jaxpr
