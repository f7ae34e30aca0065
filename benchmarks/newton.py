r"""Recurrent networks by rounds of Newton's method against one step after the other, by length.

    python benchmarks/newton.py --document=docs/mixers.md
    JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 ALLOW_MULTIPLE_LIBTPU_LOAD=1 \
        python benchmarks/newton.py --document=docs/mixers.md --target=tpu:v5e:1x1

One sequence of a mixer of width 8, the widest LSTM whose Jacobians are taken whole (16 numbers of
state), with the weights that it begins with: the rounds until no state moves, 32 at most, after
which the steps compute them; the time of a forward pass, and the steps that must follow one
another. With a target, a round is compiled for it, and its roofline is that of docs/scaling.md.
"""

import statistics
import time

import jax
import numpy as np
from absl import flags
from document import replace_table
from flax import nnx

from seqmodels import cli
from seqmodels.errors import UserError
from seqmodels.flops import count_flops
from seqmodels.machine import describe_machine
from seqmodels.mixers import MIXERS
from seqmodels.observing import observed
from seqmodels.ops import newton
from seqmodels.scaling.targets import Roofline, read_target, require_target
from seqmodels.training.startup import start_jax

LENGTHS = flags.DEFINE_list("lengths", ["256", "1024", "4096", "16384", "65536"], "the lengths")
KINDS = flags.DEFINE_list("kinds", ["rnn", "gru", "lstm"], "the mixers")
SECONDS = flags.DEFINE_float("seconds", 0.5, "about how long a form is timed")
TARGET = flags.DEFINE_string("target", None, "compile a round for tpu:NAME:TOPOLOGY too")
DOCUMENT = flags.DEFINE_string("document", None, "a Markdown file whose table is replaced")

WIDTH = 8
FORMS = ("steps", "newton", "quasi", "damped")
HEADER = ("mixer", "L", "form", "rounds", "deep", "ms", "over steps")


def passing(kind: str, form: str):
    """A jitted function of weights and x, its outputs with what is observed; and its weights."""
    mixer = MIXERS[kind](WIDTH, form=form, rngs=nnx.Rngs(0))
    graph, params = nnx.split(mixer, nnx.Param)
    return jax.jit(observed(lambda params, x: nnx.merge(graph, params)(x))), params


def seconds_of(run, *arguments) -> float:
    """The median of some calls."""
    jax.block_until_ready(run(*arguments))
    taken: list[float] = []
    while sum(taken) < SECONDS.value or len(taken) < 3:
        start = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def roofline(kind: str, form: str, length: int, target: str) -> float:
    """The least seconds of a round on a machine that isn't here."""
    machine = read_target(target)
    run, params = passing(kind, form)
    x = jax.ShapeDtypeStruct((1, length, WIDTH), np.float32)
    place = jax.sharding.SingleDeviceSharding(machine.devices()[0])
    given = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), (params, x)
    )
    memory = run.lower(*given).compile().memory_analysis()
    moved = 2 * (memory.temp_size_in_bytes + memory.argument_size_in_bytes)
    flops = count_flops(run, params, x) / newton.MOST_ROUNDS  # it counts them all
    return Roofline.of(machine.machine, "float32", flops, moved).seconds


def rows(kind: str, length: int, target: str | None) -> list[list[str]]:
    """A row of each form, after that of the steps."""
    x = np.random.default_rng(0).standard_normal((1, length, WIDTH), np.float32)
    lines, steps, expected = [], 0.0, None
    for form in FORMS:
        run, params = passing(kind, form)
        y, seen = run(params, x)
        taken = seconds_of(run, params, x)
        if expected is None:
            steps, expected, rounds, deep = taken, y, "", length
        else:
            rounds = int(seen["rounds"])
            deep = rounds * newton.depth(length) // newton.MOST_ROUNDS
            deep += length if rounds == newton.MOST_ROUNDS else 0  # the steps, unless it settled
            far = np.linalg.norm(y - expected) / np.linalg.norm(expected)
            if far > 1e-4:
                raise UserError(f"{kind} of {length} positions by form={form!r} is {far:.1e} off")
        times = [f"{taken * 1e3:.2f}", f"{taken / steps:.1f}"]
        if target:
            least = roofline(kind, form, length, target) if rounds else None
            times.append(f"{least * 1e6:.3g}" if least else "")
        lines.append([kind, f"{length:,}", form, str(rounds), f"{deep:,}", *times])
        print(" | ".join(lines[-1]), flush=True)
    return lines


def main() -> None:
    """Measures each form at each length; prints the table, and writes it where it belongs."""
    target = TARGET.value
    if target:
        require_target(target)
    start_jax()
    header = [*HEADER, *([f"us a round, {target}"] if target else [])]
    lines = [header, ["---"] * len(header)]
    for kind in KINDS.value:
        for length in map(int, LENGTHS.value):
            lines += rows(kind, length, target)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    if DOCUMENT.value:
        machine = "{processor}, {cores} cores, jax {jax}.".format(**describe_machine())
        replace_table(DOCUMENT.value, "newton", f"{machine}\n\n{table}")


if __name__ == "__main__":
    cli.run(main)
