"""FLOPs counted over a jaxpr: what is computed, whatever a layer says that it costs."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

KNOWN_SIZE = 2**16
"""Arrays of whole numbers up to this size can be computed, so that loops' lengths are known."""

_PLACE: ContextVar[Mapping[str, int]] = ContextVar("place", default=MappingProxyType({}))
"""Along a mesh's axes the device for which a part is counted; empty where all count as much."""

Known = Callable[[], Any] | None
"""Computes a value, once it is asked for; None where the data decide it."""


class UncountableError(ValueError):
    """A loop runs until something that only the data decide."""


def count_flops(function: Callable, *arguments: Any) -> int:
    """Floating-point operations of a function: those that grow with more than its arrays.

    - a matrix product or a convolution: 2 for each of its multiply-adds;
    - a Fourier transform of n numbers, real or complex: 5 n log2 n;
    - a triangular system of n equations with m right sides: n^2 m;
    - in a scan, what a linear recurrence multiplies to update its state and to read it out: 2 for
      each elementwise product that is added to a carried state that the loop is linear in, or
      that is summed over an axis.

    Other elementwise work counts nothing. A scan's body counts as often as it runs, and so does a
    ``fori_loop``'s between bounds that follow from the shapes, such as the blocks of keys that a
    block of queries sees; XLA's own analysis counts each once. A loop that the data end counts as
    often as its condition's ``i < bound`` lets it run; without such a bound it can't be counted
    and raises :class:`UncountableError`.

    >>> import jax.numpy as jnp
    >>> power = lambda x, w: jax.lax.scan(lambda h, _: (h @ w, None), x, length=5)[0]
    >>> count_flops(power, jnp.ones((2, 3)), jnp.ones((3, 3)))  # 5 steps, 2 * 3 * 3 * 2 each
    180
    """
    closed = jax.make_jaxpr(function)(*arguments)
    return _walk(closed.jaxpr, closed.consts, [None] * len(closed.jaxpr.invars))[0]


def _walk(jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Known]) -> tuple[int, list[Known]]:
    """A jaxpr's FLOPs, and its outputs."""
    known: dict[Any, Known] = {}

    def value(variable: Any) -> Known:
        return (lambda: variable.val) if isinstance(variable, Literal) else known.get(variable)

    def note(variables: Sequence[Any], values: Sequence[Known]) -> None:
        known.update(
            (variable, found)
            for variable, found in zip(variables, values, strict=True)
            if found is not None and _is_whole(variable.aval)
        )

    note(jaxpr.constvars, [partial(lambda held: held, constant) for constant in constants])
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


def _equation(equation: Any, inputs: list[Known]) -> tuple[int, list[Known]]:
    name, params = equation.primitive.name, equation.params
    unknown: list[Known] = [None] * len(equation.outvars)
    if name == "dot_general":
        ((contracted, _), _), left = params["dimension_numbers"], equation.invars[0].aval
        terms = math.prod(left.shape[axis] for axis in contracted)
        return 2 * equation.outvars[0].aval.size * terms, unknown
    if name == "conv_general_dilated":
        weights = equation.invars[1].aval
        terms = weights.size // weights.shape[params["dimension_numbers"].rhs_spec[0]]
        return 2 * equation.outvars[0].aval.size * terms, unknown
    if name == "fft":
        points = math.prod(params["fft_lengths"])
        numbers = max(v.aval.size for v in (equation.invars[0], equation.outvars[0]))
        return round(5 * numbers * math.log2(points)), unknown
    if name == "triangular_solve":
        return equation.invars[0].aval.shape[-1] * equation.invars[1].aval.size, unknown
    if name == "scan":
        return _scan(equation, inputs), unknown
    if name == "while":
        return _while(params, inputs), unknown
    inner = list(_inner_jaxprs(params))
    if name == "cond":
        return max(_walk(*parts, inputs[1:])[0] for parts in inner), unknown
    if name == "shard_map":
        return _parts(params, partial(_walk, *inner[0], [None] * len(inputs))), unknown
    if name == "axis_index":
        place = _PLACE.get().get(params["axis_name"])
        return 0, unknown if place is None else [lambda: np.int32(place)]
    if len(inner) == 1 and len(inner[0][0].invars) == len(inputs):
        flops, outputs = _walk(*inner[0], inputs)
        return flops, outputs if len(outputs) == len(unknown) else unknown
    if inner:
        counts = [_walk(jaxpr, consts, [None] * len(jaxpr.invars))[0] for jaxpr, consts in inner]
        return sum(counts), unknown
    whole = all(_is_whole(variable.aval) for variable in equation.outvars)
    if name == "ppermute" or not whole or any(found is None for found in inputs):
        return 0, unknown

    @cache
    def computed() -> list[np.ndarray]:
        made = equation.primitive.bind(*[found() for found in inputs if found], **params)
        made = made if equation.primitive.multiple_results else [made]
        return [np.asarray(output) for output in made]

    return 0, [partial(lambda i: computed()[i], i) for i in range(len(unknown))]


