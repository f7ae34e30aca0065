"""Tokens of one's own: parts that do not overlap, each token predicted once an epoch."""

import zipfile

import numpy as np
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.tokens import Tokens


@pytest.fixture
def tokens_file(tmp_path):
    """Write an array and get its path."""

    def write(array, name="tokens.npy"):
        np.save(tmp_path / name, array)
        return str(tmp_path / name)

    return write


@pytest.fixture
def counting(tokens_file):
    """Token i is i: where a window was read is seen in it."""
    return tokens_file(np.arange(1003, dtype=np.int32))


@pytest.mark.parametrize("length", [1, 7, 30])
def test_parts_do_not_overlap_and_lie_one_after_another(counting, length):
    task = Tokens(seed=0, path=counting, held_out=0.1, evaluation_windows=10**6)
    seen = []
    for split in SPLITS:
        batch = task.batch(split, 0, task.examples(split, length), length)
        assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
        np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
        seen.append(np.unique(np.concatenate([batch.inputs, batch.targets])))
    assert [part[0] for part in seen] == [0, 803, 903]
    assert seen[0][-1] < 803 <= seen[1][0] < seen[1][-1] < 903 <= seen[2][0]
    assert seen[2][-1] <= 1002


def test_every_token_is_predicted_once_an_epoch_in_a_new_order(counting):
    task = Tokens(seed=0, path=counting, held_out=0.1)
    windows = task.examples("train", 10)
    assert windows == 80
    epochs = [
        np.concatenate([task.batch("train", step, 8, 10).targets for step in steps])
        for steps in (range(10), range(10, 20))
    ]
    for targets in epochs:
        assert sorted(targets.ravel().tolist()) == list(range(1, 801))
    assert not np.array_equal(*epochs)


def test_windows_of_an_evaluation_do_not_overlap(counting):
    task = Tokens(seed=0, path=counting, held_out=0.1, evaluation_windows=4)
    for length in (1, 7, 24, 99):
        windows = task.examples("test", length)
        assert windows == min(4, 99 // length)
        starts = task.batch("test", 0, windows, length).inputs[:, 0]
        assert starts[0] == 903
        assert (np.diff(starts) >= length).all()


def test_the_file_stays_on_disk(counting):
    assert isinstance(Tokens(seed=0, path=counting).tokens, np.memmap)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64, ">i4"])
def test_any_whole_numbers(tokens_file, dtype, monkeypatch):
    monkeypatch.setattr("seqmodels.tasks.files.tokens.SCANNED_AT_ONCE", 7)
    tokens = np.arange(200) % 100
    task = Tokens(seed=0, path=tokens_file(tokens.astype(dtype)))
    assert task.spec.input_size == task.spec.outputs == 100
    assert task.batch("train", 0, 2, 9).inputs.dtype == np.int32


def test_a_vocabulary_that_is_given_is_not_looked_for(tokens_file):
    tokens = np.zeros(1000, np.int32)
    tokens[[333, 999]] = 9, -1
    task = Tokens(seed=0, path=tokens_file(tokens), vocabulary=9)
    with pytest.raises(ConfigError, match=r"task.path: token 333 of .*npy is 9, which is not at l"):
        task.batch("train", 0, task.examples("train", 10), 10)
    task.batch("validation", 0, 1, 10)
    with pytest.raises(ConfigError, match=r"token 999 of .* is -1, which is not .* below task.voc"):
        task.batch("test", 0, 1, 49)
    with pytest.raises(ParameterError, match=r"path=.*: token 999 is -1; tokens are at least 0"):
        Tokens(seed=0, path=str(task.path))


def test_files_that_can_not_be_used(tokens_file, tmp_path):
    def refused(path, message):
        with pytest.raises(ParameterError, match=message) as caught:
            Tokens(seed=0, path=path)
        assert "\n" not in str(caught.value)

    path = tokens_file(np.arange(100))
    wrong = path.replace("tokens", "tokns")
    refused(wrong, "path='.*tokns.npy': no such file; did you mean '.*tokens.npy'")
    refused(str(tmp_path), "no such file")
    refused(str(tmp_path / "none/tokens.npy"), "no such file; it is written by np.save")
    refused(tokens_file(np.zeros(100)), r"holds an array of float64 of shape \(100,\); integers on")
    refused(tokens_file(np.zeros((9, 100), int)), r"int64 of shape \(9, 100\); integers on one")
    refused(tokens_file(np.int64(3)), r"int64 of shape \(\); integers on one axis")
    refused(tokens_file(np.array([{}], object)), "can't be read as a .npy file: .*object")
    refused(tokens_file(np.zeros(39, int)), "holds 39 tokens, of which held_out=0.05 leaves 1 to")
    refused(tokens_file(np.zeros(0, int)), "path=.* holds 0 tokens")
    damaged = tmp_path / "damaged.npy"
    damaged.write_bytes(b"")
    refused(str(damaged), "can't be read as a .npy file: ")
    damaged.write_bytes(b"these are words and no array")
    refused(str(damaged), "can't be read as a .npy file: ")
    tokens_file(np.arange(100), damaged.name)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    refused(str(damaged), "can't be read as a .npy file: .*")
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("words", "no array")
    refused(str(damaged), "can't be read as a .npy file: ")
