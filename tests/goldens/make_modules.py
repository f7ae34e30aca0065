"""Makes modules.npz: whole layers of papers' own repositories in PyTorch, with small parameters.

    python tests/goldens/make_modules.py FOLDER

README.md says what FOLDER holds and what has to be installed; what is kept is as in make_layers.py.
"""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from make_gradients import ANNOTATIONS, GIVEN, Drawn, Tensors, record_module
from make_layers import spread
from recording import Recording, Source
from torch import nn

B, L, D, H = 2, 37, 8, 2
PRECISE = torch.float64
"""Of what loses digits in float32: sums of logs, transforms."""


def whole(module: nn.Module, x: torch.Tensor) -> Tensors:
    """What a module returns."""
    return {"out": module(x)}


def minimal(recording: Recording, source: Source, drawn: Drawn) -> None:
    """minGRU and minLSTM in their logs' form, twice as wide inside."""
    path = "minGRU_pytorch/minGRU.py"
    names = ("exists", "default", "heinsen_associative_scan_log", "g", "log_g", "minGRU")
    given = {**GIVEN, "Linear": nn.Linear, "Identity": nn.Identity}
    first = vars(source.take(path, *names, Module=nn.Module, **given))
    module = spread(first["minGRU"](D, expansion_factor=2.0))
    origin = source.origin(path, "minGRU")
    record_module(recording, "mingru", origin, module, whole, drawn.normal(B, L, D), PRECISE)
    path = "minGRU_pytorch/minLSTM.py"
    second = source.take(path, "minLSTM", Module=nn.Module, **given, **first)
    module = spread(second.minLSTM(D, expansion_factor=2.0))
    origin = source.origin(path, "minLSTM")
    record_module(recording, "minlstm", origin, module, whole, drawn.normal(B, L, D), PRECISE)


def rglru(recording: Recording, gemma: Source, drawn: Drawn) -> None:
    """The RG-LRU alone, after a state: at the start of a sequence it leaves its root out."""
    path = "recurrentgemma/torch/layers.py"
    names = ("rnn_scan", "rnn_param_init", "SqrtBoundDerivative", "BlockDiagonalLinear", "RGLRU")
    given = {"at": ANNOTATIONS, "overload": lambda function: function}
    kind = gemma.take(path, "_MAX_SQRT_GRADIENT", *names, **GIVEN, **given).RGLRU
    module = kind(D, H)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    origin = gemma.origin(path, "RGLRU")

    state = torch.tensor(drawn.normal(B, D))

    def on(module, x) -> Tensors:
        out, last = module(x, torch.arange(5, 5 + L).expand(B, L), state)
        return {"out": out, "state": last}

    x = drawn.normal(B, L, D)
    record_module(recording, "rglru", origin, module, on, x, state=state.numpy())


def s4d(recording: Recording, s4: Source, drawn: Drawn) -> None:
    """S4D with its gated projection, and its activation in the tanh approximation."""
    path = "models/s4/s4d.py"
    kind = s4.take(path, "S4DKernel", "S4D", **GIVEN, DropoutNd=None).S4D
    module = spread(kind(D, d_state=4, transposed=False))
    module.activation = nn.GELU(approximate="tanh")
    origin = s4.origin(path, "S4D")

    def call(module, x):
        return {"out": module(x)[0]}

    record_module(recording, "s4d", origin, module, call, drawn.normal(B, L, D), PRECISE)


def hyena(recording: Recording, safari: Source, drawn: Drawn) -> None:
    """Hyena of order 2, and of 3 on sequences shorter than its filters."""
    path = "standalone_hyena.py"
    names = ("fftconv", "OptimModule", "Sin", "PositionalEmbedding", "ExponentialModulation")
    kinds = safari.take(path, *names, "HyenaFilter", "HyenaOperator", **GIVEN)
    for order, length in ((2, L), (3, 50)):
        module = spread(kinds.HyenaOperator(D, length, order, filter_order=8, emb_dim=5))
        places = module.filter_fn.pos_emb  # learned there, at a hundred-thousandth
        places.z = nn.Buffer(places._parameters.pop("z").detach())
        settings = {"order": order, "length": length}
        x, origin = drawn.normal(B, L, D), safari.origin(path, "HyenaOperator")
        record_module(recording, f"hyena{order}", origin, module, whole, x, PRECISE, **settings)


def long_convolution(recording: Recording, safari: Source, drawn: Drawn) -> None:
    """A learned filter, smoothed and squashed, with the activation in the tanh approximation."""
    path = "src/models/sequence/long_conv_kernel.py"
    base = safari.take("standalone_hyena.py", "OptimModule", **GIVEN).OptimModule
    kernel = safari.take(path, "LongConvKernel", **GIVEN, OptimModule=base).LongConvKernel

    def projection(width: int, out: int, **_: Any) -> nn.Module:
        return nn.Sequential(nn.Conv1d(width, 2 * out, 1), nn.GLU(dim=1))

    given = {
        "LongConvKernel": kernel,
        "contract": torch.einsum,
        "Activation": lambda _: nn.GELU(approximate="tanh"),
        "LinearActivation": projection,
    }
    path = "src/models/sequence/long_conv.py"
    kind = safari.take(path, "LongConv", **GIVEN, **given).LongConv
    settings = {"lam": 0.003, "use_ma_smoothing": True, "ma_window_len": 5}
    module = spread(kind(D, l_max=L, weight_init="double_exp", **settings))

    def call(module, x):
        return {"out": module(x.mT)[0].mT}

    origin, x = safari.origin(path, "LongConv"), drawn.normal(B, L, D)
    record_module(recording, "long_convolution", origin, module, call, x, PRECISE, **settings)


