"""What a config says of itself: its docstrings, its arguments, and its keys as flags."""

import ast
import shlex
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from seqmodels.config import flatten
from seqmodels.config_files import config_path
from seqmodels.errors import ConfigError


def describe_config(spec: str) -> str:
    """What a config file shows, and the arguments that it takes; it is read and not run.

    Raises:
      ConfigError: the file is missing, or is no Python.
    """
    file = spec.partition(":")[0]
    path = config_path(file)
    if path.suffix == ".json":
        return f"{file}: the config of a run.\n\n{_KEYS}"
    try:
        module = ast.parse(path.read_bytes(), file)
    except OSError as error:
        raise ConfigError(f"--config={file}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"--config={file} is no Python: {error}") from None
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    own = next((node for node in functions if node.name == "get_config"), None)
    parts = [f"{file}:", ast.get_docstring(module)]
    if own is not None:
        named = ",".join(_arguments(own, _constants(module)))
        parts.append(f"Arguments and their defaults: --config={file}:{named}" if named else None)
        parts.append(ast.get_docstring(own))
    parts.append(_KEYS)
    return "\n\n".join(part for part in parts if part)


_KEYS = "Every key can be set: --config.KEY=VALUE. --show_config lists them, resolved."


def first_line(file: Path) -> str:
    """What the docstring of a file of Python says first; it is read and not run."""
    return (ast.get_docstring(ast.parse(file.read_bytes(), file)) or "").partition("\n")[0]


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """What the file's own names stand for."""
    plain = [node for node in module.body if isinstance(node, ast.Assign)]
    typed = [node for node in module.body if isinstance(node, ast.AnnAssign)]
    pairs = [(target, node.value) for node in plain for target in node.targets]
    pairs += [(node.target, node.value) for node in typed if node.value is not None]
    return {target.id: value for target, value in pairs if isinstance(target, ast.Name)}


def _arguments(function: ast.FunctionDef, constants: dict[str, ast.expr]) -> list[str]:
    """The arguments ``name=default`` that a function reads by ``read_arguments``."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    read = [call for call in calls if ast.unparse(call.func).endswith("read_arguments")]
    return [
        f"{keyword.arg}={_shown(keyword.value, constants)}"
        for call in read
        for keyword in call.keywords
    ]


def _shown(default: ast.expr | None, constants: dict[str, ast.expr]) -> str:
    """The default itself, or the first of those that are allowed."""
    if isinstance(default, ast.Name) and default.id in constants:
        return _shown(constants[default.id], constants)
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "tuple" and default.args:
        return _shown(default.args[0], constants)
    if isinstance(default, ast.Tuple) and default.elts:
        return _shown(default.elts[0], constants)
    if isinstance(default, ast.Dict) and default.keys:
        return _shown(default.keys[0], constants)
    if isinstance(default, ast.Constant) and isinstance(default.value, str):
        return default.value
    return "" if default is None else ast.unparse(default)


def as_flags(config: ConfigDict) -> Sequence[str]:
    """The leaves of a config as flags for a shell, which make it again from any other values."""
    return [shlex.quote(f"--config.{key}={value}") for key, value in flatten(config).items()]
