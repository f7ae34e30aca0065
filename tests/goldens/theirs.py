"""How parameters of other people's layers in PyTorch become ours.

PyTorch keeps weights as [outputs, inputs]; a bias that they don't have is 0.
"""

import jax.numpy as jnp
import numpy as np


def linear(weight, *outputs: int, bias=None, inputs: tuple[int, ...] = ()):
    """A projection to features of these axes, from features of those."""
    inputs = inputs or (weight.shape[1],)
    bias = jnp.zeros(len(weight)) if bias is None else bias
    outputs = outputs or (len(weight),)
    return {"weights": weight.T.reshape(*inputs, *outputs), "bias": bias.reshape(outputs)}


def split(weight, *widths: int):
    """Parts of a fused projection's outputs."""
    return jnp.split(weight, np.cumsum(widths)[:-1])


def short(weights, bias, **shapes: tuple[int, ...]):
    """Short convolutions of features that lie one after another, [features, 1, kernel]."""
    widths = [int(np.prod(shape)) for shape in shapes.values()]
    bias = jnp.zeros(len(weights)) if bias is None else bias
    parts = zip(split(weights[:, 0], *widths), split(bias, *widths), strict=True)
    return {
        name: {"weights": part.T.reshape(-1, *shape), "bias": its.reshape(shape)}
        for (name, shape), (part, its) in zip(shapes.items(), parts, strict=True)
    }


def scale(weight):
    """A norm without a bias."""
    return {"norm": {"scale": weight}}


def readout(theirs, norm: str, H: int, U: int):
    """fla's: a norm of each head, which a gate may follow, and a projection."""
    D = len(theirs["o_proj.weight"])
    found = {
        "norm": scale(theirs[f"{norm}.weight"]),
        "outputs": linear(theirs["o_proj.weight"], D, inputs=(H, U)),
    }
    gates = theirs.get("g_proj.weight")
    return found if gates is None else {**found, "gates": linear(gates, H, U)}


def projections(theirs, H: int, K: int, U: int, *steps: int):
    """fla's queries, keys and values; the last two may have steps."""
    return {
        "queries": linear(theirs["q_proj.weight"], H, K),
        "keys": linear(theirs["k_proj.weight"], *steps, H, K),
        "values": linear(theirs["v_proj.weight"], *steps, H, U),
    }