def _parts(params: dict[str, Any], count: Callable[[], tuple[int, list[Known]]]) -> int:
    """What each device does with its part, on all of them; counted once if it is as much on all."""
    sizes = {axis: params["mesh"].shape[axis] for axis in params["newly_manual_axes"]}
    try:
        return math.prod(sizes.values()) * count()[0]
    except UncountableError:
        total = 0
        for place in itertools.product(*map(range, sizes.values())):
            before = _PLACE.set({**_PLACE.get(), **dict(zip(sizes, place, strict=True))})
            try:
                total += count()[0]
            finally:
                _PLACE.reset(before)
        return total


def _scan(equation: Any, inputs: list[Known]) -> int:
    """A body that is the same each time is counted once, another as often as it runs."""
    length, closed = equation.params["length"], equation.params["jaxpr"]
    jaxpr, constants = closed.jaxpr, closed.consts
    # What is scanned over has one axis less inside; what is carried has the same shape.
    split = [_same(pair) for pair in zip(equation.invars, jaxpr.invars, strict=True)]
    rows = len(split) - sum(split)
    carried = sum(_same(pair) for pair in zip(equation.outvars, jaxpr.outvars, strict=True))
    fixed = len(inputs) - rows - carried
    given, carry = inputs[:fixed], inputs[fixed : fixed + carried]
    recurrent = length * _recurrence(jaxpr, fixed, carried)
    try:
        unknown = [None] * (len(inputs) - fixed)
        return recurrent + length * _walk(jaxpr, constants, [*given, *unknown])[0]
    except UncountableError:
        total = recurrent
        for index in reversed(range(length)) if equation.params["reverse"] else range(length):
            row = [
                None if found is None else partial(lambda rows, i: rows()[i], found, index)
                for found in inputs[fixed + carried :]
            ]
            flops, outputs = _walk(jaxpr, constants, [*given, *carry, *row])
            carry = [cache(found) if found else None for found in outputs[:carried]]
            for found in filter(None, carry):
                found()  # or the last would ask for all before it at once
            total += flops
        return total


def _same(pair: tuple[Any, Any]) -> bool:
    return pair[0].aval.shape == pair[1].aval.shape


def _while(params: dict[str, Any], inputs: list[Known]) -> int:
    """A body as often as it runs at most: ``i < end``, with i one more after each run."""
    body, condition = params["body_jaxpr"], params["cond_jaxpr"].jaxpr
    begin, first = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    carry = inputs[first:]
    flops, _ = _walk(body.jaxpr, body.consts, [*inputs[begin:first], *[None] * len(carry)])
    if flops == 0:
        return 0
    before, after = body.jaxpr.invars[first - begin :], body.jaxpr.outvars
    places = {variable: place - begin for place, variable in enumerate(condition.invars)}

    def end(variable: Any) -> Known:
        """What stays the same from run to run."""
        if isinstance(variable, Literal):
            return lambda: variable.val
        place = places.get(variable)
        if place is None or (place >= 0 and after[place] is not before[place]):
            return None
        return carry[place] if place >= 0 else inputs[begin + place]

    runs = []
    for index, limit in _bounds(condition):
        place = -1 if isinstance(index, Literal) else places.get(index, -1)
        start, stop = carry[place] if place >= 0 else None, end(limit)
        if start and stop and _adds_one(body.jaxpr, before[place], after[place]):
            runs.append(max(0, int(stop()) - int(start())))
    if not runs:
        raise UncountableError("a while loop that the data end, without a bound, can't be counted")
    return flops * min(runs)


def _bounds(condition: Any) -> Iterator[tuple[Any, Any]]:
    """The pairs of which one must be less than the other for a condition to hold."""
    made = {variable: equation for equation in condition.eqns for variable in equation.outvars}

    def source(variable: Any) -> tuple[str, Any]:
        """What makes a variable, other types left aside."""
        equation = None if isinstance(variable, Literal) else made.get(variable)
        if equation is None:
            return "", variable
        name = equation.primitive.name
        is_cast = name == "convert_element_type"
        return source(equation.invars[0]) if is_cast else (name, equation)

    wanted = list(condition.outvars)
    while wanted:
        name, equation = source(wanted.pop())
        if name == "and":
            wanted += equation.invars
        elif name in ("lt", "gt"):
            pair = [v if made_by else of for v in equation.invars for made_by, of in [source(v)]]
            yield tuple(pair if name == "lt" else pair[::-1])


