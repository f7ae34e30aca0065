"""Frozen examples: the task's own, readable without us, and whole or not there."""

import errno
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from seqmodels.errors import ParameterError, UserError
from seqmodels.tasks.base import SPLITS, SlicedTask, WritingTask
from seqmodels.tasks.prepared import freezing
from seqmodels.tasks.prepared.frozen import Frozen
from tests.command_line import ROOT
from tests.tasks.test_tasks import make, same

EXAMPLES = {"train": 20, "validation": 21, "test": 19}
LENGTHS = {"recall": 24, "adding": 9, "dates": 29, "digits": 64, "needle": 9, "memorisation": 8}


def config_of(kind, **settings):
    return {"seed": 3, "task": {"kind": kind, **settings}, "train": {"batch_size": 8, "length": 0}}


def freeze(config, out, examples=EXAMPLES, length=24):
    freezing.freeze(config, out, length, examples, lambda *progress: None)
    return Frozen(seed=0, folder=str(out))


@pytest.mark.parametrize("kind", LENGTHS)
def test_frozen_examples_are_the_tasks_own(kind, tmp_path):
    """Bit for bit: in order in evaluation, each once an epoch in training; metrics too."""
    settings = {} if kind == "digits" else {"evaluation_examples": 21}
    own, length = type(make(kind))(seed=3, **settings), LENGTHS[kind]
    frozen = freeze(config_of(kind, **settings), tmp_path / "out", length=length)
    assert frozen.spec == own.spec
    for split in SPLITS:
        assert frozen.examples(split, length) == EXAMPLES[split]
    for step in range(2):  # what lies wholly within the 21 and 19 examples
        for split in ("validation", "test"):
            batch = frozen.batch(split, step, 8, length)
            assert same(batch, own.batch(split, step, 8, length))
    outputs = np.random.default_rng(0).normal(size=(*batch.targets.shape, own.spec.outputs))
    outputs = outputs.astype(np.float32)
    both = jax.jit(lambda *given: (frozen.metrics(*given), own.metrics(*given)))
    of_frozen, of_own = both(outputs, batch)
    assert of_frozen == of_own
    assert isinstance(frozen, WritingTask) == isinstance(own, WritingTask)
    assert isinstance(frozen, SlicedTask) == isinstance(own, SlicedTask)
    rows = np.concatenate([frozen.batch("train", step, 10, length).inputs for step in range(2)])
    first = np.concatenate([own.batch("train", step, 8, length).inputs for step in range(3)])[:20]
    assert sorted(map(bytes, rows)) == sorted(map(bytes, first))


def test_a_folder_may_have_any_name(tmp_path):
    """tensorflow-datasets takes names for patterns."""
    for decoy in ("sets1", "sets[1]/aab"):
        (tmp_path / decoy).mkdir(parents=True)
    frozen = freeze(config_of("recall", evaluation_examples=21), tmp_path / "sets[1]/a*b")
    own = type(make("recall"))(seed=3, evaluation_examples=21)
    assert same(frozen.batch("test", 0, 8, 24), own.batch("test", 0, 8, 24))


def test_anybody_can_read_them(tmp_path):
    import tensorflow_datasets as tfds

    freeze(config_of("recall", evaluation_examples=21), tmp_path / "out")
    builder = tfds.builder_from_directory(tmp_path / "out")
    source = builder.as_data_source("test")
    assert len(source) == 19
    own = make("recall", seed=3, vocabulary=256, pairs=4, power=0.01)
    assert np.array_equal(source[0]["inputs"], own.batch("test", 0, 8, 24).inputs[0])
    assert builder.info.metadata["seqmodels"]["task"]["kind"] == "recall"
    for file in (tmp_path / "out").glob("*.json"):
        assert str(tmp_path) not in file.read_text()


def test_what_is_frozen_again_is_of_the_first_task(tmp_path):
    """As is a folder of an earlier version, which names the folder that it was frozen from."""
    first = freeze(config_of("recall", evaluation_examples=21), tmp_path / "first")
    again = freeze(config_of("frozen", folder=str(tmp_path / "first")), tmp_path / "again")
    assert again.of == first.of
    rename_task(tmp_path / "again", {"kind": "frozen", "folder": str(tmp_path / "first")})
    older = Frozen(0, str(tmp_path / "again"))
    for frozen in (again, older):
        assert same(frozen.batch("test", 0, 8, 24), first.batch("test", 0, 8, 24))
        assert frozen.chance("test", 24) == first.chance("test", 24)


