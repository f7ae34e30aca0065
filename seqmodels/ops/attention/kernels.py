"""Attention in hardware kernels: cuDNN's on NVIDIA GPUs, splash attention on TPUs.

Both are flash attention (Dao et al. 2022): scores stay on the chip, memory is linear in the length
in both passes. A kernel's own module is imported when it is used, and on a CPU never.
"""

from collections.abc import Callable
from functools import partial

import jax
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array
from seqmodels.ops.attention.cudnn import cudnn_attention, cudnn_refusal
from seqmodels.ops.attention.splash import splash_attention, splash_refusal
from seqmodels.ops.attention.visibility import reach
from seqmodels.ops.forms import Form
from seqmodels.ops.platform import Platform

Kernel = Callable[..., Array]
"""(query, key, value, mask, causal, window, offset, scale) to outputs, as ``attention`` in
dot_product.py has them, with keys and values for each head of the queries."""


def _form(kernel: Kernel, on: Platform, refusal: Callable[..., str | None]) -> Form:
    """A kernel as a form of attention.

    Under a mesh of several devices it is given to each of them with its part of the batch, split
    along the axis "data": the compiler can't partition a Mosaic kernel by itself, and cuDNN's only
    while its inputs happen to be sharded alike. Without a mesh it is not known whether arrays are
    spread over the devices, which a kernel can't follow.
    """

    def refuses(query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False):
        M, L, rows = query.shape[1], key.shape[1], _row_parts()
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
        if rows == 0:
            return "no mesh says how arrays lie on the devices"
        if query.shape[0] % rows:
            return f"{query.shape[0]} rows can't be shared equally by {rows} devices"
        return refusal(query, key, causal, window, mask is not None, offset)

    def run(query, key, value, mask, causal, window, offset, scale, slopes, log_sum=False):
        local = partial(kernel, causal=causal, window=window, offset=offset, scale=scale)
        if _row_parts() > 1:
            local = jax.shard_map(
                local,
                in_specs=PartitionSpec("data"),
                out_specs=PartitionSpec("data"),
                check_vma=False,  # pallas_call doesn't say along which axes its results differ
            )
        return local(query, key, value, mask)

    return Form(run, (on,), refuses)


def _row_parts() -> int:
    """Into how many parts rows are split over devices; 0 where it isn't known."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return 1 if jax.device_count() == 1 else 0
    if mesh.size == 1 or "data" in mesh.manual_axes:
        return 1
    return mesh.shape.get("data", 0)


KERNELS = {
    "cudnn": _form(cudnn_attention, "cuda", cudnn_refusal),
    "splash": _form(splash_attention, "tpu", splash_refusal),
}
