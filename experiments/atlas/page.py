"""The atlas: docs/atlas.md, and the table of docs/mixers.md of what each kind keeps and takes."""

import os
from pathlib import Path
from typing import Any

from benchmarks.document import replace_table
from benchmarks.scaling_tables import table
from experiments.atlas import picture
from experiments.cells import Cell, cells, percent, scores_of
from experiments.checks import Training
from experiments.figures import save
from experiments.pages import costs_of
from seqmodels.scaling.files import DONE
from seqmodels.scaling.results import value_of
from seqmodels.sweeps.records import read_records

HERE = Path(__file__).parent
DOCUMENT, ATLAS = (HERE.parents[1] / f"docs/{name}.md" for name in ("mixers", "atlas"))
CHECK = Training(
    "configs/atlas.py:task=recall,mixer=gru,short=on",
    ("train.steps=400", "optimizer.learning_rate=0.01", "train.evaluate_every=200"),
)
LENGTHS = (2048, 16_384)
EQUATIONS = {
    "mingru": "`h_t = (1 - z_t) h_{t-1} + z_t v_t`",
    "minlstm": "`h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) v_t`",
    "lru": "`h_t = l h_{t-1} + g B x_t`, complex",
    "rglru": "`h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t u_t`",
    "s4d": "`h' = A h + x` a channel, complex, sampled",
    "s5": "`h' = A h + B x`, complex, sampled",
    "mamba": "`h_t = exp(delta_t A) h_{t-1} + delta_t B_t v_t`",
    "linear_attention": "`S_t = S_{t-1} + f(k_t) v_t^T`",
    "retention": "`S_t = a S_{t-1} + k_t v_t^T`",
    "gla": "`S_t = diag(a_t) S_{t-1} + k_t v_t^T`",
    "mamba2": "`S_t = a_t S_{t-1} + B_t (dt_t x_t)^T`",
    "mamba3": "`S_t = a_t S_{t-1} + b_t k_{t-1} v_{t-1}^T + c_t k_t v_t^T`",
    "mlstm": "`C_t = f_t C_{t-1} + i_t k_t v_t^T`",
    "slstm": "`c_t = f c_{t-1} + i tanh(z)`, gates see `h_{t-1}`",
    "deltanet": "`S_t = (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T`",
    "gated_deltanet": "`S_t = a_t (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T`",
    "kda": "`S_t = (I - b_t k_t k_t^T) diag(a_t) S_{t-1} + b_t k_t v_t^T`",
    "deltaproduct": "two such steps of gated_deltanet a token",
    "rwkv7": "`S_t = (diag(w_t) - (a_t * c_t) c_t^T) S_{t-1} + k_t v_t^T`",
    "hyena": "`y = W (x_0 (h_1 * x_1 v))`",
    "long_convolution": "`y = W f(h * x + d x)`",
    "gru": "`h_t = (1 - z) h_{t-1} + z tanh(...)`, gates see `h_{t-1}`",
    "lstm": "`c_t = f c_{t-1} + i tanh(...)`, gates see `h_{t-1}`",
    "conv": "`y_t = sum_i W_i x_{t-i}`, 7 positions, the second block's 8 apart",
    "local": "softmax attention to 16 positions",
    "global": "softmax attention to all positions",
}
"""By mixer, in the table's order."""
TASKS = {
    "recall": "task=recall,mixer={},short=on",
    "selective copy": "task=selective_copy,mixer={},short=on",
    "parity": "task=parity,mixer={},short=on",
    "recall, no short convolution": "task=recall,mixer={},short=off",
}
"""By heading, the arguments of its cells."""


def draw() -> None:
    """Writes both, of the runs and costs that are committed; what is missing is a dash."""
    replace_table(str(DOCUMENT), "atlas", text(HERE))
    replace_table(str(ATLAS), "atlas", whole(HERE))


def whole(folder: Path) -> str:
    """What docs/atlas.md has: findings, figures and tables."""
    atlas = picture.read(folder)
    place = os.path.relpath(HERE, ATLAS.parent)
    shown = []
    for figure in picture.figures(atlas):
        save(figure, folder)
        shown.append(f"![{figure.title}]({place}/{figure.name}.png)")
    head = "## What was found\n\n" + picture.findings(atlas)
    numbers = "## The numbers\n\n" + picture.tables(atlas)
    return "\n\n".join([head, "## The pictures", *shown, numbers])


def text(folder: Path) -> str:
    """The table of the runs and costs that a folder has."""
    scored = cells(read_records(folder / "results.json"))
    scaling: Any = costs_of(folder)
    costs = {} if scaling is None else {(c["mixer"], c["length"]): c for c in scaling["cells"]}
    units = [f"{what} at {length:,}" for what in ("step, ms", "MiB") for length in LENGTHS]
    lines = [["mixer", "equation", "state, KiB", "depth", *units, *TASKS]]
    for mixer, equation in EQUATIONS.items():
        found = [percent(scores_of(scored, where.format(mixer))) for where in TASKS.values()]
        lines.append([mixer, equation, *_costs(costs, mixer), *found])
    return f"{_heading(scored, scaling)}\n\n{table(lines)}"


def _costs(costs: dict[tuple[str, int], Any], mixer: str) -> list[str]:
    """State and sequential depth at the shorter length, times and temporaries at both."""
    found = [costs.get((mixer, length)) for length in LENGTHS]
    first = found[0]
    state = "–" if first is None else _number(first["state_bytes"], 2**10)
    depth = "–" if first is None else _number(first["sequential_depth"], 1)
    amounts = [
        ("–" if cell is None else _measured(cell, quantity, unit))
        for quantity, unit in (("step_seconds", 1e-3), ("temporary_bytes", 2**20))
        for cell in found
    ]
    return [state, depth, *amounts]


def _measured(cell: Any, quantity: str, unit: float) -> str:
    return _number(value_of(cell, quantity), unit) if cell["status"] in DONE else cell["status"]


def _number(value: float | None, unit: float) -> str:
    if value is None:
        return "–"
    amount = value / unit
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


def _heading(scored: dict[str, Cell], scaling: Any) -> str:
    """Of what the numbers are."""
    runs = [run for cell in scored.values() for run in cell.runs]
    said = []
    if scaling is not None:
        machine = scaling["machine"]
        said.append(f"Costs: {machine['cores']} cores, {machine['processor']}.")
    if runs:
        sizes = [run["parameters"] for run in runs]
        said.append(
            f"Scores: {len(runs)} runs of {min(sizes):,} to {max(sizes):,} parameters; "
            "the mean over seeds, ± half its 95% interval, and how many."
        )
    return " ".join(said) or "No run has been collected yet."
