"""Files in splits: as their names say, else by share; nothing is both trained on and tested on."""

import numpy as np
import PIL.Image
import pytest

from seqmodels.errors import ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.images import Images
from seqmodels.tasks.files.same_file import SameFile
from seqmodels.tasks.files.source_package import SourcePackage
from seqmodels.tasks.files.splits import said_splits, split_files, split_whole_files
from seqmodels.tasks.files.text import Text

WIKITEXT = {"wiki.train.tokens": 10_797, "wiki.valid.tokens": 1_121, "wiki.test.tokens": 1_256}
"""In thousands of bytes."""


def held(parts):
    return {split: sum(part.size for part in parts[split]) for split in SPLITS}


def assert_whole(parts, sizes):
    """Every byte of every file is in one split."""
    stretches = sorted(part for split in SPLITS for part in parts[split])
    for name, size in sizes.items():
        ends = [0] + [end for of, start, end in stretches if of == name]
        starts = [start for of, start, end in stretches if of == name] + [size]
        assert starts == ends, name
    assert all(part.size for split in SPLITS for part in parts[split])


def test_names_that_say_their_split_are_honoured():
    parts = split_files(WIKITEXT, 0.05, "files='x'")
    assert {split: [part.name for part in parts[split]] for split in SPLITS} == {
        "train": ["wiki.train.tokens"],
        "validation": ["wiki.valid.tokens"],
        "test": ["wiki.test.tokens"],
    }


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("data/training/1.txt", "train"),
        ("TRAIN-00001-of-00002.txt", "train"),
        ("val.txt", "validation"),
        ("wiki.valid.raw", "validation"),
        ("dev/a", "validation"),
        ("validation_2.txt", "validation"),
        ("test.de", "test"),
        ("test/train.txt", "test"),  # a folder's name comes before what is in it
        ("testing.txt", "test"),
        ("heldout-1.txt", "validation"),
        ("eval/1.txt", "validation"),
        ("trainData.csv", "train"),
        ("XTest.csv", "test"),
        ("ValSet/1.txt", "validation"),
        ("testset.txt", "test"),
        ("latest.txt", None),
        ("contest/1.txt", None),
        ("develop.txt", None),
        ("train_test_split.txt", None),
        ("trainspotting.txt", None),
    ],
)
def test_what_a_name_says(name, split):
    assert said_splits([name, "other"]).get(name) == split
    assert said_splits([name]) == {}, "a single one tells nothing apart"


def test_a_split_that_no_name_says_is_cut_from_the_rest():
    sizes = {"train.txt": 9000, "test.txt": 1000}
    parts = split_files(sizes, 0.05, "files='x'")
    assert held(parts) == {"train": 8500, "validation": 500, "test": 1000}
    assert_whole(parts, sizes)
    sizes = {"held/dev.txt": 700, "a.txt": 5000, "b.txt": 4300}
    parts = split_files(sizes, 0.05, "files='x'")
    assert held(parts) == {"train": 8800, "validation": 700, "test": 500}
    assert_whole(parts, sizes)


SIZES = {
    "one": [10_000],
    "two": [10_000, 10],
    "as WikiText": list(WIKITEXT.values()),
    "equal": [1000] * 8,
    "one large": [20_000, *[50] * 200],
    "small": list(range(1, 300)),
    "falling": [2**n for n in range(16)],
}


@pytest.mark.parametrize("held_out", [0.01, 0.05, 0.1, 0.3, 0.49])
@pytest.mark.parametrize("kind", SIZES)
def test_otherwise_each_split_has_about_its_share(kind, held_out):
    sizes = {f"{number}.txt": size for number, size in enumerate(SIZES[kind])}
    total = sum(sizes.values())
    parts = split_files(sizes, held_out, "files='x'")
    assert_whole(parts, sizes)
    assert parts == split_files(dict(reversed(sizes.items())), held_out, "files='x'")
    shares = {"train": 1 - 2 * held_out, "validation": held_out, "test": held_out}
    for split, share in shares.items():
        assert share * total / 1.5 - 1 <= held(parts)[split] <= 1.5 * share * total + 1


