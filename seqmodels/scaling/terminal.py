"""A scaling's results on the terminal: lines, tables and sentences."""

from typing import Any

from seqmodels.scaling.child import GIB
from seqmodels.scaling.files import DONE, TIMES
from seqmodels.scaling.fits import is_carried
from seqmodels.scaling.results import QUANTITIES, mixers_of, range_of, value_of
from seqmodels.terminal import print_table

UNITS = {"seconds": ("ms", 1e-3), "bytes": ("MiB a device", 2**20), "flops": ("GFLOP", 1e9)}
"""In what values are shown, by the last word of a quantity's name."""


def cell_line(cell: dict[str, Any]) -> str:
    """A cell in a line, as soon as it is done."""
    place = f"{cell['mixer']} at {cell['length']:,}"
    if cell["status"] not in DONE:
        return f"{place}: {cell['status']}: {cell['reason']}"
    memory = f"{_shown(cell, 'temporary_bytes')} MiB of temporaries"
    if cell["status"] == "compiled":
        least = f"at least {_shown(cell, 'roofline_seconds')} ms a step"
        if cell.get("bound") is None:
            return f"{place}: {memory} a device, {least}"
        needed = cell["temporary_bytes"] + cell["argument_bytes"]
        sizes = [f"{size / GIB:,.3g}" for size in (needed, cell["memory_bytes"])]
        return (
            f"{place}: {sizes[0]} of {sizes[1]} GiB a device, {least} (by its {cell['bound']}); "
            f"{_sent(cell)}"
        )
    low, high = (in_unit(value, "step_seconds") for value in range_of(cell, "step_seconds"))
    return f"{place}: {_shown(cell, 'step_seconds')} ms a step ({low} to {high}), {memory}"


def _sent(cell: dict[str, Any]) -> str:
    """``a device sends 1.5 MiB (12 times) by all-reduce``: the operands of each kind together."""
    sent = [
        f"{in_unit(kind['bytes'], 'kind_bytes')} MiB ({kind['count']:,} times) by {name}"
        for name, kind in cell["collectives"].items()
        if kind["count"]
    ]
    least = " at the least" if cell["sent_at_least"] else ""
    return f"a device sends {', '.join(sent)}{least}" if sent else "nothing is sent"


def print_scaling(results: dict[str, Any]) -> None:
    """The table of cells, the exponents, and what follows from them in sentences."""
    for title, lines in (("Cost", _cells(results)), (EXPONENTS, exponents(results))):
        if len(lines) > 1:
            print_table(lines[0], lines[1:], title)
    for sentence in sentences(results):
        print(sentence)


EXPONENTS = "Exponents of the length, with their 95% intervals"


def _cells(results: dict[str, Any]) -> list[list[str]]:
    here = results["target"] is None
    times = dict(zip(TIMES, ("forward ms", "step ms", "token ms"), strict=True))
    quantities = times if here else {"roofline_seconds": "at least ms"}
    quantities |= {"temporary_bytes": "temporaries MiB", "argument_bytes": "arguments MiB"}
    quantities |= {"peak_bytes": "peak MiB"} if here else {"sent_bytes": "sent MiB"}
    quantities["step_flops"] = "step GFLOP"
    lines = [["mixer", "L", "compile s", *quantities.values(), "depth", "state KiB"]]
    for cell in results["cells"]:
        if cell["status"] not in DONE:
            continue  # it has a sentence
        line = [cell["mixer"], f"{cell['length']:,}", f"{cell['compile_seconds']:.1f}"]
        line += [_shown(cell, name) for name in quantities]
        line += [f"{cell['sequential_depth']:,}", _number(cell["state_bytes"] / 1024)]
        lines.append(line)
    return lines


def exponents(results: dict[str, Any]) -> list[list[str]]:
    """The table of those that the data tell; the others stand in scaling.json alone."""
    fits = [fit for fit in results["fits"] if is_carried(fit["low"], fit["high"])]
    quantities = [name for name in QUANTITIES if any(fit["quantity"] == name for fit in fits)]
    lines = [["mixer", *(QUANTITIES[name] for name in quantities)]]
    for mixer in mixers_of(results["cells"]):
        found = {
            fit["quantity"]: f"{fit['exponent']:.2f} ({fit['low']:.2f} to {fit['high']:.2f})"
            for fit in fits
            if fit["mixer"] == mixer
        }
        if found:
            lines.append([mixer, *(found.get(name, "") for name in quantities)])
    return lines


def _comes_after(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a crossing is a later one of the same two."""
    pair = ("cheaper_below", "cheaper_above")
    return (
        one["quantity"] == other["quantity"]
        and {one[name] for name in pair} == {other[name] for name in pair}
        and one["length"] > other["length"]
    )


def sentences(results: dict[str, Any]) -> list[str]:
    """The cells without a time, the crossings, the longest sequences and the qualities."""
    told = [c for c in results["cells"] if c["status"] not in DONE or c.get("bound") is not None]
    made = [cell_line(cell) for cell in told]
    for crossing in results["crossovers"]:
        what, above = QUANTITIES[crossing["quantity"]], crossing["cheaper_above"]
        verb = "take more memory" if what.endswith("temporaries") else "takes longer"
        ends = [c["length"] for c in results["crossovers"] if _comes_after(c, crossing)]
        reach = f" to {_rounded(min(ends))} positions" if ends else " positions on"
        made.append(
            f"{what[0].upper()}{what[1:]} {verb} with {crossing['cheaper_below']} than with "
            f"{above} from {_rounded(crossing['length'])}{reach}"
        )
    for longest in results["longest"]:
        unit = "GiB" if longest["limit"] == "gib" else "s a step"
        by = ", by extrapolation" if longest["extrapolated"] else ""
        far = "at least" if longest["at_least"] else "up to"
        reach = f"{far} {_rounded(longest['length'])} positions" if longest["length"] else "nothing"
        made.append(f"Within {longest['value']:g} {unit}, {longest['mixer']}: {reach}{by}")
    for quality in results["quality"]:
        if quality["mean"] is None:
            shown = f"{quality['status']}: {quality['reason']}"
        else:
            shown = f"{quality['score'].replace('_', ' ')} {quality['mean']:.3f}"
        made.append(f"{quality['task']} at {quality['length']:,}, {quality['mixer']}: {shown}")
    return made


def _rounded(length: int) -> str:
    """To two digits: no more is known."""
    digits = len(str(length))
    return f"{round(length, 2 - digits):,}" if digits > 2 else str(length)


def _shown(cell: dict[str, Any], quantity: str) -> str:
    return in_unit(value_of(cell, quantity), quantity)


def _number(value: int | float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def in_unit(value: int | float | None, quantity: str) -> str:
    """A quantity's value in its unit; nothing where it isn't known."""
    return "" if value is None else _number(value / UNITS[quantity.rpartition("_")[2]][1])
