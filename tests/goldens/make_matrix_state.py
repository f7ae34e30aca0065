"""Makes matrix_state.npz: recurrences of a matrix that nothing is erased from.

    python tests/goldens/make_matrix_state.py FOLDER

README.md says what FOLDER holds and what has to be installed. Letters and their order are those of
seqmodels/arrays.py: q, k [B, L, H, K], v, o [B, L, H, U], g (the log of a decay) [B, L, H] or with
[K], states [B, H, K, U].
"""

import sys

import numpy as np
import torch
from make_gradients import GIVEN, TRANSFORMERS, Drawn, Tensors, heads_first, record
from recording import Recording, Source
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
from transformers.models.minimax.configuration_minimax import MiniMaxConfig
from transformers.models.minimax.modeling_minimax import MiniMaxLightningAttention
from transformers.models.xlstm.modeling_xlstm import mlstm_recurrent_sequence_native

B, H, K, U, N = 2, 2, 6, 4, 3


def linear_attention(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """Without a decay, normalised or not, and with RetNet's."""
    path, name = "fla/ops/linear_attn/naive.py", "naive_recurrent_linear_attn"
    function = vars(fla.take(path, name, **GIVEN))[name]
    scale = K**-0.5

    def plain(q, k, v, state) -> Tensors:
        o, last = function(q, k, v, initial_state=state, output_final_state=True)
        return {"o": o, "state": last}

    def normalised(q, k, v, state, keys) -> Tensors:
        before = (state, keys[:, None])
        o, last = function(q, k, v, initial_state=before, output_final_state=True, normalize=True)
        return {"o": o, "state": last[0], "keys": last[1][:, 0]}

    inputs = {
        "q": drawn.normal(B, 37, H, K),
        "k": drawn.normal(B, 37, H, K),
        "v": drawn.normal(B, 37, H, U),
        "state": drawn.normal(B, H, K, U),
    }
    origin = fla.origin(path, name)
    record(recording, "linear/fla", origin, plain, inputs, scale=scale)
    positive = inputs | {name: np.abs(inputs[name]) for name in "qk"}
    positive["keys"] = np.abs(drawn.normal(B, H, K))
    record(recording, "normalised/fla", origin, normalised, positive, scale=scale)

    path, name = "fla/ops/retention/naive.py", "naive_retention"
    function_of_retention = vars(fla.take(path, name, **GIVEN))[name]

    def retention(q, k, v) -> Tensors:
        (o,) = heads_first(function_of_retention(*heads_first(q, k, v)))
        return {"o": o}

    origin, inputs = fla.origin(path, name), {name: inputs[name] for name in "qkv"}
    record(recording, "retention/fla", origin, retention, inputs, scale=scale)


def lightning(recording: Recording, drawn: Drawn) -> None:
    """MiniMax's attention with a fixed decay a head, without what is around it; halved by a gate.

    q, k, v have one width in it; its decays are kept as g [H].
    """
    config = MiniMaxConfig(
        hidden_size=H * K,
        num_attention_heads=H,
        num_hidden_layers=4,
        head_dim=K,
        block_size=16,
        layer_types=["linear_attention"] * 4,
    )
    module = MiniMaxLightningAttention(config, layer_idx=1).eval()
    module.act_fn = module.qkv_proj = module.norm = module.out_proj = torch.nn.Identity()
    module.output_gate = torch.nn.Linear(3 * H * K, H * K, bias=False)  # of the layer's inputs
    torch.nn.init.zeros_(module.output_gate.weight)

    def run(q, k, v) -> Tensors:
        fused = torch.cat([q, k, v], dim=-1).flatten(2)
        out, last = module(fused, None, None)
        return {"o": 2 * out.unflatten(-1, (H, K)), "state": last}

    inputs = {name: drawn.normal(B, 37, H, K) for name in "qkv"}
    decays = -module.slope_rate.flatten().numpy()
    origin = f"{TRANSFORMERS}::MiniMaxLightningAttention"
    record(recording, "lightning/transformers", origin, run, inputs, scale=1.0, g=decays)


def scalar_decay(recording: Recording, fla: Source, mamba: Source, drawn: Drawn) -> None:
    """A decay a head: fla's simple GLA, and Mamba-2's, of its paper's listing and of a library."""
    inputs = {
        "q": drawn.normal(B, 70, H, K),
        "k": drawn.normal(B, 70, H, K),
        "v": drawn.normal(B, 70, H, U),
        "g": drawn.log_decay(B, 70, H),
        "state": drawn.normal(B, H, K, U),
    }
    path, name = "fla/ops/simple_gla/naive.py", "naive_recurrent_simple_gla"
    simple = vars(fla.take(path, name, **GIVEN))[name]

    def of_fla(q, k, v, g, state) -> Tensors:
        o, last = simple(q, k, v, g, scale=1.0, initial_state=state)
        return {"o": o, "state": last}

    record(recording, "scalar/fla", fla.origin(path, name), of_fla, inputs, scale=1.0)

    path, name = "mamba_ssm/modules/ssd_minimal.py", "ssd_minimal_discrete"
    minimal = vars(mamba.take(path, "segsum", name, **GIVEN))[name]

    def of_mamba(q, k, v, g, state) -> Tensors:
        o, last = minimal(v, g, k, q, 10, state.mT[:, None])
        return {"o": o, "state": last.mT}

    record(recording, "scalar/mamba", mamba.origin(path, name), of_mamba, inputs, scale=1.0)

    inputs = {
        "x": drawn.normal(B, 37, H, U),
        "delta": drawn.normal(B, 37, H),
        "A": -drawn.uniform(H, low=0.5, high=4.0),
        "B": drawn.normal(B, 37, 1, N),
        "C": drawn.normal(B, 37, 1, N),
        "D": drawn.normal(H),
        "delta_bias": drawn.normal(H),
        "state": drawn.normal(B, H, N, U),
    }

    def of_transformers(x, delta, state, delta_bias, D, **factors) -> Tensors:
        o, last = mamba2_chunk_scan(
            x,
            delta,
            **factors,
            chunk_size=16,
            D=D,
            dt_bias=delta_bias,
            initial_states=state.mT,
            dt_softplus=True,
            return_final_states=True,
        )
        return {"o": o, "state": last.mT}

    origin = f"{TRANSFORMERS}::mamba2_chunk_scan"
    record(recording, "mamba2/transformers", origin, of_transformers, inputs)


def diagonal_decay(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """A decay a head and key channel (GLA)."""
    path, name = "fla/ops/gla/naive.py", "naive_recurrent_gla"
    function = vars(fla.take(path, name, **GIVEN))[name]

    def run(q, k, v, g, state) -> Tensors:
        o, last = function(q, k, v, g, state, True)
        return {"o": o, "state": last}

    inputs = {
        "q": drawn.normal(B, 70, H, K),
        "k": drawn.normal(B, 70, H, K),
        "v": drawn.normal(B, 70, H, U),
        "g": drawn.log_decay(B, 70, H, K),
        "state": drawn.normal(B, H, K, U),
    }
    record(recording, "diagonal/fla", fla.origin(path, name), run, inputs, scale=K**-0.5)


def mlstm(recording: Recording, kernels: Source, drawn: Drawn) -> None:
    """xLSTM's matrix memory: i, f [B, L, H] before their gates, keys [B, H, K] the normaliser.

    States are what their m scales, times exp(m), so that they don't depend on it; m before the
    first position is a setting. Their eps, which the paper hasn't, is 0.
    """
    inputs = {
        "q": drawn.normal(B, 37, H, K),
        "k": drawn.normal(B, 37, H, K),
        "v": drawn.normal(B, 37, H, U),
        "i": drawn.normal(B, 37, H, scale=2.0),
        "f": drawn.normal(B, 37, H, scale=2.0),
    }
    m = drawn.normal(B, H)

    def recurrent(q, k, v, i, f, state, keys) -> Tensors:
        o, last = mlstm_recurrent_sequence_native(
            *heads_first(q, k, v, i, f),
            state,
            keys,
            torch.tensor(m)[..., None],
            return_last_states=True,
            eps=0.0,
        )
        scale = torch.exp(last[2])
        return {
            "o": heads_first(o)[0],
            "state": last[0] * scale[..., None],
            "keys": last[1] * scale,
        }

    before = {"state": drawn.normal(B, H, K, U), "keys": drawn.normal(B, H, K)}
    origin = f"{TRANSFORMERS}::mlstm_recurrent_sequence_native"
    record(recording, "mlstm/transformers", origin, recurrent, inputs | before, scale=K**-0.5, m=m)

    path, name = "mlstm_kernels/torch/parallel/native/fw.py", "mlstm_parallel_fw"
    function = vars(kernels.take(path, name, **GIVEN))[name]

    def parallel(q, k, v, i, f) -> Tensors:
        return {"o": heads_first(function(*heads_first(q, k, v, i, f), eps=0.0)[0])[0]}

    origin = kernels.origin(path, name)
    record(recording, "mlstm/kernels", origin, parallel, inputs, scale=K**-0.5)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording = Recording()
    fla = Source(folder, "fla-org/flash-linear-attention")
    mamba = Source(folder, "state-spaces/mamba")
    linear_attention(recording, fla, Drawn(1))
    scalar_decay(recording, fla, mamba, Drawn(2))
    lightning(recording, Drawn(6))
    diagonal_decay(recording, fla, Drawn(3))
    mlstm(recording, Source(folder, "NX-AI/mlstm_kernels"), Drawn(4))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
