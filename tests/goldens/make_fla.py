"""Makes fla.npz: whole layers of flash-linear-attention, their kernels replaced by plain functions.

    python tests/goldens/make_fla.py FOLDER

README.md says what FOLDER holds and what has to be installed; what is kept is as in make_layers.py.
The layers' code is theirs; kernels are their naive.py, and norms have an eps of 1e-6.
"""

import sys
import warnings
from typing import Any

import torch
from make_gradients import GIVEN, Drawn, Tensors, heads_first, record_module
from make_layers import spread
from recording import Recording, Source
from torch import nn

B, L, D, H = 2, 37, 8, 2


class RMSNorm(nn.Module):
    """Their norm, gated or not."""

    def __init__(self, hidden_size: int, **_: Any):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
        x = nn.functional.rms_norm(x, x.shape[-1:], self.weight, 1e-6)
        return x if gate is None else x * nn.functional.silu(gate)


def unit(x: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1, as their kernels make them."""
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def kernels(fla: Source) -> dict[str, Any]:
    """What stands for their kernels, by the kernels' names."""

    def naive(operation: str, name: str) -> Any:
        return vars(fla.take(f"fla/ops/{operation}/naive.py", name, **GIVEN))[name]

    gla = naive("gla", "naive_recurrent_gla")
    retention = naive("retention", "naive_retention")
    delta = naive("delta_rule", "delta_rule_recurrence")
    gated = naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")
    rotary = fla.take("fla/modules/rotary.py", "rotate_half", "rotary_embedding_ref", **GIVEN)

    class RotaryEmbedding(nn.Module):
        """Rotary positions, by their plain function."""

        def __init__(self, dim: int):
            super().__init__()
            self.rates = 10_000.0 ** (-torch.arange(0, dim, 2) / dim)

        def forward(self, q: torch.Tensor, k: torch.Tensor, **_: Any) -> tuple[torch.Tensor, ...]:
            angles = torch.arange(q.shape[1])[:, None] * self.rates
            turn = angles.cos(), angles.sin()
            return tuple(rotary.rotary_embedding_ref(x, *turn) for x in (q, k))

    def run_retention(q, k, v, **_):
        return heads_first(retention(*heads_first(q, k, v)))[0], None

    def run_delta(q, k, v, beta, **_):
        return heads_first(delta(*heads_first(unit(q), unit(k), v, beta))[0])[0], None

    def run_gated(q, k, v, g, beta, **_):
        g = torch.zeros_like(beta) if g is None else g
        return gated(unit(q), unit(k), v, beta, g)

    return {
        "RotaryEmbedding": RotaryEmbedding,
        "fused_recurrent_gla": lambda q, k, v, gk, **_: gla(q, k, v, gk),
        "fused_recurrent_retention": run_retention,
        "fused_recurrent_delta_rule": run_delta,
        "fused_recurrent_gated_delta_rule": run_gated,
    }


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    torch.manual_seed(0)
    recording, drawn = Recording(), Drawn(70)
    fla = Source(folder, "fla-org/flash-linear-attention")
    around = {
        "warnings": warnings,
        "RMSNorm": RMSNorm,
        "FusedRMSNormGated": RMSNorm,
        "ShortConvolution": None,
        "ACT2FN": {"swish": nn.functional.silu},
        "get_layer_cache": lambda *_: None,
        "update_layer_cache": lambda *_, **__: None,
        "unpad_hidden_states": lambda x, *_: (x, None, None),
        "repad_hidden_states": lambda x, *_: x,
    }

    def call(module: nn.Module, x: torch.Tensor) -> Tensors:
        return {"out": module(x)[0]}

    layers = {
        "gla": ("gla", "GatedLinearAttention", {"gate_low_rank_dim": 3}),
        "retention": ("multiscale_retention", "MultiScaleRetention", {}),
        "deltanet": ("delta_net", "DeltaNet", {"allow_neg_eigval": True}),
        "deltaproduct": ("gated_deltaproduct", "GatedDeltaProduct", {"head_dim": 4}),
        "deltaproduct_without_decay": (
            "gated_deltaproduct",
            "GatedDeltaProduct",
            {"head_dim": 4, "use_forget_gate": False, "num_householder": 3},
        ),
    }
    for case, (file, name, settings) in layers.items():
        path = f"fla/layers/{file}.py"
        kind = vars(fla.take(path, name, **GIVEN, **around, **kernels(fla)))[name]
        module = kind(hidden_size=D, num_heads=H, use_short_conv=False, **settings)
        origin = fla.origin(path, name)
        record_module(recording, case, origin, spread(module), call, drawn.normal(B, L, D))
    recording.write(__file__)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
