"""Random parameters drawn in NumPy: compiling a model's initial ones takes longer than a test."""

import math

import jax
import numpy as np

from seqmodels.model import Model


def draw_parameters(model: Model, seed: int = 0) -> dict:
    """Parameters of about the sizes of the initial ones, with no bias at 0 and no scale at 1."""
    random = np.random.default_rng(seed)

    def draw(path, leaf, said):
        noise = random.normal(size=leaf.shape).astype(np.float32)
        if said.decays:
            from_one_axis = said.letters[0] == "D"
            inputs = leaf.shape[:1] if from_one_axis else leaf.shape[:-1]
            return noise / math.sqrt(math.prod(inputs))
        return 0.1 * noise + (path[-1].key == "scale")

    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map_with_path(draw, shapes, model.parameters)
