"""Prepared tensorflow-datasets sets on disk: found by name, and read row by row at random.

A set lies in ``data_dir/name/[config/]version/`` as ArrayRecord files, with a
``dataset_info.json`` and a ``features.json``. tensorflow-datasets is imported when a set is
opened, TensorFlow never.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.plain_names import PlainName
from seqmodels.tasks.prepared.set_files import ListedFormats, describe_features
from seqmodels.tasks.reading import absolute

KEPT_BYTES = 2**28
"""Of rows that have been read, by their values; those that no longer fit are read each time."""
VERSION = re.compile(r"\d+\.\d+\.\d+")
"""Others are copies that editors or interrupted preparations left behind."""

_AUDIO = "tensorflow_datasets.core.features.audio_feature.Audio"
_TENSOR = "tensorflow_datasets.core.features.tensor_feature.Tensor"


class Records:
    """The splits of one prepared set, read lazily: only the rows asked for are loaded.

    Args:
      folder: the folder that holds ``dataset_info.json``.
      what: the setting that named it, for messages: ``set='mnist'``.

    Raises:
      ParameterError: tensorflow-datasets is not installed, or the folder can't be read.
    """

    def __init__(self, folder: Path, what: str):
        tfds = import_tfds(what)
        self.folder, self.what = folder, what
        self._kept: dict[tuple[str, int, tuple[str, ...]], tuple[Any, ...]] = {}
        self._kept_bytes = 0
        try:
            self._name = PlainName(folder)
        except OSError as error:
            raise ParameterError(f"{what} in {folder} can't be read: {error.strerror}") from None
        try:
            self._builder = _open(tfds, self._name.path)
            self._sources = self._builder.as_data_source(split=None)
        except NotImplementedError:
            raise ParameterError(
                f"{what} lies in {folder} as other files than array_record, which TensorFlow "
                "alone reads; prepare it in another folder with file_format='array_record'"
            ) from None
        except Exception as error:  # whatever the library meets in a file that isn't what it was
            raise ParameterError(
                f"{what} in {folder} can't be opened ({_reason(error)}); prepare it again"
            ) from None
        self.features: Mapping[str, Any] = self._builder.info.features
        self.metadata: Mapping[str, Any] = self._builder.info.metadata

    def files(self) -> dict[str, Path]:
        """Every file of the set, by its name."""
        names = sorted(os.listdir(self.folder))
        files = {name: self.folder / name for name in names if not name.startswith(".")}
        return {name: path for name, path in files.items() if path.is_file()}

    def sizes(self) -> dict[str, int]:
        """How many rows each split has, by its name in the set."""
        return {name: len(source) for name, source in self._sources.items()}

    def values(
        self, split: str, indices: Sequence[int], names: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        """What the rows at these places of a split have in some features; texts as bytes.

        A feature in another is named by its path, ``"steps/image"``. What has been read is kept,
        up to KEPT_BYTES of it: the library takes tens of microseconds to parse a row.

        Raises:
          ConfigError: one can't be read, or lacks a feature; it is named by its place.
        """
        return [self._row(split, index, tuple(names)) for index in indices]

    def _row(self, split: str, index: int, names: tuple[str, ...]) -> tuple[Any, ...]:
        asked = (split, index, names)
        if asked in self._kept:
            return self._kept[asked]
        try:
            row = self._sources[split][index]
        except Exception as error:  # whatever the reader's C++ part, protobuf or Pillow raise
            raise self.broken(split, index, _reason(error)) from None
        values = tuple(self._value(row, name, split, index) for name in names)
        size = sum(len(v) if isinstance(v, bytes) else np.asarray(v).nbytes for v in values)
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[asked] = values
            self._kept_bytes += size
        return values

    def _value(self, row: dict[str, Any], name: str, split: str, index: int) -> Any:
        value: Any = row
        for part in name.split("/"):
            if part not in value:
                raise self.broken(split, index, f"it has no {name}")
            value = value[part]
        return value.encode() if isinstance(value, str) else value  # some readers decode texts

    def broken(self, split: str, index: int, why: str) -> ConfigError:
        """The error of a row that can't be used."""
        return ConfigError(
            f"task.{self.what}: record {index} of split {split!r} in {self.folder} is broken "
            f"({why}); prepare the set again"
        )


