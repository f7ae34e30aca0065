"""What one checkpoint's folder holds: a state's arrays, its validation metrics, and checksums.

::

    checkpoints/300/default/      the arrays, as Orbax lays them out
    checkpoints/300/metrics/      validation's metrics, if it was run
    checkpoints/300/checksums/    the step, and a checksum of each array and of the metrics

Orbax writes a folder under another name, and gives it its own once all is there. Folders made
before there were checksums lack the last part.
"""

import gc
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import orbax.checkpoint as ocp

from seqmodels.json_files import UnreadableError, read_json
from seqmodels.training.checksums import checksums, text_checksum
from seqmodels.training.fused import cut, fused_shapes

LAYOUT = 2
"""How arrays lie in a state; a checkpoint that says nothing is of 1, where some were fused."""
UNFINISHED = ".orbax-checkpoint-tmp"
"""What a folder's name ends in while Orbax writes it."""


class DamagedError(Exception):
    """What lies there is not what was saved; the message says why, in a few words."""


class Record(TypedDict):
    """What a checkpoint says of itself."""

    step: int
    layout: NotRequired[int]
    arrays: dict[str, str]
    """Each array's checksum by its place in the state."""
    metrics: str | None
    """That of the metrics; None where validation was not run."""
    unlogged: NotRequired[dict[str, tuple[float, float]]]
    """Sums and counts of training's metrics over the steps since the last that was logged."""
    unlogged_checksum: NotRequired[str]


class Writer:
    """Writes states into folders while training goes on, one at a time."""

    def __init__(self):
        _drop_what_is_abandoned()
        self._orbax = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(
                default=ocp.StandardCheckpointHandler(),
                metrics=ocp.JsonCheckpointHandler("metrics"),
                checksums=ocp.JsonCheckpointHandler("checksums"),
            ),
            # Else a save that can't make its folder waits ten minutes for it.
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
        )

    def save(
        self,
        folder: Path,
        state: Any,
        step: int,
        metrics: dict[str, float] | None,
        unlogged: Mapping[str, tuple[float, float]],
    ) -> None:
        """Begins to write; the state may change once this returns."""
        record = Record(
            step=step,
            layout=LAYOUT,
            arrays=checksums(state),
            metrics=_metrics_checksum(metrics),
            unlogged=dict(unlogged),
            unlogged_checksum=_checksum(dict(unlogged)),
        )
        items: dict[str, Any] = {
            "default": ocp.args.StandardSave(state),
            "checksums": ocp.args.JsonSave(record),
        }
        if metrics is not None:
            items["metrics"] = ocp.args.JsonSave(metrics)
        self._orbax.save(folder, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Returns when what was begun is on disk; raises whatever Orbax met on the way."""
        self._orbax.wait_until_finished()

    def close(self) -> None:
        self._orbax.close()


def read_record(folder: Path, step: int) -> Record | None:
    """What a step's folder says of itself; None where it was made before there were checksums.

    Raises:
      DamagedError: it can't be read, or is another step's.
    """
    try:
        record = read_json(folder / "checksums/checksums", Record)
    except UnreadableError:
        raise DamagedError("its checksums can't be read") from None
    if record is not None:
        unlogged = record.get("unlogged")
        if record.get("unlogged_checksum") != (None if unlogged is None else _checksum(unlogged)):
            raise DamagedError("damaged sums of metrics")
        _require_step(record["step"], step)
    return record


def read_metrics(folder: Path, step: int) -> dict[str, float] | None:
    """The validation metrics of a step; None where validation was not run.

    Raises:
      DamagedError: they are not what was saved.
    """
    record = read_record(folder, step)
    try:
        metrics = read_json(folder / "metrics/metrics", dict[str, float])
    except UnreadableError:
        raise DamagedError("damaged metrics") from None
    if record is not None and record["metrics"] != _metrics_checksum(metrics):
        raise DamagedError("damaged metrics")
    return metrics


def read_state(
    folder: Path, step: int, like: Any, parameters: dict[str, Any] | None = None
) -> tuple[Any, bool]:
    """The state of a step, and whether its arrays were held against checksums.

    Args:
      folder: where it lies, by a name that Orbax can take (:mod:`seqmodels.plain_names`).
      like: the state's shapes, dtypes and shardings.
      parameters: what each parameter says of itself, where a model's are in the state.

    Raises:
      DamagedError: it can't be read, or is not what was saved.
    """
    record = read_record(folder, step)
    _require_regular(folder / "default")
    fused = parameters if record is None or record.get("layout", 1) < LAYOUT else None
    saved = like if fused is None else fused_shapes(like, fused)
    with _quiet_abandoned_reads():
        try:
            handler = ocp.StandardCheckpointHandler()
            arguments = ocp.args.StandardRestore(saved)
            # pathlib's paths will do too, whatever the annotation says.
            state = handler.restore(folder / "default", args=arguments)  # type: ignore[arg-type]
        except Exception as error:  # Orbax raises what its storage layers raise
            raise DamagedError(reason(error)) from None
    if record is not None:
        found = checksums(state)
        wrong = [name for name in found if found[name] != record["arrays"].get(name)]
        if wrong:
            others = f" and {len(wrong) - 1} others" if len(wrong) > 1 else ""
            raise DamagedError(f"the checksum of {wrong[0]}{others} is another")
    _require_step(int(getattr(state, "step", step)), step)
    return state if fused is None else cut(state, like, fused), record is not None


def _require_regular(folder: Path) -> None:
    """Refuses a pipe or the like among the files, at which Orbax would wait for good."""
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            if file.exists() and not file.is_file():
                raise DamagedError(f"{name} is no regular file")


def _require_step(found: int, step: int) -> None:
    if found != step:
        raise DamagedError(f"it holds step {found}")


def _metrics_checksum(metrics: dict[str, float] | None) -> str | None:
    return None if metrics is None else _checksum(metrics)


def _checksum(content: dict[str, Any]) -> str:
    return text_checksum(json.dumps(content, sort_keys=True))


def reason(error: Exception) -> str:
    """What a library says, in one line and not too long a one."""
    text = str(error).strip()
    if system := re.search(r"os_error_code=\\?'(\d+)", text):  # at the end of many lines
        return os.strerror(int(system[1]))
    return f"{type(error).__name__}: {text.splitlines()[0][:120] if text else ''}"


@contextmanager
def _quiet_abandoned_reads() -> Iterator[None]:
    """Where Orbax can't read one array it abandons the others, and each prints a traceback."""
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    try:
        yield
    except BaseException:
        gc.collect()  # they complain when they are collected: now
        raise
    finally:
        logger.setLevel(level)
        sys.unraisablehook = hook if isinstance(hook, _DropLateReads) else _DropLateReads(hook)


def _drop_what_is_abandoned() -> None:
    """Where Orbax can't write one array it abandons the others, each of which would print."""
    if not isinstance(sys.unraisablehook, _DropLateReads):
        sys.unraisablehook = _DropLateReads(sys.unraisablehook)
    logging.getLogger("asyncio").addFilter(_is_not_abandoned)


def _is_not_abandoned(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not (message.startswith("Task exception was never retrieved") and "orbax" in message)


class _DropLateReads:
    """An unraisable hook: an abandoned read may end long after the restore that began it.

    It then finds Orbax's event loop closed, and Python would print its traceback though
    nobody waits for it. All else goes to the hook that was there before.
    """

    def __init__(self, earlier: Callable[[Any], object]):
        self._earlier = earlier

    def __call__(self, unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._earlier(unraisable)
