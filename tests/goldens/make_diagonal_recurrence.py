"""Makes diagonal_recurrence.npz: recurrences of a vector, feature by feature.

    python tests/goldens/make_diagonal_recurrence.py FOLDER

README.md says what FOLDER holds and what has to be installed. x, h, delta are [B, L, D], A [D, N],
B, C [B, L, N], states [B, D] or [B, D, N].
"""

import sys

import numpy as np
import torch
from make_gradients import ANNOTATIONS, GIVEN, TRANSFORMERS, Drawn, Tensors, record
from recording import Recording, Source, exact
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

B, L, D, N = 2, 70, 6, 4


def real(recording: Recording, gemma: Source, drawn: Drawn) -> None:
    """``h_t = a_t h_{t-1} + b_t`` (RG-LRU's scan), from a state."""
    path, name = "recurrentgemma/torch/layers.py", "rnn_scan"
    function = vars(gemma.take(path, name, torch=torch, at=ANNOTATIONS))[name]

    def run(a, b, state) -> Tensors:
        h, last = function(b, a, torch.zeros(b.shape[:2], dtype=torch.bool), state)
        return {"h": h, "state": last}

    inputs = {
        "a": exact(np.exp(drawn.log_decay(B, L, D))),
        "b": drawn.normal(B, L, D),
        "state": drawn.normal(B, D),
    }
    record(recording, "real/recurrentgemma", gemma.origin(path, name), run, inputs)


def log_space(recording: Recording, minimal: Source, drawn: Drawn) -> None:
    """The same of positive numbers by their logs (minGRU's scan)."""
    path, name = "minGRU_pytorch/minGRU.py", "heinsen_associative_scan_log"
    function = vars(minimal.take(path, name, torch=torch))[name]

    def run(log_a, log_b) -> Tensors:
        return {"h": function(log_a, log_b)}

    log_a = np.maximum(drawn.log_decay(B, 37, D), -8)  # sums of logs lose what is far smaller
    inputs = {"log_a": log_a, "log_b": drawn.normal(B, 37, D)}
    record(recording, "log/minGRU", minimal.origin(path, name), run, inputs, torch.float64)


def selective(recording: Recording, mamba: Source, drawn: Drawn) -> None:
    """Mamba's selective scan, whose factors are expanded: theirs and a library's."""
    inputs = {
        "x": drawn.normal(B, L, D),
        "delta": drawn.normal(B, L, D),
        "A": -drawn.uniform(D, N, low=0.1, high=6.0),
        "B": drawn.normal(B, L, N),
        "C": drawn.normal(B, L, N),
        "D": drawn.normal(D),
        "z": drawn.normal(B, L, D),
        "delta_bias": drawn.normal(D),
    }
    path, name = "mamba_ssm/ops/selective_scan_interface.py", "selective_scan_ref"
    theirs = vars(mamba.take(path, name, **GIVEN))[name]
    for case, origin, function in (
        ("selective/mamba", mamba.origin(path, name), theirs),
        ("selective/transformers", f"{TRANSFORMERS}::mamba_selective_scan", mamba_selective_scan),
    ):

        def run(x, delta, A, B, C, D, z, delta_bias, function=function) -> Tensors:
            x, delta, B, C, z = (array.mT for array in (x, delta, B, C, z))
            out, last = function(x, delta, A, B, C, D, z, delta_bias, True, True)
            return {"out": out.mT, "state": last}

        record(recording, case, origin, run, inputs)


def slstm(recording: Recording, xlstm: Source, drawn: Drawn) -> None:
    """sLSTM's cell: x [B, L, gates i, f, z, o, H, K], R [H, K, gates, K] from the outputs before.

    The states y, c and n [B, H, K]: outputs, cells and normalisers, the last two times exp(m) so
    that they don't depend on m, by whose logs theirs are scaled; m before is a setting.
    """
    folder, H, K = "xlstm/blocks/slstm/src/vanilla", 2, 4
    point = vars(
        xlstm.take(
            f"{folder}/slstm.py",
            "slstm_forward_pointwise",
            torch=torch,
            logsigmoid=torch.nn.functional.logsigmoid,
        )
    )["slstm_forward_pointwise"]
    path, name = f"{folder}/__init__.py", "slstm_forward"
    function = vars(xlstm.take(path, name, torch=torch))[name]

    def run(x, R, bias, **before) -> Tensors:
        before["m"] = torch.tensor(m)
        theirs = torch.stack([before[name] for name in "ycnm"]).flatten(2)
        sequence = x.flatten(2).transpose(0, 1)
        kernel = R.permute(0, 2, 3, 1).reshape(H, 4 * K, K)
        states, last, _ = function(sequence, theirs, kernel, bias.flatten(), point)
        y, c, n, after = last.unflatten(-1, (H, K))
        out = states[0, 1:].transpose(0, 1).unflatten(-1, (H, K))
        return {"out": out, "y": y, "c": c * torch.exp(after), "n": n * torch.exp(after)}

    inputs = {
        "x": drawn.normal(B, 37, 4, H, K, scale=2.0),
        "R": drawn.normal(H, K, 4, K, scale=0.5),
        "bias": drawn.normal(4, H, K),
        "y": drawn.normal(B, H, K),
        "c": drawn.normal(B, H, K),
        "n": drawn.uniform(B, H, K, low=0.5, high=2.0),
    }
    m = drawn.normal(B, H, K)
    record(recording, "slstm/xlstm", xlstm.origin(path, name), run, inputs, m=m)


def long_convolution(recording: Recording, safari: Source, s4: Source, drawn: Drawn) -> None:
    """A causal convolution with a filter of the sequence's length, and S4D's filter."""
    path, name = "standalone_hyena.py", "fftconv"
    function = vars(safari.take(path, name, torch=torch))[name]

    def convolve(x, filters, skip) -> Tensors:
        return {"out": function(x.mT, filters.mT, skip).mT}

    inputs = {
        "x": drawn.normal(B, L, D),
        "filters": drawn.normal(L, D),
        "skip": drawn.normal(D),
    }
    record(recording, "fft/safari", safari.origin(path, name), convolve, inputs, torch.float64)

    path, name = "models/s4/s4d.py", "S4DKernel"
    kind = vars(s4.take(path, name, **GIVEN))[name]

    class Kernel(kind):
        """Of parameters that are given."""

        def __init__(self, **parameters):
            torch.nn.Module.__init__(self)
            vars(self).update(parameters)

    def kernel(C, log_dt, log_A_real, A_imag) -> Tensors:
        parameters = {"C": C, "log_dt": log_dt, "log_A_real": log_A_real, "A_imag": A_imag}
        return {"filters": Kernel(**parameters)(L)}

    inputs = {
        "C": drawn.normal(D, N // 2, 2),
        "log_dt": drawn.uniform(D, low=-5.0, high=-1.0),
        "log_A_real": drawn.normal(D, N // 2),
        "A_imag": drawn.uniform(D, N // 2, high=8.0),
    }
    record(recording, "s4d/s4", s4.origin(path, name), kernel, inputs, torch.float64)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording = Recording()
    real(recording, Source(folder, "google-deepmind/recurrentgemma"), Drawn(20))
    log_space(recording, Source(folder, "lucidrains/minGRU-pytorch"), Drawn(21))
    selective(recording, Source(folder, "state-spaces/mamba"), Drawn(22))
    slstm(recording, Source(folder, "NX-AI/xlstm"), Drawn(23))
    safari, s4 = Source(folder, "HazyResearch/safari"), Source(folder, "state-spaces/s4")
    long_convolution(recording, safari, s4, Drawn(24))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
