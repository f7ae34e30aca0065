"""Checkpoints: what is saved comes back bit by bit, and damage costs one checkpoint at most."""

import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import CheckpointError
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.keeping import Keeping
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import TrainState
from tests.states import abstract_state

SIZE, LARGE = 2_000, 200_000


def new_state(number: int = 0, size: int = SIZE) -> TrainState:
    """A state that depends on a number everywhere."""
    weights = (np.arange(size) * 1e-3 + number).astype("f")
    params = {"a": {"weights": weights}, "b": np.full((3, 4), number, "f")}
    moments = (np.full(size, 1.0 / (1 + number), "f"), {"count": np.int32(number)})
    return jax.tree.map(jnp.asarray, TrainState(np.int32(number), params, moments))


def copied(state: TrainState) -> TrainState:
    return jax.tree.map(lambda x: np.array(x, copy=True), state)


def equal(a: TrainState, b: TrainState) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.fixture(scope="module")
def everywhere():
    return replicated(make_mesh())


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def open_checkpoints(tmp_path, warnings):
    """Opens the folder's checkpoints as a new process would; closes them at the end."""
    opened = []

    def open_(higher_is_better: bool = True, read_only: bool = False, **more) -> Checkpoints:
        for one in opened:
            one.wait()
        spec = tmp_path / "checkpoints", "score", higher_is_better, warnings.append, read_only
        opened.append(Checkpoints(*spec, **more))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


@pytest.fixture
def like(everywhere):
    return abstract_state(new_state, everywhere)


def test_what_is_saved_comes_back(open_checkpoints, like, everywhere):
    state = jax.device_put(new_state(3), everywhere)
    open_checkpoints().save(state, 3, {"score": 0.5})
    step, restored = open_checkpoints().restore("latest", like)
    assert step == 3
    assert equal(restored, state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert all(leaf.sharding == everywhere for leaf in jax.tree.leaves(restored))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_steps_that_reuse_the_buffers_do_not_reach_a_save(open_checkpoints, devices):
    """The loop goes on, and donates the state, while the checkpoint is being written.

    The state has some megabytes.
    """
    new_large = partial(new_state, size=LARGE)
    mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
    sharding = replicated(mesh)
    step = jax.jit(
        lambda s: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), s),
        donate_argnums=0,
        out_shardings=sharding,
    )
    checkpoints = open_checkpoints()
    state = step(jax.device_put(new_large(), sharding))
    for number in (1, 51):  # the state's own step
        expected = copied(state)
        checkpoints.save(state, number, None)
        for _ in range(50):
            state = step(state)
        jax.block_until_ready(state)
        checkpoints.wait()
        restored = checkpoints.restore(number, abstract_state(new_large, sharding))[1]
        assert equal(restored, expected)
        assert not equal(restored, state)


SAVES = [(1, 0.3), (2, 0.9), (3, 0.9), (4, None), (5, 0.2), (6, 0.1), (7, None), (8, None)]
KEPT = [{1}, {1, 2}, {2, 3}, {3, 4}, {3, 4, 5}, {3, 5, 6}, {3, 6, 7}, {3, 7, 8}]


@pytest.mark.slow
@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("resumed", [False, True], ids=["one process", "a process a save"])
def test_the_latest_two_and_the_best_are_kept(open_checkpoints, resumed, higher_is_better):
    """Of equal scores the later is best; a save without a score is never best."""
    checkpoints = open_checkpoints(higher_is_better)
    for (step, score), kept in zip(SAVES, KEPT, strict=True):
        if resumed:
            checkpoints = open_checkpoints(higher_is_better)
        signed = {"score": score if higher_is_better else -score} if score is not None else None
        checkpoints.save({"a": jnp.asarray(np.zeros(2, "f"))}, step, signed)
        checkpoints.wait()
        assert set(checkpoints.steps()) == kept
        assert checkpoints.best_step() == (step if step < 4 else 3)


