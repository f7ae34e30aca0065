"""Mixers: the layers that move information along the sequence.

A new mixer is a class that follows :class:`seqmodels.mixers.base.Mixer`, and a line here.
"""

from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import MIXERS, Cost, Mixer
from seqmodels.mixers.bidirectional import Bidirectional
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.cross_attention import CrossAttention
from seqmodels.mixers.local_attention import LocalAttention
from seqmodels.mixers.rnn import GRU, LSTM, RNN

MIXERS |= {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "bidirectional": Bidirectional,
    "convolution": Convolution,
    "local_attention": LocalAttention,
    "attention": Attention,
}

__all__ = [
    "GRU",
    "LSTM",
    "MIXERS",
    "RNN",
    "Attention",
    "Bidirectional",
    "Convolution",
    "Cost",
    "CrossAttention",
    "LocalAttention",
    "Mixer",
]