def import_tfds(what: str) -> Any:
    """tensorflow-datasets, or one line on how to install it."""
    try:
        import tensorflow_datasets  # here, because it is an extra
    except ImportError as error:
        raise ParameterError(
            f"{what} needs tensorflow-datasets ({error}); run: pip install 'seqmodels[tfds]', or "
            "in a clone .venv/bin/python -m pip install -e '.[tfds]'"
        ) from None
    return tensorflow_datasets


def data_folder(data_dir: str | None) -> Path:
    """Where sets lie: the folder given, ``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets``."""
    if data_dir:
        return Path(absolute(data_dir, "data_dir"))
    elsewhere = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(absolute(elsewhere, "data_dir=None: TFDS_DATA_DIR"))


def find_set(name: str, data_dir: str | None, stands_in: str) -> Path:
    """The folder of a prepared set's newest version.

    Args:
      name: ``"mnist"``, ``"imdb_reviews/plain_text"`` or, of one version, ``"mnist:3.0.1"``.
      data_dir: the folder of all sets; None for tensorflow-datasets' own.
      stands_in: which task can be used where the set isn't there, for the message.

    Raises:
      ParameterError: the name isn't known, several configs lie there, or nothing does; one line
        says what to run on a machine with network.
    """
    path, _, version = name.partition(":")
    base, _, config = path.partition("/")
    root = data_folder(data_dir)
    found = [
        file.parent
        for pattern in ("*/dataset_info.json", "*/*/dataset_info.json")
        for file in (root / base).glob(pattern)
        if VERSION.fullmatch(file.parent.name)
        and not file.parent.parent.name.startswith(".")
        and (not version or file.parent.name == version)
    ]
    configs = {folder: "/".join(folder.relative_to(root / base).parts[:-1]) for folder in found}
    found = [folder for folder in found if not config or configs[folder] == config]
    if not found:
        raise ParameterError(_missing(name, base, root, stands_in))
    several = sorted({configs[folder] for folder in found})
    if len(several) > 1:
        named = ", ".join(f"{base}/{config}" for config in several if config)
        raise ParameterError(
            f"set={name!r} has several configs in {root / base}; name one: {named}"
        )
    return max(found, key=_version)


def _version(folder: Path) -> tuple[int, ...]:
    parts = folder.name.split(".")
    return tuple(int(part) if part.isdigit() else -1 for part in parts)


def _missing(name: str, base: str, root: Path, stands_in: str) -> str:
    tfds = import_tfds(f"set={name!r}")
    known = tfds.list_builders(with_community_datasets=False)
    if base not in known:
        close = difflib.get_close_matches(base, known, n=3)
        meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        return (
            f"set={name!r} is not known to tensorflow-datasets and is not in {root}; {meant}"
            f"({len(known)} names: tensorflow_datasets.list_builders())"
        )
    run = (
        "import tensorflow_datasets as tfds; "
        f"tfds.builder({name!r}, data_dir={str(root)!r}, file_format='array_record')"
        ".download_and_prepare()"
    )
    return (
        f"set={name!r} is not in {root}; on a machine with network, and tensorflow installed, run: "
        f'python -c "{run}" and copy that folder here. {stands_in}'
    )


def _open(tfds: Any, folder: Path) -> Any:
    """A builder that reads a folder, and runs nothing that lies there.

    Audio is read as the tensor that it is stored as.
    The class of audio features imports TensorFlow, even to read what is stored as integers.
    """
    from tensorflow_datasets.core.features import image_feature

    config = describe_features(folder)
    image_feature.PIL_Image = ListedFormats()
    if not _audio_as_tensor(config):
        return tfds.builder_from_directory(folder)
    from tensorflow_datasets.core import dataset_info, read_only_builder

    features = tfds.features.FeatureConnector.from_json(config)
    proto = dataset_info.read_proto_from_builder_dir(folder)
    proto.features.CopyFrom(features.to_proto())
    return read_only_builder.builder_from_metadata(folder, proto)


def _audio_as_tensor(node: Any) -> bool:
    """Turns audio features in a description, in place; whether there were any."""
    if not isinstance(node, dict):
        return False
    if node.get("pythonClassName") != _AUDIO:
        return any([_audio_as_tensor(child) for child in node.values()])
    audio = node.pop("audio")
    if audio.get("lazyDecode"):
        raise ValueError("its audio is stored compressed, and only TensorFlow decodes it")
    kept = {key: audio[key] for key in ("shape", "dtype", "encoding") if key in audio}
    node |= {"pythonClassName": _TENSOR, "tensor": kept}
    return True


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
