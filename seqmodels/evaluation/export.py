"""A run as two files for other programs: its parameters, and JSON that says what they are.

``model.safetensors`` has the parameters by dotted names, in float32
(:mod:`seqmodels.training.parameter_files`); ``model.json`` beside it is an :class:`ExportFile`.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from seqmodels.arrays import Params
from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.evaluation.runs import load
from seqmodels.json_files import UnreadableError, read_json, write_json
from seqmodels.training.environment import versions
from seqmodels.training.parameter_files import (
    SUFFIX,
    digest,
    named,
    named_arrays,
    nested,
    read_parameters,
    write_parameters,
)
from seqmodels.training.run_files import Count


class ParameterFile(TypedDict):
    """What a parameter is."""

    shape: list[Count]
    axes: list[str]
    """What each axis is: a letter of :mod:`seqmodels.arrays`, or a word."""


class ExportFile(TypedDict):
    """The JSON beside the parameters."""

    kind: Literal["model"]
    config: dict[str, Any]
    """With every key, as ``build_experiment`` takes it."""
    task: dict[str, Any]
    """What the model is for (:class:`~seqmodels.tasks.base.TaskSpec`)."""
    step: Count
    """Of the checkpoint."""
    digest: str
    """Of the parameters (:func:`seqmodels.training.parameter_files.digest`)."""
    parameters: dict[str, ParameterFile]
    made_by: dict[str, Any]
    """The versions that wrote it."""


class Exported(NamedTuple):
    """What was exported, read back."""

    about: ExportFile
    params: Params
    """As the functions of a model take them: ``build_experiment(about["config"]).model``."""


def export(run: str | Path, to: str | Path, checkpoint: str | int = "best") -> Path:
    """Writes the parameters of a run's checkpoint to a file, and what they are beside it.

    Returns:
      The JSON file.

    Raises:
      UserError: no run or checkpoint lies there, or the file can't be written.
    """
    file = Path(to)
    about_file = _about(file)
    loaded = load(run, checkpoint, devices=1)
    arrays = named_arrays(loaded.params)
    said = named(loaded.model.parameters)
    content = ExportFile(
        kind="model",
        config=to_dict(loaded.workdir.config()),
        task=loaded.task.spec._asdict(),
        step=loaded.step,
        digest=digest(arrays),
        parameters={
            name: {"shape": list(array.shape), "axes": list(said[name].letters)}
            for name, array in arrays.items()
        },
        made_by=versions(),
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"to={to}: {file.parent} can't be made ({error.strerror})") from None
    write_parameters(file, arrays)
    write_json(about_file, content)
    return about_file


def read_export(file: str | Path) -> Exported:
    """What :func:`export` wrote.

    Raises:
      UserError: one of the two files is missing or holds something else.
    """
    file = Path(file)
    about_file = _about(file)
    about = read_json(about_file, ExportFile)
    if about is None:
        raise UserError(f"{about_file}: no such file; it says what {file} holds: export again")
    arrays = read_parameters(file)
    if digest(arrays) != about["digest"]:
        raise UnreadableError(f"{about_file} is of other parameters than {file}; export again")
    return Exported(about, nested(arrays))


def _about(file: Path) -> Path:
    if file.suffix != SUFFIX:
        raise UserError(f"to={file} does not end in {SUFFIX}; name a file such as model{SUFFIX}")
    return file.with_suffix(".json")
