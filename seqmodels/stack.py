"""Stacks of blocks: what every model is made of."""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int, Key
from seqmodels.block import Block, BlockState
from seqmodels.errors import ConfigError, require, require_with, under
from seqmodels.layers import Norm
from seqmodels.long_blocks import goes_by_parts, in_parts
from seqmodels.mixers import Context, CrossAttention, Mixer, ShortConvolution, construct_mixer
from seqmodels.observing import is_observed, observe, within
from seqmodels.remat import Remat
from seqmodels.stack_settings import DEEPEST, ModelSettings, StackSettings
from seqmodels.stacking import stacked, stacked_parameters

LEAST_REPETITIONS = 16
"""Of a pattern, from which on ``repeat="auto"`` scans them: fewer compile about as fast."""


class Stack(nnx.Module):
    """The blocks and, where the norm comes before, a last norm.

    Args:
      settings: which blocks.
      shared: what stands around their mixers, but for what ``settings.blocks`` changes, and how
        they are computed.
      rank: how many axes the positions have.
      causal: whether outputs may depend on earlier positions alone.
      strides: whether mixers may shorten the sequence.
      cross: makes the cross-attention of a block, for a decoder.
      prefix: the config path of ``settings``, for messages.
    """

    def __init__(
        self,
        settings: StackSettings,
        shared: ModelSettings,
        *,
        rank: int = 1,
        causal: bool = False,
        strides: bool = False,
        cross: Callable[[], CrossAttention] | None = None,
        prefix: str = "model",
        rngs: nnx.Rngs,
    ):
        width = shared.width
        self.rank = rank
        self.prefix = prefix
        self.names = tuple(islice(cycle(settings.pattern), settings.depth))
        by_name = settings.by_name(shared, width, prefix)
        blocks, scanned = [], False
        mixers: Any = settings.mixers
        for name in self.names:
            where = f"{prefix}.mixers.{name}"
            own = by_name[name]
            mixer, short = construct_mixer(
                mixers[name], where, width=width, short=own.short, rngs=rngs
            )
            scans = mixer.rank == 1 and rank > 1 and settings.scan is not None
            scanned |= scans
            _require_rank(mixer, rank, scans, where)
            if own.short is not None and rank > 1 and not scans:
                raise ConfigError(
                    f"{prefix}.blocks.{name}.short_convolution={own.short.kernel} goes along a "
                    f"sequence, and the task's inputs are {_on_axes(rank)}; set it to None there"
                )
            if causal and (not mixer.causal or mixer.rank not in (None, 1)):
                raise ConfigError(_not_causal(mixers[name], where))
            if mixer.stride > 1 and not strides:
                raise ConfigError(
                    f"{where}.stride={mixer.stride} leaves fewer outputs than positions; only "
                    "many-to-one tasks and encoders can do with them: set it to 1"
                )
            blocks.append(
                Block(
                    mixer,
                    width,
                    own,
                    short=short,
                    cross=cross() if cross is not None else None,
                    scan=settings.scan if scans else None,
                    rngs=rngs,
                )
            )
        spread = {block.mixer.position_range for block in blocks} - {None}
        require(
            len(spread) <= 1,
            f"position_range={sorted(spread)}: all mixers of a model spread positions over one "
            "range; set it to one value",
        )
        self.position_range: int | None = next(iter(spread), None)
        owner = "mixers that work on the task's axes"
        require_with(settings.scan, scanned, "scan", owner, wanted_if_missing=False)
        self.remat: Remat | None = shared.kept
        self.period = len(settings.pattern)
        self.repetitions = _repetitions(settings, shared, blocks, prefix)
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, shared.norm, rngs=rngs) if shared.norm_position == "pre" else None

    @property
    def has_state(self) -> bool:
        """Whether it can go on from a state."""
        return self.rank == 1 and all(block.mixer.has_state for block in self.blocks)

    @property
    def causal(self) -> bool:
        """Whether no output sees what comes later, on one axis."""
        return self.rank == 1 and all(block.mixer.causal for block in self.blocks)

    @property
    def longest(self) -> int | None:
        """The longest sequence that every mixer serves; None for any."""
        served = (block.mixer.longest for block in self.blocks)
        return min((length for length in served if length is not None), default=None)

    @property
    def keeps_all(self) -> bool:
        """Whether a mixer's state holds all that was read, so that it ends at its room."""
        letters = [block.mixer.state_letters for block in self.blocks]
        return any("L" in leaf.split() for leaf in jax.tree.leaves(letters))

    @property
    def widened(self) -> dict[str, int]:
        """The kernels of short convolutions that are one wider than set, by the pattern's names."""
        taken = {}
        for name, block in zip(self.names, self.blocks, strict=True):
            set_to = block.settings.short_convolution
            for _, part in nnx.iter_modules(block):
                if isinstance(part, ShortConvolution) and part.kernel != set_to:
                    taken[name] = part.kernel
        return taken

    def whole(
        self,
        x: Float[Array, "B *L D"],
        valid: Bool[AnyArray, "B *L"] | None,
        key: Key[Array, ""] | None,
        *,
        lengths: Int[Array, "B"] | None = None,
        source: Float[Array, "B S D"] | None = None,
        source_valid: Bool[AnyArray, "B S"] | None = None,
    ) -> tuple[Float[Array, "B *M D"], Bool[AnyArray, "B *M"] | None]:
        """All blocks over whole sequences or grids; and what is valid then."""
        valid = None if valid is None else jnp.asarray(valid)
        if self.rank > 1:
            context = Context(valid, None, None, None, key)
        else:
            context = Context.of(
                x.shape[0],
                x.shape[1],
                valid,
                lengths=lengths,
                position_range=self.position_range,
                draw=None if key is None else draw_key(key),
                key=key,
            )
        states = [block.start(None, source, source_valid) for block in self.blocks]
        x, _, context = self.run(x, states, context)
        return x, context.valid

    def run(
        self, x: Float[Array, "B *L D"], states: list[BlockState], context: Context
    ) -> tuple[Float[Array, "B *M D"], list[BlockState], Context]:
        """The blocks one after the other over a chunk that comes after their states.

        What is trained, and whole sequences, go through repetitions of the pattern in a loop where
        these are scanned; what is observed, and decoding, never.
        """
        x, count = observe("inputs", x), len(self.blocks)
        keys = None if context.key is None else jax.random.split(context.key, count)
        after: list[BlockState] = []
        trained = context.key is not None or states[0]["mixer"] is None
        if self.repetitions > 0 and trained and not is_observed():
            x, after = self._loop(x, states, keys, context)
        for index in range(len(after), count):
            key = None if keys is None else keys[index]
            given = (x, states[index], context._replace(key=key))
            x, state, context = self._call(index, self.blocks[index], *given)
            after.append(state)
        return x, after, context

    def _call(
        self,
        index: int,
        block: Callable[..., Any],
        x: Float[Array, "B *L D"],
        state: BlockState,
        context: Context,
        looped: bool = False,
    ) -> tuple[Float[Array, "B *M D"], BlockState, Context]:
        """A block, of which the backward pass keeps what ``remat`` says."""
        run: Any = block
        if self.remat is not None and context.key is not None and not is_observed():
            with under("model"):
                run = self.remat.of(lambda *given: block(*given), looped=looped)
                # What stands for a block and notes its calls is to see whole ones.
                if isinstance(block, Block) and goes_by_parts(block, x, state, context):
                    run = partial(in_parts, block, self.remat)
        where = f"{self.prefix}.mixers.{self.names[index]}"  # of a form that can't serve
        with under(where), within(f"blocks.{index}"):
            x, state, context = run(x, state, context)
            return observe("outputs", x), state, context

    def _loop(
        self,
        x: Float[Array, "B *L D"],
        states: list[BlockState],
        keys: Key[Array, "blocks"] | None,
        context: Context,
    ) -> tuple[Float[Array, "B *L D"], list[BlockState]]:
        """The blocks of all whole repetitions of the pattern, of which the program holds one.

        The parameters that a name has in each are stacked here, [repetitions, ...]: the tree of a
        model, its state and its checkpoints know nothing of it.
        """
        count, period = self.repetitions, self.period
        looped = count * period
        graphs, params = [], []
        for place in range(period):
            parts = [nnx.split(block, nnx.Param) for block in self.blocks[place:looped:period]]
            graphs.append(parts[0][0])  # blocks of one name differ by their parameters alone
            params.append(stacked_parameters([nnx.to_pure_dict(part) for _, part in parts]))
        before = [stacked(states[place:looped:period]) for place in range(period)]
        keys = None if keys is None else keys[:looped].reshape(count, period)

        def repetition(x, given):
            params, states, keys = given
            after = []
            for place, (graph, own, state) in enumerate(zip(graphs, params, states, strict=True)):
                here = context._replace(key=None if keys is None else keys[place])
                block = nnx.merge(graph, own)
                x, state, _ = self._call(place, block, x, state, here, looped=True)
                after.append(state)
            return x, after

        x, after = jax.lax.scan(repetition, x, (params, before, keys), count)
        return x, [
            jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(count) for state in after
        ]

    def check_spread(self, length: int) -> None:
        """Raises ConfigError where spread positions or a mixer's filters end before a length."""
        if self.position_range is not None and length > self.position_range:
            raise ConfigError(
                f"position_range={self.position_range} has fewer positions than the length "
                f"{length} that is asked for; raise it, or take shorter sequences"
            )
        for name, block in zip(self.names, self.blocks, strict=True):
            longest = block.mixer.longest
            if longest is not None and length > longest:
                raise ConfigError(
                    f"{self.prefix}.mixers.{name}: max_length={longest} is below the length "
                    f"{length} that is asked for; raise it"
                )

    def normalise(self, x: Float[Array, "*B D"]) -> Float[Array, "*B D"]:
        """The last norm, of pre-norm models."""
        return self.norm(x) if self.norm is not None else x


