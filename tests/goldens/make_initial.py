"""Makes initial.npz: what the parameters of papers' own layers begin with.

    python tests/goldens/make_initial.py FOLDER

README.md says what FOLDER holds and what has to be installed. Kept are the distributions over 8
seeds (Recording.distribution), by the layer's and the parameter's names there.
"""

import logging
import math
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from make_gradients import ANNOTATIONS, GIVEN
from recording import Recording, Source
from torch import nn

SEEDS = 8
D = 64


class Empty(nn.Module):
    """What stands for a part that isn't looked at."""

    def __init__(self, *_: Any, **__: Any):
        super().__init__()


def keep(
    recording: Recording,
    case: str,
    origin: str,
    make: Callable[[], nn.Module],
    *names: str,
) -> None:
    """Keeps what the named parameters of a module begin with, or all of them."""
    recording.arrays[f"{case}/origin"] = np.array(origin)
    drawn: list[dict[str, np.ndarray]] = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        drawn.append({name: p.detach().numpy().copy() for name, p in make().named_parameters()})
    for name in names or drawn[0]:
        recording.distribution(f"{case}/{name}", [arrays[name] for arrays in drawn])


def mamba(recording: Recording, source: Source) -> None:
    """Mamba, Mamba-2 and Mamba-3."""
    path = "mamba_ssm/modules/mamba_simple.py"
    kind = source.take(path, "Mamba", **GIVEN).Mamba
    keep(recording, "mamba", source.origin(path, "Mamba"), lambda: kind(D, d_state=16))

    path = "mamba_ssm/modules/mamba2.py"
    given = {"PyTorchModelHubMixin": object, "RMSNormGated": Empty}
    kind2 = source.take(path, "Mamba2", **GIVEN, **given).Mamba2

    def make():
        return kind2(D, d_state=16, headdim=4)

    keep(recording, "mamba2", source.origin(path, "Mamba2"), make)

    path = "mamba_ssm/modules/mamba3.py"
    kind3 = source.take(path, "Mamba3", **GIVEN, **given).Mamba3

    def make():
        return kind3(D, d_state=16, headdim=4)

    keep(recording, "mamba3", source.origin(path, "Mamba3"), make)


def gated_deltas(recording: Recording, fla: Source) -> None:
    """Gated DeltaNet's and Kimi Delta Attention's decays."""
    given = {"ShortConvolution": Empty, "FusedRMSNormGated": Empty, "RMSNorm": Empty}
    for case, kind in (("gated_deltanet", "GatedDeltaNet"), ("kda", "KimiDeltaAttention")):
        path = f"fla/layers/{case}.py"
        make_kind = vars(fla.take(path, kind, **GIVEN, **given, ACT2FN={"swish": None}))[kind]

        def make(make_kind=make_kind) -> nn.Module:
            return make_kind(hidden_size=D, num_heads=16, head_dim=4)

        keep(recording, case, fla.origin(path, kind), make, "A_log", "dt_bias")


def griffin(recording: Recording, gemma: Source) -> None:
    """The gates of Griffin's recurrent block."""
    path = "recurrentgemma/torch/layers.py"
    names = ("rnn_param_init", "BlockDiagonalLinear", "RGLRU", "Conv1D")
    given = {"at": ANNOTATIONS, "overload": lambda function: function}
    layers = gemma.take(path, *names, **GIVEN, **given)
    path = "recurrentgemma/torch/modules.py"
    kind = gemma.take(path, "RecurrentBlock", **GIVEN, **given, layers=layers).RecurrentBlock
    origin = gemma.origin(path, "RecurrentBlock")
    gates = [f"rg_lru.{gate}_gate.{part}" for gate in ("input", "a") for part in "wb"]
    keep(recording, "griffin", origin, lambda: kind(D, num_heads=4), *gates)


