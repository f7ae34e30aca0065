"""What lies in a checkpoint's folder is trusted only as far as it is what was saved."""

import gc
import json
import logging
import math
import os
import resource
import shutil
import threading
import zlib
from contextlib import suppress
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from seqmodels import plain_names
from seqmodels.errors import CheckpointError, UserError
from seqmodels.training import checkpoint
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.checkpoint_files import DamagedError, read_record
from seqmodels.training.checksums import checksums
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import TrainState
from tests.states import abstract_state

ARRAYS = ["step", "params/a", "params/b/c", "optimizer/0", "optimizer/1/count"]


def new_state(step: int = 0) -> TrainState:
    """A small state that depends on the step everywhere."""
    params = {"a": jnp.arange(300.0) + step, "b": {"c": jnp.full((3, 4), step, jnp.bfloat16)}}
    return TrainState(jnp.int32(step), params, (jnp.full(300, 0.1 * step), {"count": step * ONE}))


ONE = jnp.int32(1)


def equal(a: TrainState, b: TrainState) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.fixture(scope="module")
def like():
    return abstract_state(new_state, replicated(make_mesh(1)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Steps 2 (the best), 3 and 4."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder, "score", True, print)
    for step in (2, 3, 4):
        checkpoints.save(new_state(step), step, {"loss": 0.5, "score": 1 / step})
    checkpoints.close()
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "checkpoints")


class Opened(Checkpoints):
    """Checkpoints that note what they say."""

    def __init__(self, folder: Path, read_only: bool = True):
        self.said: list[str] = []
        super().__init__(folder, "score", True, self.said.append, read_only)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


# Checksums.


def reference(array: np.ndarray) -> str:
    return f"{zlib.crc32(f'{array.dtype} {array.shape}'.encode() + array.tobytes()):08x}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool", "int8"])
@pytest.mark.parametrize("shape", [(), (0,), (8,), (3, 5), (2, 4, 3)])
def test_the_checksum_is_that_of_type_shape_and_values(dtype, shape):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    array = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
    assert checksums({"x": jnp.asarray(array)}) == {"x": reference(array)}
    assert checksums({"x": array.T}) == {"x": reference(np.array(array.T, order="C"))}


