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
    """Loops in which devices send, each with what another device may wait for meanwhile.

    That is a later collective that needs nothing of the loop: XLA's runtime for CPUs begins it, on
    some devices, before the loop has ended, and on others after. And it is a branch, within the
    loop, that some devices may take and others not. They wait for each other, and after 40
    seconds the process is aborted.
    """
    found = read_computations(program.as_text())

    def inner(instruction: Instruction) -> Iterator[Instruction]:
        return (line for name in instruction.computations for line in found.get(name, []))

    def sends(instruction: Instruction) -> bool:
        kind = instruction.kind.removesuffix("-start")
        return kind in COLLECTIVES or any(map(sends, inner(instruction)))

    pairs = []
    for lines in found.values():
        needed: dict[str, set[str]] = {}
        loops: list[Instruction] = []
        for line in lines:
            needed[line.name] = line.inputs.union(*(needed.get(name, ()) for name in line.inputs))
            if not sends(line):
                continue
            pairs += [(x.name, line.name) for x in loops if x.name not in needed[line.name]]
            if line.kind.removesuffix("-start") not in COLLECTIVES:
                loops.append(line)
            if line.kind == "while":
                branches = (x for x in inner(line) if x.kind == "conditional" and sends(x))
                pairs += [(line.name, branch.name) for branch in branches]
    return pairs


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
