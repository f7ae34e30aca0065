"""Sets by name: read as they were written, in every layout; what is wrong is said in one line."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.prepared import records
from seqmodels.tasks.prepared.named_pairs import NamedPairs
from seqmodels.tasks.prepared.named_rows import ONE_IN
from seqmodels.tasks.prepared.named_sets import NamedSet
from tests.tasks.small_sets import pixels, png, small_sets, write_set


def image_set(layout="sequence", name="mnist", seed=0, data_dir=None):
    return NamedSet(seed, name, "image", "label", layout, str(data_dir or small_sets()))


def rows_in_order(task, split, length, batch_size=4):
    """Every row of a split that counts, in its order."""
    passes = -(-task.examples(split, length) // batch_size)
    batches = [task.batch(split, step, batch_size, length) for step in range(passes)]
    counts = [batch.weights.reshape(batch_size, -1).max(axis=1) > 0 for batch in batches]
    return np.concatenate([b.inputs[c] for b, c in zip(batches, counts, strict=True)])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """47 images whose every pixel is the row's number, and no split but train."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("numbered")
    image = tfds.features.Image(shape=(2, 2, 1))
    write_set(
        root,
        "mnist",
        {"image": image, "label": tfds.features.ClassLabel(num_classes=2)},
        lambda random, i: {"image": png(np.full((2, 2, 1), i, np.uint8)), "label": i % 2},
        splits=("train",),
    )
    return root


def test_what_a_set_lacks_is_held_out_of_train_by_index(numbered):
    task = image_set(data_dir=numbered)
    numbers = {
        split: (255 * rows_in_order(task, split, 4)[:, 0, 0]).round().astype(int).tolist()
        for split in SPLITS
    }
    assert numbers["validation"] == [19, 39]
    assert numbers["test"] == [18, 38]
    assert sorted(numbers["train"][: task.examples("train", 4)]) == [
        i for i in range(47) if i % ONE_IN < ONE_IN - 2
    ]
    other = image_set(data_dir=numbered, seed=1)
    assert np.array_equal(rows_in_order(other, "test", 4), rows_in_order(task, "test", 4))


def test_a_split_that_is_there_is_read_whole():
    task = image_set()
    assert [task.examples(split, 64) for split in SPLITS] == [45, 2, 22]
    speech = NamedSet(0, "speech_commands", "audio", "label", "audio", str(small_sets()))
    assert [speech.examples(split, 64) for split in SPLITS] == [47, 21, 22]


@pytest.mark.parametrize(("name", "channels"), [("mnist", 1), ("cifar10", 3)])
def test_layouts_of_images(name, channels):
    random = np.random.default_rng(0)
    for _ in range(47):
        pixels(random, (8, 8, channels))  # train is drawn before test
    expected = np.stack([pixels(random, (8, 8, channels)) for _ in range(22)]) / np.float32(255)
    sequence, grid, permuted = (
        rows_in_order(image_set(layout, name), "test", 64)
        for layout in ("sequence", "grid", "permuted")
    )
    np.testing.assert_allclose(grid, expected, rtol=1e-6)
    assert np.array_equal(sequence, grid.reshape(22, 64, channels))
    assert not np.array_equal(permuted, sequence)
    for moved, pixel in zip(permuted[:2], sequence[:2], strict=True):
        assert sorted(moved.tolist()) == sorted(pixel.tolist())
    again = rows_in_order(image_set("permuted", name, seed=5), "test", 64)
    assert np.array_equal(again, permuted)
    assert image_set("grid", name).spec.rank == 2
    assert image_set(name=name).spec.input_size == channels


def test_text_as_bytes_cut_or_padded():
    task = NamedSet(0, "imdb_reviews", "text", "label", "bytes", str(small_sets()))
    batch = task.batch("test", 0, 4, 30)
    assert batch.mask.sum(axis=1).tolist() == [19, 30, 30, 30]
    texts = [f"{i} is no good film. " * (1 + i % 4) for i in range(4)]
    assert [bytes(row[mask].tolist()).decode() for row, mask in zip(*batch[::3], strict=True)] == [
        text[:30] for text in texts
    ]
    assert (batch.inputs[~batch.mask] == 0).all()
    assert batch.targets.tolist() == [0, 1, 0, 1]


