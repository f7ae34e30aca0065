"""A set's folder is looked at before tensorflow-datasets reads it: nothing that it names is run.

The library imports the module that ``features.json`` names for a feature, waits at a pipe, and
hands images of whatever format to Pillow, which starts Ghostscript for some.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqmodels.json_files import read_json
from seqmodels.tasks.files.image_files import FORMATS, MOST_PIXELS

FEATURES = {
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "audio_feature.Audio",
        "bounding_boxes.BBoxFeature",
        "class_label_feature.ClassLabel",
        "dataset_feature.Dataset",
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "labeled_image.LabeledImage",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "tensor_feature.Tensor",
        "text_feature.Text",
        "translation_feature.Translation",
        "translation_feature.TranslationVariableLanguages",
    )
}
"""The classes of features that are read; all of the library's own, and none that runs a program."""
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")


def describe_features(folder: Path) -> dict[str, Any]:
    """A set's features as its ``features.json`` describes them.

    Raises:
      ValueError: a file is no regular one, or a feature's class is none of :data:`FEATURES`.
      UnreadableError: a description is damaged or missing.
    """
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if not path.is_file() and not path.is_dir():
            raise ValueError(f"{name} is no regular file")
    described = read_json(folder / "features.json", dict[str, Any])
    info = read_json(folder / "dataset_info.json", dict[str, Any])
    if described is None or info is None:
        raise ValueError("it lacks features.json or dataset_info.json")
    for content in (described, info):
        for name in _classes(content):
            if name not in FEATURES:
                raise ValueError(f"its feature class {name!r} is not one that is read here")
    return described


def _classes(content: Any) -> Iterator[str]:
    """Every class that is named somewhere in a description."""
    if isinstance(content, list):
        for part in content:
            yield from _classes(part)
    elif isinstance(content, dict):
        for key, part in content.items():
            if key in _CLASS_KEYS and isinstance(part, str):
                yield part
            elif key in ("content", "proto_cls") and isinstance(part, str):
                yield f"{key}={part:.40}"  # a description within, in another form
            else:
                yield from _classes(part)


class ListedFormats:
    """Pillow's module as tensorflow-datasets uses it, but for formats that are not in FORMATS."""

    def __getattr__(self, name: str) -> Any:
        from PIL import Image

        return getattr(Image, name)

    def open(self, file: Any) -> Any:
        """As ``PIL.Image.open``."""
        from PIL import Image

        image = Image.open(file, formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"its image has {image.width:,}×{image.height:,} pixels")
        return image
