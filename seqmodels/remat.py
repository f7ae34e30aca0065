"""What the backward pass keeps of a block; the rest it computes again (Chen et al. 2016)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name

from seqmodels.arrays import Array
from seqmodels.errors import nearest, require
from seqmodels.ops.platform import platform

NAMES = ("projections", "mixer_outputs", "mlp_hidden")
"""What may be kept of a block beside its inputs: what each linear layer makes of its inputs, such
as queries, keys and values; what the mixer makes; what the first layer of the MLP makes, before
its activation."""
INPUTS = "block_inputs"
"""What always is."""


def named(x: Array, name: str) -> Array:
    """The same, which ``remat`` may keep by this name."""
    return checkpoint_name(x, name)


@dataclass(frozen=True)
class Remat:
    """The inputs of each block are kept, and what has one of these names."""

    names: tuple[str, ...] = ()
    offload: bool = False
    """Whether it is moved to the host's memory between the two passes."""

    def of(self, block: Callable[..., Any], *, looped: bool = False) -> Callable[..., Any]:
        """A block of which nothing else is kept; ``looped`` in the body of a loop.

        Raises:
          ParameterError: it is to be moved, and the platform has one memory alone.
        """
        # The compiler must not join the two computations of a block, which in a loop it can't.
        again: dict[str, Any] = {"prevent_cse": not looped}
        policies = jax.checkpoint_policies
        if not self.offload:
            policy = policies.save_only_these_names(*self.names)
            return jax.checkpoint(block, policy=policy, **again)
        require(
            platform() in ("cuda", "tpu"),
            f"offload=True moves what is kept to the host's memory, apart from the device's; "
            f"{platform()} has no other: set it to False",
        )
        policy = policies.save_and_offload_only_these_names(
            names_which_can_be_saved=(),
            names_which_can_be_offloaded=(INPUTS, *self.names),
            offload_src="device",
            offload_dst="pinned_host",
        )

        def renamed(x: Array, *rest: Any) -> Any:
            return block(named(x, INPUTS), *rest)

        return jax.checkpoint(renamed, policy=policy, **again)


def read_remat(remat: str | tuple[str, ...], offload: bool) -> Remat | None:
    """What settings say: "none", "block", or names, of which several stand in a tuple.

    Flags have them behind commas, as one word: "projections,mlp_hidden".

    Raises:
      ParameterError: nothing has such a name, or nothing is kept that could be moved.
    """
    names = tuple(remat.split(",")) if isinstance(remat, str) else remat
    require(
        not offload or names != ("none",),
        "offload=True is never read with remat='none', which leaves everything where it is; set "
        "remat to 'block', or to names of what is kept beside the blocks' inputs",
    )
    if names in (("none",), ("block",)):
        return None if names == ("none",) else Remat((), offload)
    require(len(names) > 0, "remat=() names nothing; 'block' keeps the blocks' inputs alone")
    alone = ("none", "block")
    for name in names:
        known = f"known: {', '.join(sorted(NAMES))}"
        require(name not in alone, f"remat={remat!r}: {name!r} stands by itself; {known}")
        known = nearest(name, (*alone, *NAMES))
        require(name in NAMES, f"remat={remat!r}: nothing is called {name!r}; {known}")
    require(len(set(names)) == len(names), f"remat={remat!r} has a name twice; leave one out")
    return Remat(names, offload)
