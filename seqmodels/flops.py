"""FLOPs counted over a jaxpr: what is computed, whatever a layer says that it costs."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

KNOWN_SIZE = 2**16
"""Arrays of whole numbers up to this size are computed, so that loops' lengths are known."""


class UncountableError(ValueError):
    """A loop runs until something that only the data decide."""


def matmul_flops(function: Callable, *arguments: Any) -> int:
    """Floating-point operations of the matrix products and convolutions in a function.

    A scan's body counts as often as it runs, and so does a ``fori_loop``'s between bounds that
    follow from the shapes, such as the blocks of keys that a block of queries sees. XLA's own
    analysis counts each once. A loop that the data end can't be counted and raises
    :class:`UncountableError`.

    >>> import jax.numpy as jnp
    >>> power = lambda x, w: jax.lax.scan(lambda h, _: (h @ w, None), x, length=5)[0]
    >>> matmul_flops(power, jnp.ones((2, 3)), jnp.ones((3, 3)))  # 5 steps, 2 * 3 * 3 * 2 each
    180
    """
    closed = jax.make_jaxpr(function)(*arguments)
    return _walk(closed.jaxpr, closed.consts, [None] * len(closed.jaxpr.invars))[0]


def _walk(jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Any]) -> tuple[int, list[Any]]:
    """A jaxpr's FLOPs, and its outputs where they are known; None stands for what isn't."""
    known: dict[Any, Any] = {}

    def value(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else known.get(variable)

    def note(variables: Sequence[Any], values: Sequence[Any]) -> None:
        known.update(
            (variable, found)
            for variable, found in zip(variables, values, strict=True)
            if found is not None and _is_whole(variable.aval)
        )

    note(jaxpr.constvars, constants)
    note(jaxpr.invars, inputs)
    total = 0
    for equation in jaxpr.eqns:
        flops, outputs = _equation(equation, [value(variable) for variable in equation.invars])
        total += flops
        note(equation.outvars, outputs)
    return total, [value(variable) for variable in jaxpr.outvars]


def _is_whole(aval: Any) -> bool:
    """Whether it is a small array of whole numbers or truth values."""
    kind = getattr(getattr(aval, "dtype", None), "kind", None)
    return kind in ("i", "u", "b") and aval.size <= KNOWN_SIZE


def _equation(equation: Any, inputs: list[Any]) -> tuple[int, list[Any]]:
    name, params = equation.primitive.name, equation.params
    unknown = [None] * len(equation.outvars)
    if name == "dot_general":
        ((contracted, _), _), left = params["dimension_numbers"], equation.invars[0].aval
        terms = math.prod(left.shape[axis] for axis in contracted)
        return 2 * equation.outvars[0].aval.size * terms, unknown
    if name == "conv_general_dilated":
        weights = equation.invars[1].aval
        terms = weights.size // weights.shape[params["dimension_numbers"].rhs_spec[0]]
        return 2 * equation.outvars[0].aval.size * terms, unknown
    if name == "scan":
        return _scan(equation, inputs), unknown
    if name == "while":
        return _while(params, inputs), unknown
    inner = list(_inner_jaxprs(params))
    if name == "cond":
        return max(_walk(*parts, inputs[1:])[0] for parts in inner), unknown
    if len(inner) == 1 and len(inner[0][0].invars) == len(inputs):
        flops, outputs = _walk(*inner[0], inputs)
        return flops, outputs if len(outputs) == len(unknown) else unknown
    if inner:
        counts = [_walk(jaxpr, consts, [None] * len(jaxpr.invars))[0] for jaxpr, consts in inner]
        return sum(counts), unknown
    whole = all(_is_whole(variable.aval) for variable in equation.outvars)
    if not whole or any(found is None for found in inputs):
        return 0, unknown
    outputs = equation.primitive.bind(*inputs, **params)
    outputs = outputs if equation.primitive.multiple_results else [outputs]
    return 0, [np.asarray(output) for output in outputs]


def _scan(equation: Any, inputs: list[Any]) -> int:
    """A body that is the same each time is counted once, another as often as it runs."""
    length, closed = equation.params["length"], equation.params["jaxpr"]
    jaxpr, constants = closed.jaxpr, closed.consts
    # What is scanned over has one axis less inside; what is carried has the same shape.
    split = [_same(pair) for pair in zip(equation.invars, jaxpr.invars, strict=True)]
    rows = len(split) - sum(split)
    carried = sum(_same(pair) for pair in zip(equation.outvars, jaxpr.outvars, strict=True))
    fixed = len(inputs) - rows - carried
    given, carry = inputs[:fixed], inputs[fixed : fixed + carried]
    try:
        unknown = [None] * (len(inputs) - fixed)
        return length * _walk(jaxpr, constants, [*given, *unknown])[0]
    except UncountableError:
        total = 0
        for index in reversed(range(length)) if equation.params["reverse"] else range(length):
            row = [None if found is None else found[index] for found in inputs[fixed + carried :]]
            flops, outputs = _walk(jaxpr, constants, [*given, *carry, *row])
            total, carry = total + flops, outputs[:carried]
        return total


def _same(pair: tuple[Any, Any]) -> bool:
    return pair[0].aval.shape == pair[1].aval.shape


def _while(params: dict[str, Any], inputs: list[Any]) -> int:
    """A ``fori_loop``: while i < end, with i one more after each run of the body."""
    body, condition = params["body_jaxpr"], params["cond_jaxpr"]
    begin, first = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    carry = inputs[first:]
    flops, _ = _walk(body.jaxpr, body.consts, [*inputs[begin:first], *[None] * len(carry)])
    if flops == 0:
        return 0
    (test,) = condition.jaxpr.eqns[-1:]
    places = [condition.jaxpr.invars.index(v) for v in test.invars if v in condition.jaxpr.invars]
    if test.primitive.name == "lt" and len(places) == 2 and begin == 0:
        start, end = (carry[place] for place in places)
        if start is not None and end is not None and _counts_up(body.jaxpr, first, *places):
            return flops * max(0, int(end) - int(start))
    raise UncountableError("a while loop that the data end has no length to count")


def _counts_up(body: Any, constants: int, index: int, end: int) -> bool:
    """Whether the body adds 1 to the carried index and leaves the end alone."""
    before, after = body.invars[constants:], body.outvars
    for equation in body.eqns:
        if equation.outvars == [after[index]] and equation.primitive.name == "add":
            left, right = equation.invars
            one = isinstance(right, Literal) and int(right.val) == 1
            return left is before[index] and one and after[end] is before[end]
    return False


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The jaxprs among an equation's parameters, with their constants."""
    for value in params.values():
        for candidate in value if isinstance(value, tuple) else (value,):
            jaxpr = getattr(candidate, "jaxpr", candidate)  # a ClosedJaxpr has it inside
            if hasattr(jaxpr, "eqns"):
                yield jaxpr, getattr(candidate, "consts", ())
