"""What a training step takes of each of eight devices that share it, by the compiler's counts.

    PYTHONPATH=. python benchmarks/across.py --out=docs/performance --document=docs/scale.md

Language models on bytes, compiled for simulated devices and not run: temporaries a device, the
bytes that each sends, and, at an eighth of the positions, the FLOPs of all together. What
across.json has is not compiled again.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from document import replace_table
from each import each, in_a_process
from scaling_tables import table

from seqmodels import cli
from seqmodels.flops import count_flops
from seqmodels.scaling.collectives import traffic
from seqmodels.scaling.programs import LanguageModel, language_model, model_section
from seqmodels.training.sharding import make_mesh, traced_under
from seqmodels.training.startup import start_jax

FAMILIES = (
    *("rnn", "lstm", "gru", "slstm"),
    *("conv", "temporal_block", "neighbourhood", "long_convolution", "hyena"),
    *("local", "global", "transformer"),
    *("mingru", "minlstm", "lru", "rglru", "s4d", "s5", "mamba"),
    *("linear_attention", "retention", "gla", "mamba2", "mamba3", "mlstm"),
    *("deltanet", "gated_deltanet", "kda", "deltaproduct", "rwkv7"),
)
MIXERS = flags.DEFINE_list("mixers", list(FAMILIES), "presets to compile")
LENGTH = flags.DEFINE_integer("length", 65_536, "positions L that devices share", 512)
OUT = flags.DEFINE_string("out", None, "folder for across.json")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose tables are replaced")
CELL = flags.DEFINE_string("cell", None, "one mixer, in this process")

DEVICES = 8
WIDTH, DEPTH = 64, 2


class Share(NamedTuple):
    """A step, and how devices share it."""

    rows: int
    """B"""
    length: int
    """L"""
    data: int = 1
    sequence: int = 1
    model: int = 1


def shares(length: int) -> dict[str, Share]:
    """Eight sequences on one device and on eight; and an eighth of them on one."""
    return {
        "one": Share(DEVICES, length),
        "data": Share(DEVICES, length, data=DEVICES),
        "sequence": Share(DEVICES, length, sequence=DEVICES),
        "all": Share(DEVICES, length, data=2, sequence=2, model=2),
        "small": Share(1, length // DEVICES),
        "more rows": Share(DEVICES, length // DEVICES, data=DEVICES),
        "more positions": Share(1, length, sequence=DEVICES),
    }


def measured(mixer: str, share: Share) -> dict[str, Any]:
    """A step's temporaries, what it sends, and the FLOPs of all devices."""

    def model(length: int) -> LanguageModel:
        section = model_section(mixer, WIDTH, DEPTH, "float32", length)
        return language_model(section, length, share.rows)

    devices = share.data * share.sequence * share.model
    mesh = make_mesh(devices, share.sequence, share.model)
    compiled = model(share.length).lower_step(mesh).compile()
    sent = traffic(compiled.as_text())
    counted = model(share.length // DEVICES)  # blocks of attention are counted one by one
    step, state = traced_under(mesh, counted.step()), jax.eval_shape(counted.state)
    return {
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "sent_bytes": sent.sent,
        "sent_at_least": not sent.complete,
        "flops": count_flops(step, state, counted.batch()),
    }


def cell(mixer: str, length: int) -> dict[str, Any]:
    """All of a mixer, in this process."""
    steps = {name: measured(mixer, share) for name, share in shares(length).items()}
    return {"mixer": mixer, "length": length, "steps": steps}


def strong(rows: list[dict[str, Any]]) -> str:
    """Eight sequences on one device and on eight, as Markdown."""
    by = {"data": "data 8", "sequence": "sequence 8", "all": "2 × 2 × 2"}
    return _beside(rows, "one", by, devices=1)


def weak(rows: list[dict[str, Any]]) -> str:
    """One device's share, and eight times as much on eight, as Markdown."""
    by = {"more rows": "more rows", "more positions": "more positions"}
    return _beside(rows, "small", by, devices=DEVICES)


def _beside(rows: list[dict[str, Any]], alone: str, by: dict[str, str], devices: int) -> str:
    """What one device has, and of it what each of several has; of its FLOPs those of all over
    ``devices``; and the MiB that each sends."""
    head = ["mixer", "one device, MiB"]
    head += [f"{what}, {said}" for what in ("of it", "FLOPs", "MiB sent") for said in by.values()]
    lines = [head]
    for row in rows:
        one, steps = row["steps"][alone], [row["steps"][name] for name in by]
        shown = [f"{step['temporary_bytes'] / one['temporary_bytes']:.2f}" for step in steps]
        shown += [f"{step['flops'] / devices / one['flops']:.2f}" for step in steps]
        shown += [_sent(step) for step in steps]
        lines.append([row["mixer"], f"{one['temporary_bytes'] / 2**20:,.0f}", *shown])
    return table(lines)


def _sent(step: dict[str, Any]) -> str:
    least, mib = "≥ " if step["sent_at_least"] else "", step["sent_bytes"] / 2**20
    return f"{least}{mib:,.0f}" if mib >= 100 else f"{least}{mib:.3g}"


def main() -> None:
    """Compiles for every mixer that isn't there yet, and writes where --out and --document say."""
    if CELL.value:
        jax.config.update("jax_num_cpu_devices", DEVICES)
        start_jax()
        print(json.dumps(cell(CELL.value, LENGTH.value)))
        return
    file = Path(OUT.value) / "across.json" if OUT.value else None
    make = partial(in_a_process, __file__, length=LENGTH.value)
    rows = each(MIXERS.value, LENGTH.value, file, make, strong)
    if DOCUMENT.value:
        replace_table(DOCUMENT.value, "strong", strong(rows))
        replace_table(DOCUMENT.value, "weak", weak(rows))


if __name__ == "__main__":
    cli.run(main)
