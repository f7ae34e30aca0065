"""What a model costs: its mixers as they say, and all that stands around them by one trace."""

import math
from collections.abc import Callable
from typing import Any

import jax

from seqmodels.arrays import Array, Params
from seqmodels.block import Block
from seqmodels.encoder_decoder import EncoderDecoder
from seqmodels.flops import count_flops
from seqmodels.mixers import Context, Cost, CrossAttention, Mixer
from seqmodels.mixers.cross_attention import Source
from seqmodels.stack import Stack
from seqmodels.tasks.base import Batch

Axes = tuple[int, ...]


def one_row(batch: Batch) -> Batch:
    """The shapes of a single row of a batch."""
    return jax.eval_shape(lambda batch: jax.tree.map(lambda x: x[:1], batch), batch)


def model_cost(merge: Callable[[Params], Any], params: Params, row: Batch) -> Cost:
    """The forward cost of one row of a batch.

    The model is traced once, and every mixer and cross-attention in it is replaced by what notes
    the lengths that it meets and computes nothing: its cost is the closed form that it gives. All
    other FLOPs are counted in that trace: those of embedding, patches, strides, MLPs, and of the
    head at the labelled positions. The state is that of the blocks that write, if they can go on.

    ``merge`` makes the model of its parameters; ``params`` and ``row`` (:func:`one_row`) are shapes
    alone.
    """
    costs = [Cost(0, 0, 1)]  # the head's step

    def trace(params: Params, row: Batch) -> Array:
        model = merge(params)
        last = list(stacks(model).values())[-1]
        for stack in stacks(model).values():
            keeps = stack is last and stack.has_state

            def note(cost: Cost, keeps: bool = keeps) -> None:
                costs.append(cost if keeps else cost._replace(state_bytes=0))

            stack.repetitions = 0  # or a loop would show one of them
            for block in stack.blocks:
                silence(block, note)
        return model(row, None)

    flops = count_flops(trace, params, row)
    return sum(costs, Cost(flops, 0, 0))


def stacks(model: Any) -> dict[str, Stack]:
    """A model's stacks by their names, what writes last; the name of an only one is ""."""
    if not isinstance(model, EncoderDecoder):
        return {"": model}
    reading = {} if model.encoder is None else {"encoder": model.encoder}
    return reading | {"decoder": model.decoder}


def silence(block: Block, note: Callable[[Cost], None]) -> None:
    """Replaces what mixes positions in a block; its other steps are noted, MLP and convolution."""
    if block.mlp is not None:
        note(Cost(0, 0, 1))
    if block.short is not None:
        note(Cost(0, block.short.state_bytes, 1))
    # Not by setattr: Flax would look for parameters in them.
    vars(block)["mixer"] = _SilentMixer(block.mixer, note)
    if block.cross is not None:
        vars(block)["cross"] = _SilentCross(block.cross, note)


class _SilentMixer:
    """A mixer's shapes alone."""

    def __init__(self, mixer: Mixer, note: Callable[[Cost], None]):
        self.mixer, self.note = mixer, note
        self.stride, self.position_range = mixer.stride, mixer.position_range
        self.longest = mixer.longest

    def mix(self, x: Array, state: None, context: Context) -> tuple[Array, None]:
        return self(x, context), state

    def __call__(self, x: Array, context: Context) -> Array:
        axes = x.shape[1:-1]
        on_a_grid = self.mixer.rank is not None and len(axes) > 1
        self.note(self.mixer.cost(axes if on_a_grid else math.prod(axes)))
        return x[(slice(None), *[slice(None, None, self.stride)] * len(axes))]


class _SilentCross:
    """The shapes of attention to a source."""

    def __init__(self, cross: CrossAttention, note: Callable[[Cost], None]):
        self.cross, self.note = cross, note

    def project(self, source: Array, mask: Array | None) -> Source:
        return Source(source[:, :, None], source[:, :, None], mask)

    def __call__(self, x: Array, source: Source) -> Array:
        self.note(self.cross.cost(x.shape[1], source.keys.shape[1]))
        return x
