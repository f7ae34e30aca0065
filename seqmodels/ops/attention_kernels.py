"""Attention in hardware kernels: cuDNN's on NVIDIA GPUs, splash attention on TPUs.

Both are flash attention (Dao et al. 2022): scores stay on the chip, memory is
linear in the length in both passes. :func:`find_kernel` says which of them can
serve a call; what neither can takes the forms that run everywhere. A kernel's own
module is imported when it is used, and on a CPU never.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from seqmodels.arrays import Array, Bool, Float
from seqmodels.ops.platform import Platform, platform
from seqmodels.ops.visibility import allowed, reach

Kernel = Callable[..., Array]
"""(query, key, value, mask, causal, window, offset, scale) -> out, as in blocked_attention."""

CUDNN_WIDTH = 128
"""The widest head that cuDNN takes on every GPU since Ampere, both passes (Hopper takes 256)."""

HUGE = 2.0**15
"""In float16's range; its square, times any scale, leaves exp nothing of a masked score."""

SPLASH_BLOCK = 512
"""Queries and keys a block: wide, also under narrow windows, because each step of a kernel's grid
has a fixed cost. Not tuned on a device."""

SPLASH_BLOCKS = 2**18
"""Blocks of queries times blocks of keys at most: the schedule lies in scalar memory, and takes
3 s to make for so many."""

LANES = 128
"""The last axis of a TPU's registers: lengths are padded to multiples of it."""


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
    if on == "cuda":
        half = query.dtype in (jnp.bfloat16, jnp.float16)
        layout = _cudnn_layout(M, L, query.shape[3], causal, window, masked, offset)
        served = half and layout.width <= CUDNN_WIDTH and layout.shift <= M
        return cudnn_attention if served else None
    if on == "tpu":
        known = query.dtype in (jnp.bfloat16, jnp.float32)
        blocks = -(-M // SPLASH_BLOCK) * -(-L // SPLASH_BLOCK)
        return splash_attention if known and blocks <= SPLASH_BLOCKS else None
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


def _meets_padding(queries: int, keys: int, after: int, offset: int) -> bool:
    """Whether a query would see a key that is put behind the last."""
    return offset + queries + after > keys


def _blank_unseeing(
    out: Float[Array, "B M H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
) -> Float[Array, "B M H K"]:
    """Zeros, and no gradient, for the queries that see no valid key; a kernel gives them a mean."""
    if mask is None:
        return out
    M, L = out.shape[1], mask.shape[1]
    before, after = reach(causal, window)
    count = jnp.pad(jnp.cumsum(mask, axis=1, dtype=jnp.int32), ((0, 0), (1, 0)))  # [B, L + 1]

    def count_before(start):
        """How many valid keys there are before start, start + 1, ..., one for each query."""
        start = min(max(start, -M), L)
        low, high = max(-start, 0), max(start + M - 1 - L, 0)
        return jnp.pad(count, ((0, 0), (low, high)), mode="edge")[:, start + low :][:, :M]

    sees = count_before(offset + after + 1) > count_before(offset - before)  # [B, M]
    return jnp.where(sees[:, :, None, None], out, jnp.zeros((), out.dtype))


class _CudnnLayout(NamedTuple):
    """How a call is brought to what cuDNN takes; see :func:`cudnn_attention`."""

    shift: int
    """Dummy queries before the first."""
    queries: int
    """With the dummy ones, an even number."""
    keys: int
    masked: bool
    """Whether a feature says which keys are valid: some are masked, or padding is in sight."""
    width: int
    """Of a head."""


def _cudnn_layout(M, L, K, causal, window, masked, offset) -> _CudnnLayout:
    after = reach(causal, window)[1]
    if not causal and window is None:
        shift, queries, keys = 0, M + M % 2, L + L % 2
    else:
        shift = offset + after
        queries = keys = max(shift + M, L) + max(shift + M, L) % 2
    masked = masked or (keys > L and _meets_padding(M, L, after, offset))
    return _CudnnLayout(shift, queries, keys, masked, -(-(K + masked) // 8) * 8)


def cudnn_attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
    scale: float,
) -> Float[Array, "B M H K"]:
    """cuDNN's flash attention, by way of :func:`jax.nn.dot_product_attention`.

    It takes 16-bit numbers, even lengths, heads in eights of features and knows two
    masks, both with as many queries as keys: causal, and a causal window. All else
    is brought to those:

    - Queries that see W keys ahead, or that start at an offset, are moved back by as
      many positions, behind dummy queries: a window of W on each side is a causal
      one of 2 W + 1.
    - A mask of keys is one feature more: HUGE in a query, -HUGE in a masked key and 0
      in a valid one, so that a valid score stays what it is and a masked one
      vanishes. As a bias, which is how cuDNN takes a mask, it would have M * L entries.

    It can't take float32, K above 128 (127 with a mask), or more dummy queries than real ones.
    """
    (B, M, _, K), L = query.shape, key.shape[1]
    before, after = reach(causal, window)
    layout = _cudnn_layout(M, L, K, causal, window, mask is not None, offset)

    def widen(x, first, length, feature):
        """Puts a feature behind those of a head, and zeros around everything."""
        x = jnp.pad(x, ((0, 0), (first, length - first - x.shape[1]), (0, 0), (0, 0)))
        if feature is not None:
            feature = jnp.broadcast_to(feature.astype(x.dtype), (*x.shape[:3], 1))
            x = jnp.concatenate([x, feature], axis=3)
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layout.width - x.shape[3])))

    query_feature = key_feature = None
    if layout.masked:
        valid = jnp.ones((B, L), bool) if mask is None else mask
        valid = jnp.pad(valid, ((0, 0), (0, layout.keys - L)))
        query_feature = jnp.full((1, 1, 1, 1), HUGE)
        key_feature = jnp.where(valid, 0.0, -HUGE)[:, :, None, None]
    out = jax.nn.dot_product_attention(
        widen(query, layout.shift, layout.queries, query_feature),
        widen(key, 0, layout.keys, key_feature),
        widen(value, 0, layout.keys, None),
        scale=scale,
        # A window without it would leave later keys in sight.
        is_causal=causal or window is not None,
        local_window_size=None if window is None else (before + after, 0),
        implementation="cudnn",
    )
    out = out[:, layout.shift : layout.shift + M, :, :K]
    return _blank_unseeing(out, mask, causal, window, offset)


