"""Classification of images of one's own: a folder of PNG and JPEG files by class."""

import os
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from seqmodels.arrays import Int
from seqmodels.errors import ConfigError, ParameterError, require
from seqmodels.tasks.base import (
    SPLITS,
    Batch,
    ByRows,
    Split,
    TaskSpec,
    classification_metrics,
    example_indices,
    require_length,
)
from seqmodels.tasks.chance import chance_of_labels
from seqmodels.tasks.files.finding import is_left_behind
from seqmodels.tasks.files.image_files import ENDINGS, ImageFileError, opened, upright, upright_size
from seqmodels.tasks.files.splits import (
    Splitting,
    least_trained,
    require_classes,
    require_held_out,
    said_splits,
    split_whole_files,
)
from seqmodels.tasks.reading import absolute

KEPT_BYTES = 2**28
"""Of decoded images, one byte a value; those that no longer fit are decoded each time."""
PERMUTATION_SEED = 2026
_DEPTHS = {"grey": ("L", 1), "colour": ("RGB", 3)}


class Images(ByRows):
    """Which class is an image of, from its pixels as a sequence or a grid?

    Images lie in ``FOLDER/CLASS/`` as .png, .jpg or .jpeg files of one size once they are upright
    (EXIF says how a camera was held); a class is a folder that holds some, by alphabet, without
    what programs leave behind. Those elsewhere in the folder are left out, and counted in what is
    said of the data. Inputs are features in [0, 1], one for grey values and three for colours
    (transparency is dropped). Each image belongs to one split, which its name may say
    ("train-1.png"), or by a hash of its name in its class.

    Every file's header is read at the start, which finds those of another size; an image is
    decoded when it is first asked for, and kept, up to KEPT_BYTES of all.

    Args:
      seed: the order of the training images.
      folder: where the classes' folders lie.
      layout: "sequence", the pixels row after row; "permuted", in one random order, the same for
        all images, splits and seeds; or "grid".
      colours: "grey" or "colour".
      held_out: the share of each class that goes to validation, and again to test; at least one
        image each.
      splitting: "shares", or "whole_files", whatever names say, as earlier versions did.

    Raises:
      ParameterError: no such folder, fewer than 2 classes, a class of fewer than 3 images, a file
        that is no PNG or JPEG, of more than 16 million pixels, or of another size than the first.

    >>> import tempfile, PIL.Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(6):
    ...         path = Path(folder, "light" if number % 2 else "dark", f"{number}.png")
    ...         path.parent.mkdir(exist_ok=True)
    ...         PIL.Image.new("L", (3, 2), 255 * (number % 2)).save(path)
    ...     task = Images(seed=0, folder=folder)
    ...     batch = task.batch("train", step=0, batch_size=2, length=6)
    >>> task.classes, batch.inputs.shape
    (('dark', 'light'), (2, 6, 1))
    >>> bool((batch.inputs[:, 0, 0] == batch.targets).all())
    True
    """

    def __init__(
        self,
        seed: int,
        folder: str,
        layout: Literal["sequence", "permuted", "grid"] = "sequence",
        colours: Literal["grey", "colour"] = "grey",
        held_out: float = 0.1,
        splitting: Splitting = "shares",
    ):
        require_held_out(held_out)
        self.seed = seed
        self.layout = layout
        self.mode, channels = _DEPTHS[colours]
        found = _find_images(folder)
        self.classes = tuple(found)
        self.left_out = _count_elsewhere(Path(absolute(folder, "folder")))
        require_classes(self.classes, f"folder={folder!r}")
        self.places = {"folder": absolute(folder, "folder")}
        self.kept_bytes = 0
        self.paths: dict[Split, list[Path]] = {"train": [], "validation": [], "test": []}
        labels: dict[Split, list[int]] = {"train": [], "validation": [], "test": []}
        named = False
        for label, images in enumerate(found.values()):
            said = said_splits(images) if splitting == "shares" else {}
            named = named or bool(said)
            for split, names in split_whole_files(dict.fromkeys(images, 1), held_out, said).items():
                self.paths[split] += [images[name] for name in names]
                labels[split] += [label] * len(names)
        trained = len(self.paths["train"]) / sum(map(len, self.paths.values()))
        require(
            not named or (trained >= least_trained(held_out) and all(self.paths.values())),
            f"folder={folder!r}: names leave {trained:.0%} of the images to train on; rename those "
            "that say another split than is meant",
        )
        self.labels = {split: np.array(part, np.int32) for split, part in labels.items()}
        everything = [path for images in found.values() for path in images.values()]
        width, height = _common_size(folder, everything)
        self.shape = (height, width, channels)
        random = np.random.default_rng(PERMUTATION_SEED)
        self.order = random.permutation(height * width) if layout == "permuted" else None
        self._kept: dict[Path, UInt8[np.ndarray, "height width channels"]] = {}
        self.spec = TaskSpec(
            "many-to-one",
            "features",
            input_size=channels,
            outputs=len(self.classes),
            rank=2 if layout == "grid" else 1,
        )

    def reads(self) -> dict[str, Path]:
        """Every image, by its class and name."""
        return {f"{p.parent.name}/{p.name}": p for split in SPLITS for p in self.paths[split]}

    def holds(self) -> dict[Split, str]:
        total = sum(map(len, self.paths.values()))
        held: dict[Split, str] = {
            s: f"{len(p):,} images ({len(p) / total:.1%})" for s, p in self.paths.items()
        }
        if self.left_out:
            held["test"] += f"; {self.left_out:,} images that lie elsewhere than in CLASS/ left out"
        return held

    def examples(self, split: Split, length: int) -> int:
        return len(self.paths[split])

    def rows(
        self, split: Split, step: int, batch_size: int, length: int, rows: Int[np.ndarray, "b"]
    ) -> Batch:
        """Images [B, L, 1 or 3] or [B, height, width, 1 or 3], and their classes [B]."""
        height, width, channels = self.shape
        why = f"an image has {width}×{height} pixels, {width * height} places"
        require_length(self, length, length == width * height, why)
        paths = self.paths[split]
        indices, weights = example_indices(len(paths), split, step, batch_size, self.seed)
        indices, weights = indices[rows], weights[rows]
        images = np.stack([self._image(split, index) for index in indices.tolist()])
        if self.layout != "grid":
            images = images.reshape(len(rows), length, channels)
        if self.order is not None:
            images = images[:, self.order]
        inputs = images.astype(np.float32) / np.float32(255)
        return Batch(inputs, self.labels[split][indices], weights)

    def fields(self, batch: Batch) -> dict[str, Int[np.ndarray, "B"]]:
        """The number of each example's class, in the order of ``classes``."""
        return {"class": np.asarray(batch.targets)}

    metrics = staticmethod(classification_metrics)

    def chance(self, split: Split, length: int) -> float:
        """The share of the class that is the most frequent in training."""
        return chance_of_labels(self.labels, split)

    def _image(self, split: Split, index: int) -> UInt8[np.ndarray, "height width channels"]:
        path = self.paths[split][index]
        if path in self._kept:
            return self._kept[path]
        try:
            with opened(path) as image:
                values = np.asarray(upright(image).convert(self.mode))
                pixels = values.reshape(self.shape)
        except ImageFileError as error:
            raise ConfigError(
                f"task.folder: can't read image {index} of the {len(self.paths[split])} of "
                f"{split}, {path}: {error}"
            ) from None
        if (len(self._kept) + 1) * pixels.nbytes <= KEPT_BYTES:
            self._kept[path] = pixels
        return pixels


