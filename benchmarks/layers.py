"""Every mixer's step, and a whole training step, against PyTorch: in one run, in turn.

    make bench                     # all of it, in docs/performance.md's order, with its own PyTorch
    python benchmarks/layers.py --forms                    # every form; --cases=lstm:steps is one
    python benchmarks/layers.py --torch=.venv-torch/bin/python --cases=lstm,attention --lengths=2048
    make bench ARGS=--cases=linear      # mixers of linear time: float32, both passes at once

A round measures some calls of JAX's form and then some of PyTorch's, as many of each as last
about --seconds, each waited for. Times are medians over the rounds; a ratio is the median of the
rounds' ratios, with the smallest and the largest: below 1, JAX is the faster. The fraction of the
peak is that of the machine's own matrix product where a case is made of products, and of its
memory's rate where it is not, counting only the arrays that must be read and written.
"""

import json
import math
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from cases import CASES, FORMS, LINEAR, SIZES, STEPS
from document import replace_table
from machine import measured_peaks

from seqmodels import cli
from seqmodels.errors import ParameterError, UserError, nearest
from seqmodels.machine import describe_machine
from seqmodels.training.sharding import by_row, make_mesh, replicated
from seqmodels.training.startup import start_jax

TORCH = flags.DEFINE_string("torch", None, "a Python that has PyTorch; without it JAX alone")
TORCH_MALLOC = flags.DEFINE_enum(
    "torch_malloc", "default", ["default", "as_here"], "how PyTorch's memory is allocated"
)
NAMES = flags.DEFINE_list("cases", [], "the cases to time, or linear; all of them by default")
ONLY_FORMS = flags.DEFINE_boolean("forms", False, "time the forms of operations, not the layers")
LENGTHS = flags.DEFINE_list("lengths", [], "the lengths; each case's own by default")
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "of float32, bfloat16")
DEVICES = flags.DEFINE_list("devices", ["1", "cores"], "over how many devices: 1, cores (all)")
ROUNDS = flags.DEFINE_integer("rounds", 5, "measurements of each")
SECONDS = flags.DEFINE_float("seconds", 0.3, "about how long a measurement lasts")
OUT = flags.DEFINE_string("out", None, "folder for layers.json and layers.md")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")


KEPT_MEMORY = ["mmap_max=0", "trim_threshold=18446744073709551615", "arena_max=1", "mxfast=0"]
"""What seqmodels.allocator tells malloc, for PyTorch's process."""


class Torch:
    """PyTorch in a process of its own, answering one request at a time.

    Its malloc is as its users have it. --torch_malloc=as_here keeps freed memory as we do, which
    makes some of PyTorch's operations faster and others slower.
    """

    def __init__(self, python: str):
        script = Path(__file__).with_name("torch_layers.py")
        tunables = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{item}" for item in KEPT_MEMORY)}
        try:
            self.process = subprocess.Popen(
                [python, str(script), "cuda" if jax.default_backend() == "gpu" else "cpu"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | (tunables if TORCH_MALLOC.value == "as_here" else {}),
            )
        except OSError as error:
            raise UserError(f"--torch={python}: {error.strerror}; make bench sets one up") from None
        self.version = self._read()["version"]

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError("PyTorch's process ended; its own message stands above")
        return json.loads(line)

    def seconds(self, calls: int, **request: Any) -> float:
        """Seconds a call of a case."""
        assert self.process.stdin is not None
        sizes = CASES[request["case"]].sizes | {"batch": request["rows"]}
        print(
            json.dumps({**request, "calls": calls, "sizes": sizes}),
            file=self.process.stdin,
            flush=True,
        )
        return self._read()["seconds"]


def jax_seconds(name: str, length: int, dtype: str, backward: bool, devices: int):
    """A function from a number of calls to the seconds that one takes."""
    function, (params, *rest) = (CASES | FORMS)[name].build(length, dtype, backward)
    mesh = make_mesh(devices)
    if name in STEPS:  # as in training: the state goes in and comes out, and lies as there
        compiled = function(mesh).compile()
        params, *rest = jax.device_put((params, *rest), compiled.input_shardings[0])
    else:
        params = jax.device_put(params, replicated(mesh))
        rest = jax.device_put(rest, by_row(mesh))
        compiled = jax.jit(function).lower(params, *rest).compile()

    def measure(calls: int) -> float:
        nonlocal params
        start = time.perf_counter()
        for _ in range(calls):
            result = compiled(params, *rest)
            if name in STEPS:
                params = result[0]
            jax.block_until_ready(result)
        return (time.perf_counter() - start) / calls

    return measure


def _calls(seconds: float) -> int:
    """How many calls of so many seconds a measurement has."""
    return max(1, round(SECONDS.value / seconds))


def measure(name: str, length: int, dtype: str, backward: bool, torch: Torch | None) -> dict:
    """One line of the table."""
    rows = (CASES | FORMS)[name].rows(length)
    cores = math.gcd(jax.device_count(), rows)
    counts = dict.fromkeys({"1": 1, "cores": cores}[text] for text in DEVICES.value)
    forms = {count: jax_seconds(name, length, dtype, backward, count) for count in counts}
    first = {count: (form(1), form(2))[1] for count, form in forms.items()}
    calls = _calls(min(first.values()))
    request = {"case": name, "length": length, "rows": rows, "dtype": dtype, "backward": backward}
    torch_calls = 0
    if torch:
        torch.seconds(1, **request)
        torch_calls = _calls(torch.seconds(1, **request))
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS.value):
        for count, form in forms.items():
            times.setdefault(f"jax_{count}", []).append(form(calls))
        if torch:
            times.setdefault("torch", []).append(torch.seconds(torch_calls, **request))
    return {**request, "calls": calls, "seconds": times}


