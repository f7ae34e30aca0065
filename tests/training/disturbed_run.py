"""train.py, which a signal befalls at a moment: what tests/test_train.py starts.

    python -m tests.training.disturbed_run SIGNAL MOMENT train.py [flags]

MOMENT is "compiling", when the step is about to be compiled; "saving 40", when the checkpoint of
step 40 is written but for its name; or "step 65", when so many are done and the next is due.
"""

import os
import runpy
import signal
import sys
from typing import Any

from seqmodels.training.profiling import StepTrace
from seqmodels.training.programs import Programs
from tests.compiled import keep_programs


def strike_before(owner: type, name: str, number: int, when: Any) -> None:
    """Sends this process a signal whenever a method is called with what fits."""
    original = getattr(owner, name)

    def method(self, *arguments):
        if when(*arguments):
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    setattr(owner, name, method)


def strike_at_rename(number: int, part: str) -> None:
    """Sends this process a signal when a file is about to be renamed whose path has this part."""

    def look(event: str, arguments: tuple) -> None:
        if event == "os.rename" and part in os.fsdecode(arguments[0]):
            os.kill(os.getpid(), number)

    sys.addaudithook(look)


if __name__ == "__main__":
    keep_programs()
    number = signal.Signals[sys.argv[1]]
    moment, _, step = sys.argv[2].partition(" ")
    if moment == "compiling":
        strike_before(Programs, "compile", number, lambda *_: True)
    elif moment == "saving":
        strike_at_rename(number, f"/checkpoints/{step}.")
    else:
        strike_before(StepTrace, "before", number, lambda done: done == int(step))
    sys.argv = sys.argv[3:]
    runpy.run_path(sys.argv[0], run_name="__main__")
