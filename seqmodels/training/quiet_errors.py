"""A process that passes standard error on, without what JAX's C++ writes of another process's end.

Where one process of a run dies, JAX's threads in the others print dozens of lines, and may end
their process before Python can say anything. This process outlives them: it leaves those lines out,
and says itself what the ended process has not said, in one line that begins with that one's name.
"""

import re
import signal
import sys
from collections.abc import Iterable, Iterator

OF_PROCESSES = re.compile(
    r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ "
    r"(coordination_|distributed_|preemption_|client\.(h|cc):|service\.cc:|grpc_)"
)
"""How a message of JAX's service between processes begins."""
OTHER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d|warning: |Traceback ")
"""How a message begins that is passed on: all up to it belongs to the one before."""
TASK = re.compile(r"/job:jax_worker/replica:\d+/task:(\d+)")


def passed_on(lines: Iterable[str], name: str) -> Iterator[str]:
    """The lines of standard error that a user is to see, with one at the end if all else is silent.

    >>> list(passed_on(["warning: x\\n"], "train.py"))
    ['warning: x\\n']
    """
    leaving_out, ended, joining, said = False, False, False, False
    missing: set[str] = set()
    for line in lines:
        begins = OF_PROCESSES.match(line)
        if begins:
            leaving_out = True
            ended |= begins["level"] == "F"
        elif line.startswith(f"{name}: ") or OTHER.match(line):
            leaving_out = False
        if leaving_out:
            joining |= "RegisterTask" in line
            missing.update(TASK.findall(line))
            continue
        said |= line.startswith(f"{name}: ")
        yield line
    if joining and not said:
        yield f"{name}: some of the processes have not joined in time; start them all again\n"
    elif ended and not said:
        listed = sorted(missing, key=int)
        which = f"process{'es' * (len(listed) > 1)} {', '.join(listed)}" if listed else "process 0"
        yield (
            f"{name}: {which} has ended or can't be reached, which ends this one; what is saved "
            "stays, and the same command in every process continues\n"
        )


def main() -> None:
    """Passes on what follows the name in the first line, until those who write have ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="replace")  # type: ignore[union-attr]
    name = sys.stdin.readline().rstrip("\n")
    for line in passed_on(sys.stdin, name):
        sys.stderr.write(line)
        sys.stderr.flush()


if __name__ == "__main__":
    main()