def _require_rank(mixer: Mixer, rank: int, scans: bool, path: str) -> None:
    """Refuses a mixer that can't work on the axes that the task's positions have."""
    if mixer.rank in (None, rank) or scans:
        return
    if mixer.rank == 1:
        advice = (
            "set model.scan to 'rows' to read the grid as a sequence, or take a mixer on grids: "
            f"convolution or neighbourhood_attention with {rank} numbers in kernel, or attention "
            "with positions='none'"
        )
    else:
        advice = f"give it {rank} number{'s' if rank > 1 else ''} in kernel"
    raise ConfigError(
        f"{path}: this mixer works on {_on_axes(mixer.rank or 0)}, and the task's inputs are "
        f"{_on_axes(rank)}; {advice}"
    )


def _on_axes(rank: int) -> str:
    return "sequences (1 axis)" if rank == 1 else f"{rank}-D grids"


def _not_causal(settings: Any, path: str) -> str:
    """What to say of a mixer that sees later positions where outputs may not."""
    why = "the task's outputs may depend on earlier inputs alone"
    if "causal" in settings:
        return f"{path}.causal=False: {why}; set it to True"
    return f"{path}.kind={settings['kind']!r} sees later inputs; {why}: take a causal mixer"


def _repetitions(
    settings: StackSettings, shared: ModelSettings, blocks: list[Block], path: str
) -> int:
    """How many of the pattern a loop goes through; 0 where all blocks stand in the program."""
    count, repeat = settings.depth // len(settings.pattern), shared.repeat
    strides = any(block.mixer.stride > 1 for block in blocks)
    if repeat == "scanned" and (count < 2 or strides):
        why = (
            "a mixer's stride above 1 leaves fewer positions, and those of a loop stay as many"
            if strides
            else f"{path}.pattern={settings.pattern!r} is not repeated in depth={settings.depth}"
        )
        raise ConfigError(f"model.repeat='scanned': {why}; set it to 'auto' or 'unrolled'")
    # All that the backward pass needs would be copied into what is stacked of all repetitions.
    pays = shared.kept is not None and count >= LEAST_REPETITIONS
    return count if repeat == "scanned" or (repeat == "auto" and pays and not strides) else 0


def draw_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """What draws positions, from the key that is split among the blocks."""
    return jax.random.fold_in(key, DEEPEST)


def pool(
    x: Float[Array, "B *L D"], mask: Bool[AnyArray, "B *L"] | None, pooling: str
) -> Float[Array, "B D"]:
    """The mean over real positions, or the last of them (in the order of rows)."""
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    if mask is None:
        return jnp.mean(x, axis=1) if pooling == "mean" else x[:, -1]
    mask = mask.reshape(mask.shape[0], -1)
    if pooling == "mean":
        # In float32: bfloat16 counts no further than 256.
        total = jnp.sum(x, axis=1, dtype=jnp.float32, where=mask[:, :, None])
        count = jnp.sum(mask, axis=1, dtype=jnp.float32)[:, None]
        return (total / jnp.maximum(count, 1)).astype(x.dtype)
    last = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    return jnp.take_along_axis(x, last[:, None, None], axis=1)[:, 0]