def summarise(row: dict, peaks: dict[str, float]) -> dict:
    """Medians, ratios and the fraction of the peak."""
    times = row["seconds"]
    work = (CASES | FORMS)[row["case"]].work(row["length"])
    scale = 3 if row["backward"] else 1
    itemsize = jnp.dtype(row["dtype"]).itemsize
    bound = max(
        scale * work.flops / peaks[row["dtype"]],
        scale * work.bytes * itemsize / peaks["bandwidth"],
    )
    medians = {form: statistics.median(values) for form, values in times.items()}
    best = min((form for form in medians if form != "torch"), key=medians.__getitem__)
    summary = {**row, "median": medians, "best": best, "peak": bound / medians[best]}
    if "torch" in times:
        summary["ratio"] = {
            form: _spread([a / b for a, b in zip(values, times["torch"], strict=True)])
            for form, values in times.items()
            if form != "torch"
        }
    return summary


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def table(rows: list[dict]) -> str:
    """The rows as Markdown: times in ms."""
    forms = list(dict.fromkeys(form for row in rows for form in row["median"]))
    ratios = [form for form in forms if form != "torch" and any("ratio" in row for row in rows)]
    head = ["case", "L", "dtype", "pass", *(f"{form} ms" for form in forms)]
    head += [f"{form} / torch" for form in ratios] + ["of the peak"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        line = [row["case"], f"{row['length']:,}", row["dtype"]]
        line.append("forward and backward" if row["backward"] else "forward")
        medians, of_torch = row["median"], row.get("ratio", {})
        line += [f"{1000 * medians[form]:.1f}" if form in medians else "–" for form in forms]
        for form in ratios:
            spread = "{:.2f} ({:.2f} to {:.2f})"
            line.append(spread.format(*of_torch[form]) if form in of_torch else "–")
        lines.append([*line, f"{row['peak']:.0%}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + _together(rows)


def _together(rows: list[dict]) -> str:
    """The geometric mean of the ratios of each case's faster form."""
    found = [row["ratio"][row["best"]][0] for row in rows if "ratio" in row]
    if len(found) < 2:
        return ""
    mean = math.exp(statistics.fmean(map(math.log, found)))
    most = max(found)
    return f"\nGeometric mean of the faster forms' ratios: {mean:.2f}; the largest: {most:.2f}.\n"


def described(machine: dict, peaks: dict[str, float]) -> str:
    """The machine in a sentence or two."""
    return (
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB; Python "
        f"{machine['python']}, jax {machine['jax']}, PyTorch {machine['torch']}. Peaks: "
        f"{peaks['float32'] / 1e9:.0f} GFLOP/s in float32, {peaks['bfloat16'] / 1e9:.0f} in "
        f"bfloat16, {peaks['bandwidth'] / 1e9:.1f} GB/s."
    )


def requests(names: list[str]) -> list[tuple[str, int, str, bool]]:
    """Each case with its lengths, dtypes and passes: of "linear" float32, both at once."""
    linear = names == ["linear"]
    cases = FORMS if ONLY_FORMS.value else CASES
    for name in [] if linear else names:
        if name not in cases:
            raise UserError(f"--cases: {name!r} is not one; {nearest(name, [*cases, 'linear'])}")
    dtypes = ["float32"] if linear and not DTYPES.present else DTYPES.value
    return [
        (name, length, dtype, backward)
        for name in (LINEAR if linear else names or cases)
        for length in [int(text) for text in LENGTHS.value] or cases[name].lengths
        for dtype in dtypes
        for backward in ((False, True) if cases[name].forward and not linear else (True,))
    ]


def main() -> None:
    """Times the chosen cases, prints the table and writes it where --out says."""
    start_jax()
    if ONLY_FORMS.value and (TORCH.value or DOCUMENT.value):
        raise UserError("--forms is without PyTorch and not in a document; leave --torch out")
    asked = requests(NAMES.value)
    torch = Torch(TORCH.value) if TORCH.value else None
    peaks = measured_peaks()
    machine = describe_machine() | {"torch": torch.version if torch else "none"}
    rows = []
    for request in asked:
        try:
            row = summarise(measure(*request, torch), peaks)
        except ParameterError as refusal:
            print(refusal, flush=True)
            continue
        rows.append(row)
        print(table([row]).splitlines()[-1], flush=True)
    text = f"{described(machine, peaks)}\n\n{table(rows)}"
    print(text)
    name = "linear" if NAMES.value == ["linear"] else "layers"
    if OUT.value:
        folder = Path(OUT.value)
        folder.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine, "peaks": peaks, "sizes": SIZES, "rows": rows}
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1))
        (folder / f"{name}.md").write_text(text)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, name, text)


if __name__ == "__main__":
    cli.run(main)