def _adds_one(body: Any, before: Any, after: Any) -> bool:
    for equation in body.eqns:
        if equation.outvars == [after] and equation.primitive.name == "add":
            left, right = equation.invars
            return left is before and isinstance(right, Literal) and int(right.val) == 1
    return False


def _is_fraction(aval: Any) -> bool:
    """Whether it holds real or complex numbers; bfloat16's kind is V."""
    return getattr(getattr(aval, "dtype", None), "kind", None) in ("f", "c", "V")


class _Value(NamedTuple):
    """A variable of a loop's body, as a function of what the loop carries."""

    degree: int
    """0 where it doesn't depend on that, 1 where it is linear in it, 2 for all else."""
    products: frozenset[tuple[int, int]] = frozenset()
    """The elementwise products, by number and size, of which it is a sum or a rearrangement."""


_REARRANGED = {
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "cumsum", "dynamic_slice",
    "dynamic_update_slice", "expand_dims", "gather", "imag", "name", "neg", "optimization_barrier",
    "pad", "real", "reshape", "rev", "select_n", "slice", "split", "squeeze", "transpose",
}  # fmt: skip
"""What leaves a linear function one."""


def _recurrence(jaxpr: Any, fixed: int, carried: int) -> int:
    """The operations of a scan's step that are multiply-adds of linear recurrences.

    A carried array is one if the step is linear in it, and in all others of which that is true.
    """
    rest = len(jaxpr.invars) - fixed - carried
    degrees = [int(_is_fraction(v.aval)) for v in jaxpr.invars[fixed : fixed + carried]]
    while True:
        counted: set[tuple[int, int]] = set()
        carry = [_Value(degree) for degree in degrees]
        inputs = [*[_Value(0)] * fixed, *carry, *[_Value(0)] * rest]
        outputs = _interpret(jaxpr, inputs, counted, itertools.count())[:carried]
        after = [2 if out.degree == 2 else d for d, out in zip(degrees, outputs, strict=True)]
        if after == degrees:
            return sum(2 * size for _, size in counted)
        degrees = after


def _interpret(
    jaxpr: Any, inputs: Sequence[_Value], counted: set, numbers: Iterator[int]
) -> list[_Value]:
    """A body's outputs; adds to ``counted`` the products that are added or summed."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def value(variable: Any) -> _Value:
        return _Value(0) if isinstance(variable, Literal) else known.get(variable, _Value(0))

    for equation in jaxpr.eqns:
        given, name = [value(variable) for variable in equation.invars], equation.primitive.name
        degree = max((one.degree for one in given), default=0)
        products = frozenset[tuple[int, int]]().union(*(one.products for one in given))
        inner = list(_inner_jaxprs(equation.params))
        is_call = len(inner) == 1 and name not in ("scan", "while")
        if is_call and len(inner[0][0].invars) == len(given):
            made = _interpret(inner[0][0], given, counted, numbers)
            known |= dict(zip(equation.outvars, made, strict=True))
            continue
        if name in ("mul", "dot_general"):
            degree = min(2, sum(one.degree for one in given))
            of = equation.outvars[0].aval
            elementwise = name == "mul" and _is_fraction(of)
            products = frozenset({(next(numbers), of.size)} if elementwise else ())
        elif name in ("add", "sub", "add_any", "reduce_sum"):
            if name == "reduce_sum" or degree == 1:
                counted |= products
        elif name == "div" and given[1].degree == 0:
            pass
        elif name not in _REARRANGED:
            degree, products = 2 if degree else 0, frozenset()
        known |= dict.fromkeys(equation.outvars, _Value(degree, products))
    return [value(variable) for variable in jaxpr.outvars]


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[tuple[Any, Sequence[Any]]]:
    """The jaxprs among an equation's parameters, with their constants."""
    for value in params.values():
        for candidate in value if isinstance(value, tuple) else (value,):
            jaxpr = getattr(candidate, "jaxpr", candidate)  # a ClosedJaxpr has it inside
            if hasattr(jaxpr, "eqns"):
                yield jaxpr, getattr(candidate, "consts", ())
