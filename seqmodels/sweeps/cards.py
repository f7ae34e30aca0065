"""The NVIDIA cards of this machine, counted without JAX, and dealt out to workers.

A program that asks JAX takes memory on each card that it sees, and the workers' runs want it all.
"""

import contextlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import jax

from seqmodels.training.startup import CUDA_PLUGINS

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that names the cards that a program sees: numbers, or names such as GPU-3f1b."""
MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"
"""The variable that says how much of a card's memory a program takes."""
SHARED_MEMORY = 0.9
"""Of a card, what several workers take together."""


def visible_cards(environment: Mapping[str, str] = os.environ, root: str = "/") -> list[str]:
    """The cards that programs started here would compute on, as VISIBLE names them.

    Those that VISIBLE has, up to the first that is none, as CUDA reads it; without it, one for each
    of the driver's files below ``root``. There are none where JAX is told to keep to other devices,
    or lacks its plugin for them.
    """
    if not any(importlib.util.find_spec(plugin) for plugin in CUDA_PLUGINS):
        return []
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return []
    files = sorted(Path(root, "dev").glob("nvidia[0-9]*"))
    if VISIBLE not in environment:
        return [str(number) for number in range(len(files))]
    cards: list[str] = []
    for name in environment[VISIBLE].split(","):
        name = name.strip()
        if not files or not name or name.startswith("-") or name in cards:
            break
        cards.append(name)
    return cards


def leave_cards() -> None:
    """Makes this process compute on the CPU beside cards: what only plans would take their memory.

    Where a caller's own program has used JAX already, its devices stay as they are.
    """
    if visible_cards():
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_platforms", "cpu")


def share_of(cards: list[str], worker: int, workers: int) -> list[str]:
    """The cards of one of several workers: equally many for each, so that any may go on with a run.

    >>> [share_of(["0", "1", "2", "3", "4"], worker, 2) for worker in (0, 1)]
    [['0', '1'], ['2', '3']]
    >>> [share_of(["0", "1"], worker, 3) for worker in (0, 1, 2)]
    [['0'], ['1'], ['0']]
    """
    if not cards:
        return []
    each = max(1, len(cards) // workers)
    return [cards[(worker * each + place) % len(cards)] for place in range(each)]


def worker_variables(
    cards: list[str], worker: int, workers: int, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What the environment of one of several workers has besides, so that it keeps to its cards.

    Where several share a card each takes its part of the memory, unless the environment says how
    much.
    """
    if workers == 1 or not cards:
        return {}
    variables = {VISIBLE: ",".join(share_of(cards, worker, workers))}
    on_a_card = -(-workers // len(cards))
    if on_a_card > 1 and MEMORY not in environment:
        variables[MEMORY] = f"{SHARED_MEMORY / on_a_card:.3f}"
    return variables
