"""Stretches of files: each from the split, the folder and the file that it is said to be from."""

import email
from collections import Counter

import numpy as np
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.same_file import SameFile
from seqmodels.tasks.files.source_package import SourcePackage
from seqmodels.tasks.files.stretches import own_places

PER_FOLDER = 12


@pytest.fixture
def folders(tmp_path):
    """Four folders of 12 files, the last with one alone beside it; file i holds byte i alone.

    Files hold 40 to 95 bytes; those of folder d are numbered from 12 d.
    """
    for number in range(4 * PER_FOLDER):
        path = tmp_path / "abcd"[number // PER_FOLDER] / "inside" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (40 + 5 * (number % PER_FOLDER)))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/file.txt").write_bytes(bytes([48]) * 200)
    (tmp_path / "in no folder.txt").write_bytes(bytes([49]) * 200)
    return tmp_path


def number_places(folders):
    """Each file holds its places by turns with its number, which makes every stretch its own."""
    for path in folders.glob("*/inside/*.txt"):
        size, number = path.stat().st_size, int(path.stem)
        path.write_bytes(bytes(place if place % 2 else number for place in range(size)))


def numbers_of(paths, parts):
    return {paths[part.name].read_bytes()[0] for part in parts}


def test_each_folder_has_files_in_each_split_and_each_file_one_split(folders):
    task = SourcePackage(0, str(folders), 4, splitting="whole_files")
    assert task.packages == ("a", "b", "c", "d")
    owners = [numbers_of(task.paths, task.parts[split]) for split in SPLITS]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 4 * PER_FOLDER
    for split, owned in zip(SPLITS, owners, strict=True):
        assert {number // PER_FOLDER for number in owned} == {0, 1, 2, 3}
        seen = np.unique(task.batch(split, 0, 2000, 10).inputs)
        assert set(seen.tolist()) == owned


def test_a_stretch_is_from_the_folder_that_its_label_says(folders):
    task = SourcePackage(0, str(folders), 4, splitting="whole_files")
    for split in SPLITS:
        batch = task.batch(split, 1, 64, 20)
        assert batch.mask is not None
        assert batch.mask.all()
        assert (batch.inputs == batch.inputs[:, :1]).all(), "no stretch goes past its file"
        np.testing.assert_array_equal(batch.inputs[:, 0] // PER_FOLDER, batch.targets)
        assert (task.fields(batch)["package"] == batch.targets).all()


def test_a_shorter_file_is_padded_and_counts_as_one_stretch(folders):
    task = SourcePackage(0, str(folders), 4, splitting="whole_files")
    sizes = {path.read_bytes()[0]: path.stat().st_size for path in task.paths.values()}
    batch = task.batch("train", 0, 4000, 90)
    assert batch.mask is not None
    for row, mask in zip(batch.inputs, batch.mask, strict=True):
        held = min(90, sizes[int(row[0])])
        assert mask.tolist() == [True] * held + [False] * (90 - held)
        assert (row[:held] == row[0]).all()
        assert not row[held:].any()
    counts = Counter(batch.inputs[batch.targets == 0, 0].tolist())
    shorter = [counts[n] for n in counts if sizes[n] < 90]
    assert max(shorter) < 1.6 * min(shorter)


def test_every_place_of_a_class_is_as_likely(tmp_path):
    """Three training files of one class: 100 places of a long one for each of a short one."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        for number in range(9):
            values = np.arange(100 if number % 2 else 10, dtype=np.uint8) + 100 * (folder == "b")
            (tmp_path / folder / f"{number}.txt").write_bytes(values.tobytes())
    task = SourcePackage(0, str(tmp_path), 2, held_out=0.01, splitting="whole_files")
    assert [len(task.parts[split]) for split in SPLITS] == [14, 2, 2]
    batch = task.batch("train", 0, 40_000, 1)
    long = sum(part.size > 10 for part in task.parts["train"] if part.name[0] == "a")
    counts = Counter(batch.inputs[batch.targets == 0, 0].tolist())
    per_place = sum(counts.values()) / (100 * long + 10 * (7 - long))
    for value in range(100):
        expected = per_place * (long + (7 - long) * (value < 10))
        assert abs(counts[value] - expected) < 6 * expected**0.5, value


def test_classes_are_balanced_in_training_and_exactly_so_in_evaluation(folders):
    task = SourcePackage(seed=0, files=str(folders), classes=4, evaluation_examples=40)
    drawn = np.bincount(task.batch("train", 0, 4000, 10).targets)
    assert abs(drawn - 1000).max() < 6 * 1000**0.5
    assert np.bincount(task.batch("validation", 0, 40, 10).targets).tolist() == [10] * 4


@pytest.mark.parametrize("task", [SourcePackage, SameFile])
def test_evaluations_are_the_same_for_every_seed(task, folders):
    settings = {"classes": 4} if task is SourcePackage else {}
    a, b = (task(seed=seed, files=str(folders), **settings) for seed in (0, 1))
    for split in ("validation", "test"):
        assert np.array_equal(a.batch(split, 0, 9, 20).inputs, b.batch(split, 0, 9, 20).inputs)


def test_the_largest_folders_with_enough_files_are_the_classes(folders):
    (folders / "a/inside/large.txt").write_bytes(b"x" * 10_000)
    (folders / "c/inside/large.txt").write_bytes(b"x" * 9_000)
    (folders / "alone/file.txt").write_bytes(b"x" * 20_000)
    assert SourcePackage(seed=0, files=str(folders), classes=2).packages == ("a", "c")


def test_too_few_folders(folders):
    message = "classes=5 but files='.*' has 4 top-level folders of at least 3 files.*lower classes"
    with pytest.raises(ParameterError, match=message):
        SourcePackage(seed=0, files=str(folders), classes=5)


@pytest.mark.parametrize("length", [3, 10, 21, 60])
def test_two_stretches_are_of_one_file_where_it_is_said(folders, length):
    task = SameFile(0, str(folders), held_out=0.3, splitting="whole_files")
    for split in SPLITS:
        batch = task.batch(split, 0, 500, length)
        half = (length - 1) // 2
        first, separators, second = np.split(batch.inputs, [half, half + 1], axis=1)
        assert second.shape[1] - half in (0, 1)
        assert (separators == 256).all()
        assert (first == first[:, :1]).all()
        assert (second == second[:, :1]).all()
        np.testing.assert_array_equal(first[:, 0] == second[:, 0], batch.targets)
        owned = numbers_of(task.paths, task.parts[split])
        assert set(np.unique(np.concatenate([first, second], axis=1)).tolist()) <= owned
        assert 0.4 < batch.targets.mean() < 0.6
    targets = task.batch("test", 0, 1000, 10).targets
    assert targets.sum() == 500


def test_two_files_are_of_one_folder_or_both_alone(folders):
    task = SameFile(seed=0, files=str(folders), held_out=0.01)
    alone = numbers_of(task.paths, task.parts["train"]) & {48, 49}
    batch = task.batch("train", 0, 2000, 21)
    pairs = {(int(row[0]), int(row[-1])) for row in batch.inputs[batch.targets == 0]}
    assert all(a // PER_FOLDER == b // PER_FOLDER for a, b in pairs)
    assert alone == {48, 49}
    assert {(48, 49), (49, 48)} <= pairs


def test_every_file_is_as_likely_in_either_place_whatever_the_answer(folders):
    task = SameFile(seed=0, files=str(folders), held_out=0.01)
    files = sorted(numbers_of(task.paths, task.parts["train"]))
    batch = task.batch("train", 0, 60_000, 21)
    for same in (0, 1):
        rows = batch.inputs[batch.targets == same]
        for place in (0, 20):
            counts = np.bincount(rows[:, place], minlength=256)[files]
            expected = len(rows) / len(files)
            assert (abs(counts - expected) < 5 * expected**0.5).all()


def test_one_stretch_alone_says_nothing(folders):
    """In either place, whatever the answer, every place of a file is as likely."""
    number_places(folders)
    task = SameFile(seed=0, files=str(folders), held_out=0.01)
    batch = task.batch("train", 0, 60_000, 21)
    for place in (0, 20):
        seen = [
            np.bincount(batch.inputs[batch.targets == same, place], minlength=256)
            for same in (0, 1)
        ]
        total = np.maximum(seen[0] + seen[1], 1)
        # The difference of two counts has a variance of their sum.
        assert (abs(seen[0] - seen[1]) < 5 * total**0.5 + 5).all()


def test_stretches_of_one_file_never_overlap(folders):
    number_places(folders)
    task = SameFile(seed=0, files=str(folders))
    batch = task.batch("train", 0, 5000, 36)
    one = batch.inputs[(batch.targets == 1) & (batch.inputs[:, 0] != batch.inputs[:, 1])]
    # Of 17 and 18 places: at even ones stands the file's number, and at odd ones the place.
    first, second = (
        np.where(one[:, i] == one[:, i + 2], one[:, i + 1] - 1, one[:, i]) for i in (0, 18)
    )
    assert np.where(second > first, second - first >= 17, first - second >= 18).all()
    assert 0.4 < (second > first).mean() < 0.6


def test_a_file_that_goes_missing_is_named(folders):
    for task in (SourcePackage(0, str(folders), classes=4), SameFile(0, str(folders))):
        (folders / "c/inside/30.txt").rename(folders / "away")
        with pytest.raises(ConfigError, match=r"task.files: can't read .*30.txt: .* \(file \d+ of"):
            task.batch("train", 0, 1, 10)
        (folders / "away").rename(folders / "c/inside/30.txt")


def test_no_two_files_to_tell_apart(tmp_path):
    for name in "abcde":
        (tmp_path / name).write_bytes(b"x" * 50)
    task = SameFile(seed=0, files=str(tmp_path))
    with pytest.raises(ParameterError, match=r"length=20 .* test has no 2 files with stretches"):
        task.batch("test", 0, 1, 20)


@pytest.mark.parametrize("length", [12, 17, 40])
def test_no_file_holds_both_stretches_that_are_said_to_be_of_different_ones(length):
    """Of source at length 17, up to 62% of them lay together in one file."""
    task = SameFile(seed=0, files=email.__path__[0], evaluation_examples=100)
    texts = [path.read_bytes() for path in task.reads().values()]
    half = (length - 1) // 2
    for split in SPLITS:
        batch = task.batch(split, 0, 100, length)
        for row, same in zip(batch.inputs, batch.targets, strict=True):
            first, second = bytes(row[:half].tolist()), bytes(row[half + 1 :].tolist())
            holding = sum(first in text and second in text for text in texts)
            assert holding == same, (split, first, second)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_own_stretches_are_in_no_other_file(length):
    random = np.random.default_rng(length)
    sizes = random.integers(1, 400, size=9)
    texts = [
        random.integers(min(250, int(2 ** (12 / length)) + 2), size=n, dtype=np.uint8)
        for n in sizes
    ]
    texts.append(texts[3].copy())
    files = np.repeat(np.arange(10), [len(text) for text in texts])
    own = own_places(np.concatenate(texts), files, length)
    of = [{text[i : i + length].tobytes() for i in range(len(text))} for text in texts]
    place, found, wanted = 0, 0, 0
    for number, text in enumerate(texts):
        for start in range(len(text)):
            stretch = text[start : start + length].tobytes()
            alone = len(stretch) == length
            alone &= not any(stretch in of[other] for other in range(10) if other != number)
            assert alone or not own[place], (number, start)
            wanted, found, place = wanted + alone, found + own[place], place + 1
    assert found >= 0.5 * wanted
