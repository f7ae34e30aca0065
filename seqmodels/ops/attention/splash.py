"""Attention by splash attention, the flash attention of JAX's Pallas kernels for TPUs."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.ops.attention.visibility import allowed, blank_unseeing, meets_padding, reach

SPLASH_BLOCK = 512
"""Queries and keys a block: wide, also under narrow windows, because each step of a kernel's grid
has a fixed cost. Not tuned on a device."""

SPLASH_BLOCKS = 2**18
"""Blocks of queries times blocks of keys at most: the schedule lies in scalar memory, and takes
3 s to make for so many."""

LANES = 128
"""The last axis of a TPU's registers: lengths are padded to multiples of it."""


def splash_refusal(query, key, causal, window, masked, offset) -> str | None:
    """Why :func:`splash_attention` can't do a call in which each query has a key in reach."""
    if query.dtype not in (jnp.bfloat16, jnp.float32):
        return f"it takes bfloat16 and float32, and this is {query.dtype}"
    blocks = -(-query.shape[1] // SPLASH_BLOCK) * -(-key.shape[1] // SPLASH_BLOCK)
    if blocks > SPLASH_BLOCKS:
        return f"{blocks:,} blocks of scores are more than {SPLASH_BLOCKS:,}"
    return None


def splash_attention(query, key, value, mask, causal, window, offset, scale, interpret=False):
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
    if mask is None and keys > L and meets_padding(M, L, after, offset):
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
    return blank_unseeing(out.swapaxes(1, 2)[:, :M], mask, causal, window, offset)


@lru_cache(maxsize=64)
def _splash_kernel(
    queries, keys, query_block, key_block, heads, causal, window, offset, interpret
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
