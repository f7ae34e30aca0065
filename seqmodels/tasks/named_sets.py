"""Data sets by their name in tensorflow-datasets: images, text and audio, and pairs of texts."""

import math
from typing import Any, Literal

import numpy as np

from seqmodels.arrays import AnyArray, Array, Bool, Float, Int
from seqmodels.errors import nearest, require
from seqmodels.tasks.base import (
    Batch,
    Metrics,
    Split,
    TaskSpec,
    classification_metrics,
    exact_match_metrics,
    example_indices,
    require_length,
    until,
)
from seqmodels.tasks.records import Records, find_set

Layout = Literal["sequence", "permuted", "grid", "bytes", "audio"]
ONE_IN = 20
"""One row in so many of train is held out for each of validation and test that a set lacks."""
PERMUTATION_SEED = 2026
END = 256
"""The token that ends a written text; the others are bytes."""
_STANDS_IN = {
    "bytes": "Offline, the task source_package stands in for it: bytes to a class",
    "audio": "No offline task has audio; digits is the shortest real sequence of numbers",
    "pairs": "Offline, the tasks dates and reverse stand in for it: text to text",
    "image": "Offline, the task digits stands in for it: images to a class",
}


class _RowsByName:
    """A set's rows by split; a split that the set lacks is held out of train by index.

    Of every 20 rows of train the last goes to validation and the last but one to test, where
    those are held out, whatever the seed. So no row is in two splits.

    Raises:
      ParameterError: the set isn't there, its name isn't known, or it has no train split.
    """

    def __init__(self, seed: int, name: str, data_dir: str | None, stands_in: str):
        self.seed = seed
        self.records = Records(find_set(name, data_dir, stands_in), f"set={name!r}")
        self.rows = self.records.sizes()
        names = ", ".join(self.rows)
        require("train" in self.rows, f"set={name!r} has no split train; it has {names}")
        self.held_out = [split for split in ("validation", "test") if split not in self.rows]
        for split in self.rows.keys() | set(self.held_out):
            count = self.rows[split] if split not in ("train", *self.held_out) else None
            count = self._count(split) if count is None else count
            require(count > 0, f"set={name!r} has too few rows for split {split}: {self.rows}")

    def examples(self, split: Split, length: int) -> int:
        """How many rows the split holds."""
        del length
        return self._count(split)

    def _count(self, split: str) -> int:
        if split in self.rows and split != "train":
            return self.rows[split]
        blocks, rest = divmod(self.rows["train"], ONE_IN)
        kept = ONE_IN - len(self.held_out)
        return blocks if split in self.held_out else kept * blocks + min(rest, kept)

    def _take(
        self, split: Split, step: int, batch_size: int
    ) -> tuple[list[dict[str, Any]], str, list[int], Float[np.ndarray, "B"]]:
        """The rows of a batch, where they were read, and the weight of each."""
        size = self._count(split)
        indices, weights = example_indices(size, split, step, batch_size, self.seed)
        source = "train" if split in self.held_out else split
        if split in self.held_out:
            indices = indices * ONE_IN + ONE_IN - 1 - self.held_out.index(split)
        elif split == "train":
            blocks, place = np.divmod(indices, ONE_IN - len(self.held_out))
            indices = blocks * ONE_IN + place
        places = indices.tolist()
        return self.records.rows(source, places), source, places, weights