def test_every_bit_counts():
    array = np.arange(5, dtype=np.float32)
    seen = {reference(array)}
    for bit in range(8 * array.nbytes):
        content = bytearray(array.tobytes())
        content[bit // 8] ^= 1 << bit % 8
        seen |= set(checksums([np.frombuffer(content, np.float32)]).values())
    assert len(seen) == 1 + 8 * array.nbytes


@pytest.mark.parametrize(
    "parts", [PartitionSpec(), PartitionSpec("data"), PartitionSpec(None, "data")]
)
def test_the_checksum_is_the_same_on_any_devices(parts):
    array = np.arange(8 * 16, dtype=np.float32).reshape(8, 16)
    placed = jax.device_put(array, NamedSharding(make_mesh(8), parts))
    assert checksums([placed]) == {"0": reference(array)}


# Damage to arrays.


def test_every_array_carries_a_checksum(folder):
    record = json.loads((folder / "3/checksums/checksums").read_text())
    assert record["step"] == 3
    assert record["arrays"] == checksums(new_state(3))
    assert list(record["arrays"]) == ARRAYS


@pytest.mark.parametrize("name", ARRAYS[1:])
def test_an_array_that_is_not_what_was_saved_is_named(folder, like, name):
    file = folder / "4/checksums/checksums"
    record = json.loads(file.read_text())
    record["arrays"][name] = "00000000"
    file.write_text(json.dumps(record))
    checkpoints = Opened(folder)
    step, state = checkpoints.restore("latest", like)
    assert step == 3
    assert equal(state, new_state(3))
    assert checkpoints.said == [
        f"checkpoint 4 is damaged (the checksum of {name} is another)",
        "falling back to checkpoint 3",
    ]


@pytest.mark.slow
def test_no_flipped_bit_loads_silently(saved, tmp_path, like):
    """Over all files of a checkpoint: where nothing is said, the state is what was saved."""
    random = np.random.default_rng(0)
    folder = tmp_path / "checkpoints"
    sizes = {name: len(content) for name, content in contents(saved / "4").items()}
    data = [name for name in sizes if "/d/" in name]
    flips = [(name, 8 * int(random.integers(sizes[name]))) for name in sizes] + [
        (name, int(random.integers(8 * sizes[name]))) for name in random.choice(data, 12)
    ]
    said = 0
    for name, bit in flips:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(saved, folder)
        flip(folder / "4" / name, bit)
        checkpoints = Opened(folder)
        step, state = checkpoints.restore("latest", like)
        assert equal(state, new_state(step))
        assert checkpoints.said or step == 4
        assert not any("\n" in line for line in checkpoints.said)
        said += bool(checkpoints.said)
    assert said


# Each step stands for itself.


def without_arrays(folder: Path) -> None:
    shutil.rmtree(folder / "4/default")


def empty_step(folder: Path) -> None:
    (folder / "99").mkdir()


def other_number(folder: Path) -> None:
    shutil.copytree(folder / "3", folder / "99")


def other_number_without_checksums(folder: Path) -> None:
    other_number(folder)
    shutil.rmtree(folder / "99/checksums")


def cut_checksums(folder: Path) -> None:
    (folder / "4/checksums/checksums").write_text("{")


def a_pipe(folder: Path) -> None:
    (folder / "4/default/_METADATA").unlink()
    os.mkfifo(folder / "4/default/_METADATA")


NEWEST = [
    (without_arrays, 4, 3),
    (a_pipe, 4, 3),
    (cut_checksums, 4, 3),
    (empty_step, 99, 4),
    (other_number, 99, 4),
    (other_number_without_checksums, 99, 4),
]


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(("harm", "bad", "good"), NEWEST)
def test_a_step_costs_itself_alone_and_nothing_is_moved(folder, like, harm, bad, good, read_only):
    harm(folder)
    before = contents(folder.parent)
    checkpoints = Opened(folder, read_only)
    step, state = checkpoints.restore("latest", like)
    assert step == good
    assert equal(state, new_state(good))
    assert contents(folder.parent) == before
    damaged, fell_back = checkpoints.said[-2:]
    assert damaged.startswith(f"checkpoint {bad} is damaged (")
    assert fell_back == f"falling back to checkpoint {good}"
    assert bad not in checkpoints.steps()
    if "number" in harm.__name__:
        assert damaged == "checkpoint 99 is damaged (it holds step 3)"
    with pytest.raises(CheckpointError, match=rf"holds no checkpoint {bad}; it has 2, 3"):
        Opened(folder, read_only).restore(bad, like)
    checkpoints.close()


def test_what_is_damaged_counts_for_none_of_those_kept(folder, like):
    empty_step(folder)
    checkpoints = Opened(folder, read_only=False)
    checkpoints.restore("latest", like)
    for step in (5, 6):
        checkpoints.save(new_state(step), step, None)
    checkpoints.close()
    assert {path.name for path in folder.iterdir()} == {"2", "5", "6", "99"}


def test_a_damaged_step_that_is_reached_again_is_set_aside(folder, like):
    without_arrays(folder)
    before = contents(folder / "4")
    checkpoints = Opened(folder, read_only=False)
    checkpoints.restore("latest", like)
    checkpoints.save(new_state(4), 4, None)
    checkpoints.close()
    assert contents(folder.with_name("damaged-checkpoints") / "4") == before
    assert equal(Opened(folder).restore(4, like)[1], new_state(4))


def test_a_good_step_is_never_written_over(folder):
    before = contents(folder)
    checkpoints = Opened(folder, read_only=False)
    with pytest.raises(CheckpointError, match=r"^checkpoint 4 can't be written to "):
        checkpoints.save(new_state(0), 4, None)
    checkpoints.close()
    assert contents(folder) == before


def test_none_that_can_be_read_stay_where_they_are(folder, like):
    for step in (2, 3, 4):
        shutil.rmtree(folder / str(step) / "default")
    before = contents(folder.parent)
    for read_only in (True, False):
        checkpoints = Opened(folder, read_only)
        with pytest.raises(CheckpointError, match=r"^none of the checkpoints in .* can be read; "):
            checkpoints.restore("latest", like)
        checkpoints.close()
    assert contents(folder.parent) == before


def save_meanwhile(folder: Path, steps: tuple[int, ...]) -> None:
    """As a run that is going on does, each step better than those before."""
    if steps:
        writer = Opened(folder, read_only=False)
        for step in steps:
            writer.save(new_state(step), step, {"score": float(step)})
        writer.close()


@pytest.mark.parametrize("which", ["latest", "best"])
def test_rotation_while_reading_is_no_damage(folder, like, which, monkeypatch):
    """A run saves 5 and 6, and deletes 2, 3 and 4 while one of them is being read."""
    read, rotations = checkpoint.read_state, [(5, 6)]

    def read_slowly(path, step, *more):
        save_meanwhile(folder, rotations.pop() if rotations else ())
        return read(path, step, *more)

    monkeypatch.setattr(checkpoint, "read_state", read_slowly)
    checkpoints = Opened(folder)
    step, state = checkpoints.restore(which, like)
    assert step == 6
    assert equal(state, new_state(6))
    assert checkpoints.said == []


def test_the_best_is_chosen_of_those_that_are_there(folder, monkeypatch):
    """While scores are read a run saves better ones and deletes those that they replace."""
    read, rotations = checkpoint.read_metrics, [(5, 6)]

    def read_slowly(path, step):
        save_meanwhile(folder, rotations.pop() if rotations else ())
        return read(path, step)

    monkeypatch.setattr(checkpoint, "read_metrics", read_slowly)
    checkpoints = Opened(folder)
    assert checkpoints.best_step() == 6
    assert checkpoints.said == []


# Scores.

NESTED = "[" * 10_000 + "]" * 10_000
METRICS = {
    "nothing": "",
    "cut": '{"score": 0.',
    "object": "{}",
    "list": "[]",
    "text": '"score"',
    "null": "null",
    "number": "1",
    "no number": '{"score": "high"}',
    "no score": '{"loss": 0.5}',
    "nan": '{"loss": 0.5, "score": NaN}',
    "digits": '{"score": 1' + "0" * 400 + "}",
    "nested": NESTED,
    "another": '{"loss": 0.5, "score": 0.1}',
}


@pytest.mark.parametrize("with_checksums", [True, False])
@pytest.mark.parametrize("text", [pytest.param(METRICS[name], id=name) for name in METRICS])
def test_a_lost_score_is_said_and_the_checkpoint_kept(folder, like, text, with_checksums):
    (folder / "2/metrics/metrics").write_text(text)
    if not with_checksums:
        for step in (2, 3, 4):
            shutil.rmtree(folder / str(step) / "checksums")
        if text == METRICS["another"]:
            return  # nothing tells
    checkpoints = Opened(folder)
    assert checkpoints.restore("best", like)[0] == 3
    assert checkpoints.said[0].startswith("checkpoint 2 has lost its score (")
    assert checkpoints.said[0].endswith("): it can't be best")
    assert sum("score" in line for line in checkpoints.said) == 1


def test_what_may_be_the_best_is_not_deleted(folder):
    shutil.rmtree(folder / "2/metrics")
    checkpoints = Opened(folder, read_only=False)
    for step in (5, 6):
        checkpoints.save(new_state(step), step, None)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 3, 5, 6]
    assert checkpoints.said == [
        "checkpoint 2 has lost its score (damaged metrics): it can't be best"
    ]
    checkpoints.close()


