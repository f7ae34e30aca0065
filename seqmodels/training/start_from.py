"""Starting from the parameters of another run, or of a file that one was exported to.

They are read before a run's first step alone: what goes on from a checkpoint has all in it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from seqmodels.arrays import Params
from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.parameter_files import (
    SUFFIX,
    Named,
    digest,
    named,
    named_arrays,
    read_parameters,
)
from seqmodels.training.processes import warn
from seqmodels.training.programs import abstract_state, new_state
from seqmodels.training.run_files import StartFile
from seqmodels.training.trained import trained
from seqmodels.training.workdir import Workdir


class Start(NamedTuple):
    """What a run starts from."""

    params: Params
    """All of its own model's."""
    record: StartFile
    """What it notes of them."""


def read_start(experiment: Experiment, run: Workdir, mesh: jax.sharding.Mesh) -> Start | None:
    """The parameters that ``train.start_from`` names; None where it names none, or is done with.

    Those that ``train.leave_out`` names are drawn, as all are without a start.

    Raises:
      UserError: they can't be read, are others than when the run began, or don't fit: the first
        that doesn't is named.
    """
    settings, spec = experiment.train, experiment.task.spec
    source = settings.start_from
    own = Checkpoints(run.checkpoints, spec.score, spec.higher_is_better, warn, read_only=True)
    if source is None or own.steps():
        return None
    step, theirs = _read(source, mesh)
    record = StartFile(of=source, step=step, digest=digest(theirs))
    before = (run.facts() or {}).get("start_from", record)
    if before["digest"] != record["digest"]:
        raise UserError(
            f"train.start_from={source} holds other parameters than when {run.path} began "
            f"(digest {record['digest'][:12]}, then {before['digest'][:12]}): bring those back, or "
            "choose another folder"
        )
    left_out = settings.leave_out or ()
    left_out = (left_out,) if isinstance(left_out, str) else left_out
    return Start(_fitted(experiment, theirs, left_out, mesh), record)


def _read(source: str, mesh: jax.sharding.Mesh) -> tuple[int | None, Named]:
    try:
        if source.endswith(SUFFIX):
            return None, read_parameters(Path(source))
        other = Workdir(source)
        found = trained(other, build_experiment(other.located(other.config())), mesh, "best", warn)
    except UserError as error:
        raise UserError(f"train.start_from={source}: {error}") from None
    return found.step, named_arrays(found.params)


def _fitted(
    experiment: Experiment, theirs: Named, left_out: tuple[str, ...], mesh: jax.sharding.Mesh
) -> Params:
    """Their parameters in the tree of the experiment's model; those that are drawn on the mesh."""
    shapes = abstract_state(experiment, mesh).params
    ours = named(shapes)
    every = sorted({*ours, *theirs})

    def is_left(name: str) -> bool:
        return any(name == part or name.startswith(f"{part}.") for part in left_out)

    for part in left_out:
        if not any(name == part or name.startswith(f"{part}.") for name in every):
            raise ConfigError(
                f"train.leave_out={part!r} names no parameter; {nearest(part, every)}"
            )
    wrong = [name for name in every if not is_left(name) and not _fits(ours, theirs, name)]
    if wrong:
        name = wrong[0]
        there, here = (_shape(arrays, name) for arrays in (theirs, ours))
        more = f" ({len(wrong)} don't fit)" if len(wrong) > 1 else ""
        raise ConfigError(
            f"train.start_from={experiment.train.start_from}: {name} is {there} there and {here} "
            f"here{more}; name it in train.leave_out to "
            + ("draw it anew" if name in ours else "do without it")
        )
    drawn = named(new_state(experiment, mesh).params) if any(map(is_left, ours)) else {}
    return jax.tree_util.tree_unflatten(
        jax.tree.structure(shapes), [drawn[n] if is_left(n) else theirs[n] for n in ours]
    )


def _fits(ours: dict[str, Any], theirs: Named, name: str) -> bool:
    if name not in ours or name not in theirs:
        return False
    return (ours[name].shape, ours[name].dtype) == (theirs[name].shape, theirs[name].dtype)


def _shape(arrays: dict[str, Any], name: str) -> str:
    if name not in arrays:
        return "missing"
    array = arrays[name]
    return f"{np.dtype(array.dtype).name}{list(array.shape)}"
