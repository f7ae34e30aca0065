"""Our delta rules against other people's layers.

make_layers.py, make_modules.py and make_fla.py stored them; how their parameters become ours
stands here and in theirs.py.
"""

import jax.numpy as jnp
import pytest
from flax import nnx

from seqmodels.mixers import RWKV7, DeltaNet, DeltaProduct, GatedDeltaNet, KimiDeltaAttention, Short
from tests.goldens.stored import Recorded
from tests.goldens.theirs import linear, projections, readout, scale, short
from tests.soaking import soak_only

D, H = 8, 2
SHORT = Short(4)


@pytest.mark.slow
def test_gated_deltanet():
    K, U = 4, 6

    def parameters(theirs):
        fused = theirs["in_proj_qkvz.weight"].reshape(H, 2 * K + 2 * U, D)
        parts = jnp.split(fused, [K, 2 * K, 2 * K + U], axis=1)
        q, k, v, z = (part.reshape(-1, D) for part in parts)
        strengths, steps = jnp.moveaxis(theirs["in_proj_ba.weight"].reshape(H, 2, D), 1, 0)
        weights, keys = theirs["conv1d.weight"], (H, K)
        return {
            "queries": linear(q, *keys),
            "keys": linear(k, *keys),
            "values": linear(v, H, U),
            "short": short(weights, None, queries=keys, keys=keys, values=(H, U)),
            "strengths": linear(strengths),
            "decay_steps": linear(steps),
            "decay": {name: theirs[name] for name in ("A_log", "dt_bias")},
            "readout": {
                "norm": scale(theirs["norm.weight"]),
                "gates": linear(z, H, U),
                "outputs": linear(theirs["out_proj.weight"], D, inputs=(H, U)),
            },
        }

    def make():
        return GatedDeltaNet(D, H, value_expansion=1.5, short=SHORT, rngs=nnx.Rngs(0))

    Recorded("layers", "gated_deltanet").check_mixer(make, parameters)


@pytest.mark.slow
def test_kda():
    heads = (H, D // H)

    def parameters(theirs):
        names = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj"}
        return {
            **{ours: linear(theirs[f"{name}.weight"], *heads) for ours, name in names.items()},
            "short": short(theirs["conv1d.weight"], None, **dict.fromkeys(names, heads)),
            "strengths": linear(theirs["b_proj.weight"]),
            "decay_down": linear(theirs["forget_gate.f_a_proj.weight"]),
            "decay_steps": linear(theirs["forget_gate.f_b_proj.weight"], *heads),
            "decay": {
                "A_log": theirs["forget_gate.A_log"].reshape(H),
                "dt_bias": theirs["forget_gate.dt_bias"].reshape(heads),
            },
            "readout": {
                "norm": scale(theirs["o_norm.weight"]),
                "down": linear(theirs["g_a_proj.weight"]),
                "gates": linear(theirs["g_b_proj.weight"], *heads),
                "outputs": linear(theirs["o_proj.weight"], D, inputs=heads),
            },
        }

    def make():
        return KimiDeltaAttention(D, H, short=SHORT, rngs=nnx.Rngs(0))

    Recorded("layers", "kda").check_mixer(make, parameters)


@pytest.mark.slow
@pytest.mark.parametrize("name", [soak_only("rwkv7"), "rwkv7_numpy"])
def test_rwkv7(name):
    case, heads = Recorded("modules", name), (H, D // H)

    def parameters(theirs):
        ours = {
            "mixtures": jnp.stack([theirs[f"x_{part}"].reshape(D) for part in "rwkvag"]),
            "outputs": linear(theirs["output.weight"], D, inputs=heads),
        }
        for part, whole in (("queries", "receptance"), ("keys", "key"), ("values", "value")):
            ours[part] = linear(theirs[f"{whole}.weight"], *heads)
        for part, letter in (("decay", "w"), ("strength", "a"), ("gate", "g")):
            ours[f"{part}_down"] = linear(theirs[f"{letter}1"].T)
            bias = theirs.get(f"{letter}0")
            ours[f"{part}_up"] = linear(theirs[f"{letter}2"].T, *heads, bias=bias)
        for part, whole in (
            ("erased", "k_k"),
            ("strengthened", "k_a"),
            ("bonus", "r_k"),
            ("scale", "ln_x.weight"),
            ("shift", "ln_x.bias"),
        ):
            ours[part] = theirs[whole].reshape(heads)
        return ours

    def states(state):
        return {"state": state["matrix"]} if "state" in case.outputs else {}

    def make():
        return RWKV7(D, H, decay_rank=3, gate_rank=5, rngs=nnx.Rngs(0))

    case.check_mixer(make, parameters, states)


@pytest.mark.slow
def test_deltanet():
    def parameters(theirs):
        return {
            **projections(theirs, H, 4, 4),
            "strengths": linear(theirs["b_proj.weight"]),
            "readout": readout(theirs, "o_norm", H, 4),
        }

    def make():
        return DeltaNet(D, H, negative_eigenvalues=True, rngs=nnx.Rngs(0))

    Recorded("fla", "deltanet").check_mixer(make, parameters)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("", 2), ("_without_decay", 3)])
def test_deltaproduct(name, steps):
    def parameters(theirs):
        ours = {
            **projections(theirs, H, 4, 8, steps),
            "strengths": linear(theirs["b_proj.weight"], steps, H),
            "readout": readout(theirs, "o_norm", H, 8),
        }
        if "a_proj.weight" in theirs:
            ours["decay_steps"] = linear(theirs["a_proj.weight"])
            ours["decay"] = {part: theirs[part] for part in ("A_log", "dt_bias")}
        return ours

    def make():
        return DeltaProduct(D, H, steps=steps, forgets=not name, rngs=nnx.Rngs(0))

    Recorded("fla", f"deltaproduct{name}").check_mixer(make, parameters)
