"""PyTorch's side of benchmarks/layers.py, in an environment of its own.

Its argument is the device, ``cpu`` or ``cuda``. Reads one JSON request a line from stdin,
``{"case", "length", "dtype", "backward", "calls", "sizes"}``, and answers each with
``{"seconds": per call}``. Nothing of seqmodels and JAX is imported
here. Every case is what the same name means in benchmarks/cases.py, by PyTorch's own eager
operations; only one form of each was tried.
"""

import functools
import json
import math
import os
import sys
import time

import torch
import torch_diagonal as diagonal
import torch_long
import torch_matrix
from torch import nn
from torch.nn import functional

DEVICE = sys.argv[1]


class Recurrent(nn.Module):
    """One layer of ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``: oneDNN's where PyTorch uses it."""

    def __init__(self, kind, width):
        super().__init__()
        self.layer = kind(width, width, batch_first=True)

    def forward(self, x):
        return self.layer(x)[0]


class Attention(nn.Module):
    """Projections about ``scaled_dot_product_attention`` (its flash kernel on CPU)."""

    def __init__(self, width, heads, window=None):
        super().__init__()
        self.heads, self.window = heads, window
        self.inputs, self.outputs = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        B, L, D = x.shape
        projected = self.inputs(x).view(B, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attend = self.causal if self.window is None else self.local
        return self.outputs(attend(*projected).transpose(1, 2).reshape(B, L, D))

    def causal(self, query, key, value):
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)

    def local(self, query, key, value):
        """Blocks of ``window`` queries against two blocks of keys: no L by L array."""
        B, H, L, K = query.shape
        W = self.window
        blocks = L // W
        query = query.reshape(B, H, blocks, W, K)

        def span(x):
            padded = functional.pad(x, (0, 0, W, 0)).reshape(B, H, blocks + 1, W, K)
            return torch.cat([padded[:, :, :-1], padded[:, :, 1:]], 3)

        places = torch.arange(W)
        distance = places[:, None] + W - torch.arange(2 * W)[None]
        visible = (distance >= 0) & (distance < W)
        visible = visible.repeat(blocks, 1, 1)
        visible[0, :, :W] = False

        def fold(x):
            return x.transpose(1, 2).reshape(B * blocks, H, -1, K)

        out = functional.scaled_dot_product_attention(
            fold(query), fold(span(key)), fold(span(value)), visible.repeat(B, 1, 1)[:, None]
        )
        return out.reshape(B, blocks, H, W, K).transpose(1, 2).reshape(B, H, L, K)


class Convolution(nn.Module):
    """Causal ``conv1d``, GELU and a projection."""

    def __init__(self, width, kernel):
        super().__init__()
        self.kernel = kernel
        self.weights = nn.Conv1d(width, width, kernel)
        self.outputs = nn.Linear(width, width)

    def forward(self, x):
        padded = functional.pad(x.transpose(1, 2), (self.kernel - 1, 0))
        hidden = functional.gelu(self.weights(padded), approximate="tanh")
        return self.outputs(hidden.transpose(1, 2))


class DepthwiseConvolution(nn.Module):
    """Causal ``conv1d`` with as many groups as features."""

    def __init__(self, width, kernel):
        super().__init__()
        self.kernel = kernel
        self.weights = nn.Conv1d(width, width, kernel, groups=width, bias=False)

    def forward(self, x):
        padded = functional.pad(x.transpose(1, 2), (self.kernel - 1, 0))
        return self.weights(padded).transpose(1, 2)


class FFTConvolution(nn.Module):
    """Causal convolution of every feature with a kernel as long as the sequence."""

    def __init__(self, width, length):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(length, width) / length)

    def forward(self, x):
        return torch_long.convolve(x, self.kernel)


class Transformer(nn.Module):
    """The model of configs/text.py:mixer=transformer but for its positions: pre-norm blocks."""

    def __init__(self, width, heads, depth, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class TransformerBlock(nn.Module):
    """Attention and an MLP, each behind a norm and beside a residual."""

    def __init__(self, width, heads):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


def layer(case, length, sizes):
    """The module that a case times."""
    D, H = sizes["width"], sizes["heads"]
    if case in torch_matrix.KINDS:
        return torch_matrix.layer(case, D, H)
    return {
        "rnn": lambda: Recurrent(nn.RNN, D),
        "lstm": lambda: Recurrent(nn.LSTM, D),
        "gru": lambda: Recurrent(nn.GRU, D),
        "convolution": lambda: Convolution(D, sizes["kernel"]),
        "depthwise": lambda: DepthwiseConvolution(D, sizes["short_kernel"]),
        "fft": lambda: FFTConvolution(D, length),
        "attention": lambda: Attention(D, H),
        "local": lambda: Attention(D, H, sizes["window"]),
        "mingru": lambda: diagonal.Minimal(D, 2),
        "minlstm": lambda: diagonal.Minimal(D, 3),
        "lru": lambda: diagonal.Constant(D, D, 2),
        "rglru": lambda: diagonal.RGLRU(D),
        "s4d": lambda: diagonal.S4D(D, 64),
        "s5": lambda: diagonal.Constant(D, D // 2, 1),
        "mamba": lambda: diagonal.Mamba(D),
        "hyena": lambda: torch_long.Hyena(D, length),
        "long_convolution": lambda: torch_long.LongConvolution(D, length),
    }[case]()


@functools.lru_cache(maxsize=1)
def prepare(case, length, dtype, backward, sizes):
    """A function of no arguments: one step of the case."""
    sizes = json.loads(sizes)
    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    if case in ("step", "wide step"):
        return transformer_step(length, dtype, sizes)
    if case == "matmul":
        a, b = (torch.randn(length, length, dtype=dtype) for _ in range(2))
        return lambda: a @ b
    module = layer(case, length, sizes).to(dtype)
    x = torch.randn(sizes["batch"], length, sizes["width"], dtype=dtype, requires_grad=backward)
    d_y = torch.randn_like(x)

    def forward():
        with torch.no_grad():
            return module(x)

    def step():
        module.zero_grad()
        x.grad = None
        module(x).backward(d_y)

    return step if backward else forward


def transformer_step(length, dtype, sizes):
    """Forward, backward and AdamW on a language model; bfloat16 by autocast."""
    V = sizes["vocabulary"]
    model = Transformer(sizes["width"], sizes["heads"], sizes["depth"], V)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(V, (sizes["batch"], length + 1))

    def step():
        optimizer.zero_grad()
        with torch.autocast(DEVICE, dtype, enabled=dtype != torch.float32):
            scores = model(tokens[:, :-1])
        functional.cross_entropy(
            scores.float().reshape(-1, V), tokens[:, 1:].reshape(-1)
        ).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main():
    """Answers requests until stdin ends."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_default_device(DEVICE)
    wait = torch.cuda.synchronize if DEVICE == "cuda" else lambda: None
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        keys = ("case", "length", "dtype", "backward")
        step = prepare(*(request[k] for k in keys), json.dumps(request["sizes"]))
        wait()
        start = time.perf_counter()
        for _ in range(request["calls"]):
            step()
            wait()
        seconds = (time.perf_counter() - start) / request["calls"]
        assert math.isfinite(seconds)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
