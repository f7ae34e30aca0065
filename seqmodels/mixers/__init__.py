"""Mixers: the layers that move information along the sequence.

A new mixer is a subclass of :class:`seqmodels.mixers.base.Mixer`, and a line here.
"""

from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import MIXERS, Context, Cost, Mixer, Room
from seqmodels.mixers.bidirectional import Bidirectional
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.cross_attention import CrossAttention
from seqmodels.mixers.long_convolution import Hyena, LongConvolution
from seqmodels.mixers.lru import LRU, RGLRU
from seqmodels.mixers.mamba import Mamba
from seqmodels.mixers.minimal_rnn import MinGRU, MinLSTM
from seqmodels.mixers.neighbourhood_attention import NeighbourhoodAttention
from seqmodels.mixers.rnn import GRU, LSTM, RNN
from seqmodels.mixers.short_convolution import (
    Short,
    ShortActivation,
    ShortConvolution,
    construct_mixer,
)
from seqmodels.mixers.state_space import S4D, S5

MIXERS |= {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "bidirectional": Bidirectional,
    "convolution": Convolution,
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
}

__all__ = [
    "GRU",
    "LRU",
    "LSTM",
    "MIXERS",
    "RGLRU",
    "RNN",
    "S4D",
    "S5",
    "Attention",
    "Bidirectional",
    "Context",
    "Convolution",
    "Cost",
    "CrossAttention",
    "Hyena",
    "LongConvolution",
    "Mamba",
    "MinGRU",
    "MinLSTM",
    "Mixer",
    "NeighbourhoodAttention",
    "Room",
    "Short",
    "ShortActivation",
    "ShortConvolution",
    "construct_mixer",
]
