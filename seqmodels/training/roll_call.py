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
      UserError: a process is missing, which it names, or the port can't be had, or isn't where the
        coordinator is said to be.
    """
    host, _, port = coordinator.rpartition(":")
    if not 0 < int(port) < 2**16:
        raise UserError(f"coordinator={coordinator}: {port} is no port; those are 1 to 65535")
    deadline, place = time.monotonic() + seconds, (host.strip("[]"), int(port))
    if process == 0:
        _call(count, place, deadline, seconds)
        return
    try:
        reply = _ask(count, process, place, deadline, 2 * seconds + 1)
    except OSError as error:
        raise UserError(
            f"coordinator={coordinator}: process 0 does not answer there (for {seconds:.0f} s: "
            f"{error.strerror or error}); start it with process=0 and the same coordinator"
        ) from None
    if reply != GO:
        raise UserError(reply)


def _call(count: int, place: tuple[str, int], deadline: float, seconds: float) -> None:
    present: dict[int, socket.socket] = {}
    host, port = place
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise UserError(
            f"coordinator=HOST:{port}: that port can't be had on this machine ({error.strerror}); "
            "choose another"
        ) from None
    elsewhere = f"coordinator={host}:{port} is no address of process 0's machine, where it listens"
    with server, contextlib.ExitStack() as connections:
        try:  # it calls itself, as it will reach JAX's service
            with socket.create_connection(place, timeout=REPLY_SECONDS) as own:
                own.sendall(f"process 0 of {count}\n".encode())
        except OSError as error:
            raise UserError(f"{elsewhere} ({error.strerror or error}); name one") from None
        while len(present) < count:
            left = max(deadline - time.monotonic(), 0.001)
            server.settimeout(left if 0 in present else min(left, REPLY_SECONDS))
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
        refusal = None
        if 0 not in present:
            refusal = f"{elsewhere}; name one"
        elif missing:
            refusal = (
                f"{who} not joined within {seconds:.0f} s; start all {count} with the same "
                "coordinator, each with its own process=NUMBER"
            )
        for connection in present.values():
            _tell(connection, refusal or GO)
    if refusal is not None:
        raise UserError(refusal)


def _ask(count: int, process: int, place: tuple[str, int], deadline: float, patience: float) -> str:
    """What process 0 replies; OSError where it can't be reached, or has ended."""
    while True:
        try:
            with socket.create_connection(place, timeout=REPLY_SECONDS) as connection:
                connection.sendall(f"process {process} of {count}\n".encode())
                connection.settimeout(patience)  # it waits for the others, and says so in time
                with connection.makefile(encoding="utf-8", errors="replace") as lines:
                    if reply := lines.readline().strip():
                        return reply
                    raise ConnectionResetError("it has ended")
        except OSError:
            if time.monotonic() + ASK_SECONDS > deadline:
                raise
            time.sleep(ASK_SECONDS)


def _read_number(connection: socket.socket, count: int) -> int | None:
    """Who calls; None for anybody else."""
    connection.settimeout(REPLY_SECONDS)
    with contextlib.suppress(OSError), connection.makefile("rb") as lines:
        said = re.fullmatch(rb"process (\d{1,9}) of (\d{1,9})\n", lines.readline(64))
        if said and int(said[2]) == count and int(said[1]) < count:
            return int(said[1])
        _tell(connection, f"process 0 has processes={count}; give each the same number")
    return None


def _tell(connection: socket.socket, reply: str) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(f"{reply}\n".encode())
        connection.settimeout(REPLY_SECONDS)
        connection.recv(1)  # the other end closes first, so that the port is free at once
