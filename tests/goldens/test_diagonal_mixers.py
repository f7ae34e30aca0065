"""Our mixers on a diagonal recurrence against other people's layers.

make_modules.py, make_flax.py and make_layers.py stored them; how their parameters become ours
stands here and in theirs.py.
"""

import jax.numpy as jnp
import pytest
from flax import nnx

from seqmodels.mixers import LRU, RGLRU, S4D, S5, Mamba, MinGRU, MinLSTM, Short
from tests.goldens.stored import Recorded
from tests.goldens.theirs import linear, short, split

D, H = 8, 2
SHORT = Short(4)


@pytest.mark.parametrize(
    ("name", "kind", "order"), [("mingru", MinGRU, [1, 0]), ("minlstm", MinLSTM, [1, 2, 0])]
)
def test_minimal_recurrent_networks(name, kind, order):
    """They have values before gates."""

    def parameters(theirs):
        (fused,) = (array for name, array in theirs.items() if name.startswith("to_hidden"))
        parts = fused.reshape(len(order), -1, D)[jnp.array(order)]
        return {
            "inputs": linear(parts.reshape(-1, D), len(order), 2 * D),
            "outputs": linear(theirs["to_out.weight"]),
        }

    def make():
        return kind(D, 2.0, log_space=True, rngs=nnx.Rngs(0))

    Recorded("modules", name).check_mixer(make, parameters)


def test_s4d():
    def parameters(theirs):
        projection = theirs["output_linear.0.weight"][..., 0]
        return {
            "log_step": theirs["kernel.log_dt"],
            "A_log": theirs["kernel.log_A_real"],
            "A_imaginary": theirs["kernel.A_imag"],
            "C": theirs["kernel.C"],
            "skip": theirs["D"],
            "gate": {"projection": linear(projection, 2, D, bias=theirs["output_linear.0.bias"])},
        }

    Recorded("modules", "s4d").check_mixer(lambda: S4D(D, 4, rngs=nnx.Rngs(0)), parameters)


def test_lru():
    def parameters(theirs):
        def pair(name):
            return jnp.stack([theirs[f"{name}_re"].T, theirs[f"{name}_im"].T], -1)

        ours = {name: theirs[name] for name in ("nu_log", "theta_log", "gamma_log")}
        return {**ours, "B": pair("B"), "C": pair("C"), "skip": theirs["D"]}

    def make():
        return LRU(6, 5, gate="none", rngs=nnx.Rngs(0))

    Recorded("flax", "lru").check_mixer(make, parameters)


@pytest.mark.parametrize("sampling", ["zoh", "bilinear"])
def test_s5(sampling):
    def parameters(theirs):
        return {
            "poles": jnp.stack([theirs["Lambda_re"], theirs["Lambda_im"]], axis=-1),
            "log_step": theirs["log_step"][:, 0],
            "B": jnp.swapaxes(theirs["B"], 0, 1),
            "C": jnp.swapaxes(theirs["C"], 0, 1),
            "skip": theirs["D"],
        }

    def make():
        return S5(6, 8, sampling=sampling, gate="none", rngs=nnx.Rngs(0))

    Recorded("flax", f"s5/{sampling}").check_mixer(make, parameters)


def test_mamba():
    E, N, rank = 16, 4, 3

    def parameters(theirs):
        u, gate = split(theirs["in_proj.weight"], E, E)
        steps, B, C = split(theirs["x_proj.weight"], rank, N, N)
        return {
            "inputs": linear(jnp.concatenate([gate, u]), 2, E),
            "short": short(theirs["conv1d.weight"], theirs["conv1d.bias"], x=(E,)),
            "step_inputs": linear(steps),
            "B": linear(B),
            "C": linear(C),
            "step_weights": theirs["dt_proj.weight"].T,
            "step_bias": theirs["dt_proj.bias"],
            "A_log": theirs["A_log"],
            "skip": theirs["D"],
            "outputs": linear(theirs["out_proj.weight"]),
        }

    def make():
        return Mamba(D, N, step_rank=rank, short=SHORT, rngs=nnx.Rngs(0))

    Recorded("layers", "mamba").check_mixer(make, parameters)


def test_rglru_after_a_state():
    case = Recorded("modules", "rglru")
    unread = {"weights": jnp.zeros((D, 2, D)), "bias": jnp.zeros((2, D))}
    outputs = {"weights": jnp.zeros((D, D)), "bias": jnp.zeros(D)}
    graph, _ = nnx.split(nnx.eval_shape(lambda: RGLRU(D, 1.0, H, rngs=nnx.Rngs(0))), nnx.Param)

    def run(x, a_param, **gates):
        pairs = {part: [gates[f"{name}_gate.{part}"] for name in ("a", "input")] for part in "wb"}
        ours = {"weights": jnp.stack(pairs["w"], axis=2), "bias": jnp.stack(pairs["b"], axis=1)}
        ours |= {"decay": a_param, "inputs": unread, "outputs": outputs}
        out, state = nnx.merge(graph, ours)._run(x, jnp.asarray(case.settings["state"]), None)
        return {"out": out, "state": state}

    case.check(run)


def test_griffin():
    """Without the start of a sequence, where the released model leaves its root out."""
    E = 12

    def parameters(theirs):
        gates = [theirs[f"rg_lru.{gate}_gate_weight"] for gate in ("recurrent", "input")]
        biases = [theirs[f"rg_lru.{gate}_gate_bias"] for gate in ("recurrent", "input")]
        weights, bias = (
            jnp.concatenate([theirs[f"linear_{branch}.{part}"] for branch in "yx"])
            for part in ("weight", "bias")
        )
        return {
            "inputs": linear(weights, 2, E, bias=bias),
            "short": short(theirs["conv_1d.weight"], theirs["conv_1d.bias"], x=(E,)),
            "weights": jnp.stack(gates, axis=2),
            "bias": jnp.stack(biases, axis=1),
            "decay": theirs["rg_lru.recurrent_param"],
            "outputs": linear(theirs["linear_out.weight"], bias=theirs["linear_out.bias"]),
        }

    def make():
        return RGLRU(D, E / D, H, short=SHORT, rngs=nnx.Rngs(0))

    Recorded("layers", "griffin").check_mixer(make, parameters)
