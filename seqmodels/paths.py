"""Paths: as users write them, of which only this machine's are served, and of this package."""

import os
import re
from pathlib import Path

from seqmodels.errors import ParameterError


def local_path(path: str | os.PathLike[str], name: str = "") -> Path:
    """A path of this machine, with ``~`` and ``~user`` replaced: behind ``=`` no shell does so.

    The name stands before it in a message, such as ``workdir=``, or ``files=`` in a task.

    Raises:
      ParameterError: nobody has such a home, or it is on another machine, such as ``gs://bucket/x``.

    >>> local_path("gs://bucket/runs", "out=")
    Traceback (most recent call last):
    seqmodels.errors.ParameterError: out=gs://bucket/runs is not on this machine, where files \
must lie; copy it here, or mount it (gcsfuse mounts gs://) and name the folder
    """
    text = os.fspath(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text):
        scheme = text.partition(":")[0]
        if scheme == "file":
            raise ParameterError(f"{name}{text} is a URL; write the path alone")
        mount = " (gcsfuse mounts gs://)" if scheme == "gs" else ""
        raise ParameterError(
            f"{name}{text} is not on this machine, where files must lie; copy it here, or mount it"
            f"{mount} and name the folder"
        )
    expanded = os.path.expanduser(text)
    if expanded.startswith("~") and expanded == text:
        user = text.partition("/")[0]
        raise ParameterError(
            f"{name}{text}: no home is known for {user}; write the whole path, or ./~"
        )
    return Path(expanded)


def search_path() -> dict[str, str]:
    """The variable by which a child's Python finds this very package, installed or not.

    With ``-P`` it looks there before the folder that it was started in.
    """
    ours = str(Path(__file__).parents[1])
    return {"PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))}