def xlstm(recording: Recording, source: Source) -> None:
    """The cells of mLSTM, and of sLSTM in the first of four blocks."""
    path = "xlstm/components/init.py"
    start = source.take(path, "bias_linspace_init_", **GIVEN).bias_linspace_init_
    given = {"MultiHeadLayerNorm": Normal, "bias_linspace_init_": start}
    functions = ("parallel_stabilized_simple", "recurrent_step_stabilized_simple")
    given |= dict.fromkeys((*functions, "mLSTMCellConfig"))
    path = "xlstm/blocks/mlstm/cell.py"
    kind = source.take(path, "mLSTMCell", **GIVEN, **given).mLSTMCell
    config = SimpleNamespace(embedding_dim=D, num_heads=4, context_length=4)
    keep(recording, "mlstm", source.origin(path, "mLSTMCell"), lambda: kind(config))

    path = "xlstm/blocks/slstm/cell.py"
    cell = source.take(path, "sLSTMCellBase", **GIVEN, sqrt=math.sqrt, sLSTMCellConfig=None)

    class Cell(nn.Module):
        """What their cell begins with: weights [H, K, gates, K] and biases [H, gates, K]."""

        def __init__(self):
            super().__init__()
            heads, width = 4, D // 4
            self.config = SimpleNamespace(
                num_heads=heads,
                head_dim=width,
                hidden_size=D,
                recurrent_weight_init="zeros",
                bias_init="powerlaw_blockdependent",
                _block_idx=0,
                _num_blocks=4,
            )
            self.recurrent_kernel = nn.Parameter(torch.ones(heads, width, 4, width))
            self.bias = nn.Parameter(torch.ones(heads, 4, width))
            with torch.no_grad():
                cell.sLSTMCellBase.reset_parameters(self)

    keep(recording, "slstm", source.origin(path, "sLSTMCellBase"), Cell)


class Normal(Empty):
    """A norm whose parameters aren't looked at."""

    def reset_parameters(self) -> None:
        """Leaves them as they are."""


def others(recording: Recording, folder: str) -> None:
    """S4D, Hyena and a learned long filter."""
    s4 = Source(folder, "state-spaces/s4")
    path = "models/s4/s4d.py"
    s4d = s4.take(path, "S4DKernel", "S4D", **GIVEN, DropoutNd=None).S4D
    keep(recording, "s4d", s4.origin(path, "S4D"), lambda: s4d(D, d_state=16))

    safari, path = Source(folder, "HazyResearch/safari"), "standalone_hyena.py"
    names = ("OptimModule", "Sin", "PositionalEmbedding", "ExponentialModulation")
    hyena = safari.take(path, *names, "HyenaFilter", "HyenaOperator", **GIVEN).HyenaOperator
    origin = safari.origin(path, "HyenaOperator")
    keep(recording, "hyena", origin, lambda: hyena(D, 64, filter_order=64, emb_dim=3))

    path, base = "src/models/sequence/long_conv_kernel.py", safari.take(path, names[0], **GIVEN)
    kernel = safari.take(path, "LongConvKernel", **GIVEN, OptimModule=base.OptimModule)
    origin = safari.origin(path, "LongConvKernel")

    def make():
        return kernel.LongConvKernel(32, 48, weight_init="double_exp")

    keep(recording, "long_convolution", origin, make)


def rwkv7(recording: Recording, source: Source) -> None:
    """RWKV-7's time mixing in a first of four layers, as training begins."""
    path = "RWKV-v7/train_temp/src/model.py"
    given = {**GIVEN, "MyModule": nn.Module, "MyFunction": lambda function: function}
    kind = source.take(path, "RWKV_Tmix_x070", **given).RWKV_Tmix_x070
    settings = SimpleNamespace(head_size=16, dim_att=D, n_embd=D, n_layer=4, my_testing="x070")
    origin = source.origin(path, "RWKV_Tmix_x070")
    keep(recording, "rwkv7", origin, lambda: kind(settings, 0))


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording = Recording()
    mamba(recording, Source(folder, "state-spaces/mamba"))
    gated_deltas(recording, Source(folder, "fla-org/flash-linear-attention"))
    griffin(recording, Source(folder, "google-deepmind/recurrentgemma"))
    xlstm(recording, Source(folder, "NX-AI/xlstm"))
    others(recording, folder)
    rwkv7(recording, Source(folder, "BlinkDL/RWKV-LM"))
    recording.write(__file__)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(sys.argv[1])
