"""What a scaling experiment says of cost against length, in sentences."""

from seqmodels.report.findings import Finding, Part, Strong
from seqmodels.report.reading import Content
from seqmodels.report.scaling_tables import status
from seqmodels.report.values import readable
from seqmodels.scaling.files import DONE
from seqmodels.scaling.fits import separate
from seqmodels.scaling.results import points, range_of

_SAID = {
    "step_seconds": ("A training step of ", " takes longer than one of "),
    "decode_seconds": ("A further token takes ", " longer than "),
    "temporary_bytes": ("A training step of ", " holds more than one of "),
}
"""By quantity the words around the mixer that costs more from a length on."""
MOST = 3
"""Others that a mixer is held against in one sentence."""


def _name(mixer: str) -> Strong:
    return Strong(readable(mixer), readable(mixer))


def scaling_findings(content: Content, figures: dict[str, str], batches: str = "") -> list[Finding]:
    """By quantity the figure of each is named in ``figures``.

    ``batches`` says what a step holds, where that tells the experiment from another.
    """
    made = []
    for quantity in _SAID:
        figure = figures.get(quantity, "")
        made += [*_apart(content, quantity, figure), *_crossing(content, quantity, figure)]
    made += _ended(content, next(iter(figures.values()), ""))
    return [_of(finding, batches) for finding in made] if batches else made


def _of(finding: Finding, batches: str) -> Finding:
    *parts, last = finding.parts
    assert isinstance(last, str)
    return finding._replace(parts=(*parts, f"{last.removesuffix('.')} ({batches})."))


def _crossing(content: Content, quantity: str, figure: str) -> list[Finding]:
    """From where on a mixer costs more than others, of pairs that cross once."""
    entries = [entry for entry in content["crossovers"] if entry["quantity"] == quantity]
    pairs = [frozenset((e["cheaper_below"], e["cheaper_above"])) for e in entries]
    by_mixer: dict[str, list[tuple[int, str]]] = {}
    for entry, pair in zip(entries, pairs, strict=True):
        if pairs.count(pair) == 1:
            place = (entry["length"], entry["cheaper_above"])
            by_mixer.setdefault(entry["cheaper_below"], []).append(place)
    made = []
    before, after = _SAID[quantity]
    for mixer, others in by_mixer.items():
        parts: list[Part] = [before, _name(mixer), after]
        for number, (length, other) in enumerate(sorted(others)[:MOST]):
            told = f" from {length:,} positions on" if number == 0 else f" from {length:,}"
            parts += [", " if number else "", _name(other), told]
        made.append(Finding((*parts, "."), figure, "cost", len(others)))
    return sorted(made, key=lambda one: -one.weight)[:2]


def _apart(content: Content, quantity: str, figure: str) -> list[Finding]:
    """The dearest against the cheapest, at the longest length that both were measured at."""
    done = [cell for cell in content["cells"] if cell["status"] in DONE]
    by_length: dict[int, dict[str, Content]] = {}
    for cell in done:
        if cell["length"] in points([cell], cell["mixer"], quantity):
            by_length.setdefault(cell["length"], {})[cell["mixer"]] = cell
    lengths = [length for length, cells in by_length.items() if len(cells) > 1]
    if not lengths:
        return []
    cells = by_length[max(lengths)]
    cost = {mixer: points([cell], mixer, quantity)[max(lengths)] for mixer, cell in cells.items()}
    low, high = min(cost, key=lambda m: cost[m]), max(cost, key=lambda m: cost[m])
    ratio = cost[high] / cost[low]
    if ratio < 1.05 or not separate(*(range_of(cells[m], quantity) for m in (low, high))):
        return []
    what = {"step_seconds": "a training step of ", "decode_seconds": "a further token of "}
    needs = " takes " if quantity in what else " holds "
    begins = f"At {max(lengths):,} positions {what.get(quantity, 'a training step of ')}"
    parts = (begins, _name(high), needs, Strong(f"{ratio:.3g} times"), " what one of ", _name(low))
    return [Finding((*parts, f"{needs.rstrip()}."), figure, "cost", 99)]


def _ended(content: Content, figure: str) -> list[Finding]:
    """How far each goes that something ended."""
    made = []
    for mixer in dict.fromkeys(cell["mixer"] for cell in content["cells"]):
        own = [cell for cell in content["cells"] if cell["mixer"] == mixer]
        done = [cell["length"] for cell in own if cell["status"] in DONE]
        ended = min(
            (cell for cell in own if cell["status"] not in DONE),
            key=lambda cell: cell["length"],
            default=None,
        )
        if done and ended is not None and ended["length"] > max(done):
            verb = "is " if ended["status"] == "too slow" else ""
            told = f" goes up to {max(done):,} positions here: at {ended['length']:,} it {verb}"
            parts = (_name(mixer), told, f"{status(ended)}.")
            made.append(Finding(parts, figure, "cost", -1))
    return made
