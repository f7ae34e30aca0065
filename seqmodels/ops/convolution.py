"""Convolution over 1 to 3 axes: dense, in groups, and each feature by itself."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp

from seqmodels.arrays import Array, Float
from seqmodels.ops.by_parts import POSITIONS, ROWS, WHOLE, by_parts, shares
from seqmodels.ops.forms import Form, Operation
from seqmodels.ops.neighbours import Edges, halo, with_edges
from seqmodels.ops.parts import parts
from seqmodels.ops.platform import platform

_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}


def convolution(
    x: Float[Array, "B *L D"],
    weights: Float[Array, "*kernel E F"],
    dilation: int = 1,
    stride: int = 1,
    groups: int = 1,
    edges: Edges | None = None,
    kept: Float[Array, "B W D"] | None = None,
    form: str | None = None,
) -> Float[Array, "B *M F"]:
    """``y_t = sum_i x_{stride * t + dilation * i} @ weights_i`` where the whole kernel fits.

    Along each axis M = (N - 1 - (kernel - 1) * dilation) // stride + 1, of N positions: those of x
    and its ``edges``, so many zeros before and after them (None: none), or before the first axis
    what is ``kept`` of those that came before. They decide what an output may see. Features are
    cut into ``groups``, in order, and each makes F / groups outputs of its own E = D / groups.
    ``form`` names one in CONVOLUTION.

    Parts of the first axis take their neighbours' edges, where there is one output for each
    ``stride`` positions and all parts have equally many; else each device has all positions.
    """
    edges = edges or ((0, 0),) * (x.ndim - 2)
    return CONVOLUTION(x, weights, dilation, stride, groups, edges, kept, form=form)


def _across(run, x, weights, dilation, stride, *rest):
    """Each part of the first axis, with its neighbours' edges."""
    *groups, edges, kept = rest
    reach = (weights.shape[0] - 1) * dilation
    length = x.shape[1]
    if sum(edges[0]) != reach or length % stride or shares("sequence", length // stride) == 1:
        return run(x, weights, dilation, stride, *rest)

    def local(x, weights, kept):
        before, after = edges[0]
        x = halo(x, before, after, kept)
        return run(x, weights, dilation, stride, *groups, ((0, 0), *edges[1:]), None)

    specs = (POSITIONS, WHOLE, ROWS)
    return by_parts(local, x.shape, specs, POSITIONS)(x, weights, kept)


def _of_padded(core):
    """A form from one of what already has its edges."""

    def run(x, weights, dilation, stride, groups, edges, kept):
        return core(with_edges(x, edges, kept), weights, dilation, stride, groups)

    return run


def _by_xla(x, weights, dilation, stride, groups):
    rank = x.ndim - 2
    convolve = partial(
        jax.lax.conv_general_dilated,
        window_strides=(stride,) * rank,
        padding="VALID",
        rhs_dilation=(dilation,) * rank,
        dimension_numbers=_LAYOUTS[rank],
        feature_group_count=groups,
    )
    weights = weights.astype(x.dtype)
    # The compiler would put all rows together for the gradient of several groups' weights, and add
    # it up once for each of the devices that share features. Where parts of the positions are no
    # multiples of a stride it makes a wrong one.
    return by_parts(convolve, x.shape[:1], (ROWS, WHOLE), ROWS)(x, weights)


def _by_planes(x, weights, dilation, stride, groups):
    """A sum of 2-D convolutions, one a place of the kernel's first axis.

    On CPU in a sixth of the time of XLA's convolution over 3 axes.
    """
    B, kernel = x.shape[0], weights.shape[0]
    span = (x.shape[1] - 1 - (kernel - 1) * dilation) // stride * stride + 1
    total = jnp.zeros((), jnp.float32)
    for place in range(kernel):
        start = place * dilation
        planes = x[:, start : start + span : stride]  # [B, M, H, W, D]
        merged = planes.reshape(-1, *planes.shape[2:])
        made = _by_xla(merged, weights[place], dilation, stride, groups)
        total = total + made.reshape(B, -1, *made.shape[1:])
    return total.astype(x.dtype)


@partial(jax.checkpoint, static_argnums=(2, 3, 4))
def _by_patches(x, weights, dilation, stride, groups):
    """A product of all that each output sees with the whole kernel.

    cuDNN takes 25 times as long for 64 features at a dilation of 8 on an H200, and 13 times for
    10. The backward pass collects what is seen once more, rather than keep it.
    """
    kernel = weights.shape[:-2]
    seen = jnp.concatenate(list(_shifts(x, kernel, dilation, stride)), axis=-1)
    flat = weights.astype(x.dtype).reshape(-1, weights.shape[-1])
    return jnp.matmul(seen, flat, preferred_element_type=jnp.float32).astype(x.dtype)


def _grouped(x, weights, dilation, stride, groups, *rest):
    return None if groups == 1 else f"it takes one group of features, and these are {groups}"


def _not_a_volume(x, *rest):
    return None if x.ndim == 5 else f"it takes 3 axes, and this has {x.ndim - 2}"


CONVOLUTION = Operation(
    "convolution",
    {
        "planes": Form(
            _of_padded(_by_planes), refusal=_not_a_volume, suits=lambda *_: platform() == "cpu"
        ),
        "patches": Form(
            _of_padded(_by_patches),
            refusal=_grouped,
            suits=lambda x, w, dilation, *_: platform() == "cuda" and dilation > 1,
        ),
        "xla": Form(_of_padded(_by_xla)),
    },
    across=_across,
)
"""Of (x, weights, dilation, stride, groups, edges, kept)."""


def depthwise_convolution(
    x: Float[Array, "B *L D"],
    weights: Float[Array, "*kernel D"],
    dilation: int = 1,
    stride: int = 1,
    edges: Edges | None = None,
    kept: Float[Array, "B W D"] | None = None,
) -> Float[Array, "B *M D"]:
    """``y_t = sum_i weights_i * x_{stride * t + dilation * i}`` where the whole kernel fits.

    Shifted multiply-adds: on CPU, forward and backward, a quarter of the time that XLA's
    grouped convolution takes or less. On GPU and TPU they compile to a few passes over x,
    and stay: not timed there. M, edges and parts as in :func:`convolution`; sums are float32.
    """
    settings = (dilation, stride, edges or ((0, 0),) * (x.ndim - 2), kept)
    if parts("sequence") > 1:
        return _across(_by_shifts, x, weights, *settings)
    return _by_shifts(x, weights, *settings)


def _by_shifts(x, weights, dilation, stride, edges, kept):
    y = _depthwise(with_edges(x, edges, kept), weights, dilation)
    return y if stride == 1 else y[(slice(None), *(slice(None, None, stride),) * (x.ndim - 2))]


def _shifts(x, kernel, dilation, stride=1):
    """x as each place of the kernel meets it, in the order of its flattened axes."""
    spans = [
        (length - 1 - (size - 1) * dilation) // stride * stride + 1
        for length, size in zip(x.shape[1:-1], kernel, strict=True)
    ]
    for place in itertools.product(*map(range, kernel)):
        starts = [i * dilation for i in place]
        cuts = (
            slice(start, start + span, stride) for start, span in zip(starts, spans, strict=True)
        )
        yield x[(slice(None), *cuts)]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(x, weights, dilation):
    kernel = weights.shape[:-1]
    rows = weights.astype(jnp.float32).reshape(-1, *(1,) * (x.ndim - 1), x.shape[-1])
    terms = (
        shifted.astype(jnp.float32) * row
        for shifted, row in zip(_shifts(x, kernel, dilation), rows, strict=True)
    )
    return sum(terms, jnp.zeros((), jnp.float32)).astype(x.dtype)


def _depthwise_forward(x, weights, dilation):
    return _depthwise(x, weights, dilation), (x, weights)


def _depthwise_backward(dilation, saved, d_y):
    x, weights = saved
    kernel = weights.shape[:-1]
    edges = [((size - 1) * dilation,) * 2 for size in kernel]
    flipped = jnp.flip(weights, axis=tuple(range(len(kernel))))
    d_x = _depthwise(jnp.pad(d_y, ((0, 0), *edges, (0, 0))), flipped, dilation)
    # One sum over positions a row of the kernel; each reads x once more, from the cache.
    d_weights = jnp.stack(
        [
            jnp.sum(shifted.astype(jnp.float32) * d_y.astype(jnp.float32), axis=range(x.ndim - 1))
            for shifted in _shifts(x, kernel, dilation)
        ]
    )
    return d_x.astype(x.dtype), d_weights.reshape(weights.shape).astype(weights.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
