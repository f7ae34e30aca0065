"""Measures one cell of a scaling table in this process, and prints what it finds as JSON lines.

``python -m seqmodels.scaling.cell`` reads the fields of :class:`CellRequest` from its standard
input. Each line adds to the cell, so that what was found before an end by a limit is kept.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from seqmodels.allocator import keep_freed_memory, return_large_memory
from seqmodels.errors import UserError
from seqmodels.flops import count_flops
from seqmodels.model import count_parameters
from seqmodels.ops.forms import chosen_forms
from seqmodels.scaling.child import GIB, peak_bytes, read_request, tell
from seqmodels.scaling.collectives import traffic
from seqmodels.scaling.programs import LanguageModel, language_model, model_section
from seqmodels.scaling.targets import Roofline, Target, read_target
from seqmodels.training.mesh import read_mesh
from seqmodels.training.sharding import by_row, make_mesh, replicated
from seqmodels.training.startup import start_jax

LEAST_SECONDS = 0.05
"""A measurement repeats what is quicker until it takes so long."""
CHUNK = 256
"""Tokens that the state is filled with at a time, before one by one."""
TOKENS = 16
"""Tokens a measurement of decoding."""


class CellRequest(NamedTuple):
    """What is to be measured, and within which limits."""

    mixer: str
    length: int
    width: int
    depth: int
    dtype: str
    batch_size: int
    """Sequences on each device, or on those that share the same rows."""
    repeats: int
    memory_gib: float
    seconds: float
    target: str | None
    """A machine to compile for instead of measuring."""
    previous: dict[str, Any] | None
    """The cell of the same mixer at the longest length that was measured."""
    mesh: str | None = None
    """How a target's devices share its step (:func:`~seqmodels.training.mesh.read_mesh`)."""


