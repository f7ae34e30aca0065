"""Mixers with a matrix as their state against their papers' equations, in NumPy and float64.

One row and one position after another, and every head by itself; of the package only the names of
its parameters are used.
"""

from typing import Any

import numpy as np
import pytest

from tests.mixers.variants import CASES, WIDTH, noisy_weights, normal, pure

H = 2
KINDS = ["linear_attention", "retention", "gla", "mamba2", "mamba3", "deltanet", "gated_deltanet"]
KINDS += ["kda", "deltaproduct", "rwkv7", "mlstm", "slstm"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def silu(x):
    return x * sigmoid(x)


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def normalised(x, p, centred=False):
    """Of a norm's parameters."""
    p = p["norm"]
    if centred:
        x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p.get("bias", 0)


def project(p, x):
    """A linear layer of a vector, or of heads' outputs."""
    weights, bias = p["weights"], p["bias"]
    return x.reshape(-1) @ weights.reshape(x.size, -1) + bias.reshape(-1)


def heads(p, x):
    """A linear layer's outputs by heads."""
    return project(p, x).reshape(p["bias"].shape)


class Plain:
    """What a mixer makes of one row [L, D]."""

    def __init__(self, kind: str, params: dict[str, Any]):
        self.kind, self.p = kind, params

    def run(self, x):
        state: dict[str, Any] = {"before": np.zeros(WIDTH), "h": 0, "c": 0, "n": 0}
        step = getattr(self, self.kind)
        return np.stack([step(x[t], t, state) for t in range(len(x))])

    def shared(self, x, *names):
        return [heads(self.p[name], x) for name in names or ("queries", "keys", "values")]

    def write(self, state, decay, key, value, erase=None):
        """``S = (D + a b^T) S + k v^T``, with a decay [H] or [H, K]."""
        S = state.get("S", np.zeros((H, key.shape[-1], value.shape[-1])))
        decay = np.broadcast_to(np.reshape(decay, (H, -1)), key.shape)
        after = []
        for h in range(H):
            D = np.diag(decay[h])
            if erase is not None:
                D = D + np.outer(erase[0][h], erase[1][h])
            after.append(D @ S[h] + np.outer(key[h], value[h]))
        state["S"] = np.stack(after)

    def read(self, state, query):
        return np.einsum("hku,hk->hu", state["S"], query)

    def readout(self, o, x, gate=None, centred=False):
        p = self.p["readout"]
        if "norm" in p:
            o = normalised(o, p["norm"], centred)
        if gate is not None:
            o = o * gate(heads(p["gates"], project(p["down"], x) if "down" in p else x))
        return project(p["outputs"], o)

    def linear_attention(self, x, t, state):
        query, key, value = self.shared(x)

        def f(x):
            return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))

        H_all = len(key)  # the default heads
        state["all"] = [*state.get("all", []), (f(key), value)]
        weights = np.stack([(k * f(query)).sum(-1) for k, _ in state["all"]])
        values = np.stack([v for _, v in state["all"]])
        o = (weights[..., None] * values).sum(0) / weights.sum(0)[..., None]
        assert o.shape[0] == H_all
        return self.readout(o, x)

    def retention(self, x, t, state):
        query, key, value = self.shared(x)
        turns = t * 10000.0 ** (-np.arange(key.shape[-1] // 2) / (key.shape[-1] // 2))

        def turn(a):
            first, second = np.split(a, 2, axis=-1)
            c, s = np.cos(turns), np.sin(turns)
            return np.concatenate([first * c - second * s, second * c + first * s], -1)

        self.write(state, 1 - 2.0 ** (-5 - np.arange(H)), turn(key), value)
        return self.readout(self.read(state, turn(query)) / 2, x, silu)  # K is 4

    def gla(self, x, t, state):
        query, key, value = self.shared(x)
        decay = sigmoid(heads(self.p["decays"], project(self.p["decay_down"], x))) ** (1 / 16)
        self.write(state, decay, key, value)
        return self.readout(self.read(state, query) / np.sqrt(2), x, silu)  # K is 2

    def step(self, x):
        """The step and the decay of a mixer with ``A_log`` and ``dt_bias``, from a projection."""
        p = self.p["decay"]
        step = softplus(x + p["dt_bias"])
        return step, np.exp(-np.exp(p["A_log"]).reshape(H, *[1] * (step.ndim - 1)) * step)

    def mamba2(self, x, t, state):
        query, key = (silu(project(self.p[name], x)) for name in ("queries", "keys"))
        value = silu(heads(self.p["values"], x))
        step, decay = self.step(project(self.p["steps"], x))
        self.write(state, decay, np.stack([key] * H), value * step[:, None])
        o = self.read(state, np.stack([query] * H)) + self.p["skip"][:, None] * value
        gated = o.reshape(-1) * silu(project(self.p["gates"], x))
        return project(self.p["outputs"], normalised(gated, self.p["norm"]))

    def mamba3(self, x, t, state):
        p = self.p
        step, rate, share = heads(p["steps"], x)
        step, share = softplus(step + p["dt_bias"]), sigmoid(share)
        decay = np.exp(-softplus(rate) * step)
        turns = np.pi * np.tanh(project(p["angles"], x))[None] * step[:, None]
        state["angles"] = state.get("angles", 0) + turns

        def turned(name, bias, norm):
            a = normalised(project(p[name], x), p["norms"][norm])[None] + p[bias]
            pairs = a.reshape(H, -1, 2)
            pairs = pairs[..., 0] + 1j * pairs[..., 1]
            pairs[:, : turns.shape[1]] *= np.exp(1j * state["angles"])
            return np.stack([pairs.real, pairs.imag], -1).reshape(H, -1)

        query, key = turned("queries", "query_bias", 0), turned("keys", "key_bias", 1)
        value = heads(p["values"], x)
        now, earlier = share * step, (1 - share) * step * decay
        if "key" in state:
            self.write(state, decay, state["key"] * earlier[:, None], state["value"])
            self.write(state, np.ones(H), key * now[:, None], value)
        else:
            self.write(state, decay, key * now[:, None], value)
        state["key"], state["value"] = key, value
        o = self.read(state, query) + p["skip"][:, None] * value
        return project(p["outputs"], o * silu(heads(p["gates"], x)))

    def delta(self, x, state, decay, most=1.0, steps=1):
        query, key, value = map(silu, self.shared(x))
        strength = most * sigmoid(heads(self.p["strengths"], x)).reshape(steps, H)
        key, value = (a.reshape(steps, *a.shape[-2:]) for a in (unit(key), value))
        for n in range(steps):
            of = decay if n == 0 else np.ones(H)
            of = np.broadcast_to(of if np.ndim(of) == 2 else np.reshape(of, (-1, 1)), key[n].shape)
            erase = -strength[n][:, None] * key[n], of * key[n]
            self.write(state, of, key[n], strength[n][:, None] * value[n], erase)
        return self.read(state, unit(query)) / np.sqrt(key.shape[-1])

    def deltanet(self, x, t, state):
        return self.readout(self.delta(x, state, 1.0), x)

    def gated_deltanet(self, x, t, state):
        decay = self.step(project(self.p["decay_steps"], x))[1]
        return self.readout(self.delta(x, state, decay), x, silu)

    def kda(self, x, t, state):
        decay = self.step(heads(self.p["decay_steps"], project(self.p["decay_down"], x)))[1]
        return self.readout(self.delta(x, state, decay, most=2.0), x, sigmoid)

    def deltaproduct(self, x, t, state):
        decay = self.step(project(self.p["decay_steps"], x))[1]
        return self.readout(self.delta(x, state, decay, most=2.0, steps=2), x, silu)

    def rwkv7(self, x, t, state):
        p = self.p
        names = ("queries", "decays", "keys", "values", "strengths", "gates")
        seen = {n: x + m * (state["before"] - x) for n, m in zip(names, p["mixtures"], strict=True)}
        state["before"] = x
        r, k, v = (heads(p[name], seen[name]) for name in ("queries", "keys", "values"))

        def low(n, name):
            return project(p[f"{n}_down"], seen[name])

        w = np.exp(-sigmoid(heads(p["decay_up"], np.tanh(low("decay", "decays")))) / np.e**0.5)
        a = sigmoid(heads(p["strength_up"], low("strength", "strengths")))
        g = heads(p["gate_up"], sigmoid(low("gate", "gates")))
        kk = k * p["erased"]
        kk = kk / np.linalg.norm(kk, axis=-1, keepdims=True)
        k = k * (1 + (a - 1) * p["strengthened"])
        self.write(state, w, k, v, (-kk * a, kk))
        y = self.read(state, r)
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 64e-5)
        y = y * p["scale"] + p["shift"] + (r * k * p["bonus"]).sum(-1, keepdims=True) * v
        return project(p["outputs"], y * g)

    def mlstm(self, x, t, state):
        query, key, value = self.shared(x)
        logits = [15 * np.tanh(project(self.p[f"{n}_gate"], x) / 15) for n in ("input", "forget")]
        let_in, kept = np.exp(logits[0]), sigmoid(logits[1])
        self.write(state, kept, key * let_in[:, None], value)
        state["n"] = kept[:, None] * state["n"] + let_in[:, None] * key
        query = query / np.sqrt(query.shape[-1])
        sums = np.maximum(np.abs((state["n"] * query).sum(-1)), 1)
        return self.readout(self.read(state, query) / sums[:, None], x, sigmoid, centred=True)

    def slstm(self, x, t, state):
        p = self.p
        names = ("input_gate", "forget_gate", "cell_input", "output_gate")
        h = state["h"] if t else np.zeros((H, WIDTH // H))
        more = np.einsum("hk,hkgj->ghj", h, p["recurrent"])
        i, f, z, o = (heads(p[n], x) + m for n, m in zip(names, more, strict=True))
        state["c"] = sigmoid(f) * state["c"] + np.exp(i) * np.tanh(z)
        state["n"] = sigmoid(f) * state["n"] + np.exp(i)
        state["h"] = sigmoid(o) * state["c"] / state["n"]
        return normalised(state["h"], p["norm"], centred=True).reshape(-1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixer_is_its_equation(kind):
    settings = {name: value for name, value in CASES[kind][1].items() if name != "short"}
    x, params = normal((2, 7, WIDTH)), noisy_weights(kind, settings)
    actual = pure(kind, settings).call(params, x)
    plain = Plain(kind, params)
    expected = np.stack([plain.run(row.astype(np.float64)) for row in x])
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5)
