"""Forms of an operation: several ways to compute one function, and the choice among them.

An operation's table says which form serves which platform, sizes and settings. It is asked while
tracing, with the operation's own arguments, of which only shapes, types and static settings are
known. A new form is a line in the table: the tests hold it against the operation's reference, and
the benchmarks time it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from seqmodels.errors import ParameterError, nearest, require
from seqmodels.ops.parts import parts
from seqmodels.ops.platform import Platform, platform


class Form(NamedTuple):
    """One way to compute an operation; its functions take the operation's arguments."""

    run: Callable[..., Any]
    platforms: tuple[Platform, ...] = ("cpu", "cuda", "tpu", "other")
    """Where it runs."""
    refusal: Callable[..., str | None] = lambda *_: None
    """Why it can't compute what is asked, or None where it can."""
    suits: Callable[..., bool] = lambda *_: True
    """Whether it is the one to take where nobody names one."""


class Operation:
    """A function that its forms compute; called, it is computed by one of them.

    Args:
      name: what messages and records call it.
      forms: by name, in the order in which they are asked; the last suits whatever it can serve.
      across: how devices that hold parts of the positions compute it together, given a function
        that computes it of what one device has, and the arguments; None leaves it to the compiler.
      by_rows: whether ``across`` is for those too that share rows alone: where loops use what all
        rows have, such as weights, the compiler would add up its gradient over devices in each
        step.
    """

    def __init__(
        self,
        name: str,
        forms: Mapping[str, Form],
        across: Callable[..., Any] | None = None,
        by_rows: bool = False,
    ):
        self.name = name
        self.forms = forms
        self.across = across
        self.by_rows = by_rows

    def __call__(self, *arguments: Any, form: str | None = None) -> Any:
        """The result, by the form of that name, or by the first that serves and suits.

        Where a mesh splits positions each device takes its own part by such a form.
        """
        shared = parts("sequence") > 1 or (self.by_rows and parts("data") > 1)
        if self.across is not None and shared:
            return self.across(partial(self._run, form=form), *arguments)
        return self._run(*arguments, form=form)

    def _run(self, *arguments: Any, form: str | None) -> Any:
        chosen = self.choose(*arguments, form=form)
        note = _told.get()
        if note is not None and chosen not in note.setdefault(self.name, []):
            note[self.name].append(chosen)
        return self.forms[chosen].run(*arguments)

    def choose(self, *arguments: Any, form: str | None = None) -> str:
        """The name of the form that serves a call; of those that serve one that suits, if any does.

        Raises:
          ParameterError: the form that is named is none, or can't serve it.
        """
        if form is None:
            serving = [name for name in self.forms if self.refusal(name, *arguments) is None]
            suiting = [name for name in serving if self.forms[name].suits(*arguments)]
            return (suiting or serving)[0]
        self.require_form(form)
        refusal = self.refusal(form, *arguments)
        if refusal is not None:
            others = [name for name in self.forms if self.refusal(name, *arguments) is None]
            raise ParameterError(
                f"form={form!r} can't serve this call of {self.name}: {refusal}; take "
                f"{' or '.join(map(repr, others))}, or None to leave the choice open"
            )
        return form

    def require_form(self, form: str | None) -> None:
        """Refuses a name that no form has; None leaves the choice open."""
        known = None if form is None or form in self.forms else nearest(form, self.forms)
        require(known is None, f"form={form!r} is no form of {self.name}; {known}")

    def refusal(self, form: str, *arguments: Any) -> str | None:
        """Why a form can't serve a call, or None where it can."""
        it = self.forms[form]
        if platform() not in it.platforms:
            return f"it runs on {' and '.join(it.platforms)}, and this is for {platform()}"
        return it.refusal(*arguments)


_told: ContextVar[dict[str, list[str]] | None] = ContextVar("chosen_forms", default=None)


@contextmanager
def chosen_forms() -> Iterator[dict[str, list[str]]]:
    """Notes which forms are taken in what is traced in the block, by operation."""
    noted: dict[str, list[str]] = {}
    token = _told.set(noted)
    try:
        yield noted
    finally:
        _told.reset(token)
