"""What a run takes at the least, against what the machine has: refused before it is computed.

These are lower bounds, of what can be counted without compiling: what passes may still not fit, and
what is refused can't.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import psutil
from jax.sharding import Mesh

from seqmodels.errors import ConfigError
from seqmodels.model import Model
from seqmodels.tasks.base import SharedTask, Split, Task, TaskSpec
from seqmodels.tasks.generated.task import EVALUATION_ROWS, GeneratedTask
from seqmodels.training.optimizer import Optimizer
from seqmodels.training.sharding import with_shardings

GIB = 2**30
NUMBER = 4
"""Bytes of a float32 or int32."""


def machine_bytes() -> int:
    """This machine's memory, or the part of it that a container is given."""
    memory = psutil.virtual_memory().total
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("utf-8").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory


def require_bytes(needed: int, available: int, what: str, advice: str) -> None:
    """Refuses what needs more bytes than there are.

    Raises:
      ConfigError: ``WHAT take at least 3 GiB, and this machine has 2 GiB; ADVICE``.
    """
    if needed > available:
        raise ConfigError(
            f"{what} take at least {needed / GIB:,.0f} GiB, and this machine has "
            f"{available / GIB:,.0f} GiB; {advice}"
        )


def require_drawable(task: Task, rows: int, length: int, what: str, advice: str) -> None:
    """Refuses batches whose inputs alone don't fit; nothing of them is drawn."""
    if isinstance(task, GeneratedTask):  # which draws so many together
        rows = max(rows, EVALUATION_ROWS)
    elif isinstance(task, SharedTask):
        rows = -(-rows // jax.process_count())
    needed = rows * length * NUMBER * _features(task.spec)
    require_bytes(needed, machine_bytes(), f"{what}: the inputs of a batch", advice)


def require_evaluable(task: Task, split: Split, length: int, section: Mapping[str, Any]) -> None:
    """Refuses a split whose inputs are more than the machine holds, as evaluation reads ahead.

    One whose size a key of the task's section sets, ``evaluation_examples`` or the like; of files
    there are as many as there are.
    """
    key = next((name for name in section if name.startswith("evaluation_")), None)
    examples = task.examples(split, length)
    if key is None or examples is None:
        return
    require_bytes(
        examples * length * NUMBER * _features(task.spec),
        machine_bytes(),
        f"task.{key}={section[key]!r}: the inputs of the {split} split, {examples:,} examples of "
        f"{length:,} positions,",
        f"lower task.{key}",
    )


def _features(spec: TaskSpec) -> int:
    return spec.input_size if spec.inputs == "features" else 1


def require_model_memory(
    model: Model,
    optimizer: Optimizer | None,
    mesh: Mesh,
    rows: int,
    positions: int,
    fully_sharded: bool = False,
) -> None:
    """Refuses a model whose state, or whose first activations, no device of a mesh can hold.

    Each device holds its parts of the parameters and of what the optimizer keeps of each, and of
    its rows and positions at least the vectors that the first block reads, of 2 bytes a feature.

    Args:
      optimizer: None where nothing is trained.
      mesh: the devices; those of a CPU share its memory too.
      rows: rows that are computed at once, over all devices.
      positions: of each row.
      fully_sharded: as in :func:`~seqmodels.training.sharding.with_shardings`.
    """
    device = mesh.local_devices[0]
    copies, available = 1, (device.memory_stats() or {}).get("bytes_limit", machine_bytes())
    if device.platform == "cpu":
        copies, available = len(mesh.local_devices), machine_bytes()
    # The key is made inside, or making it would be compiled.
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    count = sum(leaf.size for _, leaf in leaves)
    kept = optimizer and jax.eval_shape(optimizer.transformation.init, shapes)
    moments = sum(leaf.size for leaf in jax.tree.leaves(kept)) // count
    states = [
        with_shardings(part, model.parameters, mesh, fully_sharded) for part in (shapes, kept)
    ]
    parts = [leaf.sharding.shard_shape(leaf.shape) for leaf in jax.tree.leaves(states)]
    held = sum(math.prod(part) for part in parts if part)  # a count of steps is nothing
    path, largest = max(leaves, key=lambda found: found[1].size)
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    shape = "×".join(map(str, largest.shape))
    width, depth = model.facts.width, model.facts.depth
    advice = "lower model.width or model.depth, or what makes that one large"
    if copies > 1 and held >= count:
        advice += f", or take one device in place of {copies}, each of which holds them all"
    if mesh.shape["data"] > 1 and not fully_sharded:
        advice += ", or share them out by mesh.fully_sharded=True"
    require_bytes(
        held * NUMBER * copies,
        available,
        f"model.width={width}, model.depth={depth}: {count:,} parameters (the largest, {name}, has "
        f"{shape}) and {moments} moments of each",
        advice,
    )
    shared = math.prod(mesh.shape.get(axis, 1) for axis in ("data", "sequence"))
    require_bytes(
        -(-rows * positions * copies // shared) * width * 2,
        available,
        f"{rows:,} rows of {positions:,} positions with model.width={width}: the vectors that the "
        "first block reads",
        "lower train.length or train.batch_size, or raise train.accumulate",
    )