def test_audio_as_waves_within_one():
    task = NamedSet(0, "speech_commands", "audio", "label", "audio", str(small_sets()))
    batch = task.batch("test", 0, 22, 30)
    assert batch.mask.sum(axis=1).tolist() == [min(30, 20 + i) for i in range(22)]
    random = np.random.default_rng(0)
    waves = [
        random.integers(-(2**15), 2**15, 20 + i % 30).astype(np.int16)
        for count in (47, 21, 22)
        for i in range(count)
    ][-22:]
    for row, mask, wave in zip(batch.inputs, batch.mask, waves, strict=True):
        assert np.array_equal(row[mask, 0], wave[:30] / np.float32(2**15))
        assert (row[~mask] == 0).all()
    assert np.abs(batch.inputs).max() > 0.9


def test_translation_is_written_byte_by_byte_up_to_an_end():
    task = NamedPairs(0, "ted_hrlr_translate/pt_to_en", "pt", "en", str(small_sets()))
    batch = task.batch("test", 0, 2, 16)
    assert task.show_source(batch.inputs[1][batch.mask[1]]).startswith("1 filmes ")
    assert task.show_target(batch.targets[1]) == "1 films, and 2"
    assert batch.targets[1].tolist()[14:] == [256, 256, 256]
    assert batch.weights[1].tolist() == [1.0] * 15 + [0.0] * 2
    cut = task.batch("test", 0, 2, 9)
    assert task.show_target(cut.targets[1]) == "1 films, a"
    assert cut.weights.min() == 1
    assert task.show_source(task.read_source("é")) == "é"
    with pytest.raises(ParameterError, match="holds no byte"):
        task.read_source("")


REAL = [
    ("mnist", NamedSet, ("image", "label", "sequence"), 784),
    ("mnist", NamedSet, ("image", "label", "grid"), 784),
    ("cifar10", NamedSet, ("image", "label", "permuted"), 1024),
    ("imdb_reviews/plain_text", NamedSet, ("text", "label", "bytes"), 100),
    ("ted_hrlr_translate/pt_to_en", NamedPairs, ("pt", "en"), 40),
]


