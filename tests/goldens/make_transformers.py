"""Makes transformers.npz: attention layers of Hugging Face transformers, to compare ours with.

    .venv-torch/bin/pip install transformers==5.24.0
    .venv-torch/bin/python tests/goldens/make_transformers.py

(`sh tools/setup-torch.sh` makes that environment.) Llama's attention has rotary positions and
shared heads of keys and values, Bloom's ALiBi; what a case stores is as in make_torch.py.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from make_torch import STORED, store
from torch import nn
from transformers.models.bloom.configuration_bloom import BloomConfig
from transformers.models.bloom.modeling_bloom import BloomAttention, build_alibi_tensor
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

LENGTH, HEAD_WIDTH = 9, 4


def randomise(module: nn.Module) -> None:
    """Weights and biases that would show a mistake."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


def main() -> None:
    """Makes every case and writes them beside this script."""
    torch.manual_seed(0)
    STORED.clear()
    STORED["version"] = np.array(transformers.__version__)
    unseen = torch.full((LENGTH, LENGTH), torch.finfo(torch.float32).min).triu(1)[None, None]
    for heads, shared in ((4, 4), (4, 2), (4, 1)):
        width = heads * HEAD_WIDTH
        config = LlamaConfig(
            hidden_size=width,
            num_attention_heads=heads,
            num_key_value_heads=shared,
            attention_bias=True,
            attn_implementation="eager",
        )
        module = LlamaAttention(config, layer_idx=0).eval()
        randomise(module)
        x = torch.randn(2, LENGTH, width)
        turns = LlamaRotaryEmbedding(config)(x, torch.arange(LENGTH)[None])

        def run(x, module=module, turns=turns):
            return module(x, turns, unseen)[0]

        store(f"rotary-{heads}-{shared}", module, x, run)
    for heads in (4, 6):
        width = heads * HEAD_WIDTH
        module = BloomAttention(BloomConfig(hidden_size=width, n_head=heads), layer_idx=0).eval()
        randomise(module)
        x = torch.randn(2, LENGTH, width)
        alibi = build_alibi_tensor(torch.ones(2, LENGTH), heads, torch.float32)

        def run(x, module=module, alibi=alibi):
            return module(x, torch.zeros_like(x), alibi, unseen)[0]

        store(f"alibi-{heads}", module, x, run)
    np.savez_compressed(Path(__file__).with_name("transformers.npz"), **STORED)


if __name__ == "__main__":
    main()
