"""Recall from the context, plain, noisy and fuzzy, and from what was learned.

Four of the six synthetic tasks of MAD (Poli et al. 2024), with its settings as defaults; the other
two are ``selective_copy`` and ``compression``. The loss is that of the positions that are
scored: MAD trains these three with the loss of every next token.
"""

import numpy as np
from numpy.random import Generator

from seqmodels.arrays import Int
from seqmodels.errors import require, require_least
from seqmodels.tasks.base import Batch, Split, TaskSpec, require_length
from seqmodels.tasks.chance import shown_share
from seqmodels.tasks.generated.task import GeneratedTask
from seqmodels.tasks.sampling import different, previous


class InContextRecall(GeneratedTask):
    """Keys and values in turn; where a key has been seen, say its value.

    Each example draws the value of every key anew. Keys come with replacement, so most are asked
    many times. The first half of the vocabulary that is no noise are keys, the second are values,
    and at the end stand the noise tokens: a share of the pairs is two of those. The last pair
    asks for a key that has been seen.

    Args:
      vocabulary: the number of tokens V, noise included.
      noise: the share of pairs that are noise; MAD's noisy recall has 0.2.
      noise_vocabulary: how many tokens are noise; there 16 of 32.

    >>> task = InContextRecall(seed=0, vocabulary=6)
    >>> batch = task.batch("train", 0, batch_size=1, length=10)
    >>> batch.inputs.tolist(), batch.positions.tolist()
    ([[2, 5, 1, 4, 2, 5, 0, 3, 1, 4]], [[0, 2, 4, 6, 8]])
    >>> batch.targets.tolist(), batch.weights.tolist()
    ([[5, 4, 5, 3, 4]], [[0.0, 0.0, 1.0, 0.0, 1.0]])
    """

    def __init__(
        self,
        seed: int,
        vocabulary: int = 16,
        noise: float = 0.0,
        noise_vocabulary: int = 0,
        evaluation_examples: int = 1280,
    ):
        require(0 <= noise < 1, f"noise={noise} is not at least 0 and below 1")
        require(
            noise_vocabulary >= 1 if noise > 0 else noise_vocabulary == 0,
            f"noise_vocabulary={noise_vocabulary} does not go with noise={noise}: at least 1 token "
            "with noise, and 0 without",
        )
        require(
            vocabulary - noise_vocabulary >= 4,
            f"vocabulary={vocabulary} leaves fewer than 2 keys and 2 values "
            f"(noise_vocabulary={noise_vocabulary})",
        )
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.noise = noise
        self.noise_vocabulary = noise_vocabulary
        used = vocabulary - noise_vocabulary
        self.values = range(used // 2, used)
        self.answers = len(self.values)
        self.spec = TaskSpec("many-to-many", "tokens", vocabulary, vocabulary, causal=True)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the targets [B, L / 2] at the keys, of which those seen before count."""
        require_length(self, length, length >= 4 and length % 2 == 0, "at least two whole pairs")
        pairs, used = length // 2, self.vocabulary - self.noise_vocabulary
        keys = random.integers(0, used // 2, (batch_size, pairs))
        values_of = random.integers(used // 2, used, (batch_size, used // 2))
        noisy = random.random((batch_size, pairs)) < self.noise
        rows = np.arange(batch_size)
        # One pair before the last is no noise, and one of the keys there is asked for by the last.
        noisy[rows, random.integers(0, pairs - 1, batch_size)] = False
        noisy[:, -1] = False
        new = ~noisy & (previous(np.where(noisy, -1, keys)) < 0)
        chances = np.where(new[:, :-1], random.random((batch_size, pairs - 1)), -1.0)
        keys[:, -1] = keys[rows, chances.argmax(axis=1)]
        values = np.take_along_axis(values_of, keys, axis=1)
        inputs = np.stack([keys, values], axis=-1)
        blurred = random.integers(used, max(self.vocabulary, used + 1), inputs.shape)
        inputs = np.where(noisy[:, :, None], blurred, inputs).reshape(batch_size, length)
        seen = ~noisy & (previous(np.where(noisy, -1, keys)) >= 0)
        positions = np.tile(np.arange(0, length, 2, dtype=np.int32), (batch_size, 1))
        return Batch(inputs.astype(np.int32), values.astype(np.int32), seen, positions=positions)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far before a key that counts its value stood last; 0 where none counts."""
        keys = np.asarray(batch.inputs)[:, ::2]
        back = 2 * (np.arange(keys.shape[1]) - previous(keys)) - 1
        return {"distance": np.where(np.asarray(batch.weights) > 0, back, 0)}

    def shown_chance(self, split: Split, length: int) -> float:
        """By draws: one of the values that stand before the question."""
        return shown_share(self, split, length, self.values)


class FuzzyRecall(GeneratedTask):
    """Recall where keys and values are of several tokens: which ones belong together?

    As ``in_context_recall``, with keys and values of 1 to ``motif`` different tokens each (in
    validation and test all keys have ``motif``). The targets are the tokens of the values of keys
    that have been seen. The last two tokens of the vocabulary are a mark, before the last pair, and
    a filler at the beginning.

    Args:
      vocabulary: the number of tokens V.
      motif: the most tokens of a key, and of a value.

    >>> task = FuzzyRecall(seed=0, vocabulary=10, motif=2)
    >>> batch = task.batch("train", 0, batch_size=1, length=20)
    >>> batch.inputs.tolist()
    [[9, 9, 9, 0, 6, 0, 3, 6, 3, 7, 1, 4, 7, 3, 2, 6, 8, 1, 4, 7]]
    >>> batch.targets[batch.weights > 0].tolist()
    [4, 7]
    """

    def __init__(
        self, seed: int, vocabulary: int = 16, motif: int = 3, evaluation_examples: int = 1280
    ):
        require_least(1, motif=motif)
        require(
            (vocabulary - 2) // 2 >= motif,
            f"vocabulary={vocabulary} has no {motif} different tokens for a key of motif={motif}; "
            f"at least {2 * motif + 2} has",
        )
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.motif = motif
        self.values = range((vocabulary - 2) // 2, vocabulary - 2)
        self.answers = len(self.values)
        self.spec = TaskSpec("many-to-many", "tokens", vocabulary, vocabulary, causal=True)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; at each position the next token [B, L], of which the known count."""
        least = 4 * self.motif + 1
        require_length(self, length, length >= least, f"it takes at least {least}")
        mark, motif = self.vocabulary - 2, self.motif
        room = length - 1 - 2 * motif  # before the last pair and its mark
        sizes = random.integers(1, motif + 1, (2, batch_size, room // 2), np.int32)
        if split != "train":
            sizes[0] = motif
        # No more pairs than find room with values of one token.
        most = int(((sizes[0] + 1).cumsum(axis=1) <= room).sum(axis=1).max())
        sizes, shape, places = sizes[..., :most], (batch_size, most), np.arange(motif)
        # Pairs of all motif tokens, keys before values; then the mark and the last pair.
        tokens = np.empty((batch_size, (most + 1) * 2 * motif + 1), np.int32)
        pairs = tokens[:, : 2 * motif * most].reshape(*shape, 2 * motif)
        used, known = np.ones(tokens.shape, bool), np.zeros(tokens.shape, bool)
        pairs[..., :motif] = different(random, mark // 2, shape, motif)
        values = mark // 2 + different(random, mark - mark // 2, shape, motif)
        in_key = places < sizes[0, ..., None]
        first = _first(_names(np.where(in_key, pairs[..., :motif], -1)))
        # A key that has been seen keeps its value.
        every, new = np.arange(batch_size), first == np.arange(most)
        sizes[1] = sizes[1, every[:, None], first]
        pairs[..., motif:] = values[every[:, None], first]
        fits = sizes.sum(axis=0).cumsum(axis=1) <= room
        asked = np.where(new & fits, random.random(shape), -1.0).argmax(axis=1)
        tokens[:, -2 * motif - 1], tokens[:, -2 * motif :] = mark, pairs[every, asked]
        of_pairs = used[:, : 2 * motif * most].reshape(*shape, 2, motif)
        of_pairs[..., 0, :] = in_key & fits[..., None]
        of_pairs[..., 1, :] = (places < sizes[1, ..., None]) & fits[..., None]
        used[:, -2 * motif :] = of_pairs[every, asked].reshape(batch_size, -1)
        known[:, : 2 * motif * most].reshape(*shape, 2, motif)[..., 1, :] = ~new[..., None]
        known[:, -motif:] = True
        # All of it stands at the end.
        filled = np.arange(length) >= length - used.sum(axis=1)[:, None]
        inputs = np.full((batch_size, length), self.vocabulary - 1, np.int32)
        inputs[filled] = tokens[used]
        asks = np.zeros((batch_size, length), bool)
        asks[filled] = known[used]
        # The target of a position is the token after it.
        targets, weights = np.zeros_like(inputs), np.zeros(inputs.shape, np.float32)
        targets[:, :-1] = np.where(filled, inputs, 0)[:, 1:] * filled[:, :-1]
        weights[:, :-1] = asks[:, 1:]
        return Batch(inputs, targets, weights)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B P"]]:
        """How far back the next token, where it counts, stood in that key's last value; else 0."""
        inputs = np.asarray(batch.inputs)
        of_key = inputs < (self.vocabulary - 2) // 2
        starts = of_key & ~np.pad(of_key, ((0, 0), (1, 0)))[:, :-1]
        pair = starts.cumsum(axis=1) - 1
        begins = np.zeros((len(inputs), int(pair.max()) + 1), int)
        row, place = np.nonzero(starts)
        begins[row, pair[row, place]] = place
        # Keys are numbered anew after each token, so that numbers stay small.
        names, going_on = np.zeros_like(begins), np.ones(begins.shape, bool)
        for later in range(self.motif):
            places = np.minimum(begins + later, inputs.shape[1] - 1)
            going_on &= np.take_along_axis(of_key, places, axis=1)
            tokens = np.where(going_on, np.take_along_axis(inputs, places, axis=1) + 1, 0)
            names = names * self.vocabulary + tokens
            names = np.unique(names, return_inverse=True)[1].reshape(names.shape)
        before = previous(names)
        apart = begins - np.take_along_axis(begins, np.maximum(before, 0), axis=1)
        following = np.minimum(np.arange(inputs.shape[1]) + 1, inputs.shape[1] - 1)
        back = np.take_along_axis(apart, np.maximum(pair[:, following], 0), axis=1) - 1
        return {"distance": np.where(np.asarray(batch.weights) > 0, back, 0)}

    def shown_chance(self, split: Split, length: int) -> float:
        """By draws: one of the values that stand before the question."""
        return shown_share(self, split, length, self.values)


def _names(keys: Int[np.ndarray, "B n m"]) -> Int[np.ndarray, "B n"]:
    """Numbers that are the same where keys are; -1 is no token."""
    names, most = keys[..., 0] + 1, int(keys.max()) + 2
    for token in range(1, keys.shape[-1]):
        if int(names.max()) >= 2**62 // most:  # small again
            names = np.unique(names, return_inverse=True)[1].reshape(names.shape)
        names = names.astype(np.int64) * most + keys[..., token] + 1
    return names


def _first(names: Int[np.ndarray, "B n"]) -> Int[np.ndarray, "B n"]:
    """The first place of each row that has the same name.

    >>> _first(np.array([[7, 4, 7, 7, 4]])).tolist()
    [[0, 1, 0, 0, 1]]
    """
    order = np.argsort(names, axis=1, kind="stable")
    in_order = np.take_along_axis(names, order, axis=1)
    begins = np.ones(names.shape, bool)
    begins[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(names.shape[1]), 0), axis=1)
    found = np.empty(names.shape, int)
    np.put_along_axis(found, order, np.take_along_axis(order, first, axis=1), axis=1)
    return found


class Memorisation(GeneratedTask):
    """Say the value of a key that is the same in every example: it must have been learned.

    Keys, each followed by a mark, at which its value is the target. The first half of the
    vocabulary without the mark are keys, the second values; which belong together depends on the
    seed alone, and is the same in all splits.

    Args:
      seed: the pairs, and which examples are drawn.
      vocabulary: the number of tokens V.

    >>> batch = Memorisation(seed=0, vocabulary=9).batch("train", 0, batch_size=1, length=8)
    >>> batch.inputs.tolist(), batch.targets.tolist(), batch.positions.tolist()
    ([[0, 8, 0, 8, 1, 8, 1, 8]], [[6, 6, 5, 5]], [[1, 3, 5, 7]])
    """

    def __init__(self, seed: int, vocabulary: int = 256, evaluation_examples: int = 1280):
        require_least(5, vocabulary=vocabulary)
        super().__init__(seed, evaluation_examples)
        self.vocabulary = vocabulary
        self.spec = TaskSpec("many-to-many", "tokens", vocabulary, vocabulary, causal=True)
        self.keys = self.answers = (vocabulary - 1) // 2
        shuffled = np.random.default_rng([seed, 0xFAC7]).permutation(self.keys)
        self.values = (self.keys + shuffled).astype(np.int32)

    def draw(self, random: Generator, split: Split, batch_size: int, length: int) -> Batch:
        """Tokens [B, L]; the targets [B, L / 2] at the marks."""
        require_length(self, length, length >= 2 and length % 2 == 0, "keys and marks in turn")
        keys = random.integers(0, self.keys, (batch_size, length // 2), np.int32)
        inputs = np.full((batch_size, length), self.vocabulary - 1, np.int32)
        inputs[:, ::2] = keys
        positions = np.tile(np.arange(1, length, 2, dtype=np.int32), (batch_size, 1))
        return Batch(inputs, self.values[keys], np.ones(keys.shape), positions=positions)