def test_of_damaged_ones_the_next_best_stands_in(folder, like):
    other_number(folder)
    shutil.rmtree(folder / "2/default")
    checkpoints = Opened(folder)
    assert checkpoints.restore("best", like)[0] == 3
    assert checkpoints.said[-1] == "falling back to checkpoint 3"


def test_where_no_score_is_left_the_latest_stands_in(folder, like):
    for step in (2, 3, 4):
        (folder / str(step) / "metrics/metrics").write_text("")
    checkpoints = Opened(folder)
    assert checkpoints.restore("best", like)[0] == 4
    assert len(checkpoints.said) == 3


def test_an_earlier_version_s_carry_no_checksums_and_load(folder, like):
    shutil.rmtree(folder / "4/checksums")
    checkpoints = Opened(folder)
    step, state = checkpoints.restore("latest", like)
    assert step == 4
    assert equal(state, new_state(4))
    assert checkpoints.said == ["checkpoint 4 carries no checksums, so damage would go unnoticed"]


# What the metrics have not been told yet.


@pytest.mark.slow
def test_sums_since_the_last_log_are_saved_and_no_flipped_bit_changes_them(tmp_path):
    sums = {"loss": (1.25, 8.0), "accuracy": (0.1, 8.0), "odd": (math.inf, 0.0)}
    checkpoints = Opened(tmp_path / "checkpoints", read_only=False)
    checkpoints.save(new_state(5), 5, None, sums)
    checkpoints.close()
    assert checkpoints.unlogged(5) == sums
    file = tmp_path / "checkpoints/5/checksums/checksums"
    record = json.loads(file.read_text())
    text = json.dumps(record)
    places = range(text.index('"unlogged"'), text.index('"unlogged_checksum"'))
    for place in places:
        for bit in range(8):
            file.write_text(text)
            flip(file, 8 * place + bit)
            assert checkpoints.unlogged(5) in ({}, sums)
            with suppress(DamagedError):
                assert read_record(tmp_path / "checkpoints/5", 5)["unlogged"] == sums


