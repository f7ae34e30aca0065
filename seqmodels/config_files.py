"""Config files: a file of Python is run, and a function in it called; what goes wrong is one line.

A run's ``config.json`` is one too. The line names the file and the number of the line in it. The
exception stays the cause of the error, for those who want to see the calls.
"""

import contextlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqmodels.errors import ConfigError, UserError, nearest
from seqmodels.json_files import read_json
from seqmodels.paths import local_path

CONFIGS = Path(__file__).with_name("configs")
"""Those that come with the package; in a checkout a link to configs/."""
DECIDED = "decided"
"""Of ``config.json`` what the run decided by itself; no part of the config. That it is there tells
that a config is a run's, and means what it meant to that run."""


def config_path(name: str) -> Path:
    """Where a config lies: at a path, or among those that come with the package, by its name alone.

    Raises:
      ConfigError: at neither.
    """
    path = local_path(name, "config=")
    if os.path.isfile(path):  # pathlib's raises for a name that is too long
        return path
    ours = sorted(file.stem for file in CONFIGS.glob("*.py"))
    if name in ours:
        return CONFIGS / f"{name}.py"
    found = path.parent.glob("*.py") if os.path.isdir(path.parent) else ()
    siblings = [str(other) for other in found if other != path]
    near = nearest(str(path), siblings) if siblings and path.suffix else nearest(path.stem, ours)
    raise ConfigError(f"config={name}: no such file; {near}")


def run_config(file: str, function: str, argument: str | None) -> Any:
    """What a function of a config file returns.

    It is ``get_config``, which takes an argument, has a default for it, or takes none; or
    ``sweep``, which takes none. The argument is None without the colon of ``FILE:ARGUMENT``. A
    file that ends in .json is what ``get_config()`` would return.

    Raises:
      ConfigError: the file is missing, is no Python, fails, or has no such function.
      UnreadableError: it is no JSON.
    """
    path = config_path(file)
    if path.suffix == ".json":
        return _stored(path, file, function, argument)
    module = _guarded(path, lambda: _module(path))
    found = getattr(module, function, None)
    if not callable(found):
        hint = f"; copy that of {CONFIGS}/digits.py, which returns the points to run"
        shown = f"sweep(){hint}" if function == "sweep" else f"{function}(arg)"
        raise ConfigError(f"config={file}: defines no {shown}")
    return _guarded(path, lambda: found(*_arguments(found, path, function, argument)))


def _stored(path: Path, file: str, function: str, argument: str | None) -> dict[str, Any]:
    """The config of a run, as its folder has it."""
    if function != "get_config":
        raise ConfigError(
            f"config={file} is one run's, without a {function}(); name a config that has one"
        )
    if argument is not None:
        raise ConfigError(
            f"config={file}:{argument}: the config of a run takes no argument; leave out "
            f"':{argument}', and set its keys instead"
        )
    return {DECIDED: {}} | (read_json(path, dict[str, Any]) or {})


def _module(path: Path) -> types.ModuleType:
    """The file as a module, under a name that hides no other: dataclasses look theirs up."""
    module = types.ModuleType(f"config file {path.resolve()}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    return module


def _arguments(found: Callable, path: Path, function: str, argument: str | None) -> tuple[str, ...]:
    """What a function of a config file is called with."""
    parameters = list(inspect.signature(found).parameters.values())
    takes = [p for p in parameters if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in _OPTIONAL]
    most = 0 if function == "sweep" else 1
    if len(needed) > most or any(p.kind is p.KEYWORD_ONLY for p in needed):
        names = ", ".join(p.name for p in needed)
        wanted = "takes none" if function == "sweep" else "takes at most one, the text behind ':'"
        raise ConfigError(f"config={path}: {function} needs arguments ({names}); it {wanted}")
    if argument is not None and not takes:
        raise ConfigError(
            f"config={path}:{argument}: {function}() takes no argument; leave out ':{argument}'"
        )
    if argument is None and not needed:
        return ()
    return (argument or "",)


_OPTIONAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _guarded(path: Path, call: Callable[[], Any]) -> Any:
    """What a call returns; what a config file raises becomes one line."""
    try:
        return call()
    except UserError:
        raise  # says by itself what to do
    except (Exception, SystemExit) as error:
        line = _line(error, path)
        where = f", line {line}" if line is not None else ""
        said = ""
        with contextlib.suppress(Exception):  # an exception of one's own
            said = " ".join(str(error).split())
        name = type(error).__name__
        if isinstance(error, SyntaxError):
            said = error.msg
        elif isinstance(error, OSError) and error.filename == str(path):
            said = error.strerror or said
        raise ConfigError(f"config={path}{where}: {name}: {said}".rstrip(": ")) from error


def _line(error: BaseException, path: Path) -> int | None:
    """The last line of the file that was being run; of a file that is no Python the wrong one."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    if not lines and isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    return lines[-1] if lines else None