def test_folders_that_were_frozen_from_one_another(tmp_path):
    """Not of themselves, nor in a circle; they end in a line."""
    freeze(config_of("recall", evaluation_examples=21), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name, other in (("a", "b"), ("b", "a")):
        rename_task(tmp_path / name, {"kind": "frozen", "folder": str(tmp_path / other)})
    with pytest.raises(ParameterError, match=r"was frozen from .*, which was frozen from it"):
        Frozen(0, str(tmp_path / "a"))
    rename_task(tmp_path / "a", {"kind": "frozen", "folder": str(tmp_path / "none")})
    with pytest.raises(ParameterError, match=r"/a': folder='.*/none' holds no frozen task"):
        Frozen(0, str(tmp_path / "a"))


@pytest.mark.parametrize("content", ["[]", '{"seqmodels": {"task": 3}}', "[" * 10_000, '{"seq'])
def test_metadata_of_another_shape(content, tmp_path):
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "metadata.json").write_text(content)
    with pytest.raises(ParameterError, match=r"folder='.*': .*metadata.json (holds|is cut)"):
        Frozen(0, str(tmp_path))


def rename_task(folder, section):
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["seqmodels"]["task"] = section
    (folder / "metadata.json").write_text(json.dumps(metadata))


def test_a_split_left_out_is_frozen_whole(tmp_path):
    config = config_of("recall", evaluation_examples=33)
    frozen = freeze(config, tmp_path / "out", {"train": 5})
    assert [frozen.examples(split, 24) for split in SPLITS] == [5, 33, 33]


@pytest.mark.parametrize("failing", ["add_examples", "close_splits"])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), UserError, "No space left on device"),
        (RuntimeError("write() failed: No space left"), UserError, "No space left"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_nothing_half_written_is_left(failing, error, raised, message, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(*arguments):
        raise error

    monkeypatch.setattr(tfds.core.SequentialWriter, failing, fail)
    with pytest.raises(raised, match=message):
        freeze(config_of("recall"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("examples", "length", "message"),
    [
        ({}, 24, "examples=train=NUMBER is missing: train is endless"),
        ({"train": 1, "test": 30}, 24, "examples=test=30 is more than the 21 that the task has"),
        ({"train": 1}, 7, "--length=7 can't be made by the task recall: "),
    ],
)
def test_what_can_not_be_frozen(examples, length, message, tmp_path):
    with pytest.raises(UserError, match=message):
        freeze(config_of("recall", evaluation_examples=21), tmp_path / "out", examples, length)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian=3", "'trian' is no split; did you mean 'train'"),
        ("train", "write train=NUMBER"),
        ("train=0", "write train=NUMBER, of at least 1"),
        ("train=²", "write train=NUMBER, of at least 1"),
    ],
)
def test_examples_that_can_not_be_read(text, message):
    with pytest.raises(UserError, match=message):
        freezing.read_examples([text])


def test_folders_that_hold_nothing_frozen(tmp_path):
    from tests.tasks.small_sets import small_sets

    with pytest.raises(ParameterError, match=r"folder='.*' holds no frozen task; write one with"):
        Frozen(0, str(tmp_path))
    with pytest.raises(ParameterError, match="holds a set that seqmodels didn't freeze"):
        Frozen(0, str(small_sets() / "mnist/1.0.0"))


@pytest.mark.slow
def test_the_command_line(tmp_path):
    def run(*flags):
        command = [sys.executable, "-m", "seqmodels", "freeze", *flags]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    flags = [
        "--config=configs/recall.py:length=64",
        f"--out={tmp_path / 'out'}",
        "--examples=train=10,validation=5,test=5",
        "--config.task.pairs=2",
        "--length=32",
    ]
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert "train: 10 examples" in done.stdout
    frozen = Frozen(0, str(tmp_path / "out"))
    assert frozen.batch("train", 0, 2, 32).inputs.shape == (2, 32)
    again = run(*flags)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert f"--out={tmp_path / 'out'} exists; choose a new folder" in again.stderr
    assert "--examples" in run("--help").stdout
