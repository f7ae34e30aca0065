"""Random parameters drawn in NumPy: compiling a model's initial ones takes longer than a test."""

import math

import jax
import numpy as np

from seqmodels.model import Model


def draw_parameters(model: Model, seed: int = 0) -> dict:
    """Parameters of about the sizes of the initial ones, with no bias at 0 and no scale at 1."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = random.normal(size=leaf.shape).astype(np.float32)
        if leaf.ndim > 1:
            return noise / math.sqrt(math.prod(leaf.shape[:-1]))
        return 0.1 * noise + (path[-1].key == "scale")

    return jax.tree.map_with_path(draw, jax.eval_shape(model.init, jax.random.key(0)))
