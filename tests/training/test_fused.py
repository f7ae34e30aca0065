"""Checkpoints whose weights are fused are read, and each part comes to its place.

That whole runs of each family score what they did: tests/old_folders.
"""

import jax
import numpy as np
import pytest

from seqmodels.model import build_model
from seqmodels.tasks.base import TaskSpec
from seqmodels.training import checkpoint_files
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.fused import cut, fused_shapes
from seqmodels.training.optimizer import make_optimizer
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import initial_state
from tests.states import abstract_state

WIDTH = 8
MIXERS = {
    "attention": {"kind": "attention", "heads": 4, "kv_heads": 2},
    "convolution": {"kind": "convolution", "gated": True, "kernel": 3},
    "lstm": {"kind": "lstm"},
}


@pytest.fixture(scope="module")
def model():
    """A block of each of MIXERS, with a gated MLP."""
    section = {"width": WIDTH, "depth": 3, "pattern": tuple(MIXERS), "mixers": MIXERS}
    section |= {"mlp": "gated", "mlp_expansion": 2.0}
    return build_model(section, TaskSpec("many-to-many", "tokens", 5, 5, True, "loss", False))


@pytest.fixture(scope="module")
def like(model):
    """The state of its training."""
    optimizer = make_optimizer({"learning_rate": 1e-3}, 2, model.parameters)
    return abstract_state(lambda: initial_state(model, optimizer, 0), replicated(make_mesh(1)))


@pytest.fixture(scope="module")
def old(model, like):
    """One of an earlier version, of which each number is another; the moments' are the same."""
    shapes = fused_shapes(like, model.parameters)
    sizes = np.cumsum([0, *(leaf.size for leaf in jax.tree.leaves(shapes.params))])
    leaves = [
        jax.device_put(first + np.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape))
        for first, leaf in zip(sizes, jax.tree.leaves(shapes.params), strict=False)
    ]
    params = jax.tree.unflatten(jax.tree.structure(shapes.params), leaves)

    # Else there are a few counts.
    def counts(leaf):
        return jax.numpy.ones(leaf.shape, leaf.dtype)

    def is_tree(node):
        return isinstance(node, dict)

    def fill(node):
        return params if is_tree(node) else counts(node)

    return jax.tree.map(fill, shapes, is_leaf=is_tree)


def test_each_part_comes_to_its_place(model, like, old):
    state = jax.device_get(cut(old, like, model.parameters))
    assert jax.tree.map(np.shape, state) == jax.tree.map(np.shape, like)
    (moments,) = [
        part for part in jax.tree.leaves(state.optimizer, is_leaf=is_adam) if is_adam(part)
    ]
    for tree in (moments.mu, moments.nu):
        jax.tree.map(np.testing.assert_array_equal, tree, state.params)
    numbers = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
    assert sorted(numbers) == list(range(len(numbers)))
    (attention, convolution, lstm), fused = state.params["blocks"].values(), old.params["blocks"]
    inputs = np.split(np.asarray(fused[0]["mixer"]["inputs"]["weights"]), [8, 12], axis=1)
    for part, columns in zip(("queries", "keys", "values"), inputs, strict=True):
        found = attention["mixer"][part]["weights"]
        np.testing.assert_array_equal(found, columns.reshape(WIDTH, -1, 2))
    bias = np.asarray(fused[1]["mixer"]["bias"])
    np.testing.assert_array_equal(convolution["mixer"]["bias"], bias[:WIDTH])
    np.testing.assert_array_equal(convolution["mixer"]["gate_bias"], bias[WIDTH:])
    bias = np.asarray(fused[1]["mlp"]["inputs"]["bias"])
    np.testing.assert_array_equal(convolution["mlp"]["gate"]["bias"], bias[:16])
    np.testing.assert_array_equal(convolution["mlp"]["inputs"]["bias"], bias[16:])
    weights = np.asarray(fused[2]["mixer"]["weights"])
    np.testing.assert_array_equal(lstm["mixer"]["weights"][:, 1], weights[:, WIDTH : 2 * WIDTH])


def is_adam(node):
    return hasattr(node, "mu")


@pytest.mark.slow
def test_an_older_checkpoint_is_read_and_its_arrays_are_checked(
    model, like, old, tmp_path, monkeypatch
):
    warnings = []
    with monkeypatch.context() as earlier:
        earlier.setattr(checkpoint_files, "LAYOUT", 1)
        writer = Checkpoints(tmp_path / "checkpoints", "loss", False, warnings.append)
        writer.save(old, 1, None)
        writer.close()
    reader = Checkpoints(tmp_path / "checkpoints", "loss", False, warnings.append, read_only=True)
    step, state = reader.restore("latest", like, model.parameters)
    jax.tree.map(np.testing.assert_array_equal, state, cut(old, like, model.parameters))
    assert (step, warnings) == (1, [])
    file = tmp_path / "checkpoints/1/checksums/checksums"
    file.write_text(file.read_text().replace('inputs/weights": "', 'inputs/weights": "0'))
    with pytest.raises(checkpoint_files.DamagedError, match=r"checksum of .*inputs/weights"):
        checkpoint_files.read_state(tmp_path / "checkpoints/1", 1, like, model.parameters)