class NamedSet(_RowsByName):
    """What is it: the class of an image, a text or a sound of a tensorflow-datasets set.

    The set must have been prepared as ArrayRecord files; nothing is downloaded here, and only
    the rows of a batch are read. Inputs by layout, for images H×W with C channels:

    - "sequence": features in [0, 1], [B, H*W, C], row after row;
    - "permuted": the same, the pixels in one fixed random order (Le et al. 2015,
      arXiv 1504.00941), which doesn't depend on the seed;
    - "grid": the same in their places, [B, H, W, C];
    - "bytes": a text's first bytes [B, L], with a mask over what a shorter one leaves;
    - "audio": the first L samples of a wave in [-1, 1], [B, L, 1], masked in the same way.

    A split that the set lacks is held out of train: of 20 rows the last is for validation, the
    last but one for test.

    Args:
      seed: the order of the training rows.
      set: its name: "mnist", "imdb_reviews/plain_text", "mnist:3.0.1".
      input: the feature that is read, such as "image"; of a nested one "steps/image".
      target: the feature that is the class, such as "label".
      layout: how the input is laid out.
      data_dir: the folder of all sets; None for ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Raises:
      ParameterError: the set isn't there or isn't known, or a feature doesn't suit.
    """

    def __init__(
        self,
        seed: int,
        set: str,
        input: str,
        target: str,
        layout: Layout,
        data_dir: str | None = None,
    ):
        super().__init__(seed, set, data_dir, _STANDS_IN.get(layout, _STANDS_IN["image"]))
        self.input, self.target, self.layout = input, target, layout
        feature = _feature(self.records, "input", input)
        label = _feature(self.records, "target", target)
        classes: int = getattr(label, "num_classes", None) or 0
        require(classes > 0, f"target={target!r} is no class but {_describe(label)}")
        self.shape: tuple[int, ...] = tuple(feature.shape)
        channels, rank, tokens = 1, 1, layout == "bytes"
        if layout == "bytes":
            require(_is_text(feature), f"input={input!r} is no text but {_describe(feature)}")
        elif layout == "audio":
            wave = self.shape == (None,)
            require(wave, f"input={input!r} is no mono sound but {_describe(feature)}")
        else:
            image = len(self.shape) == 3 and None not in self.shape
            require(image, f"input={input!r} is no image of one size but {_describe(feature)}")
            channels, rank = self.shape[2], 2 if layout == "grid" else 1
        self.spec = TaskSpec(
            shape="many-to-one",
            inputs="tokens" if tokens else "features",
            input_size=256 if tokens else channels,
            outputs=classes,
            causal=False,
            score="accuracy",
            higher_is_better=True,
            rank=rank,
        )

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Inputs as the layout has them, and their classes [B]."""
        if self.layout in ("bytes", "audio"):
            require_length(length, length >= 1, "tfds", "a sequence has at least 1 position")
        else:
            pixels = math.prod(self.shape[:2])
            require_length(length, length == pixels, "tfds", f"an image has {pixels} pixels")
        rows, source, places, weights = self._take(split, step, batch_size)
        targets = np.empty(batch_size, np.int32)
        values = []
        for row, index in enumerate(places):
            values.append(_value(self.records, rows[row], self.input, source, index))
            label = int(_value(self.records, rows[row], self.target, source, index))
            if not 0 <= label < self.spec.outputs:
                raise self.records.broken(source, index, f"its class is {label}")
            targets[row] = label
        if self.layout == "bytes":
            inputs, mask = pad_bytes(values, length)
        elif self.layout == "audio":
            inputs, mask = _pad_waves(values, length)
        else:
            inputs, mask = self._lay_out(values, source, places), None
        return Batch(inputs, targets, weights, mask)

    def metrics(self, outputs: Float[Array, "B V"], batch: Batch) -> Metrics:
        """Cross-entropy and accuracy."""
        return classification_metrics(outputs, batch)

    def _lay_out(
        self, images: list[np.ndarray], source: str, places: list[int]
    ) -> Float[np.ndarray, "B *L C"]:
        for image, index in zip(images, places, strict=True):
            if image.shape != self.shape:
                raise self.records.broken(source, index, f"its image is {image.shape}")
        pixels = np.stack(images)
        if np.issubdtype(pixels.dtype, np.integer):
            pixels = pixels / np.float32(np.iinfo(pixels.dtype).max)
        pixels = pixels.astype(np.float32)
        if self.layout == "grid":
            return pixels
        pixels = pixels.reshape(len(images), -1, self.shape[2])
        if self.layout == "permuted":
            order = np.random.default_rng(PERMUTATION_SEED).permutation(pixels.shape[1])
            pixels = pixels[:, order]
        return pixels


class NamedPairs(_RowsByName):
    """Text to text, byte by byte: a translation set of tensorflow-datasets.

    Sources are a text's first L bytes, with a mask; targets the first L + 1 tokens of the bytes
    of the other text and the end token, 256. Splits as in :class:`NamedSet`.

    Args:
      seed: the order of the training rows.
      set: its name: "ted_hrlr_translate/pt_to_en".
      input: the text that is read, such as "pt".
      target: the text that is written, such as "en".
      data_dir: the folder of all sets; None for ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.

    Raises:
      ParameterError: the set isn't there or isn't known, or a feature is no text.
    """

    spec = TaskSpec(
        shape="sequence-to-sequence",
        inputs="tokens",
        input_size=256,
        outputs=END + 1,
        causal=False,
        score="exact_match",
        higher_is_better=True,
        end=END,
    )

    def __init__(self, seed: int, set: str, input: str, target: str, data_dir: str | None = None):
        super().__init__(seed, set, data_dir, _STANDS_IN["pairs"])
        self.input, self.target = input, target
        for argument, name in (("input", input), ("target", target)):
            feature = _feature(self.records, argument, name)
            require(_is_text(feature), f"{argument}={name!r} is no text but {_describe(feature)}")

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Sources [B, L] with their mask; targets [B, L + 1], the end token included."""
        require_length(length, length >= 1, "tfds_pairs", "a text has at least 1 byte")
        rows, source, places, weights = self._take(split, step, batch_size)
        read, written = (
            [
                _value(self.records, row, name, source, index)
                for row, index in zip(rows, places, strict=True)
            ]
            for name in (self.input, self.target)
        )
        inputs, mask = pad_bytes(read, length)
        targets = np.full((batch_size, length + 1), END, np.int32)
        counted = np.zeros((batch_size, length + 1), np.float32)
        for row, text in enumerate(written):
            tokens = np.frombuffer(text[: length + 1], np.uint8)
            targets[row, : len(tokens)] = tokens
            counted[row, : len(text) + 1] = weights[row]
        return Batch(inputs, targets, counted, mask)

    def metrics(self, outputs: Float[Array, "B P V"], batch: Batch) -> Metrics:
        """Cross-entropy and accuracy a byte, and the share of texts that are wholly right."""
        return exact_match_metrics(outputs, batch)

    def show_source(self, row: Int[AnyArray, "L"]) -> str:
        """A source as text."""
        return bytes(np.asarray(row).tolist()).decode("utf-8", "replace")

    def show_target(self, row: Int[AnyArray, "P"]) -> str:
        """What is written, as text, up to the end token."""
        return bytes(until(row, END)).decode("utf-8", "replace")

    def read_source(self, text: str) -> Int[np.ndarray, "L"]:
        """The bytes of a text."""
        require(len(text) > 0, "'' holds no byte; write some text")
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)


