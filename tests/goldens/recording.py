"""How values of other people's functions are kept, and where those functions come from.

What the make_*.py scripts write and what the tests read: a case has inputs, the outputs of a
function of them, and the gradients of the outputs' sum, weighted by :func:`weights`, by each input.
"""

import ast
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

LARGEST = 300_000
"""Bytes of a file at most."""
Arrays = Mapping[str, np.ndarray]


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """What outputs of a shape are multiplied with before they are summed for the gradients."""
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return np.cos(1.7 * numbers + 0.3).astype(np.float32)


def exact(array: np.ndarray) -> np.ndarray:
    """The nearest array that float16 holds, so that an input takes half the place."""
    return array.astype(np.float16).astype(np.float32)


class Source:
    """A repository of somebody else's, of which single definitions are run.

    Args:
      folder: where repositories lie under their own names, with or without a work tree.
      name: its owner's name and its own.
    """

    def __init__(self, folder: str | Path, name: str):
        self.repository, self.name = Path(folder) / name.split("/")[1], name
        self.commit = self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def origin(self, path: str, *names: str) -> str:
        """Where definitions stand, to be kept with their values."""
        return f"{self.name}@{self.commit}:{path}::{','.join(names)}"

    def take(self, path: str, *names: str, **given: Any) -> SimpleNamespace:
        """What a file defines by these names, the last of several definitions, after what is given.

        Nothing else of the file is run, so that what it imports need not be installed.
        """
        tree = ast.parse(self._git("show", f"{self.commit}:{path}"))
        defined = {name: node for node in ast.walk(tree) for name in _binds(node)}
        missing = set(names) - defined.keys()
        if missing:
            raise ValueError(f"{self.name}/{path} doesn't define {', '.join(sorted(missing))}")
        chosen = sorted((defined[name] for name in names), key=lambda node: node.lineno)
        # Annotations name what only the file's imports would know.
        ahead = ast.parse("from __future__ import annotations").body
        module = ModuleType(f"{self.name}/{path}")
        sys.modules[module.__name__] = module  # where dataclasses look
        vars(module).update(given)
        exec(compile(ast.Module([*ahead, *chosen], []), path, "exec"), vars(module))
        return SimpleNamespace(**{name: getattr(module, name) for name in names})


def _binds(node: ast.AST) -> set[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


class Recording:
    """The cases of one file."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._inputs: dict[str, Arrays] = {}

    def add(
        self,
        case: str,
        origin: str,
        inputs: Arrays,
        outputs: Arrays,
        gradients: Arrays,
        settings: Mapping[str, Any],
    ) -> None:
        """Keeps a case; inputs that an earlier one has, and gradients like its, are kept once."""
        kept: dict[str, np.ndarray] = {"origin": np.array(origin)}
        kept |= {f"setting/{name}": np.array(value) for name, value in settings.items()}
        alike = [other for other, its in self._inputs.items() if _equal(its, inputs)]
        if alike:
            kept["inputs_of"] = np.array(alike[0])
        else:
            self._inputs[case] = inputs
            for name, array in inputs.items():
                small = array.astype(np.float16)
                kept[f"input/{name}"] = small if _equal({"": small}, {"": array}) else array
        kept |= {f"output/{name}": array for name, array in outputs.items()}
        if alike and self._agree(alike[0], gradients):
            kept["gradients_of"] = kept["inputs_of"]
        else:
            kept |= {f"gradient/{name}": array for name, array in gradients.items()}
        self.arrays |= {f"{case}/{name}": array for name, array in kept.items()}

    def _agree(self, case: str, gradients: Arrays) -> bool:
        """Whether the gradients are those of another case, but for rounding."""
        for name, array in gradients.items():
            other = self.arrays.get(f"{case}/gradient/{name}", np.zeros_like(array))
            if np.linalg.norm(array - other) > 1e-5 * np.linalg.norm(other):
                print(f"{case}: gradients by {name} differ")
                return False
        return bool(gradients)

    def distribution(self, name: str, arrays: Sequence[np.ndarray]) -> None:
        """Keeps what a parameter begins with under several seeds: all of it where they agree.

        Else 64 of its sorted values at even distances, first and last among them, with the number,
        mean and deviation of all.
        """
        first = np.asarray(arrays[0], np.float32)
        if all(np.array_equal(first, array) for array in arrays):
            one = first.size and bool(np.all(first == first.flat[0]))
            self.arrays[f"{name}/always"] = first.flat[0] if one else first
            return
        values = np.sort(np.concatenate([np.ravel(array) for array in arrays]))
        chosen = np.linspace(0, len(values) - 1, 64).round().astype(int)
        moments = [len(values), values.mean(dtype=float), values.std(dtype=float)]
        self.arrays[f"{name}/sorted"] = values[chosen].astype(np.float32)
        self.arrays[f"{name}/moments"] = np.array(moments)

    def write(self, script: str) -> None:
        """Writes the file beside the script that makes it: make_NAME.py makes NAME.npz."""
        path = Path(script).with_name(f"{Path(script).stem.removeprefix('make_')}.npz")
        np.savez_compressed(path, **self.arrays)  # type: ignore[arg-type]
        size = path.stat().st_size
        print(f"{path.name}: {len(self.arrays)} arrays, {size:,} bytes")
        if size > LARGEST:
            raise SystemExit(f"{path.name} is above {LARGEST:,} bytes: take smaller cases")


def _equal(some: Arrays, others: Arrays) -> bool:
    return some.keys() == others.keys() and all(
        array.shape == others[name].shape and bool(np.all(array == others[name]))
        for name, array in some.items()
    )
