"""Makes torch.npz: PyTorch's layers on small inputs, to compare ours with.

    .venv-torch/bin/python tests/goldens/make_torch.py

(`sh tools/setup-torch.sh` makes that environment.) Every case stores its inputs, its state dict,
its outputs and the gradient of a weighted sum of the outputs with respect to the inputs.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import gelu

WIDTH, HEADS, HIDDEN, LENGTH = 8, 2, 16, 9
LENGTHS = (9, 5)
STORED: dict[str, np.ndarray] = {"version": np.array(torch.__version__)}


def store(
    case: str, module: nn.Module, x: torch.Tensor, run: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Runs a module and keeps all of it under the case's name."""
    x = x.clone().requires_grad_()
    out = run(x)
    weights = torch.randn(out.shape)
    (out * weights).sum().backward()
    arrays = {"x": x, "out": out, "weights": weights, "d_x": x.grad}
    arrays |= {f"state/{name}": value for name, value in module.state_dict().items()}
    for name, value in arrays.items():
        assert value is not None
        STORED[f"{case}/{name}"] = value.detach().numpy()


def padded(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A recurrent module on rows of LENGTHS, packed."""
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True)
    return nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True)[0]


def main() -> None:
    """Makes every case and writes them beside this script."""
    torch.manual_seed(0)
    x = torch.randn(2, LENGTH, WIDTH)
    masked = torch.arange(LENGTH)[None] >= torch.tensor(LENGTHS)[:, None]
    causal = nn.Transformer.generate_square_subsequent_mask(LENGTH)

    kinds = {
        "rnn-tanh": partial(nn.RNN, nonlinearity="tanh"),
        "rnn-relu": partial(nn.RNN, nonlinearity="relu"),
        "lstm": nn.LSTM,
        "gru": nn.GRU,
    }
    for name, kind in kinds.items():
        for both in (False, True):
            module = kind(WIDTH, WIDTH, batch_first=True, bidirectional=both)
            case = f"{name}-bidirectional" if both else name
            store(case, module, x, lambda x, module=module: module(x)[0])
            store(f"{case}-padded", module, x, partial(padded, module))

    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    for bias in (attention.in_proj_bias, attention.out_proj.bias):
        nn.init.normal_(bias)  # zeros would hide a mistake

    def attend(x, **settings):
        return attention(x, x, x, need_weights=False, **settings)[0]

    store("attention", attention, x, attend)
    store("attention-causal", attention, x, partial(attend, attn_mask=causal))
    store("attention-padded", attention, x, partial(attend, key_padding_mask=masked))

    settings = {
        "dropout": 0.0,
        "activation": partial(gelu, approximate="tanh"),
        "layer_norm_eps": 1e-6,
        "batch_first": True,
    }
    memory = torch.randn(2, LENGTH, WIDTH)
    STORED["memory"] = memory.numpy()
    for first in (True, False):
        order = "pre" if first else "post"
        encoder = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, norm_first=first, **settings)
        store(f"encoder-{order}", encoder, x, partial(encoder, src_key_padding_mask=masked))
        decoder = nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, norm_first=first, **settings)

        def run(x, decoder=decoder):
            return decoder(x, memory, tgt_mask=causal, memory_key_padding_mask=masked)

        store(f"decoder-{order}", decoder, x, run)

    sequence, plane = torch.randn(2, 6, 15), torch.randn(2, 6, 9, 8)
    for name, module, x in (
        ("conv1d", nn.Conv1d(6, 4, 3), sequence),
        ("conv1d-dilated", nn.Conv1d(6, 4, 3, dilation=4), sequence),
        ("conv1d-grouped", nn.Conv1d(6, 4, 3, groups=2), sequence),
        ("conv2d", nn.Conv2d(6, 4, (3, 2)), plane),
        ("conv2d-dilated", nn.Conv2d(6, 4, (3, 2), dilation=2), plane),
        ("conv2d-strided", nn.Conv2d(6, 4, (3, 2), stride=2), plane),
        ("conv2d-grouped", nn.Conv2d(6, 12, (3, 2), groups=3), plane),
        ("conv2d-depthwise", nn.Conv2d(6, 6, (3, 3), groups=6), plane),
    ):
        store(name, module, x, module)
    np.savez_compressed(Path(__file__).with_name("torch.npz"), **STORED)


if __name__ == "__main__":
    main()
