"""Mixers: the layers that move information along the sequence.

A new mixer is a subclass of :class:`seqmodels.mixers.base.Mixer`, and a line here.
"""

from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import MIXERS, Context, Cost, Mixer, Room
from seqmodels.mixers.bidirectional import Bidirectional
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.cross_attention import CrossAttention
from seqmodels.mixers.neighbourhood_attention import NeighbourhoodAttention
from seqmodels.mixers.rnn import GRU, LSTM, RNN
from seqmodels.mixers.short_convolution import (
    Short,
    ShortActivation,
    ShortConvolution,
    construct_mixer,
)

MIXERS |= {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "bidirectional": Bidirectional,
    "convolution": Convolution,
    "neighbourhood_attention": NeighbourhoodAttention,
    "attention": Attention,
}

__all__ = [
    "GRU",
    "LSTM",
    "MIXERS",
    "RNN",
    "Attention",
    "Bidirectional",
    "Context",
    "Convolution",
    "Cost",
    "CrossAttention",
    "Mixer",
    "NeighbourhoodAttention",
    "Room",
    "Short",
    "ShortActivation",
    "ShortConvolution",
    "construct_mixer",
]
