"""The moments of a run that an observer is told of: where tests kill it, fail it or fill the disk.

=============  ==================================================  ==============================
moment         when                                                step
=============  ==================================================  ==============================
batch drawn    in a thread, once a step's batch is there           of the step that takes it
step done      once a step is dispatched, before what follows it   how many are done
save begun     before a checkpoint is written                      the checkpoint's
save ended     once the loop knows that it is on the disk          the checkpoint's
evaluation     before a split is scored                            how many are done
exit           last of all, whatever the run has come to           how many are done
=============  ==================================================  ==============================
"""

from collections.abc import Callable
from typing import Literal

Moment = Literal["batch drawn", "step done", "save begun", "save ended", "evaluation", "exit"]

Observer = Callable[[Moment, int], None]
"""Called with a moment and its step, in every process. What it raises is raised at that place."""
