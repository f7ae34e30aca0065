"""Mixers of long filters as plain PyTorch computes them, for torch_layers.py.

By Fourier transforms of real numbers, as their authors' plain code does.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def convolve(x, kernel):
    """Causally, [B, L, D] with [L, D], in float32; along the last axis it takes two thirds of the
    time that it takes along L."""
    size = 2 * x.shape[1]
    spectrum = torch.fft.rfft(x.float().mT, size) * torch.fft.rfft(kernel.float().mT, size)
    return torch.fft.irfft(spectrum, size)[..., : x.shape[1]].mT.to(x.dtype)


class LongConvolution(nn.Module):
    """A filter as parameters, squashed towards 0, and a gated linear unit."""

    def __init__(self, width, length):
        super().__init__()
        self.filter = nn.Parameter(0.02 * torch.randn(length, width))
        self.skip = nn.Parameter(torch.randn(width))
        self.outputs = nn.Linear(width, 2 * width)

    def forward(self, x):
        kernel = self.filter.sign() * functional.relu(self.filter.abs() - 0.001)
        hidden = functional.gelu(convolve(x, kernel) + self.skip * x, approximate="tanh")
        return functional.glu(self.outputs(hidden))


class Hyena(nn.Module):
    """Of order 2: its filter is an MLP's of sinusoids of the time, under windows that decay."""

    def __init__(self, width, length, features=64, bands=16):
        super().__init__()
        time = torch.linspace(0, 1, length)[:, None]
        turns = torch.arange(length)[:, None] * 2 * math.pi / length
        angles = turns * torch.linspace(1e-4, bands - 1, bands)
        self.register_buffer("read", torch.cat([time, angles.cos(), -angles.sin()], 1))
        rates = torch.linspace(-math.log(0.01) / 1.5, -math.log(0.01) / 0.3, width)
        self.register_buffer("window", torch.exp(-time * rates))
        sizes = [2 * bands + 1, features, features]
        self.hidden = nn.ModuleList(nn.Linear(size, features) for size in sizes)
        self.frequency = nn.Parameter(torch.full((features,), 14.0))
        self.last = nn.Linear(features, width, bias=False)
        self.skip = nn.Parameter(torch.randn(width))
        self.inputs, self.outputs = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        first, second, y = self.inputs(x).chunk(3, -1)
        h = self.read
        for layer in self.hidden:
            h = torch.sin(self.frequency * layer(h))
        y = second * y
        return self.outputs(first * (convolve(y, self.last(h) * self.window) + self.skip * y))
