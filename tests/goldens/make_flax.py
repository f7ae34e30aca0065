"""Makes flax.npz: whole layers of papers' own repositories in JAX, with small parameters.

    .venv/bin/python tests/goldens/make_flax.py FOLDER

README.md says what FOLDER holds. x is [B, L, D]; what is kept is as in make_layers.py.
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from jax.nn.initializers import lecun_normal, normal
from recording import Recording, Source, exact, weights

B, L, D, N = 2, 37, 6, 8
GIVEN = {"jax": jax, "np": jnp, "jnp": jnp, "nn": linen, "partial": partial}


def record(recording: Recording, case: str, origin: str, module: linen.Module, **settings) -> None:
    """Keeps what a module of one sequence makes of several, and its gradients."""
    random = np.random.default_rng(60)
    x = exact(random.standard_normal((B, L, D)))
    drawn = module.init(jax.random.key(0), x[0])["params"]
    inputs = {"x": x, **{name: exact(np.asarray(array)) for name, array in drawn.items()}}

    def run(inputs):
        parameters = {name: array for name, array in inputs.items() if name != "x"}
        return jax.vmap(lambda row: module.apply({"params": parameters}, row))(inputs["x"])

    out, backward = jax.vjp(run, {name: jnp.asarray(array) for name, array in inputs.items()})
    (gradients,) = backward(jnp.asarray(weights(out.shape)))
    gradients = {name: np.asarray(array) for name, array in gradients.items()}
    recording.add(case, origin, inputs, {"out": np.asarray(out)}, gradients, settings)


def distributions(
    recording: Recording, case: str, origin: str, module: linen.Module, width: int
) -> None:
    """Keeps what a module's parameters begin with."""
    recording.arrays[f"initial/{case}/origin"] = np.array(origin)
    x = jnp.zeros((2, width))
    drawn = [module.init(jax.random.key(seed), x)["params"] for seed in range(8)]
    for name in drawn[0]:
        several = [np.asarray(parameters[name]) for parameters in drawn]
        recording.distribution(f"initial/{case}/{name}", several)


def lru(recording: Recording, source: Source) -> None:
    """The LRU, its poles on a ring."""
    path = "lru/model.py"
    names = ("binary_operator_diag", "matrix_init", "nu_init", "theta_init", "gamma_log_init")
    kind = source.take(path, *names, "LRU", **GIVEN, parallel_scan=jax.lax.associative_scan).LRU
    origin = source.origin(path, "LRU")
    record(recording, "lru", origin, kind(d_hidden=5, d_model=D, r_min=0.4, r_max=0.99))
    whole = kind(d_hidden=64, d_model=32, r_min=0.9, r_max=0.999, max_phase=np.pi / 10)
    distributions(recording, "lru", origin, whole, 32)


def s5(recording: Recording, source: Source) -> None:
    """S5's state-space model by both discretisations."""
    path = "s5/ssm_init.py"
    drawing = {"random": jax.random, "lecun_normal": lecun_normal, "eigh": jnp.linalg.eigh}
    names = ("make_HiPPO", "make_NPLR_HiPPO", "make_DPLR_HiPPO", "log_step_initializer")
    names += ("init_log_steps", "init_VinvB", "init_CV", "trunc_standard_normal")
    start = vars(source.take(path, *names, **GIVEN, **drawing))
    path = "s5/ssm.py"
    names = ("discretize_bilinear", "discretize_zoh", "binary_operator", "apply_ssm", "S5SSM")
    given = GIVEN | {name: start[name] for name in start if name.startswith(("init", "trunc"))}
    kind = source.take(path, *names, **given, lecun_normal=lecun_normal, normal=normal).S5SSM
    origin = source.origin(path, "S5SSM")

    def make(width: int, states: int, discretisation: str, steps: tuple[float, float]):
        poles, _, _, V, _ = start["make_DPLR_HiPPO"](states)
        half = states // 2  # the other halves are their conjugates
        return kind(
            Lambda_re_init=poles.real[:half],
            Lambda_im_init=poles.imag[:half],
            V=V[:, :half],
            Vinv=V[:, :half].conj().T,
            H=width,
            P=half,
            C_init="trunc_standard_normal",
            discretization=discretisation,
            dt_min=steps[0],
            dt_max=steps[1],
        )

    for discretisation in ("zoh", "bilinear"):
        module = make(D, N, discretisation, (0.01, 0.5))
        record(recording, f"s5/{discretisation}", origin, module, discretisation=discretisation)
    distributions(recording, "s5", origin, make(32, 64, "zoh", (0.001, 0.1)), 32)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording = Recording()
    lru(recording, Source(folder, "NicolasZucchet/minimal-LRU"))
    s5(recording, Source(folder, "lindermanlab/S5"))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
