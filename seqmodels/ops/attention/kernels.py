"""Attention in hardware kernels: cuDNN's on NVIDIA GPUs, splash attention on TPUs.

Both are flash attention (Dao et al. 2022): scores stay on the chip, memory is linear in the length
in both passes. A kernel's own module is imported when it is used, and on a CPU never.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array
from seqmodels.ops.attention.cudnn import cudnn_attention, cudnn_refusal
from seqmodels.ops.attention.splash import splash_attention, splash_refusal
from seqmodels.ops.attention.visibility import reach
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.parts import parts
from seqmodels.ops.platform import Platform

Kernel = Callable[..., Array]
"""(query, key, value, mask, causal, window, offset, scale) to outputs, as ``attention`` in
dot_product.py has them, with keys and values for each head of the queries."""


def _form(kernel: Kernel, on: Platform, refusal: Callable[..., str | None]) -> Form:
    """A kernel as a form of attention.

    Under a mesh of several devices each is given its rows, split along the axis "data", and its
    heads, along "model": the compiler can't partition a Mosaic kernel by itself, and cuDNN's only
    while its inputs happen to be sharded alike. Without a mesh it is not known whether arrays are
    spread over the devices, which a kernel can't follow.
    """

    def refuses(query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False):
        M, L = query.shape[1], key.shape[1]
        mesh = jax.sharding.get_abstract_mesh()
        if slopes is not None:
            return "it takes no slopes"
        if log_sum:
            return "it returns no log-sum-exp"
        if key.shape != value.shape:
            return f"keys are {key.shape[3]} wide and values {value.shape[3]}"
        if not query.dtype == key.dtype == value.dtype:
            return f"its inputs are {query.dtype}, {key.dtype} and {value.dtype}"
        if not isinstance(offset, int):
            return "the offset isn't known while tracing"
        if offset + M - 1 - reach(causal, window)[0] >= L:
            return "some query has no key in reach"
        if mesh.empty and jax.device_count() > 1:
            return "no mesh says how arrays lie on the devices"
        for count, what, shares in (
            (len(query), "rows", parts("data")),
            (query.shape[2], "heads", parts("model")),
        ):
            if count % shares:
                return f"{count} {what} can't be shared equally by {shares} devices"
        return refusal(query, key, causal, window, mask is not None, offset)

    def run(query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False):
        local = partial(kernel, causal=causal, window=window, offset=offset, scale=scale)
        return by_heads(local)(query, key, value, mask)

    return Form(run, (on,), refuses)


def by_heads(local: Kernel) -> Kernel:
    """The function of query, key, value and mask, run by each device on its rows and heads."""
    mesh = jax.sharding.get_abstract_mesh()
    others = set(mesh.axis_names) - set(mesh.manual_axes)  # all, or a Mosaic kernel is refused
    if mesh.size == 1 or not others:
        return local
    rows, heads = (axis if parts(axis) > 1 else None for axis in ("data", "model"))
    of_heads = PartitionSpec(rows, None, heads)
    return jax.shard_map(
        local,
        in_specs=(of_heads, of_heads, of_heads, PartitionSpec(rows)),
        out_specs=of_heads,
        axis_names=others,
        check_vma=False,  # pallas_call doesn't say along which axes its results differ
    )


KERNELS = {
    "cudnn": _form(cudnn_attention, "cuda", cudnn_refusal),
    "splash": _form(splash_attention, "tpu", splash_refusal),
}
_ALONE = Operation("attention in a kernel", KERNELS)


def kernel_serves(*arguments: Any) -> bool:
    """Whether there is one for the machine that serves a call, by its arguments in ATTENTION."""
    return any(_ALONE.refusal(name, *arguments) is None for name in KERNELS)