class StoppedError(Exception):
    """The cell ends here: its status and the reason."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


def cell(request: CellRequest) -> None:
    """Measures, or compiles for a target, and says what it finds as it goes."""
    target = read_target(request.target) if request.target else None
    shared = read_mesh(request.mesh or "")
    mesh = target.mesh(shared) if target else None
    parts = mesh.shape["data"] if mesh else 1
    of = model_of(request, parts)
    cost = of.cost(request.length)
    tell(
        batch_size=of.rows,
        parameters=count_parameters(of.model),
        sequential_depth=cost.sequential_depth,
        state_bytes=cost.state_bytes,
    )
    state = jax.eval_shape(of.state)
    step_flops = count_flops(of.step(), state, of.batch())
    forward_flops = count_flops(of.model.apply, state.params, of.batch(), None)
    tell(forward_flops=forward_flops, step_flops=step_flops)
    if target is not None and mesh is not None:
        lower = partial(of.lower_step, mesh, shared.fully_sharded)
        _compile_for(target, mesh.size, lower, step_flops, request.dtype)
    else:
        _measure(request, of)


def _require_time(request: CellRequest, of: LanguageModel) -> None:
    """Refuses what would take too long by the cell before, in proportion to the operations."""
    before = request.previous
    if before is None or before["step_seconds"] is None:
        return
    factor = of.cost(request.length).flops / of.cost(before["length"]).flops
    factor *= of.rows / (before["batch_size"] or of.rows)
    step = before["step_seconds"]["median"]
    # One that was ended between the two has no forward pass.
    forward = before["forward_seconds"]["median"] if before["forward_seconds"] else 0.0
    expected = factor * (step + forward) * (request.repeats + 2)
    if expected > request.seconds:
        raise StoppedError(
            "too slow",
            f"a step would take about {factor * step:,.3g} s, by the one at {before['length']:,}, "
            f"and all repeats {expected:,.0f} s; the limit is {request.seconds:,.0f} s",
        )


def _require_memory(needed: int, limit: int | float, whose: str) -> None:
    if needed > limit:
        raise StoppedError(
            "does not fit", f"needs {needed / GIB:,.3g} GiB, {whose} {limit / GIB:,.3g} GiB"
        )


def _compile(lower: Callable[[], Any]) -> tuple[Any, float, int, int]:
    """A program, the seconds to make it, and its temporaries and arguments in bytes a device."""
    start = time.perf_counter()
    compiled = lower().compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    return compiled, seconds, memory.temp_size_in_bytes, memory.argument_size_in_bytes


def _in_words(forms: dict[str, list[str]]) -> str:
    """``attention: whole, blocked; recurrence: steps``."""
    return "; ".join(f"{operation}: {', '.join(taken)}" for operation, taken in forms.items())


def model_of(request: CellRequest, parts: int = 1) -> LanguageModel:
    """What a cell is about, with rows for so many parts of a mesh.

    Filters are as long as what is decoded too, where anything is.
    """
    longest = request.length if request.target else _room(request.length, request.repeats)
    section = model_section(request.mixer, request.width, request.depth, request.dtype, longest)
    return language_model(section, request.length, request.batch_size * parts)


def _room(length: int, repeats: int) -> int:
    """Positions of the sequence whose state measurements of decoding go on from, and theirs."""
    return length + TOKENS * (repeats + 1)


def _compile_for(
    target: Target, devices: int, lower: Callable[[], Any], step_flops: int, dtype: str
) -> None:
    with chosen_forms() as forms:
        step, seconds, temporary, argument = _compile(lower)
    sent = traffic(step.as_text())
    moved = 2 * (temporary + argument)
    roofline = Roofline.of(target.machine, dtype, step_flops / devices, moved, sent.sent)
    memory = target.machine.memory_bytes
    tell(
        forms=_in_words(forms),
        compile_seconds=seconds,
        temporary_bytes=temporary,
        argument_bytes=argument,
        memory_bytes=int(memory),
        collectives={kind: one._asdict() for kind, one in sent.kinds.items()},
        sent_bytes=sent.sent,
        sent_at_least=not sent.complete,
        roofline_seconds=roofline.seconds,
        bound=roofline.bound,
    )
    _require_memory(temporary + argument, memory, "and a device has")
    tell(status="compiled", reason=None)


def _out_of_memory(error: Exception) -> str:
    """The one line of a compiler's or allocator's report; other errors are raised again."""
    if isinstance(error, MemoryError):
        return "ran out of memory"
    text = str(error)
    if "RESOURCE_EXHAUSTED" not in text and "Ran out of memory" not in text:
        raise error
    lines = [line.strip() for line in text.splitlines()]
    chosen = next((line for line in lines if "Used" in line or "allocat" in line), lines[0])
    return chosen.removeprefix("RESOURCE_EXHAUSTED: ")[:200]


def _measure(request: CellRequest, of: LanguageModel) -> None:
    mesh = make_mesh(1)
    everywhere, rows = replicated(mesh), by_row(mesh)
    limit, repeats = request.memory_gib * GIB, request.repeats
    batch = jax.device_put(of.batch(), rows)
    shapes = jax.eval_shape(of.state)
    with chosen_forms() as forms:
        jitted = of.jit_step(mesh)
        step, seconds, temporary, argument = _compile(lambda: jitted.lower(shapes, batch))
    tell(forms=_in_words(forms))
    tell(compile_seconds=seconds, temporary_bytes=temporary, argument_bytes=argument)
    _require_memory(temporary + argument, limit, "the limit is")
    _require_time(request, of)
    jitted = of.jit_forward(mesh)
    forward, _, *needed = _compile(lambda: jitted.lower(shapes.params, batch))
    _require_memory(sum(needed), limit, "the limit is")
    return_large_memory(temporary)
    state = jax.jit(of.state, out_shardings=everywhere)()

    def train() -> None:
        nonlocal state
        state, report = step(state, batch)
        jax.block_until_ready((state, report))

    tell(step_seconds=_seconds(train, repeats))
    params = state.params
    tell(forward_seconds=_seconds(lambda: jax.block_until_ready(forward(params, batch)), repeats))
    tell(decode_seconds=_decode_seconds(of, params, batch.inputs, mesh, repeats))
    on_device = mesh.devices.flat[0].memory_stats()  # None on CPU
    peak = on_device["peak_bytes_in_use"] if on_device else peak_bytes()
    tell(peak_bytes=peak, status="measured", reason=None)


def _seconds(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """A call's seconds: the median of some measurements, the lowest and the highest."""
    call()
    start = time.perf_counter()
    call()
    calls = max(1, round(LEAST_SECONDS / (time.perf_counter() - start)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return _summary(times)


def _summary(times: list[float]) -> dict[str, float]:
    return {
        "median": statistics.median(times),
        "low": min(times),
        "high": max(times),
        "repeats": len(times),
    }


def _decode_seconds(
    of: LanguageModel, params: Any, tokens: Any, mesh: jax.sharding.Mesh, repeats: int
) -> dict[str, float]:
    """Seconds a token, after the state has read the whole length."""
    extend = of.jit_extend(mesh)
    start = jax.jit(of.model.start, static_argnums=(1, 2), out_shardings=replicated(mesh))
    state = start(params, of.rows, _room(of.length, repeats))
    for begin in range(0, of.length, CHUNK):
        token, state = extend(params, tokens[:, begin : begin + CHUNK], state)
    times = []
    for _ in range(repeats + 1):  # the first compiles
        start = time.perf_counter()
        for _ in range(TOKENS):
            token, state = extend(params, token, state)
            jax.block_until_ready(token)
        times.append((time.perf_counter() - start) / TOKENS)
    return _summary(times[1:])


def main() -> None:
    """Reads the request; what goes wrong in a foreseen way becomes the cell's status."""
    keep_freed_memory()
    request = CellRequest(**read_request())
    start_jax()
    jax.config.update("jax_enable_compilation_cache", False)  # compile_seconds are of compiling
    try:
        cell(request)
    except StoppedError as stopped:
        tell(status=stopped.status, reason=stopped.reason)
    except UserError as error:
        tell(status="failed", reason=str(error))
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        tell(status="does not fit", reason=_out_of_memory(error))


if __name__ == "__main__":
    main()