def test_what_is_kept_by_config(open_checkpoints):
    """The latest, each multiple, and those to which a run may go back, which others follow."""
    keeping = Keeping(latest=1, every=40, validated=10, back=2)
    checkpoints = open_checkpoints(keeping=keeping)
    saves = [(10, 0.1), (20, 0.2), (30, 0.1), (33, None), (40, 0.1), (50, 0.1), (60, 0.1)]
    kept = [{10}, {10, 20}, {20, 30}, {20, 30, 33}, {20, 30, 40}, {20, 40, 50}, {20, 40, 50, 60}]
    for (step, score), of in zip(saves, kept, strict=True):
        metrics = {"score": score} if score is not None else None
        checkpoints.save({"a": jnp.asarray(np.zeros(2, "f"))}, step, metrics)
        checkpoints.wait()
        assert set(checkpoints.steps()) == of


def test_what_came_after_a_step_is_deleted_from_the_latest_on(open_checkpoints, monkeypatch):
    """So that a kill in between leaves what the run goes on from to the same end."""
    checkpoints = open_checkpoints(keeping=Keeping(latest=4))
    for step in (1, 2, 3, 4):
        checkpoints.save({"a": jnp.asarray(np.zeros(2, "f"))}, step, {"score": float(step)})
    checkpoints.wait()
    left, delete = [], shutil.rmtree

    def watched(path, ignore_errors):
        left.append(checkpoints.steps())
        delete(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", watched)
    checkpoints.delete_after(2)
    assert left == [[1, 2, 3, 4], [1, 2, 3], [1, 2, 3], [1, 2]]
    assert checkpoints.best_step() == 2
    checkpoints.save({"a": jnp.asarray(np.zeros(2, "f"))}, 3, {"score": 0.0})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2, 3]


def test_which_checkpoint(open_checkpoints, like):
    checkpoints = open_checkpoints()
    for step, score in ((1, 0.9), (2, 0.5), (3, 0.6)):
        checkpoints.save(new_state(step), step, {"score": score})
        checkpoints.wait()
    for which, step in (("latest", 3), ("best", 1), (2, 2), (3, 3)):
        found, state = checkpoints.restore(which, like)
        assert found == step
        assert equal(state, new_state(step))
    message = rf"^{checkpoints.folder} holds no checkpoint 7; it has 1, 2, 3$"
    with pytest.raises(CheckpointError, match=message):
        checkpoints.restore(7, like)


def test_the_best_of_a_run_that_was_never_validated(open_checkpoints, like):
    """It was stopped before: what there is is named."""
    checkpoints = open_checkpoints()
    checkpoints.save(new_state(3), 3, None)
    checkpoints.wait()
    message = "stopped before its first validation; take 'latest', which is step 3, or train on"
    with pytest.raises(CheckpointError, match=message):
        checkpoints.restore("best", like)


def test_no_checkpoint(open_checkpoints, like):
    with pytest.raises(CheckpointError, match=r"checkpoints holds no checkpoint; train first$"):
        open_checkpoints().restore("latest", like)


@pytest.fixture(scope="module")
def three_saved(tmp_path_factory) -> Path:
    """Steps 1 (the best), 2 and 3."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder, "score", True, print)
    for step in (1, 2, 3):
        checkpoints.save(new_state(step), step, {"score": 1 / step})
    checkpoints.close()
    return folder


def delete(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def truncate(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


DAMAGES: list[Callable[[Path], None]] = [delete, empty, truncate]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_costs_one_checkpoint_at_most(
    three_saved, tmp_path, open_checkpoints, warnings, like, damage
):
    """Orbax can do without some files; where it can't, the one before is restored."""
    names = sorted(contents(three_saved / "3"))
    fallen_back = []
    for name in names:
        shutil.rmtree(tmp_path)
        shutil.copytree(three_saved, tmp_path / "checkpoints")
        damage(tmp_path / "checkpoints/3" / name)
        warnings.clear()
        step, state = open_checkpoints().restore("latest", like)
        assert equal(state, new_state(step)), name
        if step != 3:
            assert step == 2
            assert warnings[0].startswith("checkpoint 3 is damaged (")
            assert warnings[1:] == ["falling back to checkpoint 2"]
            assert not any("\n" in warning for warning in warnings)
            fallen_back.append(name)
        elif name == "checksums/checksums":
            assert warnings == ["checkpoint 3 carries no checksums, so damage would go unnoticed"]
        else:
            assert warnings == []
    # The arrays themselves lie in default/d.
    assert any(name.startswith("default/d/") for name in fallen_back)
    assert "default/manifest.ocdbt" in fallen_back