def test_an_earlier_version_s_have_none(folder):
    file = folder / "4/checksums/checksums"
    record = json.loads(file.read_text())
    del record["unlogged"], record["unlogged_checksum"]
    file.write_text(json.dumps(record))
    assert Opened(folder).unlogged(4) == {}


# Names.

NAMES = ["try[1]", "[proj]/run", "a*b", "what?", "two\\parts", "**", "[!x]", "a b'\"%#{}~$é"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(tmp_path, like, name, monkeypatch):
    for decoy in ("try1", "p/run", "aab", "whats", "twoparts", "y"):
        (tmp_path / decoy / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    checkpoints = Opened(Path(name, "checkpoints"), read_only=False)
    for step in (2, 3, 4, 5):
        checkpoints.save(new_state(step), step, {"score": 1 / step})
    checkpoints.close()
    for folder in (Path(name), tmp_path / name):
        reader = Opened(folder / "checkpoints")
        assert reader.steps() == [2, 4, 5]
        assert reader.best_step() == 2
        for step in (2, 4, 5):
            assert equal(reader.restore(step, like)[1], new_state(step))
        reader.close()
        assert reader.said == []
    assert all(file.startswith(f"{name}/checkpoints/") for file in contents(tmp_path))
    assert before == {}


def test_a_name_that_this_system_can_t_serve_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_names, "OPEN_FOLDERS", tmp_path / "none")
    with pytest.raises(UserError, match=r"try\[1\] can't be used on this system"):
        Opened(tmp_path / "try[1]", read_only=False)


# What can't be written.


@pytest.fixture
def no_large_files():
    """As on a full disk, what is larger than 8 KiB is refused."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**13, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_refuses_an_array_is_one_line(tmp_path, capfd, no_large_files):
    """Orbax prints hundreds of lines of the arrays that it abandons then."""
    random = np.random.default_rng(0)
    params = {f"a{n}": jnp.asarray(random.standard_normal(20_000), "f") for n in range(8)}
    checkpoints = Opened(tmp_path / "checkpoints", read_only=False)
    checkpoints.save(TrainState(jnp.int32(5), params, ()), 5, None)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.wait()
    assert str(caught.value) == (
        f"checkpoint 5 can't be written to {tmp_path}/checkpoints (File too large); saved there: "
        "none. Once that is mended, the same command continues"
    )
    checkpoints.close()
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert checkpoints.steps() == []
    assert not [thread for thread in threading.enumerate() if thread.name == "async_save"]
    # What they say comes at any time later, or never.
    said = "Task exception was never retrieved\nfuture: <Task coro=<write() of orbax/checkpoint>>"
    for text, passes in ((said, False), (said.replace("orbax", "other"), True), ("orbax", True)):
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, text, (), None)
        assert bool(logging.getLogger("asyncio").filter(record)) == passes


def test_a_save_that_fails_is_one_line(folder, monkeypatch):
    checkpoints = Opened(folder, read_only=False)
    shutil.rmtree(folder)
    folder.write_text("no folder any more")
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(new_state(5), 5, None)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"checkpoint 5 can't be written to {folder} (")
    checkpoints.close()
    with pytest.raises(CheckpointError, match=r"can't be written \(.*\); choose another"):
        Opened(folder, read_only=False)


@pytest.mark.parametrize(("count", "named"), [(2, "process 0"), (3, "one of 0, 2")])
def test_a_save_of_several_processes_says_whose_end_may_have_failed_it(
    folder, monkeypatch, count, named
):
    checkpoints = Opened(folder, read_only=False)
    monkeypatch.setattr(jax, "process_count", lambda: count)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    failed = str(checkpoints._unwritten(RuntimeError("no answer at the barrier")))
    assert f"no answer at the barrier; {named} may have ended); saved there: " in failed
    assert failed.endswith("Once that is mended, the same command in every process continues")
    monkeypatch.undo()
    checkpoints.close()
