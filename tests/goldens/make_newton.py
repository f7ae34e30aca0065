"""Makes newton.npz: rounds of Newton's method for a GRU, by the code of the paper on ELK.

    .venv/bin/python tests/goldens/make_newton.py FOLDER

README.md says what FOLDER holds. The GRU is a function of ours; its linearisation and the scans are
theirs. A row begins from a state h0, and all guesses from zeros.
"""

import sys
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from recording import Recording, Source, exact

L, D = 37, 4
GIVEN = {"jnp": jnp, "jax": jax, "lax": jax.lax, "vmap": jax.vmap, "scan": jax.lax.scan}
GIVEN |= {"NamedTuple": NamedTuple, "partial": partial}
"""What the files import."""
ROUNDS = 8
VARIANCE = 1e4
"""Of a guess as an observation."""
KINDS = {
    "newton": {"deer": True},
    "quasi": {"deer": True, "quasi": True},
    "damped": {"quasi": True, "sigmasq": VARIANCE},
}


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    source = Source(folder, "lindermanlab/elk")
    path = "elk/utils/parallel_kalman_scalar.py"
    names = ("ScalarParams", "make_scalar_params", "FilterMessageScalar", "PosteriorScalarFilter")
    names += ("_initialize_filtering_messages", "parallel_scalar_filter")
    scalar = source.take(path, *names, **GIVEN)
    path = "elk/algs/elk.py"
    solve = source.take(path, "elk_alg", **GIVEN, **vars(scalar)).elk_alg

    random = np.random.default_rng(70)
    inputs = {
        "x": exact(random.standard_normal((L, 3 * D))),
        "weights": exact(random.standard_normal((D, 3 * D)) * 1.5 * D**-0.5),
        "bias": exact(random.standard_normal(D)),
        "h0": exact(random.standard_normal(D)),
    }

    def gru(h: jax.Array, x: jax.Array) -> jax.Array:
        x, u = jnp.split(x, 3), jnp.split(h @ inputs["weights"], 3)
        r, z = jax.nn.sigmoid(x[0] + u[0]), jax.nn.sigmoid(x[1] + u[1])
        return (1 - z) * jnp.tanh(x[2] + r * (u[2] + inputs["bias"])) + z * h

    recording = Recording()
    for kind, settings in KINDS.items():
        rounds = solve(
            gru, inputs["h0"], jnp.zeros((L, D)), inputs["x"], num_iters=ROUNDS, **settings
        )
        outputs = {"rounds": np.asarray(rounds)[1:, 1:]}  # without the guesses, and without h0
        origin = source.origin(path, "elk_alg")
        recording.add(kind, origin, inputs, outputs, {}, {"variance": VARIANCE})
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