@pytest.fixture
def damaged(three_saved, tmp_path):
    """Copies the three checkpoints and truncates the arrays of some of them."""

    def make(*steps: int) -> None:
        shutil.copytree(three_saved, tmp_path / "checkpoints")
        for step in steps:
            for file in (tmp_path / f"checkpoints/{step}/default/d").iterdir():
                truncate(file)

    return make


def test_a_damaged_checkpoint_is_set_aside_and_written_again(
    damaged, open_checkpoints, tmp_path, like
):
    damaged(3)
    before = contents(tmp_path / "checkpoints/3")
    checkpoints = open_checkpoints()
    assert checkpoints.restore("latest", like)[0] == 2
    assert contents(tmp_path / "checkpoints/3") == before
    checkpoints.save(new_state(3), 3, {"score": 0.1})
    checkpoints.wait()
    assert contents(tmp_path / "damaged-checkpoints/3") == before
    step, state = open_checkpoints().restore("latest", like)
    assert step == 3
    assert equal(state, new_state(3))


def test_a_damaged_best_checkpoint_falls_back_to_another(damaged, open_checkpoints, warnings, like):
    damaged(1)
    step, state = open_checkpoints().restore("best", like)
    assert step == 2
    assert equal(state, new_state(2))
    assert warnings[-1] == "falling back to checkpoint 2"


def test_several_damaged_checkpoints(damaged, open_checkpoints, warnings, like):
    damaged(2, 3)
    assert open_checkpoints().restore("latest", like)[0] == 1
    assert [warning[:23] for warning in warnings] == [
        "checkpoint 3 is damaged",
        "checkpoint 2 is damaged",
        "falling back to checkpo",
    ]


def test_nothing_that_can_be_read(damaged, open_checkpoints, like):
    damaged(1, 2, 3)
    with pytest.raises(CheckpointError, match=r"^none of the checkpoints in .* can be read; "):
        open_checkpoints().restore("latest", like)


def test_a_read_that_ends_after_its_restore_is_not_reported(
    damaged, open_checkpoints, like, monkeypatch
):
    """As Orbax leaves them behind: callbacks of an event loop that is closed."""
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda late: reported.append(str(late.exc_value)))
    damaged(3)
    open_checkpoints().restore("latest", like)
    for message in ("Event loop is closed", "another"):
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(message)))
    assert reported == ["another"]


def test_readers_change_nothing(damaged, open_checkpoints, tmp_path, like):
    damaged(3)
    before = contents(tmp_path)
    assert open_checkpoints(read_only=True).restore("latest", like)[0] == 2
    assert contents(tmp_path) == before


def test_a_damaged_score_is_not_the_best(damaged, open_checkpoints, tmp_path, warnings, like):
    damaged()
    truncate(tmp_path / "checkpoints/1/metrics/metrics")
    assert open_checkpoints().restore("best", like)[0] == 2
    assert warnings == ["checkpoint 1 has lost its score (damaged metrics): it can't be best"]


def test_what_a_killed_save_leaves_is_removed(damaged, open_checkpoints, tmp_path, like):
    """In the background, and before the next save: the same step's, and one that never comes."""
    damaged()
    unfinished = [tmp_path / f"checkpoints/{step}.orbax-checkpoint-tmp" for step in (4, 9)]
    for folder in unfinished:
        shutil.copytree(tmp_path / "checkpoints/3", folder)
    checkpoints = open_checkpoints()
    assert checkpoints.steps() == [1, 2, 3]
    assert checkpoints.restore("latest", like)[0] == 3
    checkpoints.save(new_state(4), 4, None)
    checkpoints.wait()
    assert not any(folder.exists() for folder in unfinished)
    assert checkpoints.steps() == [1, 3, 4]


def test_a_half_deleted_checkpoint_does_no_harm(damaged, open_checkpoints, tmp_path, like):
    """A kill may come while an old checkpoint is being deleted."""
    damaged()
    shutil.rmtree(tmp_path / "checkpoints/2/default")
    shutil.rmtree(tmp_path / "checkpoints/2/metrics")
    checkpoints = open_checkpoints()
    assert checkpoints.restore("latest", like)[0] == 3
    checkpoints.save(new_state(4), 4, {"score": 0.1})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 3, 4]
