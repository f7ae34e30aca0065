"""A scaling's results as docs/ shows them, in Markdown."""

from typing import Any

from seqmodels.scaling.results import QUANTITIES, mixers_of, value_of
from seqmodels.scaling.terminal import EXPONENTS, UNITS, exponents, in_unit, sentences


def markdown(results: dict[str, Any]) -> str:
    """A table a quantity, mixers by lengths; the exponents, and what follows in sentences."""
    here = results["target"] is None
    times = ("step_seconds", "forward_seconds", "decode_seconds") if here else ("roofline_seconds",)
    sent = ("sent_bytes",) if any(cell.get("sent_bytes") for cell in results["cells"]) else ()
    parts = [by_length(results, name) for name in (*times, "temporary_bytes", "step_flops", *sent)]
    lines = exponents(results)
    if len(lines) > 1:
        parts.append(f"{EXPONENTS}:\n\n{table(lines)}")
    parts.append("\n".join(f"- {sentence}" for sentence in sentences(results)))
    return "\n\n".join(parts) + "\n"


def by_length(results: dict[str, Any], quantity: str) -> str:
    """A quantity's table, empty where it isn't known."""
    values = {(c["mixer"], c["length"]): value_of(c, quantity) for c in results["cells"]}
    lengths = sorted({length for _, length in values})
    unit, _ = UNITS[quantity.rpartition("_")[2]]
    title = f"{QUANTITIES[quantity][0].upper()}{QUANTITIES[quantity][1:]}, {unit}"
    lines = [["mixer", *(f"L = {length:,}" for length in lengths)]]
    for mixer in mixers_of(results["cells"]):
        shown = (in_unit(values.get((mixer, length)), quantity) for length in lengths)
        lines.append([mixer, *shown])
    return f"{title}:\n\n{table(lines)}"


def table(lines: list[list[str]]) -> str:
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
