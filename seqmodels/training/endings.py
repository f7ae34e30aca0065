"""What an error of files or of other processes means for the run that it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import jax

from seqmodels.errors import CheckpointError, DivergedError, UserError
from seqmodels.output import in_a_line
from seqmodels.training.checkpoint import Checkpoints
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.processes import leave_at_exit, others


@contextmanager
def ending(where: Callable[[], str] = lambda: "before the first step") -> Iterator[None]:
    """In this ``with`` statement an error says what it means for the run; one of several processes
    that fails alone leaves the others. ``where`` says how far the run has come, and what is saved.
    """
    try:
        yield
    except (RunInterruptedError, DivergedError):
        raise  # every process has come to it
    except BaseException as error:
        known = in_terms_of_the_run(error, where)
        leave_at_exit(known)
        raise known from known.__cause__


def in_terms_of_the_run(error: BaseException, where: Callable[[], str]) -> BaseException:
    """An error that the user can mend, with the first one as its cause; any other as it is."""
    if isinstance(error, OSError):
        what, then = in_a_line(error), "once that is mended, the same command continues"
    elif isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1:
        what = f"{others()} has ended or can't be reached ({in_a_line(error)})"
        then = "the same command in every process continues"
    else:
        return error
    known = UserError(f"{what}, {where()}; {then}")
    known.__cause__ = error
    return known


def whereabouts(step: int, checkpoints: Checkpoints) -> str:
    """How far a run has come, and what is saved."""
    if jax.process_count() == 1:  # else the others may be gone, who save with this one
        with suppress(CheckpointError):
            checkpoints.wait()
    return f"at step {step}; saved in {checkpoints.folder}: {checkpoints.listing()}"
