"""Several processes that train one model: how they join, and what the first does for all.

Each runs the whole program on its own devices and meets the others in each step. All of them end
where one of them does: stopped, they save together at the next line of metrics; where one
fails or dies, the others end at their next step, each with a line that says who has gone. The same
command again continues.
"""

import contextlib
import os
import re
import subprocess
import sys
import threading
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather, sync_global_devices

from seqmodels.command import program
from seqmodels.errors import UserError
from seqmodels.output import Lenient
from seqmodels.training import quiet_errors
from seqmodels.training.roll_call import call_roll

HEARTBEAT = 30
"""Seconds after which a process that is silent counts as dead, and the others end."""
JOIN_SECONDS = 50
"""For so long the processes of a run wait for one another at the start."""
_READERS: list[subprocess.Popen[bytes]] = []


def join_processes(processes: str | None, process: int | None, coordinator: str | None) -> None:
    """Makes this one of the processes of a run; to be called before JAX is used.

    Args:
      processes: how many there are; "auto" finds that and the rest where SLURM, Open MPI,
        Kubernetes or a TPU's runtime started them; None for a single process.
      process: which of them this is, from 0.
      coordinator: where process 0 listens, ``HOST:PORT``, the same for all.

    Raises:
      UserError: flags that don't fit together, or no cluster to be found.
    """
    given = {"process": process, "coordinator": coordinator}
    missing = [name for name, value in given.items() if value is None]
    if processes is None or processes == "auto":
        for name in set(given) - set(missing):
            raise UserError(f"{name}={given[name]} is never read with processes={processes}")
        if processes is None:
            return
    else:
        if missing:
            raise UserError(f"{missing[0]}=... is missing; processes={processes} needs it")
        assert process is not None
        if not re.fullmatch("[1-9][0-9]{0,5}", processes):
            raise UserError(f"processes={processes} is neither a number from 1 nor auto")
        if not 0 <= process < int(processes):
            raise UserError(f"process={process} is not from 0 to {int(processes) - 1}")
        if not re.fullmatch(r".+:\d+", coordinator or ""):
            raise UserError(f"coordinator={coordinator} is not HOST:PORT")
    if process is not None and coordinator is not None:
        call_roll(int(processes), process, coordinator, float(JOIN_SECONDS))
    _leave_out_what_jax_says_of_the_others()
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # signals are ours
    times: dict[str, Any] = {
        "heartbeat_timeout_seconds": HEARTBEAT,
        "initialization_timeout": JOIN_SECONDS,
    }
    try:
        if processes == "auto":
            jax.distributed.initialize(**times)
        else:
            jax.distributed.initialize(coordinator, int(processes), process, **times)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"processes={processes}: the processes can't join ({reason})") from None


def _leave_out_what_jax_says_of_the_others() -> None:
    """Lets standard error go through :mod:`quiet_errors`, which ends after this process."""
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", quiet_errors.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert reader.stdin is not None
    with reader.stdin as pipe:
        pipe.write(f"{program()}\n".encode(errors="replace"))
        pipe.flush()
        os.dup2(pipe.fileno(), 2)
    _READERS.append(reader)  # it is waited for by nobody


def is_first() -> bool:
    """Whether this process is the one that prints and writes; the only one always is."""
    return jax.process_index() == 0


def others() -> str:
    """The other processes of a run, as a message names them."""
    numbers = [str(n) for n in range(jax.process_count()) if n != jax.process_index()]
    return f"process {numbers[0]}" if len(numbers) == 1 else f"one of {', '.join(numbers)}"


def say(text: str) -> None:
    """Prints a line, in the first process, if anybody still reads."""
    if is_first() and sys.stdout is not None:
        print(text, flush=True, file=Lenient(sys.stdout))


def warn(message: str) -> None:
    """Says it as a warning."""
    say(f"warning: {message}")


def wait_for_all(moment: str) -> None:
    """Returns when every process has come to this moment."""
    if jax.process_count() > 1:
        sync_global_devices(moment)


def leave_at_exit(error: BaseException) -> None:
    """Where this process alone has failed: it ends without the meeting that JAX holds at exit.

    The others wait for it in a step and would never come; they fail once it is gone. Nor does it
    wait for a thread that saves, which would meet the others too.
    """
    if jax.process_count() > 1:
        stopped = isinstance(error, KeyboardInterrupt)
        code = 130 if stopped else getattr(error, "exit_code", 1)
        threading.Thread(target=_leave_after_main, args=(code,), daemon=True).start()


def _leave_after_main(code: int) -> None:
    threading.main_thread().join()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def largest(number: int) -> int:
    """The largest of a number over all processes, each of which must ask."""
    if jax.process_count() == 1:
        return number
    return int(np.max(process_allgather(np.int32(number))))


_TOLD = "seqmodels/does"
"""Under which name in JAX's service the processes say what they do."""


def tell_others(what: str) -> None:
    """Says what this process does, where there are others, if they can be reached."""
    if (client := _client()) is not None:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.key_value_set(f"{_TOLD}/{jax.process_index()}", what, allow_overwrite=True)


def told_by_others() -> dict[int, str | None]:
    """What each other process has said last; None of one that hasn't, or where nobody is reached.

    It doesn't wait for them.
    """
    if (client := _client()) is None:
        return {}
    found: dict[str, str] = {}
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        found = dict(client.key_value_dir_get(_TOLD))
    numbers = (n for n in range(jax.process_count()) if n != jax.process_index())
    return {number: found.get(f"{_TOLD}/{number}") for number in numbers}


def _client() -> Any:
    if jax.process_count() == 1:
        return None
    from jax._src import distributed  # nothing public has it

    return distributed.global_state.client
