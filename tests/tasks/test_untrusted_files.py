"""Files from anywhere: reading them runs nothing, waits for nothing, and stays within bounds."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.images import Images
from seqmodels.tasks.files.tokens import Tokens
from seqmodels.tasks.prepared.named_sets import NamedSet
from seqmodels.tasks.prepared.records import Records
from tests.tasks.small_sets import small_sets, write_set

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture
def no_programs(monkeypatch):
    """Fails where one is started."""

    def started(*arguments, **settings):
        raise AssertionError(f"it starts {arguments}")

    for name in ("Popen", "run", "check_call", "check_output", "call"):
        monkeypatch.setattr(subprocess, name, started)
    monkeypatch.setattr(os, "system", started)


@pytest.fixture
def folder(tmp_path):
    """Two classes of four images."""
    for name in [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(4)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.new("L", (4, 2), 9).save(tmp_path / name)
    return tmp_path


def png_header(width, height):
    """A PNG that ends where its pixels begin."""
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", b"x")]
    packed = [
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    return b"".join([b"\x89PNG\r\n\x1a\n", *packed])


def put(path, what):
    path.unlink()
    if isinstance(what, bytes):
        path.write_bytes(what)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what.startswith("/"):
        path.symlink_to(what)
    else:
        PIL.Image.new("RGB", (4, 2)).save(path, what)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (EPS, "it is no PNG or JPEG file"),
        ("gif", "it is no PNG or JPEG file"),
        ("bmp", "it is no PNG or JPEG file"),
        ("tiff", "it is no PNG or JPEG file"),
        ("webp", "it is no PNG or JPEG file"),
        ("pdf", "it is no PNG or JPEG file"),
        (b"", "it is no PNG or JPEG file"),
        ("pipe", "it is no regular file"),
        ("folder", "Is a directory"),
        ("/dev/zero", "it is no regular file"),
        (png_header(30_000, 30_000), "pixels"),
        (png_header(10_000, 10_000), "pixels"),
        (png_header(5_000, 5_000), "it has 5,000×5,000 pixels, above 16,777,216"),
    ],
)
def test_images_by_a_list_of_formats_and_within_a_size(folder, what, said, no_programs):
    put(folder / "cat/0.png", what)
    with pytest.raises(ParameterError, match=f"image 0 of 8, .*0.png, can't be read: .*{said}"):
        Images(0, str(folder))


@pytest.mark.parametrize("what", [EPS, "pipe", "gif", png_header(30_000, 30_000)])
def test_an_image_that_is_exchanged_later(folder, what, no_programs):
    task = Images(0, str(folder))
    put(task.paths["train"][0], what)
    with pytest.raises(ConfigError, match=r"task.folder: can't read image 0 of the 4 of train, "):
        task.batch("train", 0, 8, 8)


def test_images_are_upright(tmp_path):
    """As EXIF says that the camera was held: of each of its eight ways."""
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :8] = 255
    turns = {  # what lies in the file
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    for name, kind in (("cat", "jpg"), ("dog", "png")):
        (tmp_path / name).mkdir()
        for number, stored in turns.items():
            exif = PIL.Image.Exif()
            exif[0x0112] = number
            image = PIL.Image.fromarray(np.ascontiguousarray(stored))
            image.save(tmp_path / name / f"{number}.{kind}", exif=exif)
    (tmp_path / "dog/odd.png").write_bytes((tmp_path / "dog/1.png").read_bytes())
    task = Images(0, str(tmp_path), layout="grid")
    assert task.shape == (16, 24, 1)
    for split in SPLITS:
        images = task.batch(split, 0, 17, 16 * 24).inputs[..., 0]
        for path, image in zip(task.paths[split], images, strict=False):
            np.testing.assert_allclose(image, upright / 255, atol=0.1, err_msg=str(path))


def test_what_programs_leave_behind_is_no_class(folder):
    for name in (".ipynb_checkpoints", "__MACOSX", ".trash"):
        shutil.copytree(folder / "cat", folder / name)
    (folder / "cat/._0.png").write_bytes(b"of a Macintosh")
    task = Images(0, str(folder))
    assert task.classes == ("cat", "dog")
    assert sum(map(len, task.paths.values())) == 8


def test_an_image_and_a_link_to_it_are_one(folder):
    for number in range(4):
        (folder / f"dog/link{number}.png").symlink_to(folder / f"cat/{number}.png")
        os.link(folder / f"cat/{number}.png", folder / f"cat/hard{number}.png")
    assert sum(map(len, Images(0, str(folder)).paths.values())) == 8


def test_a_sparse_file_of_a_terabyte(tmp_path):
    path = tmp_path / "tokens.npy"
    np.save(path, np.zeros(1, np.uint8))
    header = path.read_bytes()[:128].replace(b"(1,), }             ", b"(1099511627776,), } ")
    path.write_bytes(header)
    os.truncate(path, len(header) + 2**40)
    with pytest.raises(
        ParameterError, match=r"has 1,099,511,627,776 bytes, above .*set vocabulary"
    ):
        Tokens(0, str(path))
    task = Tokens(0, str(path), vocabulary=4)
    assert not task.batch("test", 0, 2, 64).inputs.any()
    with pytest.raises(
        ParameterError, match=r"length=64 .* an epoch of .* windows is above 268,43"
    ):
        task.batch("train", 0, 2, 64)
    assert not task.batch("train", 0, 2, 2**20).inputs.any()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10**99,), }",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**70},), }}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (9,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }",
        "{" * 5000,
        "{'descr': []}",
    ],
)
def test_headers_that_lie(tmp_path, header):
    text = header.ljust(9000).encode() + b"\n"
    path = tmp_path / "tokens.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(99))
    with pytest.raises(ParameterError, match=r"path=.*tokens.npy' ") as caught:
        Tokens(0, str(path))
    assert "\n" not in str(caught.value)


def test_every_kind_of_place_may_be_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    settings = {"tfds": {"set": "mnist", "input": "image", "target": "label", "layout": "grid"}}
    settings["tfds_pairs"] = {"set": "ted_hrlr_translate", "input": "pt", "target": "en"}
    for kind, constructor in TASKS.items():
        for name in {"files", "path", "folder", "data_dir"} & set(
            constructor.__init__.__annotations__
        ):
            with pytest.raises(ParameterError):
                constructor(0, **settings.get(kind, {}), **{name: str(tmp_path / "pipe")})


@pytest.fixture
def own_set(tmp_path):
    """A set to damage."""
    shutil.copytree(small_sets() / "mnist", tmp_path / "mnist")
    return tmp_path / "mnist/1.0.0"


def describe(folder, content, name="features.json"):
    (folder / name).write_text(json.dumps(content))


def harmful(tmp_path):
    """A module that says that it was imported."""
    (tmp_path / "harmful.py").write_text("import os\nos.environ['HARMED'] = 'yes'\n")
    sys.path.insert(0, str(tmp_path))


DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
DESCRIPTIONS = {
    "whole": {"pythonClassName": "harmful.X", "featuresDict": {"features": {}}},
    "of protobuf": {"python_class_name": "harmful.X"},
    "earlier": {"type": "harmful.X", "content": {}},
    "earlier, of protobuf": {"type": DICT, "content": "{}", "proto_cls": "harmful.X"},
    "earlier, inside": {
        "type": DICT,
        "content": {"image": {"type": "harmful.X", "content": {}}},
    },
    "earlier, in a text": {
        "type": DICT,
        "content": '{"features": {"a": {"pythonClassName": "harmful.X"}}}',
    },
    "inside": {
        "pythonClassName": DICT,
        "featuresDict": {"features": {"image": {"pythonClassName": "harmful.X", "tensor": {}}}},
    },
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_features_by_a_list_of_classes(own_set, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("HARMED", raising=False)
    harmful(tmp_path)
    describe(own_set, DESCRIPTIONS[kind])
    with pytest.raises(ParameterError, match=r"can't be opened .* feature class") as caught:
        Records(own_set, "set='mnist'")
    assert "\n" not in str(caught.value)
    assert "HARMED" not in os.environ
    assert "harmful" not in sys.modules


def test_features_in_the_other_description(own_set, tmp_path):
    info = json.loads((own_set / "dataset_info.json").read_text())
    info["features"] = {"pythonClassName": "harmful.X"}
    describe(own_set, info, "dataset_info.json")
    with pytest.raises(ParameterError, match=r"its feature class 'harmful.X' is not one"):
        Records(own_set, "set='mnist'")


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json", "label.labels.txt", "x"])
def test_a_set_with_a_pipe(own_set, name):
    (own_set / name).unlink(missing_ok=True)
    os.mkfifo(own_set / name)
    with pytest.raises(ParameterError, match="no regular file"):
        Records(own_set, "set='mnist'")


@pytest.mark.parametrize("content", ["[]", "{}", "", '"x"', "[" * 50_000])
def test_descriptions_of_other_shapes(own_set, content):
    (own_set / "features.json").write_text(content)
    with pytest.raises(ParameterError, match=r"set='mnist' in .* can't be opened") as caught:
        Records(own_set, "set='mnist'")
    assert "\n" not in str(caught.value)


def test_images_of_a_set_by_a_list_of_formats(tmp_path, no_programs):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(4, 4, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    write_set(tmp_path, "harmful", features, lambda r, i: {"image": io.BytesIO(EPS), "label": 0})
    task = NamedSet(0, "harmful", "image", "label", "grid", data_dir=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"record 0 of split 'test' .* is broken .cannot identify"
    ):
        task.batch("test", 0, 1, 16)


def test_a_version_is_a_version(own_set):
    """Not what editors, or preparations that were interrupted, left beside it."""
    for name in ("1.0.0.incomplete7GQX", ".ipynb_checkpoints", "1.0.0-copy", "latest"):
        shutil.copytree(own_set, own_set.with_name(name))
    task = NamedSet(0, "mnist", "image", "label", "grid", data_dir=str(own_set.parents[1]))
    assert task.records.folder == own_set
