"""What our mixers begin with against papers' own layers, as make_initial.py stored it.

Projections are not compared: they begin as everywhere here. RG-LRU's decays aren't either: the
released code draws from [0.9, 0.999] what a is where r = 1/8, the paper, and ours, where r = 1.
"""

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import (
    LRU,
    MLSTM,
    RGLRU,
    RWKV7,
    S4D,
    S5,
    SLSTM,
    GatedDeltaNet,
    Hyena,
    KimiDeltaAttention,
    LongConvolution,
    Mamba,
    Mamba2,
    Mamba3,
)
from tests.goldens.stored import Initial

D, SEEDS = 64, 8

MAKERS = {
    "mamba": partial(Mamba, D),
    "mamba2": partial(Mamba2, D, 32, state_size=16),
    "mamba3": partial(Mamba3, D, 32, state_size=16),
    "gated_deltanet": partial(GatedDeltaNet, D, 16),
    "kda": partial(KimiDeltaAttention, D, 16),
    "griffin": partial(RGLRU, D, 1.0, 4),
    "rwkv7": partial(RWKV7, D, 4),
    "mlstm": partial(MLSTM, D, 4),
    "slstm": partial(SLSTM, D, 4),
    "hyena": partial(Hyena, D, 64, filter_width=64, bands=1, frequency=1.0),
    "long_convolution": partial(LongConvolution, 32, 48),
    "s4d": partial(S4D, D, 16),
    "lru": partial(LRU, 32, 64, 0.9, 0.999, np.pi / 10),
    "s5": partial(S5, 32, 64),
}
SAME = {
    "mamba": {
        "A_log": "A_log",
        "D": "skip",
        "dt_proj.bias": "step_bias",
        "dt_proj.weight": "step_weights",
    },
    "mamba2": {"A_log": "decay/A_log", "dt_bias": "decay/dt_bias", "D": "skip"},
    "mamba3": {"dt_bias": "dt_bias", "B_bias": "key_bias", "C_bias": "query_bias", "D": "skip"},
    "gated_deltanet": {"A_log": "decay/A_log", "dt_bias": "decay/dt_bias"},
    "kda": {"A_log": "decay/A_log", "dt_bias": "decay/dt_bias"},
    "griffin": {
        "rg_lru.a_gate.w": "weights/0",
        "rg_lru.a_gate.b": "bias",
        "rg_lru.input_gate.w": "weights/1",
        "rg_lru.input_gate.b": "bias",
    },
    "rwkv7": {
        **{f"x_{part}": f"mixtures/{place}" for place, part in enumerate("rwkvag")},
        "w0": "decay_up/bias",
        "w1": "decay_down/weights",
        "w2": "decay_up/weights",
        "a0": "strength_up/bias",
        "a2": "strength_up/weights",
        "g2": "gate_up/weights",
        "k_k": "erased",
        "k_a": "strengthened",
        "r_k": "bonus",
        "receptance.weight": "queries/weights",
        "key.weight": "keys/weights",
        "value.weight": "values/weights",
        "output.weight": "outputs/weights",
        "ln_x.weight": "scale",
        "ln_x.bias": "shift",
    },
    "mlstm": {
        "fgate.weight": "forget_gate/weights",
        "fgate.bias": "forget_gate/bias",
        "igate.weight": "input_gate/weights",
        "igate.bias": "input_gate/bias",
    },
    "slstm": {"recurrent_kernel": "recurrent", "bias": "biases"},
    "hyena": {
        "filter_fn.bias": "skip",
        "filter_fn.implicit_filter.0.weight": "hidden/0/matrix",
        "filter_fn.implicit_filter.0.bias": "hidden/0/bias",
        "filter_fn.implicit_filter.1.freq": "frequency",
        "filter_fn.implicit_filter.4.weight": "hidden/2/matrix",
        "filter_fn.implicit_filter.6.weight": "last/matrix",
    },
    "long_convolution": {"kernel": "filter"},
    "s4d": {
        "kernel.log_dt": "log_step",
        "kernel.log_A_real": "A_log",
        "kernel.A_imag": "A_imaginary",
        "kernel.C": "C",
        "D": "skip",
    },
    "lru": {
        "nu_log": "nu_log",
        "theta_log": "theta_log",
        "gamma_log": "gamma_log",
        "B_re": "B/0",
        "B_im": "B/1",
        "C_re": "C/0",
        "C_im": "C/1",
        "D": "skip",
    },
    "s5": {
        "Lambda_re": "poles/0",
        "Lambda_im": "poles/1",
        "log_step": "log_step",
        "B": "B",
        "C": "C",
        "D": "skip",
    },
}
"""Their parameters and ours, by paths, which may end in a place on the last axis."""


def begun(name: str) -> dict[str, np.ndarray]:
    """Our initial parameters, by their paths: one seed after another."""

    def make(key):
        return nnx.to_pure_dict(nnx.state(MAKERS[name](rngs=nnx.Rngs(params=key)), nnx.Param))

    made = jax.jit(jax.vmap(make))(jax.random.split(jax.random.key(0), SEEDS))
    leaves = jax.tree_util.tree_flatten_with_path(made)[0]
    ours = {"/".join(str(part.key) for part in path): np.asarray(leaf) for path, leaf in leaves}
    if "mixtures" in ours:
        ours["mixtures"] = np.moveaxis(ours["mixtures"], 1, -1)
    if name == "griffin":
        ours["weights"] = np.moveaxis(ours["weights"], 3, -1)  # [seeds, H, K, K, gates]
    if name == "slstm":
        gates = ("input_gate", "forget_gate", "cell_input", "output_gate")
        ours["biases"] = np.stack([ours[f"{gate}/bias"] for gate in gates])
        ours["biases"] = np.moveaxis(ours["biases"], 0, -1)
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_begins_as_published(name):
    ours = begun(name)
    file, prefix = ("flax", "initial/") if name in ("lru", "s5") else ("initial", "")
    for theirs, path in SAME[name].items():
        if path in ours:
            values = ours[path]
        else:
            path, place = path.rsplit("/", 1)
            values = ours[path][..., int(place)]
        Initial(file, f"{prefix}{name}/{theirs}").check(values)
