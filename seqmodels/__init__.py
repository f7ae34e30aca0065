"""Sequence models in JAX: which architecture, at which length, at what cost?

Nothing is imported here, so that a part can be used alone and starts fast:
``from seqmodels.mixers import LSTM``.
"""