def rwkv7(recording: Recording, source: Source, drawn: Drawn) -> None:
    """RWKV-7's time mixing of a first layer: in PyTorch, and a token at a time in NumPy."""
    path = "RWKV-v7/rwkv_v7_demo.py"
    ranks = {"D_DECAY_LORA": 3, "D_AAA_LORA": 3, "D_MV_LORA": 2, "D_GATE_LORA": 5}
    theirs = source.take(
        path,
        "RWKV7_OP",
        "RWKV_Tmix_x070",
        **GIVEN,
        **ranks,
        HEAD_SIZE=D // H,
        MyModule=nn.Module,
        MyFunction=lambda function: function,
        DTYPE=torch.float32,
    )
    settings = SimpleNamespace(head_size_a=D // H, dim_att=D, n_embd=D)
    module = theirs.RWKV_Tmix_x070(settings, layer_id=0)
    module.v0 = module.v1 = module.v2 = None  # of later layers
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = drawn.normal(B, L, D)

    def call(module, x):
        return {"out": module(x, torch.zeros(()))[0]}

    record_module(recording, "rwkv7", source.origin(path, "RWKV_Tmix_x070"), module, call, x)

    path = "RWKV-v7/rwkv_v7_numpy.py"
    given = {"np": np, "N_HEAD": H, "HEAD_SIZE": D // H}
    mixing = source.take(path, "group_norm", "sigmoid", "time_mixing", **given).time_mixing
    inputs = {
        name.removeprefix("rwkv7/input/"): array.astype(np.float32)
        for name, array in recording.arrays.items()
        if name.startswith("rwkv7/input/")
    }
    names = [f"x_{part}" for part in "rwkvag"]
    names += ["w0", "r_k", "w1", "w2", "a1", "a2", "a0", "g1", "g2", "k_k", "k_a"]
    names += [f"{name}.weight" for name in ("receptance", "key", "value", "output", "ln_x")]
    given = [inputs[name].squeeze() for name in [*names, "ln_x.bias"]]
    outputs, states = [], []
    for row in x:
        last, state, out = np.zeros(D), np.zeros((H, D // H, D // H)), []
        for token in row:
            one, _, last, state = mixing(token, None, last, state, given)
            out.append(one)
        outputs.append(out)
        states.append(state)
    found = {"out": np.float32(outputs), "state": np.float32(states).swapaxes(-1, -2)}
    recording.add("rwkv7_numpy", source.origin(path, "time_mixing"), inputs, found, {}, {})


def mamba3(recording: Recording, mamba: Source, drawn: Drawn) -> None:
    """Mamba-3 with one input and output, its kernel replaced by its tests' two plain functions.

    Its rates are softplus as in the paper and its first release, not what the repository has since
    put in the place (heavy_tail_activation); its norms' eps is 1e-6 in the place of 1e-5.
    """
    norm = mamba.take("mamba_ssm/ops/triton/layernorm_gated.py", "rms_norm_ref", **GIVEN)
    names = ("mamba3_siso_fwd_ref", "mamba3_siso_step_ref")
    plain = mamba.take("tests/ops/triton/test_mamba3_siso.py", "_segsum", *names, **GIVEN)
    last: Tensors = {}

    class RMSNormGated(nn.Module):
        """Their norm, by its plain function."""

        def __init__(self, width: int, eps: float, **_):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return norm.rms_norm_ref(x, self.weight, None, eps=1e-6)

    x, inputs = drawn.normal(B, L, D), None
    for name in names:

        def siso(chunk_size, return_final_states, cu_seqlens, name=name, **given) -> torch.Tensor:
            before = given.pop("Input_States")
            out, states = getattr(plain, name)(*given.values(), before)
            angle, state, key, value = states[:4]
            last.update(angle=angle, state=state.mT, key=key, value=value)
            return out

        path = "mamba_ssm/modules/mamba3.py"
        kernels = {"mamba3_siso_combined": siso, "mamba3_mimo_combined": None}
        given = {"RMSNormGated": RMSNormGated, "heavy_tail_activation": nn.functional.softplus}
        module = mamba.take(path, "Mamba3", **GIVEN, **kernels, **given).Mamba3(
            D, d_state=8, headdim=4
        )
        if inputs is not None:
            module.load_state_dict(inputs)
        inputs = spread(module).state_dict()

        def call(module, x):
            return {"out": module(x), **last}

        origin = mamba.origin(path, "Mamba3") + f", {name}"
        case = "mamba3/" + ("whole" if name == names[0] else "steps")
        record_module(recording, case, origin, module, call, x)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    torch.manual_seed(0)
    recording = Recording()
    minimal(recording, Source(folder, "lucidrains/minGRU-pytorch"), Drawn(50))
    rglru(recording, Source(folder, "google-deepmind/recurrentgemma"), Drawn(51))
    s4d(recording, Source(folder, "state-spaces/s4"), Drawn(52))
    hyena(recording, Source(folder, "HazyResearch/safari"), Drawn(53))
    rwkv7(recording, Source(folder, "BlinkDL/RWKV-LM"), Drawn(54))
    mamba3(recording, Source(folder, "state-spaces/mamba"), Drawn(55))
    long_convolution(recording, Source(folder, "HazyResearch/safari"), Drawn(56))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
