"""What each block of a model has, costs and keeps, from shapes alone: nothing is compiled."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal

from seqmodels.arrays import Array, Key, Params
from seqmodels.block import Block
from seqmodels.flops import count_flops
from seqmodels.mixers import Cost
from seqmodels.model_cost import model_cost, one_row, silence, stacks
from seqmodels.remat import Remat
from seqmodels.tasks.base import Batch

Loss = Callable[[Params, Batch, Key[Array, ""]], Array]
"""Parameters, a batch and the key of dropout to the number whose gradient is taken."""
Place = tuple[str, int]
"""Of a block: its stack's name, and its number there."""


class Part(NamedTuple):
    """A block of a model, or what stands around them all."""

    name: str
    """A block's in the tree of parameters; of the rest ""."""
    mixer: str
    """A block's in the pattern."""
    parameters: int
    cost: Cost
    """The forward cost of one row."""
    kept: int
    """Bytes that a backward pass keeps of a batch: an estimate (:func:`kept_bytes`)."""


class _Call(NamedTuple):
    """Of a block the shapes that it is called on, and what its stack says of it."""

    given: tuple[Any, Any, Any]
    """Its input x, state and context."""
    mixer: str
    remat: Remat | None
    keeps_state: bool


def model_parts(
    merge: Callable[[Params], Any], params: Params, whole: Batch, batch: Batch, loss: Loss
) -> list[Part]:
    """The blocks in their order, and last all that stands around them.

    Args:
      merge: makes the model of its parameters.
      params: their shapes, as those of the batches.
      whole: whole sequences, of one of which the costs are.
      batch: what training computes at once.
      loss: what it differentiates.
    """
    row = one_row(whole)
    key = jax.eval_shape(lambda: jax.random.key(0))
    by_row, by_batch = _calls(merge, params, row, None), _calls(merge, params, batch, key)
    measured: dict[str, tuple[Cost, int]] = {}  # blocks of one name are often alike
    parts = []
    for place, of_row in by_row.items():
        stack, number = place
        of_batch = by_batch[place]
        alike = repr((stack, of_row, of_batch))
        if alike not in measured:
            measured[alike] = (
                _block_cost(merge, params, place, of_row),
                _block_kept(merge, params, place, of_batch),
            )
        name = f"{stack}.blocks.{number}".lstrip(".")
        parts.append(Part(name, of_row.mixer, _count(params, f"{name}."), *measured[alike]))

    def whole_loss(params: Params, _: tuple[()], batch: Batch, key: Key[Array, ""]) -> Array:
        return loss(params, batch, key)

    kept = kept_bytes(whole_loss, params, (), batch, key)
    of_blocks = sum((part.cost for part in parts), Cost(0, 0, 0))
    total = model_cost(merge, params, row)
    around = Cost(
        total.flops - of_blocks.flops,
        total.state_bytes - of_blocks.state_bytes,
        total.sequential_depth - of_blocks.sequential_depth,
    )
    count = _count(params) - sum(part.parameters for part in parts)
    return [*parts, Part("", "", count, around, max(0, kept - sum(part.kept for part in parts)))]


def kept_bytes(function: Callable[..., Any], params: Params, x: Any, *rest: Any) -> int:
    """Bytes that differentiation in reverse keeps of ``function(params, x, *rest)``.

    They are the arrays that its forward pass hands to its backward pass when it is differentiated
    by ``params`` and ``x``; the parameters, the rest and constants, which are there anyway, don't
    count, nor does what is moved to the host's memory. The compiler fuses some of them away, and
    temporaries of both passes come on top.
    """

    def hand_over(params: Params, x: Any, *rest: Any) -> Any:
        return jax.vjp(lambda params, x: function(params, x, *rest), params, x)[1]

    jaxpr = jax.make_jaxpr(hand_over)(params, x, *rest).jaxpr
    first = len(jax.tree.leaves(params))
    given = {*jaxpr.invars[:first], *jaxpr.invars[first + len(jax.tree.leaves(x)) :]}
    given |= set(jaxpr.constvars)
    kept = {var for var in jaxpr.outvars if not isinstance(var, Literal)} - given
    avals: list[Any] = [var.aval for var in kept]
    return sum(_nbytes(aval) for aval in avals if aval.memory_space != jax.memory.Space.Host)


def _calls(
    merge: Callable[[Params], Any], params: Params, batch: Batch, key: Any
) -> dict[Place, _Call]:
    """How each block is called where a model is applied to a batch."""
    calls: dict[Place, _Call] = {}

    def trace(params: Params, batch: Batch, key: Any) -> Array:
        model = merge(params)
        found = stacks(model)
        for name, stack in found.items():
            last = name == list(found)[-1]
            known = stack.remat, last and stack.has_state
            stack.repetitions = 0  # or a loop would show one of them

            def note(number: int, given: Any, name=name, stack=stack, known=known) -> None:
                shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), given)
                calls[name, number] = _Call(shapes, stack.names[number], *known)

            watched = [
                _Watched(block, partial(note, number)) for number, block in enumerate(stack.blocks)
            ]
            vars(stack)["blocks"] = watched  # not by setattr: Flax would look for parameters
        return model(batch, key)

    jax.eval_shape(trace, params, batch, key)
    return calls


class _Watched:
    """A block whose calls are noted."""

    def __init__(self, block: Block, note: Callable[[Any], None]):
        self._block, self._note = block, note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)

    def __call__(self, *given: Any) -> Any:
        self._note(given)
        return self._block(*given)


def _block_cost(merge: Callable[[Params], Any], params: Params, place: Place, call: _Call) -> Cost:
    costs: list[Cost] = []

    def trace(params: Params, *given: Any) -> Array:
        block = _block(merge(params), place)
        silence(block, costs.append)
        return block(*given)[0]

    flops = count_flops(trace, params, *call.given)
    cost = sum(costs, Cost(flops, 0, 0))
    return cost if call.keeps_state else cost._replace(state_bytes=0)


def _block_kept(merge: Callable[[Params], Any], params: Params, place: Place, call: _Call) -> int:
    def apply(params: Params, x: Array, state: Any, context: Any) -> Array:
        def block(x: Array, state: Any, context: Any) -> Array:
            return _block(merge(params), place)(x, state, context)[0]

        run = block if call.remat is None else call.remat.of(block)
        return run(x, state, context)

    return kept_bytes(apply, params, *call.given)


def _block(model: Any, place: Place) -> Block:
    stack, number = place
    return stacks(model)[stack].blocks[number]


def _count(params: Params, within: str = "") -> int:
    """Parameters of a tree, or of its part whose paths begin so."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = [
        (jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves
    ]
    return sum(leaf.size for name, leaf in names if name.startswith(within))


def _nbytes(array: Any) -> int:
    return array.size * array.dtype.itemsize
