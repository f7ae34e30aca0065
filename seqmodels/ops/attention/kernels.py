"""Attention in hardware kernels: cuDNN's on NVIDIA GPUs, splash attention on TPUs.

Both are flash attention (Dao et al. 2022): scores stay on the chip, memory is
linear in the length in both passes. :func:`find_kernel` says which of them can
serve a call; what neither can takes the forms that run everywhere. A kernel's own
module is imported when it is used, and on a CPU never.
"""

from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array, Float
from seqmodels.ops.attention.cudnn import cudnn_attention, cudnn_serves
from seqmodels.ops.attention.splash import splash_attention, splash_serves
from seqmodels.ops.attention.visibility import reach
from seqmodels.ops.platform import Platform, platform

Kernel = Callable[..., Array]
"""(query, key, value, mask, causal, window, offset, scale) -> out, as in blocked_attention."""


def find_kernel(
    query: Float[Array, "B M H K"] | jax.ShapeDtypeStruct,
    key: Float[Array, "B L H K"] | jax.ShapeDtypeStruct,
    value: Float[Array, "B L H K"] | jax.ShapeDtypeStruct,
    causal: bool,
    window: int | None,
    masked: bool,
    offset: int,
) -> Kernel | None:
    """The kernel that serves a call on the machine that it is traced for, or None.

    Under a mesh of several devices the kernel is given to each of them with its
    part of the batch, split along the axis "data". Without a mesh it is not known
    whether arrays are spread over the devices, which a kernel can't follow: None.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        rows = 1 if jax.device_count() == 1 else 0
    elif mesh.size == 1 or "data" in mesh.manual_axes:
        rows = 1
    else:
        rows = mesh.shape.get("data", 0)
    if rows == 0 or query.shape[0] % rows:
        return None
    if platform() == "cuda" and not _is_ampere_or_later():
        return None
    kernel = choose_kernel(platform(), query, key, value, causal, window, masked, offset)
    return kernel if kernel is None or rows == 1 else _on_each_device(kernel)


def choose_kernel(
    on: Platform,
    query: Float[Array, "B M H K"] | jax.ShapeDtypeStruct,
    key: Float[Array, "B L H K"] | jax.ShapeDtypeStruct,
    value: Float[Array, "B L H K"] | jax.ShapeDtypeStruct,
    causal: bool,
    window: int | None,
    masked: bool,
    offset: int,
) -> Kernel | None:
    """The kernel for one device of a platform: the table of what each of them can't take."""
    M, L = query.shape[1], key.shape[1]
    before, _ = reach(causal, window)
    one_dtype = query.dtype == key.dtype == value.dtype
    # A query without any key in reach: only where queries go on past the window of the last key.
    if not one_dtype or offset + M - 1 - before >= L:
        return None
    if on == "cuda" and cudnn_serves(query, key, causal, window, masked, offset):
        return cudnn_attention
    if on == "tpu" and splash_serves(query, key):
        return splash_attention
    return None


def _is_ampere_or_later() -> bool:
    """False where this machine's own GPUs are older than Ampere: no flash attention there."""
    return jax.default_backend() != "gpu" or float(jax.devices()[0].compute_capability) >= 8


def _on_each_device(kernel: Kernel) -> Kernel:
    """Splits the batch over the mesh: the compiler can't partition a Mosaic kernel by itself.

    cuDNN's it can, but only while its inputs happen to be sharded alike.
    """

    def sharded(query, key, value, mask, *settings):
        local = jax.shard_map(
            lambda query, key, value, mask: kernel(query, key, value, mask, *settings),
            in_specs=PartitionSpec("data"),
            out_specs=PartitionSpec("data"),
            check_vma=False,  # pallas_call doesn't say along which axes its results differ
        )
        return local(query, key, value, mask)

    return sharded
