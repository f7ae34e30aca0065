"""Looking inside a model while it runs: attention maps, activations, states.

    scores, seen = observed(model.apply)(params, batch)

What is seen comes back beside the result, by the path of where it was made
(``blocks.0.mixer.weights``), so it leaves a program as any other of its results. Under
``jax.jit`` what is left unused is not computed.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax.extend.core

Seen = dict[str, Any]
"""By name what was observed, in the order in which it was made."""


class _Observer:
    """What is being collected, where in the model, and what stands in whose place."""

    def __init__(self, instead: Mapping[str, Any]):
        self.seen: Seen = {}
        self.path: tuple[str, ...] = ()
        self.instead = instead
        self.trace = jax.extend.core.get_opaque_trace_state(convention="nnx")

    def take(self, name: str, value: Any) -> Any:
        if self.trace != jax.extend.core.get_opaque_trace_state(convention="nnx"):
            raise TypeError(
                f"{name} is made inside a transformation of JAX that began after observed(...), "
                "and can't leave it; put jit, grad or vmap around observed(...)"
            )
        name = ".".join((*self.path, name))
        if name in self.instead:
            value = self.instead[name]
        elif callable(value):
            value = value()
        self.seen[name] = value
        return value


_observer: ContextVar[_Observer | None] = ContextVar("observer", default=None)


def observe(name: str, value: Any) -> Any:
    """Shows a value to whoever looks; returns it, or what stands in its place.

    A function is called for its value only where somebody looks: what the layers that are used
    never hold, such as attention's weights, is computed for pictures alone.
    """
    observer = _observer.get()
    return value if observer is None else observer.take(name, value)


def is_observed() -> bool:
    """Whether somebody looks: blocks then run one by one, and none is computed again."""
    return _observer.get() is not None


@contextmanager
def within(part: str) -> Iterator[None]:
    """What is observed in the block is of this part of the model."""
    observer = _observer.get()
    if observer is None:
        yield
        return
    before = observer.path
    observer.path = (*before, part)
    try:
        yield
    finally:
        observer.path = before


def observed(
    function: Callable[..., Any], instead: Mapping[str, Any] | None = None
) -> Callable[..., tuple[Any, Seen]]:
    """A function, not yet jitted, that also returns what it observed.

    What is named in ``instead`` takes the place of what would be observed.
    """

    def run(*arguments: Any, **named: Any) -> tuple[Any, Seen]:
        observer = _Observer(instead or {})
        token = _observer.set(observer)
        try:
            return function(*arguments, **named), observer.seen
        finally:
            _observer.reset(token)

    return run
