"""The pages of docs/ that gather what experiments found: claims, reproductions and the atlas."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.document import replace_table
from benchmarks.scaling_tables import table
from experiments.pages import ROOT, Found, section

CLAIMS = (
    "rnn_parallel",
    "rnn_long",
    "convolution_reach",
    "attention_reach",
    "local_for_convolution",
    "attention_in_rnn",
    "equivariance",
    "transformer_block",
)
"""In the lecture's order."""
NUMBERS = (
    "lru_copy",
    "formal_languages",
    "parity_eigenvalues",
    "tcn",
    "induction",
    "selective_copying",
)
ORDERINGS = (
    "zoology_recall",
    "sequence_to_sequence",
    "listops",
    "kimi",
    "hybrids",
    "cost_crossovers",
)


def draw_documents() -> None:
    """Writes docs/claims.md and docs/reproductions.md; their figures lie in the folders."""
    _draw("docs/claims.md", "claims", CLAIMS, further=False)
    _draw("docs/reproductions.md", "reproductions", (*NUMBERS, *ORDERINGS), further=True)


def _draw(document: str, name: str, folders: Sequence[str], further: bool) -> None:
    file = ROOT / document
    modules: list[Any] = [import_module(f"experiments.{folder}.page") for folder in folders]
    found: list[Found] = [module.found() for module in modules]
    lines = [["", name.removesuffix("s"), "verdict"]]
    parts = []
    for number, (module, own) in enumerate(zip(modules, found, strict=True), 1):
        place = os.path.relpath(module.HERE, file.parent)
        lines.append([str(number), f"[{module.TITLE}]({place}/README.md)", own.verdict])
        parts.append(section(number, module.TITLE, module.HERE, own, file, further))
    replace_table(str(file), name, "\n\n".join([table(lines), *parts]))
