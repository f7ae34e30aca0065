"""How what a mixer takes grows with the length: the table of docs/mixers.md beside its costs."""

from itertools import pairwise

from benchmarks.scaling_tables import table
from seqmodels.scaling.files import DONE, ScalingFile
from seqmodels.scaling.results import mixers_of


def text(scaling: ScalingFile | None) -> str:
    """Exponents of time, the temporaries' greatest growth by a doubling, and the state's.

    Of the mixers that were measured at three lengths at least, from the shortest to the longest.
    """
    if scaling is None:
        return "Not measured yet."
    times = {fit["mixer"]: fit for fit in scaling["fits"] if fit["quantity"] == "step_seconds"}
    lines = [["mixer", "lengths", "exponent of time", "temporaries by a doubling", "state, KiB"]]
    for mixer in mixers_of(scaling["cells"]):
        done = [c for c in scaling["cells"] if c["mixer"] == mixer and c["status"] in DONE]
        done.sort(key=lambda cell: cell["length"])
        fit = times.get(mixer)
        if fit is None or len(done) < 3:
            continue
        first, last = done[0], done[-1]
        doubled = [
            after["temporary_bytes"] / before["temporary_bytes"]
            for before, after in pairwise(done)
            if after["length"] == 2 * before["length"]
        ]
        states = [f"{cell['state_bytes'] / 1024:,.3g}" for cell in (first, last)]
        lines.append(
            [
                mixer,
                f"{first['length']:,} to {last['length']:,}",
                f"{fit['exponent']:.2f} ({fit['low']:.2f} to {fit['high']:.2f})",
                f"{max(doubled):.2f}" if doubled else "–",
                states[0] if states[0] == states[1] else " to ".join(states),
            ]
        )
    return table(lines)
