"""train.py, which hangs at a batch: what tests/soak/soak_disturbed.py starts.

    python -m tests.training.hung_run HOW STEP train.py [flags]

The batch that the step after so many takes never comes: HOW is "waiting", as for a disk;
"locking", with Python's lock held, so that no thread of Python's goes on; or "stopped", by SIGSTOP.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading

from seqmodels.training import fit
from seqmodels.training.programs import step_batch
from tests.compiled import keep_programs


def hang(how: str) -> None:
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif how == "locking":
        ctypes.PyDLL(None).sleep(10_000)
    else:
        threading.Event().wait()


if __name__ == "__main__":
    keep_programs()
    how, last = sys.argv[1], int(sys.argv[2])

    def hanging(experiment, mesh, step, reversals):
        if step == last:
            hang(how)
        return step_batch(experiment, mesh, step, reversals)

    fit.step_batch = hanging
    sys.argv = sys.argv[3:]
    runpy.run_path(sys.argv[0], run_name="__main__")
