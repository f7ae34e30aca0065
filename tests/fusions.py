"""How often a compiled program computes what it needs once.

XLA fuses the sine of a small array into the loop over a large one that it is broadcast to, and
computes it there for every element.
"""

import math
import re
from typing import NamedTuple

_DEAR = {"cosine", "sine", "tan", "tanh", "erf", "logistic", "power"}
_DEAR |= {"exponential", "exponential-minus-one", "log", "log-plus-one"}
_ONCE = {"concatenate", "pad", "dynamic-update-slice", "reduce", "reduce-window", "dot"}
"""What asks for each of an operand's elements once, however many it has itself."""
_COMPUTATION = re.compile(r"^%([\w.\-]+) \(.*?\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_INSTRUCTION = re.compile(
    r"^ +(ROOT )?%([\w.\-]+) = \w+\[([\d,]*)\]\S* ([\w\-]+)\((.*?)\)(?:,|$)", re.MULTILINE
)


class Again(NamedTuple):
    """A function that a loop computes oftener than its array has elements."""

    function: str
    elements: int
    evaluations: int


class _Instruction(NamedTuple):
    operation: str
    elements: int
    operands: list[str]
    root: bool


def computed_again(text: str) -> list[Again]:
    """What the fused loops of a program's text compute for each element of a broadcast."""
    found = []
    for name, body in _COMPUTATION.findall(text):
        if name.startswith("fused_computation") or "_fusion" in name:
            found += _in_loop(_instructions(body))
    return found


def _instructions(body: str) -> dict[str, _Instruction]:
    return {
        name: _Instruction(
            operation,
            math.prod(int(size) for size in shape.split(",") if size),
            re.findall(r"%([\w.\-]+)", operands),
            bool(root),
        )
        for root, name, shape, operation, operands in _INSTRUCTION.findall(body)
    }


def _in_loop(loop: dict[str, _Instruction]) -> list[Again]:
    evaluations: dict[str, int] = {}
    for name, (_, elements, _, root) in reversed(loop.items()):  # users before what they use
        evaluations[name] = elements if root else 0
        for user, (operation, of_user, operands, _) in loop.items():
            if name in operands:
                share = elements / of_user if operation in _ONCE else 1.0
                evaluations[name] = max(evaluations[name], int(share * evaluations[user]))
    return [
        Again(operation, elements, evaluations[name])
        for name, (operation, elements, *_) in loop.items()
        if operation in _DEAR and 1 < elements < evaluations[name]  # a loop computes scalars once
    ]