def _find_images(folder: str) -> dict[str, dict[str, Path]]:
    """By class, and by name with the class in front, each image's path."""
    root = Path(absolute(folder, "folder"))
    require(root.is_dir(), f"folder={folder!r} is not a folder; it holds CLASS/NAME.png or .jpg")
    found: dict[str, dict[str, Path]] = {}
    seen: set[tuple[int, int]] = set()
    for inside in sorted(path for path in root.iterdir() if path.is_dir()):
        if is_left_behind(inside.name):
            continue
        names = [path.name for path in inside.iterdir() if path.suffix.lower() in ENDINGS]
        paths = [inside / name for name in sorted(names) if not is_left_behind(name)]
        if once := [path for path in paths if _is_new(path, seen)]:
            found[inside.name] = {f"{inside.name}/{path.name}": path for path in once}
    require(
        len(found) >= 2,
        f"folder={folder!r} has {len(found)} folders with images; at least 2 classes are needed, "
        "laid out as CLASS/NAME.png or .jpg and no deeper; a NAME may say its split: train-1.png",
    )
    for name, images in found.items():
        require(
            len(images) >= 3,
            f"folder={folder!r}: class {name!r} has {len(images)} images; at least 3 are needed, "
            "one for each split",
        )
    return found


def _count_elsewhere(root: Path) -> int:
    """How many images lie in the folder itself, or deeper than in a folder of it."""
    count = 0
    for path, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not is_left_behind(name)]
        if Path(path).parent != root:
            kept = (name for name in names if not is_left_behind(name))
            count += sum(name.lower().endswith(ENDINGS) for name in kept)
    return count


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether no link has led there before: an image and a link to it would lie in two splits."""
    try:
        status = path.stat()
    except OSError:  # said when it is opened
        return True
    place = (status.st_dev, status.st_ino)
    known = place in seen
    seen.add(place)
    return not known


def _common_size(folder: str, paths: list[Path]) -> tuple[int, int]:
    """The width and height that all images have, by their headers."""
    sizes = []
    for index, path in enumerate(paths):
        where = f"folder={folder!r}: image {index} of {len(paths)}, {path},"
        try:
            with opened(path) as image:
                sizes.append(upright_size(image))
                # Pillow cuts off more than 8 bits a value instead of scaling them.
                deep = image.mode[0] in "IF"
        except ImageFileError as error:
            raise ParameterError(f"{where} can't be read: {error}") from None
        require(not deep, f"{where} has more than 8 bits a value; write it with 8")
        width, height = sizes[-1]
        require(
            sizes[-1] == sizes[0],
            f"{where} has {width}×{height} pixels where the first, {paths[0]}, has "
            f"{sizes[0][0]}×{sizes[0][1]}; bring all to one size",
        )
    return sizes[0]