@pytest.mark.parametrize(("name", "kind", "arguments", "length"), REAL)
def test_real_sets_as_their_own_code_describes_them(name, kind, arguments, length, tmp_path):
    """tensorflow-datasets' mocks: the features of the real set, random rows."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=str(tmp_path), file_format="array_record")
    files = tfds.core.ShardedFileTemplate(
        dataset_name=builder.name, data_dir=builder.data_path, filetype_suffix="array_record"
    )
    splits = [
        tfds.core.SplitInfo(split, [40], num_bytes=1, filename_template=files)
        for split in ("train", "test")
    ]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    policy, folder = tfds.testing.MockPolicy.USE_FILES, str(builder.data_path)
    with tfds.testing.mock_data(num_examples=40, policy=policy, data_dir=folder):
        task = kind(0, name, *arguments, data_dir=str(tmp_path))
        for split in SPLITS:
            batch = task.batch(split, 0, 3, length)
            assert len(batch.inputs) == 3
            assert batch.inputs.size == 3 * length * (
                task.spec.input_size if task.spec.inputs == "features" else 1
            )


def test_a_set_that_is_not_there(tmp_path):
    with pytest.raises(ParameterError) as caught:
        image_set(data_dir=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"set='mnist' is not in {tmp_path}; on a machine with network")
    assert f"tfds.builder('mnist', data_dir='{tmp_path}', file_format='array_record')" in message
    assert message.endswith("the task digits stands in for it: images to a class")
    with pytest.raises(ParameterError, match="the task source_package stands in"):
        NamedSet(0, "imdb_reviews", "text", "label", "bytes", str(tmp_path))
    with pytest.raises(ParameterError, match="No offline task has audio"):
        NamedSet(0, "speech_commands", "audio", "label", "audio", str(tmp_path))
    with pytest.raises(ParameterError, match="the tasks dates and reverse stand in"):
        NamedPairs(0, "ted_hrlr_translate/pt_to_en", "pt", "en", str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"set": "mnsit"}, "set='mnsit' is not known to tensorflow-datasets.*did you mean 'mnist'"),
        ({"set": "mnist:9.9.9"}, "set='mnist:9.9.9' is not in"),
        ({"input": "imag"}, "input='imag' is no feature of set='mnist'; did you mean 'image'"),
        ({"target": "image"}, "target='image' is no class but Image"),
        ({"input": "label"}, "input='label' is no image of one size but ClassLabel"),
        ({"layout": "bytes"}, "input='image' is no text but Image"),
        ({"layout": "audio"}, "input='image' is no mono sound but Image"),
    ],
)
def test_settings_that_do_not_suit_the_set(changes, message):
    settings = {"set": "mnist", "input": "image", "target": "label", "layout": "sequence"}
    with pytest.raises(ParameterError, match=message):
        NamedSet(seed=0, **(settings | changes), data_dir=str(small_sets()))


def test_a_pair_must_be_of_texts():
    with pytest.raises(ParameterError, match="target='label' is no text but ClassLabel"):
        NamedPairs(0, "imdb_reviews", "text", "label", str(small_sets()))


@pytest.fixture
def own_copy(tmp_path):
    shutil.copytree(small_sets(), tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_newest_version_and_one_config(own_copy):
    made = own_copy / "mnist/1.0.0"
    old, new = (shutil.copytree(made, made.with_name(name)) for name in ("9.0.0", "10.0.0"))
    assert image_set(data_dir=own_copy).records.folder == new
    assert image_set(name="mnist:9.0.0", data_dir=own_copy).records.folder == old
    texts = own_copy / "imdb_reviews"
    shutil.copytree(texts / "plain_text", texts / "other")
    with pytest.raises(ParameterError, match="name one: imdb_reviews/other, imdb_reviews/plain"):
        NamedSet(0, "imdb_reviews", "text", "label", "bytes", str(own_copy))


def test_a_broken_record_is_named_by_its_place(own_copy):
    file = next((own_copy / "mnist/1.0.0").glob("*train*00001"))  # rows 20 to 39
    file.write_bytes(b"\0" * file.stat().st_size)
    task = image_set(data_dir=own_copy)
    with pytest.raises(
        ConfigError, match=r"task.set='mnist': record \d+ of split 'train' in .* is broken \("
    ) as caught:
        task.batch("train", 0, 45, 64)
    assert 20 <= int(str(caught.value).split("record ")[1].split()[0]) < 40
    with pytest.raises(ConfigError, match="record 39 of split 'train'"):
        task.batch("validation", 0, 2, 64)
    task.batch("test", 0, 22, 64)


def test_a_file_that_is_missing(own_copy):
    next((own_copy / "mnist/1.0.0").glob("*test*00001")).unlink()
    with pytest.raises(ConfigError, match=r"record 20 of split 'test' .*No such file"):
        image_set(data_dir=own_copy).batch("test", 0, 22, 64)


def test_a_set_that_can_not_be_opened(own_copy):
    described = own_copy / "mnist/1.0.0/features.json"
    described.write_text(described.read_text()[:100])
    with pytest.raises(ParameterError, match=r"set='mnist' in .* can't be opened"):
        image_set(data_dir=own_copy)
    info = own_copy / "cifar10/1.0.0/dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(ParameterError, match="as other files than array_record"):
        image_set(name="cifar10", data_dir=own_copy)


def test_without_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ParameterError, match=r"needs tensorflow-datasets .*pip install .*\[tfds\]"):
        image_set()


@pytest.mark.slow
def test_nothing_is_imported_before_a_set_is_opened():
    code = (
        "import sys, seqmodels.tasks; "
        "print({'tensorflow_datasets', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert {"tfds", "tfds_pairs"} <= TASKS.keys()
    assert "tensorflow" not in sys.modules


def test_rows_are_kept_up_to_a_size(monkeypatch):
    """64 bytes an image, and 8 of its class."""
    monkeypatch.setattr(records, "KEPT_BYTES", 3 * (64 + 8))
    task = image_set()
    first = task.batch("test", 0, 22, 64)
    assert len(task.records._kept) == 3
    again = task.batch("test", 0, 22, 64)
    assert np.array_equal(first.inputs, again.inputs)
    monkeypatch.setattr(records.Records, "broken", None)
    task.records._sources = {}
    task.batch("test", 0, 3, 64)


def test_only_the_rows_asked_for_are_read(own_copy):
    file = next((own_copy / "mnist/1.0.0").glob("*test*00001"))  # rows 20 and 21
    file.write_bytes(b"\0" * file.stat().st_size)
    task = image_set(data_dir=own_copy)
    assert task.rows("test", 0, 22, 64, np.arange(20)).targets.tolist() == [*range(10)] * 2
    with pytest.raises(ConfigError, match="record 20 of split 'test'"):
        task.batch("test", 0, 22, 64)