def pad_bytes(
    texts: list[bytes], length: int
) -> tuple[Int[np.ndarray, "B L"], Bool[np.ndarray, "B L"]]:
    """Each text's first bytes, and where they are; an empty text is one byte 0.

    >>> pad_bytes([b"abcd", b"a"], length=3)[0].tolist()
    [[97, 98, 99], [97, 0, 0]]
    """
    inputs = np.zeros((len(texts), length), np.int32)
    mask = np.zeros((len(texts), length), bool)
    for row, text in enumerate(texts):
        cut = np.frombuffer(text[:length] or b"\0", np.uint8)
        inputs[row, : len(cut)], mask[row, : len(cut)] = cut, True
    return inputs, mask


def _pad_waves(
    waves: list[np.ndarray], length: int
) -> tuple[Float[np.ndarray, "B L 1"], Bool[np.ndarray, "B L"]]:
    """Each wave's first samples and where they are; integers are 16-bit samples, over 2**15."""
    inputs = np.zeros((len(waves), length, 1), np.float32)
    mask = np.zeros((len(waves), length), bool)
    for row, wave in enumerate(waves):
        cut = wave[:length] if len(wave) else np.zeros(1, np.float32)
        scale = 2**15 if np.issubdtype(cut.dtype, np.integer) else 1
        inputs[row, : len(cut), 0], mask[row, : len(cut)] = cut / np.float32(scale), True
    return np.clip(inputs, -1, 1), mask


def _feature(records: Records, argument: str, name: str) -> Any:
    """A feature by its path, or an error that says which there are."""
    feature: Any = records.features
    for part in name.split("/"):
        known = list(feature.keys()) if hasattr(feature, "keys") else []
        require(
            part in known,
            f"{argument}={name!r} is no feature of {records.what}; {nearest(part, known)}",
        )
        feature = feature[part]
    return feature


def _value(records: Records, row: dict[str, Any], name: str, split: str, index: int) -> Any:
    """A row's value of a feature by its path."""
    value: Any = row
    for part in name.split("/"):
        if part not in value:
            raise records.broken(split, index, f"it has no {name}")
        value = value[part]
    return value.encode() if isinstance(value, str) else value  # some readers decode texts


def _is_text(feature: Any) -> bool:
    return tuple(feature.shape) == () and feature.np_dtype in (object, np.str_, np.bytes_)


def _describe(feature: Any) -> str:
    return " ".join(repr(feature).split())