def splash_attention(
    query: Float[Array, "B M H K"],
    key: Float[Array, "B L H K"],
    value: Float[Array, "B L H K"],
    mask: Bool[Array, "B L"] | None,
    causal: bool,
    window: int | None,
    offset: int,
    scale: float,
    interpret: bool = False,
) -> Float[Array, "B M H K"]:
    """Splash attention, the sparse flash attention of JAX's Pallas kernels for TPU.

    It visits the blocks alone in which some query sees some key. Lengths are padded
    to whole blocks; a mask of keys goes in as segments, 1 for the queries and for
    the valid keys, 0 for the others. Queries are scaled before, in their own dtype.

    It takes bfloat16 and float32, which the products round as the machine's own do;
    not float16, and no more blocks than SPLASH_BLOCKS: 262,144 queries by as many
    keys. ``interpret`` runs it on any machine, slowly.
    """
    from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

    (B, M, H, _), L = query.shape, key.shape[1]
    after = reach(causal, window)[1]
    sizes = [min(SPLASH_BLOCK, -(-length // LANES) * LANES) for length in (M, L)]
    queries, keys = (-(-length // size) * size for length, size in zip((M, L), sizes, strict=True))
    valid = mask
    if mask is None and keys > L and _meets_padding(M, L, after, offset):
        valid = jnp.ones((B, L), bool)
    segments = None
    if valid is not None:
        valid = jnp.pad(valid, ((0, 0), (0, keys - L))).astype(jnp.int32)
        segments = SegmentIds(jnp.ones((B, queries), jnp.int32), valid)

    def heads_first(x, length):
        x = jnp.pad(x, ((0, 0), (0, length - x.shape[1]), (0, 0), (0, 0)))
        return x.swapaxes(1, 2)  # [B, H, L, K]

    scaled = (query.astype(jnp.float32) * scale).astype(query.dtype)
    kernel = _splash_kernel(queries, keys, *sizes, H, causal, window, offset, interpret)
    out = jax.vmap(kernel)(
        heads_first(scaled, queries), heads_first(key, keys), heads_first(value, keys), segments
    )
    return _blank_unseeing(out.swapaxes(1, 2)[:, :M], mask, causal, window, offset)


@lru_cache(maxsize=64)
def _splash_kernel(
    queries: int,
    keys: int,
    query_block: int,
    key_block: int,
    heads: int,
    causal: bool,
    window: int | None,
    offset: int,
    interpret: bool,
) -> Any:
    """The kernel with its schedule, once for all layers that have the same.

    The backward pass runs as two kernels. Splash has one for both, which writes the
    gradient of the queries once for each block of keys: memory quadratic in the length.
    """
    from jax.experimental.pallas.ops.tpu import splash_attention as splash
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask

    before, after = reach(causal, window)

    class Visible(splash_attention_mask.Mask):
        """Which queries see which keys, as splash attention's schedule reads it.

        Of a block it asks only whether any and whether all of it is True, of every block
        several times. Blocks of two such answers take 0.2 s for a sequence of 65,536
        positions, blocks of 512 x 512 booleans 26 s.
        """

        @property
        def shape(self):
            return queries, keys

        def __getitem__(self, index):
            rows, columns = index
            first, last = offset + rows.start, offset + rows.stop - 1
            some = columns.start <= last + after and columns.stop - 1 >= first - before
            every = columns.start >= last - before and columns.stop - 1 <= first + after
            return np.array([some, every])

    class Band(Visible):
        """Blocks of which only a part is True are computed inside the kernel."""

        q_sequence = np.arange(queries, dtype=np.int32)

        @staticmethod
        def mask_function(query_index, key_index):
            return allowed(query_index + offset, key_index, causal, window)

    mask = Visible() if window is None and not causal else Band()
    with jax.ensure_compile_time_eval():
        kernel = splash.make_splash_mha(
            splash_attention_mask.MultiHeadMask([mask] * heads),
            block_sizes=splash.BlockSizes(
                block_q=query_block,
                block_kv=key_block,
                block_q_dkv=query_block,
                block_kv_dkv=key_block,
                block_q_dq=query_block,
                block_kv_dq=key_block,
            ),
            head_shards=1,
            q_seq_shards=1,
            interpret=interpret,
        )
    return jax.tree.map(np.asarray, kernel)  # arrays of no device: any mesh takes them
