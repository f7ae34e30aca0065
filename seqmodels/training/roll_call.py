"""The processes of a run meet before JAX is told of them, so that one that is missing is named.

Process 0 listens at the coordinator's port, which JAX's service takes over after. The others say
who they are, and are told to go on, or who is missing. (JAX waits without a word, and then ends
each process with a dump of its stack.)
"""

import contextlib
import re
import socket
import time

from seqmodels.errors import UserError

GO = "go"
ASK_SECONDS = 0.2
"""Between two tries to reach process 0."""
REPLY_SECONDS = 5.0
"""For so long somebody who has called is listened to."""


def call_roll(count: int, process: int, coordinator: str, seconds: float) -> None:
    """Returns in each process once all have come, each within some seconds of another.

    ``coordinator`` is ``HOST:PORT`` of process 0.

    Raises:
      UserError: a process is missing, which it names, or the port can't be had.
    """
    host, _, port = coordinator.rpartition(":")
    if not 0 < int(port) < 2**16:
        raise UserError(f"coordinator={coordinator}: {port} is no port; those are 1 to 65535")
    deadline = time.monotonic() + seconds
    if process == 0:
        _call(count, int(port), deadline, seconds)
    else:
        reply = _ask(count, process, host.strip("[]"), int(port), deadline, 2 * seconds + 1)
        if reply != GO:
            raise UserError(
                reply
                or f"coordinator={coordinator}: process 0 does not answer there (for "
                f"{seconds:.0f} s); start it with process=0 and the same coordinator"
            )


def _call(count: int, port: int, deadline: float, seconds: float) -> None:
    present: dict[int, socket.socket] = {}
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise UserError(
            f"coordinator=HOST:{port}: that port can't be had on this machine ({error.strerror}); "
            "choose another"
        ) from None
    with server, contextlib.ExitStack() as connections:
        while len(present) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection = connections.enter_context(server.accept()[0])
            except TimeoutError:
                break
            number = _read_number(connection, count)
            if number in present:
                _tell(connection, f"process={number} is there twice; each has its own")
            elif number is not None:
                present[number] = connection
        missing = [number for number in range(1, count) if number not in present]
        listed = ", ".join(map(str, missing))
        who = f"process {listed} has" if len(missing) == 1 else f"processes {listed} have"
        refusal = (
            f"{who} not joined within {seconds:.0f} s; start all {count} with the same "
            "coordinator, each with its own process=NUMBER"
        )
        for connection in present.values():
            _tell(connection, refusal if missing else GO)
    if missing:
        raise UserError(refusal)


def _ask(count: int, process: int, host: str, port: int, deadline: float, patience: float) -> str:
    """What process 0 replies; nothing where it can't be reached, or has ended."""
    while True:
        try:
            with socket.create_connection((host, port), timeout=REPLY_SECONDS) as connection:
                connection.sendall(f"process {process} of {count}\n".encode())
                connection.settimeout(patience)  # it waits for the others, and says so in time
                with connection.makefile(encoding="utf-8", errors="replace") as lines:
                    return lines.readline().strip()
        except OSError:
            if time.monotonic() + ASK_SECONDS > deadline:
                return ""
            time.sleep(ASK_SECONDS)


def _read_number(connection: socket.socket, count: int) -> int | None:
    """Who calls; None for anybody else."""
    connection.settimeout(REPLY_SECONDS)
    with contextlib.suppress(OSError), connection.makefile("rb") as lines:
        said = re.fullmatch(rb"process (\d{1,9}) of (\d{1,9})\n", lines.readline(64))
        if said and int(said[2]) == count and 0 < int(said[1]) < count:
            return int(said[1])
        _tell(connection, f"process 0 has processes={count}; give each the same number")
    return None


def _tell(connection: socket.socket, reply: str) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(f"{reply}\n".encode())
        connection.settimeout(REPLY_SECONDS)
        connection.recv(1)  # the other end closes first, so that the port is free at once
