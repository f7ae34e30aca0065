"""Mixers on a diagonal recurrence as plain PyTorch computes them, for torch_layers.py.

PyTorch has no scan, so a recurrence is a loop over positions; but minGRU and minLSTM are sums of
logarithms, and S4D is a convolution by Fourier transforms, as their authors compute them.
"""

import math

import torch
from torch import nn
from torch.nn import functional
from torch_long import convolve


def run(decay, inputs):
    """``h_t = a_t h_{t-1} + b_t`` from zeros, position by position."""
    h, outputs = torch.zeros_like(inputs[:, 0]), []
    decays = decay.unbind(1) if decay.shape[1] > 1 else [decay[:, 0]] * inputs.shape[1]
    for a, b in zip(decays, inputs.unbind(1), strict=True):
        h = a * h + b
        outputs.append(h)
    return torch.stack(outputs, 1)


class Minimal(nn.Module):
    """minGRU (two gates) or minLSTM (three): ``log h = a + logcumsumexp(log b - a)``."""

    def __init__(self, width, gates):
        super().__init__()
        self.inputs = nn.Linear(width, gates * width)
        self.gates = gates

    def forward(self, x):
        *gates, value = self.inputs(x).float().chunk(self.gates, -1)
        softplus = functional.softplus
        forget = gates[0] if len(gates) == 1 else softplus(-gates[0]) - softplus(-gates[1])
        value = torch.where(value >= 0, (value.relu() + 0.5).log(), -softplus(-value))
        product = (-softplus(forget)).cumsum(1)
        return (product + (value - softplus(-forget) - product).logcumsumexp(1)).exp().to(x.dtype)


class Gate(nn.Module):
    """A gated layer after a state space model, whole or half."""

    def __init__(self, width, gates):
        super().__init__()
        self.projection = nn.Linear(width, gates * width)
        self.gates = gates

    def forward(self, y):
        hidden = functional.gelu(y, approximate="tanh")
        made = self.projection(hidden)
        return functional.glu(made) if self.gates == 2 else hidden * made.sigmoid()


class Constant(nn.Module):
    """A complex recurrence with constant decays between products: an LRU's or S5's."""

    def __init__(self, width, states, gates):
        super().__init__()
        angles, moduli = torch.rand(states) * 6, torch.rand(states) * 0.3 + 0.69
        self.log_decay = nn.Parameter(torch.stack([moduli.log(), angles], -1))
        self.inputs = nn.Linear(width, 2 * states, bias=False)
        self.outputs = nn.Linear(2 * states, width, bias=False)
        self.skip = nn.Parameter(torch.randn(width))
        self.gate = Gate(width, gates)

    def forward(self, x):
        decay = torch.view_as_complex(self.log_decay.float()).exp()
        inputs = torch.complex(*self.inputs(x).float().chunk(2, -1))
        h = run(decay[None, None], inputs)
        read = self.outputs(torch.cat([h.real, -h.imag], -1).to(x.dtype))
        return self.gate(read + self.skip * x)


class RGLRU(nn.Module):
    """Griffin's recurrent block without its convolution."""

    def __init__(self, width):
        super().__init__()
        inner = round(4 / 3 * width)
        self.inputs = nn.Linear(width, 2 * inner)
        self.gates = nn.Linear(inner, 2 * inner)
        self.decay = nn.Parameter(torch.randn(inner) - 5)
        self.outputs = nn.Linear(inner, width)

    def forward(self, x):
        gate, u = self.inputs(x).chunk(2, -1)
        r, i = self.gates(u).float().sigmoid().chunk(2, -1)
        log_decay = -8 * functional.softplus(self.decay.float()) * r
        root = (-torch.expm1(2 * log_decay)).sqrt()
        h = run(log_decay.exp(), root * i * u.float())
        return self.outputs(functional.gelu(gate, approximate="tanh") * h.to(x.dtype))


class S4D(nn.Module):
    """The kernel by powers of the decays, and a convolution by Fourier transforms."""

    def __init__(self, width, states):
        super().__init__()
        self.log_step = nn.Parameter(torch.rand(width) * math.log(100) + math.log(1e-3))
        self.decay = nn.Parameter(torch.full((width, states // 2), math.log(0.5)))
        turns = math.pi * torch.arange(states // 2)
        self.turns = nn.Parameter(turns.repeat(width, 1))
        self.read = nn.Parameter(torch.randn(width, states // 2, 2))
        self.skip = nn.Parameter(torch.randn(width))
        self.gate = Gate(width, 2)

    def forward(self, x):
        poles = torch.complex(-self.decay.float().exp(), self.turns.float())
        steps = poles * self.log_step.float().exp()[:, None]
        read = torch.view_as_complex(self.read.float()) * torch.expm1(steps) / poles
        powers = (steps[..., None] * torch.arange(x.shape[1], device=x.device)).exp()
        kernel = 2 * torch.einsum("dn,dnl->ld", read, powers).real
        return self.gate(convolve(x, kernel) + self.skip * x)


class Mamba(nn.Module):
    """S6 between its projections, without its convolution; its decays are expanded beforehand."""

    def __init__(self, width, states=16):
        super().__init__()
        inner, rank = 2 * width, math.ceil(width / 16)
        self.sizes = [rank, states, states]
        self.inputs = nn.Linear(width, 2 * inner)
        self.factors = nn.Linear(inner, rank + 2 * states)
        self.step = nn.Linear(rank, inner)
        self.decay = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.outputs = nn.Linear(inner, width)

    def forward(self, x):
        u, gate = self.inputs(x).chunk(2, -1)
        u = functional.silu(u)
        rank, B, C = self.factors(u).split(self.sizes, -1)
        delta = functional.softplus(self.step(rank).float() - 4)
        decay = torch.exp(delta[..., None] * -self.decay.float().exp())
        inputs = (delta * u)[..., None] * B.float()[:, :, None]
        h, outputs = torch.zeros_like(inputs[:, 0]), []
        for a, b, c in zip(decay.unbind(1), inputs.unbind(1), C.float().unbind(1), strict=True):
            h = a * h + b
            outputs.append(torch.einsum("bdn,bn->bd", h, c))
        y = torch.stack(outputs, 1).to(x.dtype)
        return self.outputs((y + self.skip * u) * functional.silu(gate))
