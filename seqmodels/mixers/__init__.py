"""Mixers: the layers that move information along the sequence.

A new mixer is a subclass of :class:`seqmodels.mixers.base.Mixer`, and a line here.
"""

from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import MIXERS, Context, Cost, Mixer, Room
from seqmodels.mixers.bidirectional import Bidirectional
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.cross_attention import CrossAttention
from seqmodels.mixers.delta import DeltaNet, DeltaProduct, GatedDeltaNet, KimiDeltaAttention
from seqmodels.mixers.linear_attention import GatedLinearAttention, LinearAttention, Retention
from seqmodels.mixers.long_convolution import Hyena, LongConvolution
from seqmodels.mixers.lru import LRU, RGLRU
from seqmodels.mixers.mamba import Mamba
from seqmodels.mixers.mamba2 import Mamba2
from seqmodels.mixers.mamba3 import Mamba3
from seqmodels.mixers.minimal_rnn import MinGRU, MinLSTM
from seqmodels.mixers.neighbourhood_attention import NeighbourhoodAttention
from seqmodels.mixers.rnn import GRU, LSTM, RNN
from seqmodels.mixers.rwkv7 import RWKV7
from seqmodels.mixers.short_convolution import (
    Short,
    ShortActivation,
    ShortConvolution,
    construct_mixer,
)
from seqmodels.mixers.state_space import S4D, S5
from seqmodels.mixers.temporal_block import TemporalBlock
from seqmodels.mixers.xlstm import MLSTM, SLSTM

MIXERS |= {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "bidirectional": Bidirectional,
    "convolution": Convolution,
    "temporal_block": TemporalBlock,
    "neighbourhood_attention": NeighbourhoodAttention,
    "attention": Attention,
    "long_convolution": LongConvolution,
    "hyena": Hyena,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "lru": LRU,
    "rglru": RGLRU,
    "s4d": S4D,
    "s5": S5,
    "mamba": Mamba,
    "linear_attention": LinearAttention,
    "retention": Retention,
    "gla": GatedLinearAttention,
    "mamba2": Mamba2,
    "mamba3": Mamba3,
    "deltanet": DeltaNet,
    "gated_deltanet": GatedDeltaNet,
    "kda": KimiDeltaAttention,
    "deltaproduct": DeltaProduct,
    "rwkv7": RWKV7,
    "mlstm": MLSTM,
    "slstm": SLSTM,
}

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "MIXERS",
    "MLSTM",
    "RGLRU",
    "RNN",
    "RWKV7",
    "S4D",
    "S5",
    "SLSTM",
    "Attention",
    "Bidirectional",
    "Context",
    "Convolution",
    "Cost",
    "CrossAttention",
    "DeltaNet",
    "DeltaProduct",
    "GatedDeltaNet",
    "GatedLinearAttention",
    "Hyena",
    "KimiDeltaAttention",
    "LinearAttention",
    "LongConvolution",
    "Mamba",
    "Mamba2",
    "Mamba3",
    "MinGRU",
    "MinLSTM",
    "Mixer",
    "NeighbourhoodAttention",
    "Retention",
    "Room",
    "Short",
    "ShortActivation",
    "ShortConvolution",
    "TemporalBlock",
    "construct_mixer",
]
