"""Reading a run back: its experiment and the parameters of one of its checkpoints."""

from collections.abc import Callable
from pathlib import Path

import jax

from seqmodels.errors import ConfigError, UserError
from seqmodels.evaluation.loaded import LoadedRun
from seqmodels.output import warn
from seqmodels.training.checkpoint import Which
from seqmodels.training.devices import run_mesh
from seqmodels.training.environment import versions
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.facts import gather_facts, other_batches, other_files
from seqmodels.training.mesh import MeshSettings, read_mesh
from seqmodels.training.startup import overlooked_card, start_jax
from seqmodels.training.trained import trained
from seqmodels.training.workdir import Workdir


def load(
    folder: str | Path,
    checkpoint: str | int = "best",
    devices: int | None = None,
    mesh: str | None = None,
) -> LoadedRun:
    """Loads a trained run: its parameters, model and task; changes nothing in its folder.

    It scores, reads, writes and shows what it makes inside
    (:class:`~seqmodels.evaluation.loaded.LoadedRun`). The checkpoint is "best", "latest" or a step;
    ``devices`` is how many share an evaluation, None for as many as training chooses, and ``mesh``
    what they share, such as "data=2,sequence=4"; None for the run's own mesh, or for the rows alone
    where that doesn't go with so many.

    Raises:
      UserError: no run lies there, or no such checkpoint.
    """
    start_jax()
    if card := overlooked_card():
        warn(card)
    workdir = Workdir(folder)
    _require_run(workdir)
    try:
        experiment = build_experiment(workdir.located(workdir.config()))
    except ConfigError as error:
        raise ConfigError(f"{workdir.path / 'config.json'}: {error}") from None
    experiment = experiment._replace(mesh=_settings(experiment.mesh, devices, mesh))
    placed = run_mesh(experiment, devices)
    step, params = trained(workdir, experiment, placed, _which(str(checkpoint)), warn)
    return LoadedRun(workdir, experiment, step, params, placed, _other_data(workdir, experiment))


def _settings(trained: MeshSettings, devices: int | None, asked: str | None) -> MeshSettings:
    """What devices share in an evaluation: of a run's mesh nothing that there are too few for."""
    if asked is not None:
        return read_mesh(asked)
    count = jax.device_count() if devices is None else devices
    chosen = devices is None and jax.default_backend() == "cpu"  # as many cores as it takes
    fits = count >= trained.least if chosen else trained.takes(count)
    if fits:
        return trained
    said = f"data={trained.data},sequence={trained.sequence},model={trained.model}"
    warn(f"the run's mesh {said} doesn't go with {count} devices: they share rows alone")
    return MeshSettings()


def _other_data(workdir: Workdir, experiment: Experiment) -> str | None:
    """Refuses other files than the run read; says what else is drawn than when it began."""
    then = workdir.facts()
    if then is None:
        warn(
            f"{workdir.path} says nothing of the data that it was trained on, as an earlier "
            "version made it; the scores are on what this version reads and draws"
        )
        return None
    now = gather_facts(experiment, versions())
    if differing := other_files(then, now):
        raise UserError(
            f"workdir={workdir.path} was trained on other files than there are now: {differing}; "
            "bring back what it was trained on"
        )
    if differing := other_batches(then, now):
        warn(f"the scores are on other data than the run's: {differing}")
    return differing


def keep(write: Callable[[], object]) -> bool:
    """Writes what was found into a run's folder, if it can: whether it is kept.

    What was found is printed all the same: other people's runs may be evaluated too.
    """
    try:
        write()
    except (UserError, OSError) as error:
        warn(f"{error}; what is printed here is kept nowhere")
        return False
    return True


def _require_run(workdir: Workdir) -> None:
    """Refuses a folder that holds no run with a checkpoint, and says what lies there."""
    folder = workdir.path
    # A table is written last, and its cells before.
    known = {"sweep": ("sweep.json",), "scaling": ("scaling.json", "cells")}
    kinds = (kind for kind, names in known.items() if any((folder / n).exists() for n in names))
    kind = next(kinds, None)
    if not (folder / "config.json").exists() or kind is not None:
        below = sorted(file.parent for file in folder.glob("*/*/checkpoints/"))
        below = below or sorted(file.parent for file in folder.glob("*/checkpoints/"))
        below.sort(key=lambda run: not (run / "results.json").exists())  # finished ones first
        if kind is not None or below:
            what = f"a {kind}" if kind is not None else "no run of its own"
            advice = "compare what there is"
            if below:
                such = f"such as workdir={below[0]}"
                advice = f"name one of the {len(below)} runs in it, {such}, or compare them all"
            raise UserError(f"workdir={folder} holds {what}; {advice}: seqmodels report {folder}")
    elif not workdir.checkpoints.is_dir() or not any(workdir.checkpoints.iterdir()):
        raise UserError(
            f"workdir={folder} holds a run that has saved nothing yet; train on first, by the "
            "command that began it (environment.json)"
        )


def _which(text: str) -> Which:
    if text == "best" or text == "latest":
        return text
    if not (text.isdecimal() and len(text) < 20):
        raise UserError(f"checkpoint={text!r} is not 'best', 'latest' or a step")
    return int(text)
