"""Small files for the tasks that read some: what docs/tasks.md shows and measures of them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seqmodels.tasks.generated.dates import Dates
from seqmodels.tasks.prepared.digits import Digits
from seqmodels.tasks.prepared.freezing import freeze

EXAMPLES = 1024


def token_file(folder: Path, length: int) -> dict[str, Any]:
    """A random walk over 12 tokens."""
    del length
    steps = np.random.default_rng(0).integers(-1, 2, 100_000)
    np.save(folder / "tokens.npy", (np.cumsum(steps) % 12).astype(np.uint8))
    return {"path": str(folder / "tokens.npy")}


def image_folder(folder: Path, length: int) -> dict[str, Any]:
    """Handwritten digits as files by class."""
    del length
    for number, (file, label) in enumerate(_digits()):
        path = folder / str(label) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.getvalue())
    return {"folder": str(folder)}


def image_set(folder: Path, length: int) -> dict[str, Any]:
    """The same as a set of tensorflow-datasets."""
    import tensorflow_datasets as tfds

    del length
    features = {
        "image": tfds.features.Image(shape=(8, 8, 1)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    rows = [{"image": file, "label": label} for file, label in _digits()]
    _write_set(folder, "small_digits", features, rows)
    settings = {"set": "small_digits", "input": "image", "target": "label", "layout": "sequence"}
    return settings | {"data_dir": str(folder)}


def text_set(folder: Path, length: int) -> dict[str, Any]:
    """Dates as people and as machines write them, as a set of tensorflow-datasets."""
    import tensorflow_datasets as tfds

    del length
    dates = Dates(seed=0)
    batch = dates.batch("train", 0, EXAMPLES, 29)
    rows = [
        {"in": dates.show_source(source).strip(), "out": dates.show_target(target)}
        for source, target in zip(batch.inputs, batch.targets, strict=True)
    ]
    features = {"in": tfds.features.Text(), "out": tfds.features.Text()}
    _write_set(folder, "small_dates", features, rows)
    return {"set": "small_dates", "input": "in", "target": "out", "data_dir": str(folder)}


def frozen_recall(folder: Path, length: int) -> dict[str, Any]:
    """Examples of the task recall, frozen."""
    task = {"kind": "recall", "vocabulary": 12, "pairs": 3}
    config = {"seed": 0, "task": task, "train": {"batch_size": 64, "length": length}}
    examples = {"train": EXAMPLES, "validation": 64, "test": 64}
    freeze(config, folder / "recall", length, examples, lambda *progress: None)
    return {"folder": str(folder / "recall")}


def _digits() -> list[tuple[io.BytesIO, int]]:
    """Images as PNG files, and their labels."""
    batch = Digits(seed=0).batch("train", 0, EXAMPLES, 64)
    digits = []
    for pixels, label in zip(batch.inputs, batch.targets.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray((255 * pixels.reshape(8, 8)).astype(np.uint8)).save(file, "png")
        file.seek(0)
        digits.append((file, label))
    return digits


def _write_set(
    data_dir: Path, name: str, features: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """A set with rows for training alone: what it lacks is held out of them."""
    import tensorflow_datasets as tfds

    folder = data_dir / name / "1.0.0"
    folder.mkdir(parents=True)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(name, tfds.core.Version("1.0.0"), str(folder), __name__),
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, len(rows), file_format="array_record")
    writer.initialize_splits(["train"])
    writer.add_examples({"train": rows})
    writer.close_splits(["train"])
    info.write_to_directory(folder)


FILES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "frozen": frozen_recall,
    "images": image_folder,
    "tfds": image_set,
    "tfds_pairs": text_set,
    "tokens": token_file,
}
"""By kind what writes its files into an empty folder, for a length, and says how to read them."""
