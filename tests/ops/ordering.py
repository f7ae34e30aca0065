"""Whether a compiled program's collectives come in one order on all devices."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)


class Instruction(NamedTuple):
    """A line of a program: what it computes, of which others, and through which computations."""

    name: str
    kind: str
    inputs: set[str]
    computations: list[str]


def unordered(program: Any) -> list[tuple[str, str]]:
    """Loops in which devices send, each with what is sent later and needs nothing of the loop.

    XLA's runtime for CPUs begins the later one, on some devices, before the loop has ended, and on
    others after: they wait for each other, and after 40 seconds the process is aborted.
    """
    found = read_computations(program.as_text())

    def sends(instruction: Instruction) -> bool:
        inner = (line for name in instruction.computations for line in found.get(name, []))
        return instruction.kind.removesuffix("-start") in COLLECTIVES or any(map(sends, inner))

    return [
        pair for lines in found.values() for pair in _unordered_pairs(filter(sends, lines), lines)
    ]


def _unordered_pairs(senders: Iterator[Instruction], lines: list[Instruction]) -> Iterator[tuple]:
    needed: dict[str, set[str]] = {}
    for line in lines:
        needed[line.name] = line.inputs.union(*(needed.get(name, set()) for name in line.inputs))
    loops: list[str] = []
    for line in senders:
        yield from ((loop, line.name) for loop in loops if loop not in needed[line.name])
        if line.kind.removesuffix("-start") not in COLLECTIVES:
            loops.append(line.name)


def read_computations(text: str) -> dict[str, list[Instruction]]:
    """A scheduled program's computations by name, their instructions in its order."""
    found: dict[str, list[Instruction]] = {}
    lines: list[Instruction] = []
    for line in text.splitlines():
        if head := re.match(r"(?:ENTRY )?%([\w.-]+) \(.*\{$", line):
            lines = found[head[1]] = []
        elif body := re.match(r"\s+(?:ROOT )?%([\w.-]+) = (?:\(.*?\)|\S+) ([a-z-]+)\((.*)", line):
            inputs, _, rest = body[3].partition("), ")
            named = re.findall(r"(?:body|condition|calls|to_apply|_computation)=%([\w.-]+)", rest)
            for several in re.findall(
                r"(?:branch_computations|called_computations)=\{(.*?)\}", rest
            ):
                named += re.findall(r"%([\w.-]+)", several)
            before = re.findall(r"control-predecessors=\{(.*?)\}", rest)
            inputs = set(re.findall(r"%([\w.-]+)", " ".join([inputs, *before])))
            lines.append(Instruction(body[1], body[2], inputs, named))
    return found
