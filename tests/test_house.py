"""How the package is built: what may import what, and how long files and functions get."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    ("seqmodels.arrays", "seqmodels.errors", "seqmodels.secrets", "seqmodels.paths"),
    ("seqmodels.config", "seqmodels.config_files", "seqmodels.values", "seqmodels.json_files"),
    ("seqmodels.ops", "seqmodels.placement"),
    ("seqmodels.remat", "seqmodels.layers"),
    ("seqmodels.mixers",),
    ("seqmodels.tasks",),
    ("seqmodels.block", "seqmodels.presets"),
    ("seqmodels.long_blocks", "seqmodels.stack", "seqmodels.stack_settings", "seqmodels.stacking"),
    ("seqmodels.state",),
    ("seqmodels.encoder_decoder",),
    ("seqmodels.model", "seqmodels.model_cost", "seqmodels.model_parts", "seqmodels.model_metrics"),
    ("seqmodels.training", "seqmodels.machine"),
    ("seqmodels.generation.decoding",),
    ("seqmodels.evaluation",),
    ("seqmodels.generation",),
    ("seqmodels.pictures",),
    ("seqmodels.sweeps",),
    ("seqmodels.scaling",),
    ("seqmodels.report",),
    (
        "seqmodels",
        "seqmodels.__main__",
        "seqmodels.cli",
        "seqmodels.commands",
        "seqmodels.experiments",
        "seqmodels.tasks.freeze",
        "seqmodels.tasks.prepared.freeze",
    ),
)
"""Rows of parts: none imports one of a later row. What is in none stands beside them all, and
imports only such as stand there too, or in the first two rows."""
BESIDE = 1
"""The row up to which what is in none may import."""
LONGEST_FILE, LONGEST_FUNCTION = 350, 80


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, read."""
    found = {}
    for file in sorted((ROOT / "seqmodels").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(file.read_text())
    return found


def imports(tree: ast.Module) -> dict[str, int]:
    """The modules of the package that one imports, also inside functions, and in which line."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        named: list[str] = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name if name in modules() else node.module for name in whole]
        found |= {name: node.lineno for name in named if name in modules()}
    return found


def row(module: str) -> int:
    """Of ORDER, by the longest name that a module's begins with; -1 beside them all."""
    rows = {part: number for number, parts in enumerate(ORDER) for part in parts}
    while module not in rows and module.count(".") > 1:
        module = module.rpartition(".")[0]
    return rows.get(module, -1)


def backward(module: str, other: str) -> bool:
    """Whether one module may not import another."""
    if row(module) < 0:
        return row(other) > BESIDE
    return row(other) > row(module)


@pytest.mark.slow
def test_no_import_runs_backward():
    wrong = [
        f"{module}, line {line}, imports {other}"
        for module, tree in modules().items()
        for other, line in imports(tree).items()
        if backward(module, other)
    ]
    assert wrong == [], "a part imports what is built on it; see ORDER, and CONTRIBUTING.md's map"


def test_no_imports_run_in_a_circle():
    """Also not by an import inside a function, which hides one."""
    graph = {module: set(imports(tree)) - {module} for module, tree in modules().items()}
    while free := [module for module, needed in graph.items() if not needed & graph.keys()]:
        for module in free:
            del graph[module]
    assert sorted(graph) == [], "what of these imports another is in a circle"


def test_only_what_makes_models_knows_flax():
    """To everything above model.py a model is pure functions, and ops are functions of arrays."""
    knowing = {
        ".".join(module.split(".")[:2])
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "flax"
    }
    makers = ("mixers", "parameters", "layers", "block", "stack", "encoder_decoder", "model")
    assert knowing <= {f"seqmodels.{name}" for name in makers}


def test_only_the_command_line_knows_what_was_typed():
    """To all others it is a function's arguments, and what cli.py says of the command."""
    reading = [
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("argv", "orig_argv")
    ]
    assert set(reading) == {"seqmodels.cli"}


def test_orders_parts_are_there():
    """One that is renamed doesn't leave the order with a name that nothing has."""
    assert [part for parts in ORDER for part in parts if part not in modules()] == []


def test_no_file_is_long():
    """One that grows past 300 lines is telling that it holds two things."""
    lengths = {
        module: tree.body[-1].end_lineno or 0 for module, tree in modules().items() if tree.body
    }
    long = {module: length for module, length in lengths.items() if length > LONGEST_FILE}
    assert long == {}, f"more than {LONGEST_FILE} lines: a file holds one thing"


def test_no_function_is_long():
    long = [
        f"{module}.{node.name} has {length} lines"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == [], f"more than {LONGEST_FUNCTION} lines: a function does one thing"
