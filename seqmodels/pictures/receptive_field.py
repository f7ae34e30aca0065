"""What an output sees: its gradient with respect to every input position."""

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.arrays import Array, Float, Params
from seqmodels.model import Model
from seqmodels.observing import observed
from seqmodels.tasks.base import Batch


def receptive_field(
    model: Model,
    params: Params,
    batch: Batch,
    depth: int,
    position: tuple[int, ...] | None = None,
) -> Float[np.ndarray, "*L"]:
    """How strongly an output of the first ``depth`` reading blocks depends on each of their inputs.

    The norm, over features, of the gradient of a random projection of the output, at
    random inputs: exactly 0 where no path leads from an input to the output (the
    theoretical receptive field; its shape within is the effective one of Luo et al. 2016).
    The batch is one example, and says how many positions there are along each axis; the output is
    at ``position``, by default the middle of the outputs along each axis.
    """
    batch = batch._replace(mask=None)
    _, seen = jax.eval_shape(observed(model.apply), params, batch)
    side = next(side for side in ("", "encoder.", "decoder.") if f"{side}inputs" in seen)
    inputs, outputs = f"{side}inputs", f"{side}blocks.{depth - 1}.outputs"
    inputs_key, projection_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(inputs_key, seen[inputs].shape)
    made = seen[outputs].shape[1:-1]
    place = tuple(length // 2 for length in made) if position is None else position
    projection = jax.random.normal(projection_key, (model.facts.width,))

    @jax.jit
    def sensitivity(params: Params, x: Float[Array, "1 *L D"]) -> Float[Array, "*L"]:
        def output(x: Float[Array, "1 *L D"]) -> Float[Array, ""]:
            _, seen = observed(model.apply, {inputs: x})(params, batch)
            return seen[outputs][(0, *place)] @ projection

        return jnp.linalg.norm(jax.grad(output)(x)[0], axis=-1)

    return np.asarray(sensitivity(params, x))


def extent(field: Float[np.ndarray, "*L"]) -> tuple[int, ...]:
    """How many positions along each axis lie from the first to the last that is seen.

    >>> extent(np.array([0.0, 0.1, 0.0, 0.2, 0.0]))
    (3,)
    """
    seen = [np.unique(places) for places in np.nonzero(field)]
    return tuple(int(places[-1] - places[0] + 1) if len(places) else 0 for places in seen)
