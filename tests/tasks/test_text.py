"""Text: small files whole in one split each, and the byte that follows."""

from pathlib import Path

import numpy as np
import pytest

from seqmodels.errors import ConfigError, ParameterError
from seqmodels.tasks.base import SPLITS
from seqmodels.tasks.files.text import Text

ROOT = Path(__file__).parents[2]


@pytest.fixture
def text_files(tmp_path):
    """Thirty files of 100 bytes; file i holds the byte i alone."""
    for number in range(30):
        (tmp_path / f"{number}.txt").write_bytes(bytes([number]) * 100)
    return str(tmp_path / "*.txt")


def test_text_puts_each_file_into_one_split(text_files):
    text = Text(seed=0, files=text_files)
    owners = {split: set(text.bytes[split].tolist()) for split in SPLITS}
    assert sum(map(len, owners.values())) == len(set.union(*owners.values())) == 30
    assert all(len(text.bytes[split]) == 100 * len(owners[split]) for split in SPLITS)
    # 5% of 3,000 bytes are reached with the second file.
    assert [len(owners[split]) for split in SPLITS] == [26, 2, 2]


def test_text_asks_for_the_next_byte():
    text = Text(seed=0, files=str(ROOT / "seqmodels/**/*.py"))
    for split in SPLITS:
        data = text.bytes[split].tobytes()
        batch = text.batch(split, 0, 16, 32)
        for window, following in zip(batch.inputs, batch.targets, strict=True):
            assert window[1:].tolist() == following[:-1].tolist()
            assert bytes([*window.tolist(), following[-1]]) in data


def test_text_windows_of_an_evaluation_do_not_overlap(tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(bytes(range(256)))
    text = Text(0, str(tmp_path / "*"), evaluation_windows=1000, splitting="whole_files")
    for length in (1, 7, 100, 255):
        windows = text.examples("test", length)
        starts = text.batch("test", 0, windows, length).inputs[:, 0]
        assert windows == 255 // length
        assert starts[0] == 0
        assert (np.diff(starts) >= length).all()


def test_text_that_is_not_there(tmp_path, text_files):
    with pytest.raises(ParameterError, match=r"files='.*none.txt' matches nothing; write a file"):
        Text(seed=0, files=str(tmp_path / "none.txt"))
    text = Text(seed=0, files=text_files)
    (tmp_path / "7.txt").unlink()
    with pytest.raises(ConfigError, match=r"task.files: can't read .*7.txt: No such file"):
        text.bytes  # noqa: B018