def test_small_files_are_whole_in_the_split_of_their_name():
    sizes = {f"{number}.txt": 10 for number in range(200)}
    parts = split_files(sizes, 0.05, "files='x'")
    wholes = split_whole_files(sizes, 0.05)
    assert {s: sorted(part.name for part in parts[s]) for s in SPLITS} == {
        split: sorted(wholes[split]) for split in SPLITS
    }


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train.txt": 90, "test.txt": 820, "valid.txt": 90}, "leaves train 9.0%, .* test 82.0%"),
        ({"valid.txt": 500, "test.txt": 500}, "leaves train 0.0%, validation 50.0%, test 50.0%"),
        ({"valid.txt": 960, "a.txt": 40}, "too little is left to train on; rename some"),
        ({"a": 1, "b": 1, "c": 1}, "of 3 bytes, where validation and test are to have 5% each"),
    ],
)
def test_a_share_far_off_is_refused(sizes, message):
    with pytest.raises(ParameterError, match=f"^files='x'.*{message}") as caught:
        split_files(sizes, 0.05, "files='x'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("held_out", [0.01, 0.1, 0.49])
@pytest.mark.parametrize("count", [3, 4, 57])
def test_whole_files_lie_in_one_split_and_none_is_empty(count, held_out):
    """As earlier versions split them, whose runs are still scored."""
    sizes = {f"{number}.txt": 1 + number % 7 for number in range(count)}
    parts = split_files(sizes, held_out, "files='x'", "whole_files")
    assert_whole(parts, sizes)
    names = split_whole_files(sizes, held_out)
    assert {s: [part.name for part in parts[s]] for s in SPLITS} == names
    assert names == split_whole_files(dict(reversed(sizes.items())), held_out)
    if count == 57:
        for split in ("validation", "test"):
            share = held(parts)[split] / sum(sizes.values())
            assert held_out <= share < held_out + 7 / sum(sizes.values()) + 1e-9
    with pytest.raises(ParameterError, match="has 2 files; splitting='whole_files' needs at least"):
        split_files({"a": 1, "b": 1}, held_out, "files='x'", "whole_files")


def test_a_name_of_any_bytes_lies_in_a_split():
    assert_whole(split_files({"a\udcff": 100}, 0.1, "files='x'"), {"a\udcff": 100})


TASKS = {
    "text": lambda folder: Text(0, str(folder)),
    "same_file": lambda folder: SameFile(0, str(folder)),
    "source_package": lambda folder: SourcePackage(0, str(folder), classes=2),
    "images": lambda folder: Images(0, str(folder)),
}


def write(folder, task, names):
    """Each file holds its place in ``names``, in the second of two folders 16 more."""
    for name in [f"{top}/{name}" for top in "ab" for name in names]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        number = names.index(name[2:]) + 16 * (name[0] == "b")
        if task == "images":
            PIL.Image.new("L", (2, 2), number).save(folder / f"{name}.png")
        else:
            (folder / name).write_bytes(bytes([number]) * 400)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_on_files_honours_names_and_says_what_it_holds(task, tmp_path):
    names = [f"{n}.train" for n in range(8)] + ["valid.a", "test.a"]
    write(tmp_path, task, names)
    made = TASKS[task](tmp_path)
    for split, numbers in {"train": set(range(8)), "validation": {8}, "test": {9}}.items():
        batch = made.batch(split, 0, 64, 4)
        seen = np.rint(batch.inputs * 255) if task == "images" else batch.inputs
        numbered = np.unique(seen).astype(int)
        assert set((numbered[numbered < 256] % 16).tolist()) == numbers
    unit = "images" if task == "images" else "files, 800 bytes"
    assert made.holds()["test"] == f"2 {unit} (10.0%)"
    assert {path.is_file() for path in made.reads().values()} == {True}
    assert len(made.reads()) == 20


@pytest.mark.parametrize("task", ["source_package", "images"])
def test_splits_are_no_classes(task, tmp_path):
    write(tmp_path, task, ["1", "2", "3"])
    (tmp_path / "a").rename(tmp_path / "train")
    (tmp_path / "b").rename(tmp_path / "test")
    with pytest.raises(ParameterError, match="its folders test, train are splits by their names"):
        TASKS[task](tmp_path)


def test_three_large_files_are_shared(tmp_path):
    """What lay in the test split before was trained on, and the largest file was tested on."""
    for name, size in (("a", 8200), ("b", 900), ("c", 900)):
        (tmp_path / name).write_bytes(bytes([ord(name)]) * size)
    text = Text(0, str(tmp_path))
    assert {split: len(text.bytes[split]) for split in SPLITS} == {
        "train": 9000,
        "validation": 500,
        "test": 500,
    }
    assert text.holds() == {
        "train": "3 files, 9,000 bytes (90.0%)",
        "validation": "3 files, 500 bytes (5.0%)",
        "test": "3 files, 500 bytes (5.0%)",
    }
    before = Text(0, str(tmp_path), splitting="whole_files")
    assert sorted(len(before.bytes[split]) for split in SPLITS) == [900, 900, 8200]


def test_names_in_the_standard_library_say_no_split():
    """They are no user's: its test modules are no test split."""
    text = Text(0)
    said = said_splits(text.paths)
    assert "test" in said.values()
    assert all(said.keys() & {part.name for part in text.parts[split]} for split in SPLITS[:1])
    assert not said.keys() - {part.name for split in SPLITS for part in text.parts[split]}
    held_out = {part.name for split in SPLITS[1:] for part in text.parts[split]}
    assert not {name for name, split in said.items() if split == "test"} <= held_out
