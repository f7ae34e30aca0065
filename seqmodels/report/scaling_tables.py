"""The tables of a scaling experiment, and what its file holds."""

from typing import Any

from seqmodels.report.reading import Content, Scaling
from seqmodels.report.recipes import scaling_recipe
from seqmodels.report.table import Column, Row, Table
from seqmodels.report.values import Kind, Number, number, readable, shown
from seqmodels.scaling.fits import WIDEST, is_carried

QUANTITIES: dict[str, tuple[str, Kind]] = {
    "step_seconds": ("time of a training step", "seconds"),
    "forward_seconds": ("time of a forward pass", "seconds"),
    "decode_seconds": ("time to decode one token", "seconds"),
    "roofline_seconds": ("time of a training step by the roofline", "seconds"),
    "compile_seconds": ("time to compile", "seconds"),
    "peak_bytes": ("peak resident memory", "bytes"),
    "temporary_bytes": ("temporaries of a training step", "bytes"),
    "argument_bytes": ("arguments of a training step", "bytes"),
    "state_bytes": ("state to go on from", "bytes"),
    "forward_flops": ("FLOPs of a forward pass", "flops"),
    "step_flops": ("FLOPs of a training step", "flops"),
    "sent_bytes": ("bytes that a device sends in a training step", "bytes"),
    "sequential_depth": ("steps that wait for one another", "count"),
}
"""What is measured of a cell: how it is called, and how it is written."""


def middle(cell: Content, quantity: str) -> tuple[Number | None, Number | None, Number | None]:
    """A quantity of a cell with its lowest and highest repeat, if it was repeated."""
    value = cell.get(quantity)  # older files lack some
    if isinstance(value, dict):
        return number(value["median"]), number(value["low"]), number(value["high"])
    return number(value), None, None


def fits_of(content: Content) -> list[Content]:
    """The fitted power laws that the data tell: those of narrow intervals."""
    found = [fit for fit in content["fits"] if is_carried(fit["low"], fit["high"])]
    return [f for f in found if None not in (number(f["exponent"]), number(f["coefficient"]))]


def status(cell: Content) -> str:
    """``does not fit: needs 41 GiB``: the status and its reason, which may repeat it."""
    status, reason = readable(cell["status"]), readable(cell["reason"] or "")
    return reason if reason.startswith(status) else f"{status}: {reason}".removesuffix(": ")


def _called(quantity: Any) -> str:
    return QUANTITIES[quantity][0] if quantity in QUANTITIES else readable(str(quantity))


def cells_table(name: str, scaling: Scaling) -> Table:
    """A row a cell, with its recipe; a column a quantity that any cell has."""
    cells = scaling.content["cells"]
    present = [q for q in QUANTITIES if any(middle(cell, q)[0] is not None for cell in cells)]
    columns = [Column("mixer"), Column("length", "count"), Column("batch", "count")]
    columns += [Column("state", "state"), Column("parameters", "count")]
    columns += [Column(*QUANTITIES[quantity]) for quantity in present]
    rows = []
    for cell in cells:
        values = (readable(cell["mixer"]), cell["length"], cell["batch_size"])
        values += ((status(cell),), cell["parameters"])
        values += tuple(middle(cell, quantity)[0] for quantity in present)
        rows.append(Row(values, _cell_recipe(scaling, cell)))
    return Table(f"{name}-cells", "Cells.", "Medians over repeats.", columns, rows)


def _cell_recipe(scaling: Scaling, cell: Content) -> list[tuple[str, str]]:
    repeated = []
    for quantity, (title, _) in QUANTITIES.items():
        if isinstance(value := cell.get(quantity), dict):
            called = {"median": "median", "low": "lowest", "high": "highest", "repeats": "repeats"}
            words = ", ".join(f"{name} {value[key]:.6g}" for key, name in called.items())
            repeated.append(f"{title}: {words}")
    own = [("Status", status(cell))] + [("Repeats (seconds)", "\n".join(repeated))] * bool(repeated)
    sent = [
        f"{name}: {kind['count']:,} of {kind['bytes']:,} bytes together; {kind['sent']:,} are sent"
        for name, kind in (cell.get("collectives") or {}).items()
        if kind["count"]
    ]
    own += [("Collectives of a device", "\n".join(map(readable, sent)))] * bool(sent)
    return [*own, *scaling_recipe(scaling)]


