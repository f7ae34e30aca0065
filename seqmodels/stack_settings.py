"""What a config says of stacks of blocks, and of the model around them."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from seqmodels.block import BlockSettings
from seqmodels.config import Section
from seqmodels.earlier import Before
from seqmodels.errors import nearest, require, under
from seqmodels.layers import PositionKind
from seqmodels.ops.grids import ScanOrder
from seqmodels.remat import Remat, read_remat

Repeat = Literal["auto", "unrolled", "scanned"]
DEEPEST = 256
"""Blocks of a stack at most: building them takes time for each, and compiling them far more."""


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Which blocks: keys of a config's ``model``, or of its ``encoder`` and ``decoder``."""

    depth: int
    """How many."""
    pattern: tuple[str, ...]
    """Names of mixers, tiled over the depth: ("local", "local", "global")."""
    mixers: Section
    """For each name in the pattern, ``{"kind": a key of MIXERS, **settings}``."""
    blocks: Section | None = None
    """For names in the pattern, what their blocks have otherwise than the model
    (:class:`~seqmodels.block.BlockSettings`); None for no differences."""
    scan: ScanOrder | None = None
    """The order, "rows" or "columns", in which mixers on one axis read a grid; None where all
    mixers work on the task's axes."""

    def __post_init__(self):
        depth, pattern = self.depth, self.pattern
        require(depth >= 1, f"depth={depth} is below 1")
        require(
            depth <= DEEPEST,
            f"depth={depth} is above {DEEPEST}: each block is compiled by itself, which takes "
            "minutes for hundreds; lower it",
        )
        require(len(pattern) > 0, "pattern=() names no mixer")
        for name in pattern:
            known = nearest(name, self.mixers)
            require(
                name in self.mixers, f"pattern={pattern!r}: no mixer {name!r} in mixers; {known}"
            )
        for section, named in (("mixers", self.mixers), ("blocks", self.blocks or {})):
            for name in named:
                require(
                    name in pattern[:depth],
                    f"{section}.{name} is never read: pattern={pattern!r} does not reach it in "
                    f"{depth} blocks",
                )

    def by_name(self, shared: BlockSettings, width: int, path: str) -> dict[str, BlockSettings]:
        """Those of the blocks of each name, of width D; ``path`` is this section's, for messages.

        Raises:
          ConfigError: of those that the model shares or that a name changes, what can't be used.
        """
        changes: Any = self.blocks or {}
        made = {}
        for name in self.pattern:
            changed = name in changes
            where = f"{path}.blocks.{name}" if changed else "model"
            made[name] = shared.changed(changes[name] if changed else {}, where)
            with under(where):
                made[name].mlp_width(width)
        return made


@dataclass(frozen=True, kw_only=True)
class ModelSettings(BlockSettings):
    """What every config's ``model`` section has beside the settings of its blocks."""

    width: int
    """The model width D."""
    positions: PositionKind = "none"
    """What is added to the embeddings."""
    max_length: int | None = None
    """The longest sequence, read or written, that learned positions serve; None otherwise."""
    pooling: Literal["mean", "last"] | None = None
    """How a sequence is summarised, by the mean of all positions or by the last; None for no
    summary."""
    tied_embeddings: bool = False
    """Whether the table of the tokens that are read is also that of the scores
    (:meth:`~seqmodels.layers.Embedding.scores`)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """That of computation; parameters are always float32."""
    remat: str | tuple[str, ...] = "none"
    """What the backward pass keeps: "none" all that it needs; "block" each block's inputs alone,
    from which it computes the block again: less memory, a third more time; or, beside them, what is
    named (:data:`~seqmodels.remat.NAMES`), such as ("projections", "mlp_hidden")."""
    offload: bool = False
    """Whether that is moved to the host's memory between the passes; not on a CPU."""
    repeat: Annotated[Repeat, Before("unrolled")] = "auto"
    """How a pattern that the depth repeats is computed in training and on whole sequences:
    "scanned" has one repetition in a loop, for which parameters are stacked inside the step, so
    that the time to compile hardly grows with the depth; "unrolled" has each block; "auto" scans
    :data:`~seqmodels.stack.LEAST_REPETITIONS` and more, where ``remat`` is not "none"."""

    def __post_init__(self):
        super().__post_init__()
        read_remat(self.remat, self.offload)

    @property
    def kept(self) -> Remat | None:
        """What ``remat`` keeps; None for all that is needed."""
        return read_remat(self.remat, self.offload)
