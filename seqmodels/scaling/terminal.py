"""A scaling's results on the terminal: lines, tables and sentences."""

from typing import Any

from seqmodels.scaling.files import DONE
from seqmodels.scaling.fits import is_carried
from seqmodels.scaling.results import QUANTITIES, mixers_of, range_of, value_of
from seqmodels.terminal import print_table

MIB, GFLOP = 2**20, 1e9


def cell_line(cell: dict[str, Any]) -> str:
    """A cell in a line, as soon as it is done."""
    place = f"{cell['mixer']} at {cell['length']:,}"
    if cell["status"] not in DONE:
        return f"{place}: {cell['status']}: {cell['reason']}"
    memory = f"{_mib(cell['temporary_bytes'])} MiB of temporaries"
    if cell["status"] == "compiled":
        return f"{place}: {memory} a device, at least {_ms(cell['roofline_seconds'])} ms a step"
    low, high = range_of(cell, "step_seconds")
    step = f"{_ms(value_of(cell, 'step_seconds'))} ms a step ({_ms(low)} to {_ms(high)})"
    return f"{place}: {step}, {memory}"


def print_scaling(results: dict[str, Any]) -> None:
    """The table of cells, the exponents, and what follows from them in sentences."""
    for title, lines in (("Cost", _cells(results)), (_EXPONENTS, _exponents(results))):
        if len(lines) > 1:
            print_table(lines[0], lines[1:], title)
    for sentence in sentences(results):
        print(sentence)


_EXPONENTS = "Exponents of the length, with their 95% intervals"


def markdown(results: dict[str, Any]) -> str:
    """The same for a document: a table a quantity, mixers by lengths."""
    here = results["target"] is None
    times = ("step_seconds", "forward_seconds", "decode_seconds") if here else ("roofline_seconds",)
    parts = [_by_length(results, name) for name in (*times, "temporary_bytes", "step_flops")]
    lines = _exponents(results)
    if len(lines) > 1:
        parts.append(f"{_EXPONENTS}:\n\n{_table(lines)}")
    parts.append("\n".join(f"- {sentence}" for sentence in sentences(results)))
    return "\n\n".join(parts) + "\n"


def _by_length(results: dict[str, Any], quantity: str) -> str:
    """A quantity's table, empty where it isn't known."""
    values = {(c["mixer"], c["length"]): value_of(c, quantity) for c in results["cells"]}
    lengths = sorted({length for _, length in values})
    unit, show = UNITS[quantity.rpartition("_")[2]]
    title = f"{QUANTITIES[quantity][0].upper()}{QUANTITIES[quantity][1:]}, {unit}"
    lines = [["mixer", *(f"L = {length:,}" for length in lengths)]]
    for mixer in mixers_of(results["cells"]):
        lines.append([mixer, *(show(values.get((mixer, length))) for length in lengths)])
    return f"{title}:\n\n{_table(lines)}"


def _table(lines: list[list[str]]) -> str:
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(results: dict[str, Any]) -> list[list[str]]:
    here = results["target"] is None
    head = ["mixer", "L", "compile s"]
    head += ["forward ms", "step ms", "token ms"] if here else ["at least ms"]
    head += ["temporaries MiB", "arguments MiB"] + (["peak MiB"] if here else [])
    head += ["step GFLOP", "depth", "state KiB"]
    lines = [head]
    for cell in results["cells"]:
        if cell["status"] not in DONE:
            continue  # it has a sentence
        line = [cell["mixer"], f"{cell['length']:,}", f"{cell['compile_seconds']:.1f}"]
        times = ("forward", "step", "decode") if here else ("roofline",)
        line += [_ms(value_of(cell, f"{name}_seconds")) for name in times]
        memory = ("temporary", "argument", "peak") if here else ("temporary", "argument")
        line += [_mib(cell[f"{name}_bytes"]) for name in memory]
        line += [_gflop(cell["step_flops"]), f"{cell['sequential_depth']:,}"]
        lines.append([*line, _number(cell["state_bytes"] / 1024)])
    return lines


def _exponents(results: dict[str, Any]) -> list[list[str]]:
    """Of those that the data tell; the others stand in scaling.json alone."""
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
    made = [cell_line(cell) for cell in results["cells"] if cell["status"] not in DONE]
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


def _number(value: int | float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _ms(seconds: int | float | None) -> str:
    return "" if seconds is None else _number(1000 * seconds)


def _mib(size: int | None) -> str:
    return "" if size is None else _number(size / MIB)


def _gflop(flops: int | None) -> str:
    return "" if flops is None else _number(flops / GFLOP)


UNITS = {"seconds": ("ms", _ms), "bytes": ("MiB a device", _mib), "flops": ("GFLOP", _gflop)}
"""How values are shown, by the last word of a quantity's name."""
