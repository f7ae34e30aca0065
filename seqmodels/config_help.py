"""What a config says of itself: its docstrings, its arguments, and its keys as flags."""

import ast
import shlex
from collections.abc import Sequence

from ml_collections import ConfigDict

from seqmodels.config import flatten
from seqmodels.errors import ConfigError
from seqmodels.paths import local_path


def describe_config(spec: str) -> str:
    """What a config file shows, and the arguments that it takes; it is read and not run.

    Raises:
      ConfigError: the file is missing, or is no Python.
    """
    file = spec.partition(":")[0]
    try:
        module = ast.parse(local_path(file, "--config=").read_bytes(), file)
    except OSError as error:
        raise ConfigError(f"--config={file}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"--config={file} is no Python: {error}") from None
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef)]
    own = next((node for node in functions if node.name == "get_config"), None)
    parts = [f"{file}:", ast.get_docstring(module)]
    if own is not None:
        named = ",".join(_arguments(own))
        parts.append(f"Arguments and their defaults: --config={file}:{named}" if named else None)
        parts.append(ast.get_docstring(own))
    parts.append("Every key can be set: --config.KEY=VALUE. --show_config lists them, resolved.")
    return "\n\n".join(part for part in parts if part)


def _arguments(function: ast.FunctionDef) -> list[str]:
    """The arguments ``name=default`` that a function reads by ``read_arguments``."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    read = [call for call in calls if ast.unparse(call.func).endswith("read_arguments")]
    return [f"{keyword.arg}={_shown(keyword.value)}" for call in read for keyword in call.keywords]


def _shown(default: ast.expr) -> str:
    if isinstance(default, ast.Tuple):
        return _shown(default.elts[0])
    if isinstance(default, ast.Constant) and isinstance(default.value, str):
        return default.value
    return ast.unparse(default)


def as_flags(config: ConfigDict) -> Sequence[str]:
    """The leaves of a config as flags for a shell, which make it again from any other values."""
    return [shlex.quote(f"--config.{key}={value}") for key, value in flatten(config).items()]
