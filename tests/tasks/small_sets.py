"""Small sets on disk under the names of real ones, as tensorflow-datasets lays them out."""

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"train": 47, "validation": 21, "test": 22}


def png(pixels: np.ndarray) -> io.BytesIO:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "png")
    file.seek(0)
    return file


def write_set(
    data_dir: Path,
    name: str,
    features: dict[str, Any],
    example: Callable[[np.random.Generator, int], dict[str, Any]],
    splits: tuple[str, ...] = ("train", "validation", "test"),
    version: str = "1.0.0",
) -> list[dict[str, Any]]:
    """Writes a set of three files a split, and returns the examples of train."""
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    folder = data_dir / name / version
    folder.mkdir(parents=True)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.DatasetIdentity(
            base, tfds.core.Version(version), str(folder), "tests", config or None
        ),
        features=tfds.features.FeaturesDict(features),
        disable_shuffling=True,
    )
    writer = tfds.core.SequentialWriter(info, 20, file_format="array_record")
    writer.initialize_splits(list(splits))
    random = np.random.default_rng(0)
    examples = {split: [example(random, i) for i in range(SIZES[split])] for split in splits}
    writer.add_examples(examples)
    writer.close_splits(list(splits))
    info.write_to_directory(folder)
    return examples["train"]


def pixels(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.integers(0, 256, shape, dtype=np.uint8)


def as_audio(folder: Path, name: str) -> None:
    """Describes a tensor as audio; the class of that needs TensorFlow, to write as to read."""
    file = folder / "features.json"
    described = json.loads(file.read_text())
    feature = described["featuresDict"]["features"][name]
    feature["pythonClassName"] = "tensorflow_datasets.core.features.audio_feature.Audio"
    feature["audio"] = feature.pop("tensor") | {"fileFormat": "wav", "sampleRate": "16000"}
    file.write_text(json.dumps(described))


@cache
def small_sets() -> Path:
    """A folder with mnist, cifar10, imdb_reviews, speech_commands and a translation set."""
    import tensorflow_datasets as tfds

    root = Path(tempfile.mkdtemp(prefix="small-sets-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    features = tfds.features
    for name, shape in {"mnist": (8, 8, 1), "cifar10": (8, 8, 3)}.items():
        write_set(
            root,
            name,
            {"image": features.Image(shape=shape), "label": features.ClassLabel(num_classes=10)},
            lambda random, i, shape=shape: {"image": png(pixels(random, shape)), "label": i % 10},
            splits=("train", "test"),
        )
    write_set(
        root,
        "three_splits",
        {"image": features.Image(shape=(8, 8, 1)), "label": features.ClassLabel(num_classes=10)},
        lambda random, i: {"image": png(pixels(random, (8, 8, 1))), "label": i % 10},
    )
    write_set(
        root,
        "imdb_reviews/plain_text",
        {"text": features.Text(), "label": features.ClassLabel(names=["neg", "pos"])},
        lambda random, i: {"text": f"{i} is no good film. " * (1 + i % 4), "label": i % 2},
        splits=("train", "test"),
    )
    write_set(
        root,
        "speech_commands",
        {
            "audio": features.Tensor(shape=(None,), dtype=np.int16),
            "label": features.ClassLabel(num_classes=12),
        },
        lambda random, i: {
            "audio": random.integers(-(2**15), 2**15, 20 + i % 30).astype(np.int16),
            "label": i % 12,
        },
    )
    as_audio(root / "speech_commands/1.0.0", "audio")
    write_set(
        root,
        "ted_hrlr_translate/pt_to_en",
        {"pt": features.Text(), "en": features.Text()},
        lambda random, i: {
            "pt": f"{i} filmes {random.integers(10**6)}",
            "en": f"{i} films, and {i + 1}",
        },
    )
    return root


@cache
def frozen_digits() -> Path:
    """The task digits, frozen."""
    from seqmodels.tasks.prepared.freezing import freeze

    root = Path(tempfile.mkdtemp(prefix="frozen-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    config = {"seed": 0, "task": {"kind": "digits"}, "train": {"batch_size": 16, "length": 64}}
    examples = {"train": 60, "validation": 21, "test": 22}
    freeze(config, root / "digits", None, examples, lambda *progress: None)
    return root / "digits"
