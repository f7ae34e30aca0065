"""Which symmetries of its input a mixer keeps: measured on what is drawn, without training.

python -m experiments.equivariance.measure

``|f(g x) - g f(x)| / |f(x)|`` of mixers f and symmetries g, by 5 seeds of parameters and inputs;
into results.json. Of shifts what lies within a reach of the ends is left out: there a sequence
begins and ends.
"""

import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.equivariance.page import HERE, MIXERS, SYMMETRIES, Measurement
from seqmodels import cli
from seqmodels.arrays import Array, Float
from seqmodels.json_files import listed_lines, write_whole
from seqmodels.mixers import MIXERS as KINDS

SEEDS = range(5)
WIDTH, SIDE = 16, 16
"""Features, and positions along an axis."""
SHIFT, EDGE = 2, 6
"""By how many positions is shifted, and how many at each end don't count then."""
_Symmetry = Callable[[Float[Array, "B *L D"], int], Float[Array, "B *L D"]]


def main() -> None:
    """Measures all."""
    lines = [json.dumps(line) for seed in SEEDS for line in measure(seed)]
    write_whole(HERE / "results.json", listed_lines(lines))
    print(f"{len(lines)} errors measured")


def measure(seed: int) -> list[Measurement]:
    """Every mixer with every symmetry."""
    return [
        Measurement(mixer=mixer, symmetry=symmetry, seed=seed, error=error(mixer, symmetry, seed))
        for mixer in MIXERS
        for symmetry in SYMMETRIES
    ]


def error(mixer: str, symmetry: str, seed: int) -> float:
    """The norm of the difference over the norm."""
    settings = dict(MIXERS[mixer])
    made = KINDS[settings.pop("kind")](WIDTH, **settings, rngs=nnx.Rngs(seed))
    axes = 2 if mixer.endswith("_grid") else 1
    x = jax.random.normal(jax.random.key(seed), (2, *(SIDE,) * axes, WIDTH))
    apply, keeps = _SYMMETRIES[symmetry], _inside if symmetry == "shift" else _all
    y, moved = keeps(apply(made(x), seed)), keeps(made(apply(x, seed)))
    return float(jnp.linalg.norm(moved - y) / jnp.linalg.norm(y))


def _permuted(x: Float[Array, "B *L D"], seed: int) -> Float[Array, "B *L D"]:
    """All positions in another order, of a grid as a row."""
    flat = x.reshape(len(x), -1, x.shape[-1])
    order = np.random.default_rng(seed).permutation(flat.shape[1])
    return flat[:, order].reshape(x.shape)


def _shifted(x: Float[Array, "B *L D"], seed: int) -> Float[Array, "B *L D"]:
    """Along every axis, what leaves at the end coming in at the beginning."""
    axes = tuple(range(1, x.ndim - 1))
    return jnp.roll(x, (SHIFT,) * len(axes), axes)


def _all(x: Float[Array, "B *L D"]) -> Float[Array, "B *L D"]:
    return x


def _inside(x: Float[Array, "B *L D"]) -> Float[Array, "B *M D"]:
    """What lies far from the ends."""
    inner = slice(EDGE, -EDGE)
    return x[:, inner] if x.ndim == 3 else x[:, inner, inner]


_SYMMETRIES: dict[str, _Symmetry] = {"permutation": _permuted, "shift": _shifted}

if __name__ == "__main__":
    cli.run(main)
