"""Trains one run of every architecture and shape, and makes the table of docs/architectures.md.

    python benchmarks/architectures.py --runs=runs/architectures --document=docs/architectures.md

Every row is a command that anyone can give by itself. Runs that have finished are not trained
again; --only=tcn,gru takes some rows alone.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from document import replace_table

from seqmodels import cli
from seqmodels.errors import UserError, nearest
from seqmodels.evaluation.runs import load
from seqmodels.pictures.receptive_field import receptive_field

RUNS = flags.DEFINE_string("runs", "runs/architectures", "folder of the runs")
DOCUMENT = flags.DEFINE_string("document", None, "file whose tables are replaced")
ONLY = flags.DEFINE_list("only", [], "names of rows; all if empty")


class Row(NamedTuple):
    """One architecture or shape."""

    title: str
    config: str
    overrides: str = ""
    """``key=value`` with spaces, without ``--config.``."""


DIGITS, GRID, REVERSE = "configs/digits.py", "configs/digits_grid.py", "configs/reverse.py"
GLOBAL = f"{DIGITS}:mixer=global"
NO_ROTARY = "model.mixers.global.positions=none"

SECTIONS: dict[str, dict[str, Row]] = {
    "recurrent": {
        "rnn": Row("vanilla, tanh", f"{DIGITS}:mixer=rnn"),
        "rnn-relu": Row("vanilla, relu", f"{DIGITS}:mixer=rnn", "model.mixers.rnn.activation=relu"),
        "lstm": Row("LSTM", f"{DIGITS}:mixer=lstm"),
        "gru": Row("GRU", f"{DIGITS}:mixer=gru"),
        "stacked": Row("GRU, stacked 4 deep", f"{DIGITS}:mixer=gru", "model.depth=4"),
        "bidirectional": Row("GRU, bidirectional", f"{DIGITS}:mixer=bidirectional"),
        "truncated": Row(
            "GRU, gradient cut after 64 of 512 steps",
            "configs/text.py:mixer=gru",
            "train.truncate=64 train.steps=500",
        ),
    },
    "convolution": {
        "conv": Row("1-D", f"{DIGITS}:mixer=conv"),
        "conv-causal": Row(
            "1-D, causal",
            f"{DIGITS}:mixer=conv",
            "model.mixers.conv.causal=True model.mixers.dilated.causal=True",
        ),
        "tcn": Row("1-D, dilations doubling (TCN)", f"{DIGITS}:mixer=tcn"),
        "separable": Row("1-D, depthwise-separable", f"{DIGITS}:mixer=separable"),
        "gated": Row("1-D, gated", f"{DIGITS}:mixer=gated"),
        "conv2d": Row("2-D", f"{GRID}:mixer=conv"),
        "conv3d": Row("3-D", f"{GRID}:mixer=conv,layout=solid,width=16"),
    },
    "local attention": {
        "local": Row("1-D, window of 16 on each side", f"{DIGITS}:mixer=local"),
        "neighbourhood": Row(
            "1-D, in a convolution's place, dilated", f"{DIGITS}:mixer=neighbourhood"
        ),
        "local2d": Row("2-D, in a convolution's place", f"{GRID}:mixer=local"),
        "local2d-dilated": Row(
            "2-D, dilated", f"{GRID}:mixer=local", "model.mixers.local.dilation=2"
        ),
        "local2d-strided": Row(
            "2-D, stride 2", f"{GRID}:mixer=local", "model.mixers.local.stride=2 model.depth=3"
        ),
    },
    "global attention": {
        "global": Row("multi-head, rotary and sinusoidal positions", GLOBAL),
        "grouped-query": Row("grouped-query, 2 of 4", GLOBAL, "model.mixers.global.kv_heads=2"),
        "multi-query": Row("multi-query", GLOBAL, "model.mixers.global.kv_heads=1"),
        "dot": Row("dot score, not scaled", GLOBAL, "model.mixers.global.score=dot"),
        "additive": Row(
            "additive score (Bahdanau)", GLOBAL, f"model.mixers.global.score=additive {NO_ROTARY}"
        ),
        "rotary": Row("rotary positions alone", GLOBAL, "model.positions=none"),
        "learned": Row(
            "learned positions alone",
            GLOBAL,
            f"model.positions=learned model.max_length=64 {NO_ROTARY}",
        ),
        "sinusoidal": Row("sinusoidal positions alone", GLOBAL, NO_ROTARY),
        "alibi": Row(
            "ALiBi alone", GLOBAL, "model.positions=none model.mixers.global.positions=alibi"
        ),
        "relative": Row(
            "relative positions alone",
            GLOBAL,
            "model.positions=none model.mixers.global.positions=relative",
        ),
        "none": Row("no positions: a bag of pixels", GLOBAL, f"model.positions=none {NO_ROTARY}"),
        "qk-norm": Row("queries and keys normalised", GLOBAL, "model.mixers.global.qk_norm=True"),
        "plain": Row("all scores in memory", GLOBAL, "model.mixers.global.form=whole"),
        "set-maximum": Row("on a set: its maximum", "configs/set.py:operation=maximum"),
        "set-count": Row("on a set: how many are 0", "configs/set.py:operation=count"),
    },
    "Transformer": {
        "encoder": Row("encoder, pre-norm", f"{DIGITS}:mixer=transformer"),
        "post-norm": Row(
            "encoder, post-norm", f"{DIGITS}:mixer=transformer", "model.norm_position=post"
        ),
        "geglu": Row(
            "encoder, gated MLP, RMS norm",
            f"{DIGITS}:mixer=transformer",
            "model.mlp=gated model.norm=rms",
        ),
        "decoder": Row("decoder", "configs/recall.py:mixer=transformer"),
        "encoder-decoder": Row("encoder-decoder", f"{REVERSE}:mixer=transformer,cross=scaled_dot"),
        "vit": Row("Vision Transformer, 2×2 patches", f"{GRID}:mixer=vit"),
    },
    "hybrid": {
        "hybrid": Row("GRU, local, global attention in turn", f"{DIGITS}:mixer=hybrid"),
        "hybrid2d": Row("2-D convolution with self-attention", f"{GRID}:mixer=hybrid"),
    },
    "shapes": {
        "one-to-many": Row("one-to-many: a digit from its class", "configs/digits_from_class.py"),
        "many-to-many": Row("many-to-many: recall, global", "configs/recall.py:mixer=global"),
        "seq2seq-state": Row("seq2seq by the final state", f"{REVERSE}:cross=none"),
        "seq2seq-additive": Row("seq2seq, additive attention", f"{REVERSE}:cross=additive"),
        "seq2seq-dot": Row("seq2seq, scaled dot attention", f"{REVERSE}:cross=scaled_dot"),
        "seq2seq-sampled": Row(
            "seq2seq, scheduled sampling",
            f"{REVERSE}:cross=additive",
            "model.scheduled_sampling=0.2",
        ),
        "dates": Row(
            "seq2seq: dates to ISO form",
            f"{REVERSE}:task=dates,length=29",
            "train.steps=3000",
        ),
        "sort": Row("seq2seq: sort", f"{REVERSE}:task=sort", "train.steps=3000"),
        "copy-string": Row("seq2seq: copy", f"{REVERSE}:task=copy_string", "train.steps=3000"),
    },
}
ROWS = {name: row for rows in SECTIONS.values() for name, row in rows.items()}


def flags_of(row: Row) -> list[str]:
    """What follows ``python train.py``, but for the folder."""
    return [f"--config={row.config}", *(f"--config.{item}" for item in row.overrides.split())]


def train(name: str, folder: Path) -> None:
    """One run, in a process of its own; what it prints lies beside its folder."""
    command = [sys.executable, "train.py", *flags_of(ROWS[name]), f"--workdir={folder}"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{name}.log").write_text(output.stdout + output.stderr)
    if output.returncode:
        reason = (output.stderr.strip().splitlines() or ["killed"])[-1]
        raise UserError(f"{name}: failed with {output.returncode}: {reason}")


def describe(name: str, folder: Path) -> list[str]:
    """The cells of a row: what it is, its command, its size, depth, view and score."""
    run = load(folder, "best", devices=1)
    task, model = run.experiment.task, run.experiment.model
    results: Any = json.loads((folder / "results.json").read_text())
    length = run.experiment.train.length
    batch = task.batch("train", 0, 1, length)
    place = (model.axes(batch)[0] - 1,) if model.facts.causal else None
    field = receptive_field(model, run.params, batch, model.facts.depth, place)
    score = results["test"][task.spec.score]
    shown = f"{task.spec.score.replace('_', ' ')} " + (
        f"{100 * score:.1f}%" if task.spec.higher_is_better else f"{score:.2f}"
    )
    command = f"`{' '.join(shlex.quote(part) for part in flags_of(ROWS[name]))}`"
    return [
        ROWS[name].title,
        command.replace("--config=configs/", "configs/"),
        f"{results['parameters']:,}",
        f"{run.experiment.cost().sequential_depth:,}",
        f"{int((field > 0).sum())} of {field.size}",
        shown,
    ]


def main() -> None:
    """Trains what has not finished, and writes the tables."""
    for name in ONLY.value:
        if name not in ROWS:
            raise UserError(f"--only={name}: no such row; {nearest(name, ROWS)}")
    if ONLY.value and DOCUMENT.value:
        raise UserError("--only with --document: the tables take all rows; leave one out")
    cells = {}
    for name in ONLY.value or ROWS:
        folder = Path(RUNS.value) / name
        if not (folder / "results.json").exists():
            train(name, folder)
        cells[name] = describe(name, folder)
        print(" | ".join(cells[name]), flush=True)
    if not DOCUMENT.value:
        return
    head = (
        "| | command: `python train.py --config=` | parameters | sequential depth | sees | test |"
    )
    for section, rows in SECTIONS.items():
        lines = [head, "|---|---|---|---|---|---|"]
        lines += [f"| {' | '.join(cells[name])} |" for name in rows]
        replace_table(DOCUMENT.value, section, "\n".join(lines) + "\n")


if __name__ == "__main__":
    cli.run(main)