def fits_table(name: str, content: Content) -> Table | None:
    rows = []
    for fit in fits_of(content):
        numbers = [fit[key] for key in ("exponent", "low", "high", "from_length", "lengths")]
        rows.append(Row((readable(fit["mixer"]), _called(fit["quantity"]), *numbers)))
    columns = [Column("mixer"), Column("quantity"), Column("exponent", "number")]
    columns += [Column("low", "number"), Column("high", "number")]
    columns += [Column("from length", "count"), Column("lengths fitted", "count")]
    caption = (
        "a of quantity ∝ L^a, by least squares of the logarithms, and its interval; those of an "
        f"interval wider than {WIDEST} are left out."
    )
    return Table(f"{name}-fits", "Fitted exponents.", caption, columns, rows) if rows else None


def crossovers_table(name: str, content: Content) -> Table | None:
    rows = []
    for entry in content["crossovers"]:
        cheaper = readable(entry["cheaper_below"]), readable(entry["cheaper_above"])
        rows.append(Row((_called(entry["quantity"]), *cheaper, entry["length"])))
    columns = [Column("quantity"), Column("costs less below"), Column("costs less above")]
    columns += [Column("length", "count")]
    caption = "From this length on, up to the next one of the same two, the first costs more."
    return Table(f"{name}-crossovers", "Crossovers.", caption, columns, rows) if rows else None


_LIMITS: dict[str, tuple[str, int, Kind]] = {
    "gib": ("memory of a training step", 2**30, "bytes"),
    "seconds": ("time of a training step", 1, "seconds"),
}


def longest_table(name: str, content: Content) -> Table | None:
    rows = []
    for entry in content["longest"]:
        limit, size, kind = _LIMITS[entry["limit"]]
        values = (readable(entry["mixer"]), limit, shown(entry["value"] * size, kind))
        rows.append(Row((*values, *_reach(content, entry))))
    columns = [Column("mixer"), Column("limit"), Column("at most")]
    columns += [Column("longest sequence", "count"), Column("how")]
    caption = "That stays within a limit of memory or time."
    return Table(f"{name}-longest", "Longest sequences.", caption, columns, rows) if rows else None


def _reach(content: Content, entry: Content) -> tuple[Number | None, str]:
    """How far a limit reaches, and how that is known; no farther than the fit carries.

    Older files extrapolated by any fit, to any length.
    """
    length = entry["length"]
    if not entry["extrapolated"]:
        how = "at least, the longest measured" if entry.get("at_least") else "between measured ones"
        return length, how
    of = ("temporary_bytes",) if entry["limit"] == "gib" else ("step_seconds", "roofline_seconds")
    firsts = [
        fit["from_length"]
        for fit in fits_of(content)
        if fit["mixer"] == entry["mixer"] and fit["quantity"] in of
    ]
    measured = [
        cell["length"]
        for cell in content["cells"]
        if cell["mixer"] == entry["mixer"] and any(middle(cell, quantity)[0] for quantity in of)
    ]
    if not measured:
        return None, "not measured"
    if not firsts or not firsts[0]:
        return max(measured), "at least, the longest measured"
    fitted = [one for one in measured if one >= firsts[0]] or measured
    farthest = max(fitted) ** 2 // min(fitted)
    if length >= farthest:
        return farthest, "at least, extrapolated"
    return length, "extrapolated"


def quality_table(name: str, content: Content) -> Table | None:
    columns = [Column("mixer"), Column("task"), Column("length", "count"), Column("state", "state")]
    columns += [Column("score"), Column("test", "number"), Column("training took", "seconds")]
    rows = []
    for entry in content["quality"]:
        values = (readable(entry["mixer"]), readable(entry["task"]), entry["length"])
        values += ((status(entry),), readable(entry["score"] or "").replace("_", " "))
        rows.append(Row((*values, number(entry["mean"]), entry["seconds"])))
    caption = "Each cell was trained for the same budget."
    return Table(f"{name}-quality", "Quality.", caption, columns, rows) if rows else None
