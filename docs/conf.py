"""Sphinx: README, docs/ and experiments/ as they lie, and the docstrings. `make docs` runs it.

Its source folder is the project's, so that a link is the same in the repository and on the site.
"""

import inspect
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

project = "seqmodels"
author = "The seqmodels developers"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "experiments/**.md"]
exclude_patterns = [
    *(f"{path.name}/**" for path in ROOT.iterdir() if path.name not in ("docs", "experiments")),
    "docs/performance/**",  # the tables of docs/performance.md by themselves
]
suppress_warnings = ["ref.python"]  # bytes is also what two classes call a method of theirs
templates_path = ["templates"]
html_additional_pages = {"index": "to_docs.html"}  # what people open
html_theme = "furo"
html_title = "seqmodels"
html_copy_source = False
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False


def list_modules(app: Any, name: str, source: list[str]) -> None:
    """Puts in docstrings of a folder's modules where a page says ``<!-- modules of NAME -->``."""

    def found(match: re.Match[str]) -> str:
        package = match[1]
        files = sorted((ROOT / package.replace(".", "/")).rglob("*.py"))
        modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
        named = [module for module in modules if not module.endswith(("__init__", ".freeze"))]
        of_each = "\n```{eval-rst}\n.. automodule:: %s\n   :members:\n```\n"
        return "\n".join(f"## {module}\n{of_each % module}" for module in named)

    source[0] = re.sub(r"^<!-- modules of (\S+) -->$", found, source[0], flags=re.MULTILINE)


def own_signature(app: Any, what: str, name: str, thing: Any, *_: Any) -> tuple[str, None] | None:
    """A class's as its ``__init__`` says it: Flax's modules hide it."""
    ours = getattr(thing, "__module__", "").startswith("seqmodels")
    if what != "class" or not ours or "__init__" not in vars(thing):
        return None
    signature = inspect.signature(thing.__init__)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    return str(signature.replace(parameters=own, return_annotation=signature.empty)), None


def setup(app: Any) -> None:
    app.connect("source-read", list_modules)
    app.connect("autodoc-process-signature", own_signature)
