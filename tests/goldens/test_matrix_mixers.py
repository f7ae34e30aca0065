"""Our mixers that add to a matrix state, and sLSTM, against other people's layers.

make_layers.py, make_modules.py, make_fla.py and make_matrix_state.py stored them; how their
parameters become ours stands here and in theirs.py.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from seqmodels.mixers import MLSTM, GatedLinearAttention, Mamba2, Mamba3, Retention, Room, Short
from seqmodels.mixers.xlstm import CAP
from seqmodels.ops.slstm import slstm
from tests.goldens.stored import Recorded
from tests.goldens.theirs import linear, projections, readout, scale, short, split

D, H = 8, 2
SHORT = Short(4)


@pytest.mark.slow
def test_mamba_2():
    heads, U, N = 4, 4, 4
    E = heads * U

    def parameters(theirs):
        gate, x, B, C, steps = split(theirs["in_proj.weight"], E, E, N, N, heads)
        weights, bias = theirs["conv1d.weight"], theirs["conv1d.bias"]
        return {
            "queries": linear(C),
            "keys": linear(B),
            "values": linear(x, heads, U),
            "short": short(weights, bias, values=(heads, U), keys=(N,), queries=(N,)),
            "gates": linear(gate),
            "steps": linear(steps),
            "decay": {name: theirs[name] for name in ("A_log", "dt_bias")},
            "skip": theirs["D"],
            "norm": scale(theirs["norm.weight"]),
            "outputs": linear(theirs["out_proj.weight"]),
        }

    def make():
        return Mamba2(D, heads, state_size=N, short=SHORT, rngs=nnx.Rngs(0))

    Recorded("layers", "mamba2").check_mixer(make, parameters)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mamba3/whole", "mamba3/steps"])
def test_mamba3(name):
    heads, K, U = 4, 8, 4
    widths = [heads * U, heads * U, K, K, heads, heads, heads, K // 4]

    def parameters(theirs):
        parts = jnp.split(theirs["in_proj.weight"], np.cumsum(widths)[:-1])
        gates, values, keys, queries, *steps, angles = parts
        norms = [{"norm": {"scale": theirs[f"{part}_norm.weight"]}} for part in "CB"]
        return {
            "queries": linear(queries),
            "keys": linear(keys),
            "values": linear(values, heads, U),
            "angles": linear(angles),
            "steps": linear(jnp.concatenate(steps), 3, heads),
            "dt_bias": theirs["dt_bias"],
            "norms": dict(enumerate(norms)),
            "query_bias": theirs["C_bias"][:, 0],
            "key_bias": theirs["B_bias"][:, 0],
            "skip": theirs["D"],
            "gates": linear(gates, heads, U),
            "outputs": linear(theirs["out_proj.weight"], D, inputs=(heads, U)),
        }

    def states(state):
        before = {"key": state["key"][:, 0], "value": state["value"][:, 0]}
        return {"state": state["matrix"], "angle": state["angles"], **before}

    def make():
        return Mamba3(D, heads, state_size=K, rngs=nnx.Rngs(0))

    Recorded("modules", name).check_mixer(make, parameters, states)


@pytest.mark.slow
def test_mlstm():
    """They scale each head's features on their own; ours scales all heads' alike."""

    def parameters(theirs):
        K, U = 2, 4
        return {
            "queries": linear(theirs["q.weight"], H, K),
            "keys": linear(theirs["k.weight"], H, K),
            "values": linear(theirs["v.weight"], H, U),
            "input_gate": linear(theirs["igate_preact.weight"], bias=theirs["igate_preact.bias"]),
            "forget_gate": linear(theirs["fgate_preact.weight"], bias=theirs["fgate_preact.bias"]),
            "readout": {
                "norm": {
                    "norm": {"scale": theirs["multihead_norm.weight"][:U], "bias": jnp.zeros(U)}
                },
                "gates": linear(theirs["ogate_preact.weight"], H, U),
                "outputs": linear(theirs["out_proj.weight"], D, inputs=(H, U)),
            },
        }

    def states(state):
        scale = jnp.exp(state["largest"])[..., None]
        return {"state": state["matrix"] * scale[..., None], "keys": state["sums"] * scale}

    def make():
        return MLSTM(D, H, rngs=nnx.Rngs(0))

    case = Recorded("layers", "mlstm")
    case.check_mixer(make, parameters, states, "multihead_norm.weight")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlstm/transformers", "mlstm/kernels"])
def test_mlstms_memory(name):
    """A mixer whose projections pick out of x what their function is given."""
    case, H, K, U = Recorded("matrix_state", name), 2, 6, 4
    D = H * (2 * K + U + 2)
    picks = jnp.split(jnp.eye(D), [H * K, 2 * H * K, 2 * H * K + H * U, D - H], axis=1)
    shapes = {"queries": (H, K), "keys": (H, K), "values": (H, U)}
    shapes |= {"input_gate": (H,), "forget_gate": (H,)}
    parameters = {
        part: {"weights": pick.reshape(D, *shape), "bias": jnp.zeros(shape)}
        for (part, shape), pick in zip(shapes.items(), picks, strict=True)
    }
    outputs = {"weights": jnp.eye(H * U, D).reshape(H, U, D), "bias": jnp.zeros(D)}
    parameters["readout"] = {"outputs": outputs}

    def make():
        expansions = {"key_expansion": H * K / D, "value_expansion": H * U / D}
        return MLSTM(D, H, **expansions, head_norm="none", output_gate=False, rngs=nnx.Rngs(0))

    mixer = nnx.merge(nnx.split(nnx.eval_shape(make))[0], parameters)

    def run(q, k, v, i, f, **before):
        i, f = (CAP * jnp.arctanh(gate / CAP) for gate in (i, f))  # what the mixer's cap undoes
        x = jnp.concatenate([a.reshape(*a.shape[:2], -1) for a in (q, k, v, i, f)], axis=-1)
        state = Room(x.shape[1])
        if before:
            state = {"matrix": before["state"], "sums": before["keys"]}
            state["largest"] = jnp.asarray(case.settings["m"])
        out, last = mixer.mix(x, state, mixer.context(x))
        found = {"o": out[..., : H * U].reshape(*out.shape[:2], H, U)}
        if before:
            scale = jnp.exp(last["largest"])[..., None]
            found |= {"state": last["matrix"] * scale[..., None], "keys": last["sums"] * scale}
        return found

    case.check(run)


def test_is_slstms_cell():
    case = Recorded("diagonal_recurrence", "slstm/xlstm")

    def run(x, R, bias, y, c, n):
        m = jnp.asarray(case.settings["m"])
        out, (y, c, n, m) = slstm(x + bias[None, None], R, (y, c, n, m))
        return {"out": out, "y": y, "c": c * jnp.exp(m), "n": n * jnp.exp(m)}

    case.check(run)


@pytest.mark.slow
def test_gated_linear_attention():
    def parameters(theirs):
        weights, bias = theirs["gk_proj.1.weight"], theirs["gk_proj.1.bias"]
        return {
            **projections(theirs, H, 2, 4),
            "decay_down": linear(theirs["gk_proj.0.weight"]),
            "decays": linear(weights, H, 2, bias=bias),
            "readout": readout(theirs, "g_norm_swish_gate", H, 4),
        }

    def make():
        return GatedLinearAttention(D, H, decay_rank=3, rngs=nnx.Rngs(0))

    Recorded("fla", "gla").check_mixer(make, parameters)


@pytest.mark.slow
def test_retention():
    def parameters(theirs):
        return {
            **projections(theirs, H, 4, 8),
            "readout": readout(theirs, "g_norm_swish_gate", H, 8),
        }

    def make():
        return Retention(D, H, rngs=nnx.Rngs(0))

    Recorded("fla", "retention").check_mixer(make, parameters)
