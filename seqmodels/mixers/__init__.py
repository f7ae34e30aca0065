"""Mixers: the layers that move information along the sequence.

A new mixer is a class that follows :class:`seqmodels.mixers.base.Mixer`, and a line here.
"""

from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Cost, Mixer
from seqmodels.mixers.convolution import Convolution
from seqmodels.mixers.rnn import GRU, LSTM, RNN

MIXERS = {
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
    "convolution": Convolution,
    "attention": Attention,
}

__all__ = ["GRU", "LSTM", "MIXERS", "RNN", "Attention", "Convolution", "Cost", "Mixer"]
