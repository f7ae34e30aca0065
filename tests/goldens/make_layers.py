"""Makes layers.npz: whole layers of Hugging Face transformers, with small parameters.

    python tests/goldens/make_layers.py

README.md says what has to be installed. The parameters are inputs as x [B, L, D] is, by their names
there; what they are drawn with is theirs, and what they begin with alike is moved apart.
"""

import torch
from make_gradients import TRANSFORMERS, Drawn, Tensors, record_module
from recording import Recording
from transformers.models.kimi_linear.configuration_kimi_linear import KimiLinearConfig
from transformers.models.kimi_linear.modeling_kimi_linear import KimiLinearDeltaAttention
from transformers.models.mamba.configuration_mamba import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.configuration_mamba2 import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.qwen3_next.configuration_qwen3_next import Qwen3NextConfig
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet
from transformers.models.recurrent_gemma.configuration_recurrent_gemma import RecurrentGemmaConfig
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
    RecurrentGemmaRecurrentBlock,
)
from transformers.models.xlstm.configuration_xlstm import xLSTMConfig
from transformers.models.xlstm.modeling_xlstm import xLSTMLayer

B, L, D, H = 2, 37, 8, 2
FIRST = "linear_attention"


def spread(module: torch.nn.Module) -> torch.nn.Module:
    """Moves a module's parameters apart where all have one value, or none."""
    for name, parameter in module.named_parameters():
        unset = name.endswith("forget_gate.dt_bias") or name.endswith("forget_gate.A_log")
        if unset or parameter.std() == 0 or name.startswith("rg_lru"):
            first = 0.0 if unset or name.startswith("rg_lru") else parameter.flatten()[0].item()
            torch.nn.init.normal_(parameter, mean=first, std=0.5)
    return module.eval()


def of_hidden_states(module: torch.nn.Module, x: torch.Tensor) -> Tensors:
    """What most of them return."""
    return {"out": module(x)}


def recurrent_gemma(module: torch.nn.Module, x: torch.Tensor) -> Tensors:
    """Griffin's block, without the start of a sequence, where it leaves its root out."""
    positions = torch.arange(1, L + 1).expand(B, L)
    return {"out": module(x, positions, None, use_cache=False)[0]}


def mlstm(module: torch.nn.Module, x: torch.Tensor) -> Tensors:
    """xLSTM's layer and the state after it, without its scale."""
    out, (state, keys, m) = module(x)
    scale = torch.exp(m)
    return {"out": out, "state": state * scale[..., None], "keys": keys * scale}


def main() -> None:
    """Makes every case and writes them beside this script."""
    torch.manual_seed(0)
    recording, drawn = Recording(), Drawn(40)
    mamba = MambaConfig(hidden_size=D, state_size=4, time_step_rank=3, num_hidden_layers=1)
    mamba2 = Mamba2Config(
        hidden_size=D,
        state_size=4,
        num_heads=4,
        head_dim=4,
        n_groups=1,
        chunk_size=16,
        num_hidden_layers=1,
        layer_norm_epsilon=1e-6,
    )
    gated_deltanet = Qwen3NextConfig(
        hidden_size=D,
        linear_num_key_heads=H,
        linear_num_value_heads=H,
        linear_key_head_dim=4,
        linear_value_head_dim=6,
        num_hidden_layers=1,
        layer_types=[FIRST],
    )
    kda = KimiLinearConfig(
        hidden_size=D,
        linear_num_heads=H,
        linear_head_dim=4,
        num_hidden_layers=1,
        layer_types=[FIRST],
        rms_norm_eps=1e-6,
    )
    griffin = RecurrentGemmaConfig(
        hidden_size=D, lru_width=12, num_attention_heads=H, num_hidden_layers=1
    )
    xlstm = xLSTMConfig(
        hidden_size=D,
        num_heads=H,
        num_hidden_layers=1,
        autocast_kernel_dtype="float32",
        chunk_size=16,
        eps=0.0,
    )
    layer = xLSTMLayer(xlstm)
    scale = torch.randn(D // H) / 2 + 1  # of a head's features: the same for both heads
    layer.multihead_norm.weight.data = scale.repeat(H)
    modules = {
        "mamba": (MambaMixer(mamba, 0), of_hidden_states),
        "mamba2": (Mamba2Mixer(mamba2, 0), of_hidden_states),
        "gated_deltanet": (Qwen3NextGatedDeltaNet(gated_deltanet, 0), of_hidden_states),
        "kda": (KimiLinearDeltaAttention(kda, 0), of_hidden_states),
        "griffin": (RecurrentGemmaRecurrentBlock(griffin, 0), recurrent_gemma),
        "mlstm": (layer, mlstm),
    }
    for case, (module, call) in modules.items():
        origin = f"{TRANSFORMERS}::{type(module).__name__}"
        x = drawn.normal(B, L, D)
        record_module(recording, case, origin, spread(module), call, x)
    recording.write(__file__)


if __name__ == "__main__":
    main()
