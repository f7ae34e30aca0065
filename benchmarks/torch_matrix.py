"""Mixers with a matrix as their state as plain PyTorch computes them, for torch_layers.py.

By chunks of 64 positions, which is faster than a loop over positions in all but sLSTM, that has no
other form: products of matrices within a chunk, the state from chunk to chunk, and for delta rules
a triangular system a chunk. A decay for each key is split into one factor for queries and one for
keys, which overflows where decays are strong: here they are not.
"""

import math

import torch
from torch import nn
from torch.nn import functional

CHUNK = 64
KINDS = ("linear_attention", "retention", "gla", "mamba2", "mamba3", "mlstm", "slstm", "deltanet")
KINDS += ("gated_deltanet", "kda", "deltaproduct", "rwkv7")


def layer(kind, width, heads):
    """The module of a kind."""
    return SLSTM(width, heads) if kind == "slstm" else Matrix(kind, width, heads)


def chunked(query, key, value, log_decay, erase=None, reads=None):
    """``S_t = (D_t + erase_t k_t reads_t^T) S_{t-1} + k_t v_t^T`` read by the queries.

    All are [B, L, H, ...]; ``erase`` and ``log_decay`` may be one number a head.
    """
    B, L, H, K = query.shape

    def split(x):
        x = x[..., None] if x.ndim == 3 else x
        return x.reshape(B, L // CHUNK, CHUNK, H, -1).permute(1, 0, 3, 2, 4)  # [N, B, H, C, .]

    query, key, value, log_decay = (split(x) for x in (query, key, value, log_decay))
    after = log_decay.cumsum(-2)
    end = after[..., -1:, :]
    from_start, back = after.exp(), (-after).exp()
    inside = ((query * from_start) @ (key * back).mT).tril()
    to_end = key * (end - after).exp()
    whole = end.exp().mT
    if erase is not None:
        erase, reads = split(erase), split(reads) * (after - log_decay).exp()
        written = (reads @ (key * back).mT).tril(-1)
        system = torch.eye(CHUNK) - written * erase.mT

        def solve(x):
            return torch.linalg.solve_triangular(system, x, upper=False)

        held, of_state = solve(written @ value), solve(reads)
    # Unbound, since each index would have a gradient as large as the whole.
    parts = [query * from_start, inside, value, to_end.mT, whole]
    parts += [] if erase is None else [erase, held, of_state]
    state, outputs = value.new_zeros(B, H, K, value.shape[-1]), []
    steps = zip(*(part.unbind() for part in parts), strict=True)
    for query, inside, new, to_end, whole, *erasing in steps:
        if erasing:
            erase, held, of_state = erasing
            new = new + erase * (held + of_state @ state)
        outputs.append(query @ state + inside @ new)
        state = whole * state + to_end @ new
    return torch.stack(outputs).permute(1, 0, 3, 2, 4).reshape(B, L, H, -1)


def unit(x):
    """Vectors of length 1."""
    return functional.normalize(functional.silu(x), dim=-1)


def turned(x, angles):
    """The pairs of the first half turned."""
    first, second = x[..., : x.shape[-1] // 2].unflatten(-1, (-1, 2)).unbind(-1)
    cosine, sine = angles.cos(), angles.sin()
    pairs = torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1)
    return torch.cat([pairs.flatten(-2), x[..., x.shape[-1] // 2 :]], -1)


class Matrix(nn.Module):
    """A mixer by its kind: projections, the recurrence, each head's norm, gate and projection."""

    def __init__(self, kind, width, heads):
        super().__init__()
        self.kind, self.heads = kind, heads
        wide = (
            2 if kind in ("retention", "gated_deltanet", "deltaproduct", "mamba2", "mamba3") else 1
        )
        keys = {"gla": width // 2, "mlstm": width // 2, "mamba2": 128, "mamba3": 128}.get(
            kind, width
        )
        self.steps = 2 if kind == "deltaproduct" else 1
        self.queries = nn.Linear(width, keys)
        self.keys = nn.Linear(width, self.steps * keys)
        self.values = nn.Linear(width, self.steps * wide * width)
        by_key = kind in ("gla", "kda", "rwkv7")
        self.decays = nn.Linear(width, keys if by_key else 3 * heads)
        self.strengths = nn.Linear(width, self.steps * heads)
        plain = kind in ("linear_attention", "deltanet")
        self.gates = None if plain else nn.Linear(width, wide * width)
        self.norm = nn.RMSNorm(wide * width // heads)
        if kind == "mamba3":
            self.angles = nn.Linear(width, keys // 4)
            self.norms = nn.ModuleList([nn.RMSNorm(keys), nn.RMSNorm(keys)])
            self.biases = nn.Parameter(torch.ones(2, heads, keys))
            self.skip = nn.Parameter(torch.ones(heads))
        self.outputs = nn.Linear(wide * width, width)

    def forward(self, x):
        B, L, _ = x.shape
        if self.kind == "mamba3":
            return self.outputs(self.turned(x) * functional.silu(self.gates(x)))

        def by_head(x, length=L):
            return x.reshape(B, length, self.heads, -1)

        if self.kind == "mamba2":  # all heads have the same keys and queries

            def shared(x):
                return functional.silu(x)[:, :, None].expand(-1, -1, self.heads, -1)

            query, key = shared(self.queries(x)), shared(self.keys(x))
        else:
            query, key = by_head(self.queries(x)), by_head(self.keys(x), self.steps * L)
        value, decay = by_head(self.values(x), self.steps * L), self.decays(x)
        decay = by_head(decay) if decay.shape[-1] != 3 * self.heads else decay[..., : self.heads]
        mixed = self.mix(query, key, value, -functional.softplus(decay - 3), x)
        if self.gates is None:
            return self.outputs(mixed.reshape(B, L, -1))
        mixed = self.norm(mixed) * functional.silu(by_head(self.gates(x)))
        return self.outputs(mixed.reshape(B, L, -1))

    def turned(self, x):
        """Mamba-3's outputs: keys and queries turned, and each key written twice, at once."""
        step, rate, share = self.decays(x).unflatten(-1, (3, -1)).unbind(2)
        step, share = functional.softplus(step), share.sigmoid()
        angles = (math.pi * self.angles(x).tanh()[:, :, None] * step[..., None]).cumsum(1)
        query, key = (
            turned(norm(linear(x))[:, :, None] + bias, angles)
            for linear, norm, bias in zip(
                (self.queries, self.keys), self.norms, self.biases, strict=True
            )
        )
        value = self.values(x).unflatten(-1, (self.heads, -1))
        later = functional.pad(((1 - share) * step)[:, 1:], (0, 0, 0, 1))
        written = value * (share * step + later)[..., None]
        mixed = chunked(query, key, written, -functional.softplus(rate) * step)
        own = self.skip - later * (query * key).sum(-1)
        return (mixed + value * own[..., None]).flatten(2)

    def mix(self, query, key, value, log_decay, x):
        """The heads' outputs."""
        if self.kind in ("retention", "gla", "mamba2"):
            return chunked(query, key, value, log_decay)
        if self.kind in ("linear_attention", "mlstm"):
            if self.kind == "linear_attention":
                query, key = functional.elu(query) + 1, functional.elu(key) + 1
                log_decay = torch.zeros_like(log_decay)
            value = torch.cat([value, torch.ones_like(value[..., :1])], -1)
            mixed = chunked(query, key, value, log_decay)
            return mixed[..., :-1] / mixed[..., -1:].abs().clamp(min=1e-6)
        strengths = self.strengths(x).sigmoid().reshape(len(x), -1, self.heads)
        query, key = unit(query), unit(key)
        if self.kind == "deltanet":
            log_decay = torch.zeros_like(log_decay)
        if self.steps > 1:
            query, log_decay = self.alone(query, -1), self.alone(log_decay, 0)
        decay = log_decay.exp()
        reads = key * (decay if decay.ndim == 4 else decay[..., None])
        written = value * strengths[..., None]
        mixed = chunked(query, key, written, log_decay, -strengths, reads)
        return mixed[:, self.steps - 1 :: self.steps]

    def alone(self, x, place):
        """A token's at one of its steps, zeros at the others."""
        among = x.new_zeros(*x.shape[:2], self.steps, *x.shape[2:])
        among[:, :, place] = x
        return among.flatten(1, 2)


class SLSTM(nn.Module):
    """A loop over positions."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 4 * width)
        self.recurrent = nn.Parameter(torch.randn(heads, width // heads, 4 * width // heads) / 30)
        self.norm = nn.LayerNorm(width // heads)

    def forward(self, x):
        B, L, D = x.shape
        inputs = self.inputs(x).reshape(B, L, 4, self.heads, -1)
        h = c = n = inputs.new_zeros(B, self.heads, D // self.heads)
        m, outputs = torch.full_like(h, -math.inf), []
        for gates in inputs.unbind(1):
            more = torch.einsum("bhk,hkg->bhg", h, self.recurrent)
            i, f, z, o = (gates + more.unflatten(-1, (4, -1)).movedim(2, 1)).unbind(1)
            kept = functional.logsigmoid(f) + m
            m = torch.maximum(kept, i)
            let_in, kept = (i - m).exp(), (kept - m).exp()
            c, n = kept * c + let_in * z.tanh(), kept * n + let_in
            h = o.sigmoid() * c / n
            outputs.append(h)
        return self.norm(torch.stack(outputs, 1)).reshape(B, L, D)
