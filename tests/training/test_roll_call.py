"""The processes of a run meet, as threads."""

import contextlib
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from seqmodels.errors import UserError
from seqmodels.training import roll_call
from seqmodels.training.roll_call import call_roll


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def asks_often(monkeypatch):
    monkeypatch.setattr(roll_call, "ASK_SECONDS", 0.01)


def is_over_after(monkeypatch, callers: int) -> None:
    """The time of all is over once process 0 has heard so many, itself among them."""
    heard, read = [], roll_call._read_number

    def hear(*connection):
        heard.append(read(*connection))
        return heard[-1]

    def now():
        return time.monotonic() + (3600 if len(heard) >= callers else 0)

    monkeypatch.setattr(roll_call, "_read_number", hear)
    monkeypatch.setattr(roll_call, "time", SimpleNamespace(monotonic=now, sleep=time.sleep))


def meet(port: int, *called: tuple[int, int, float]) -> list[str]:
    """What becomes of some (process, count, seconds) that call each other."""

    def call(process: int, count: int, seconds: float) -> str:
        try:
            call_roll(count, process, f"localhost:{port}", seconds)
        except UserError as error:
            return str(error)
        return "went on"

    with ThreadPoolExecutor(len(called)) as pool:
        return list(pool.map(lambda one: call(*one), called))


def test_all_go_on_once_all_are_there_and_the_port_is_free(port):
    for _ in range(2):
        assert meet(port, (2, 3, 60.0), (0, 3, 60.0), (1, 3, 60.0)) == ["went on"] * 3
    assert meet(port, (0, 1, 60.0)) == ["went on"]


def test_each_says_who_is_missing(port, monkeypatch):
    is_over_after(monkeypatch, callers=2)
    said = (
        "processes 1, 3 have not joined within 60 s; start all 4 with the same coordinator, each "
        "with its own process=NUMBER"
    )
    assert meet(port, (0, 4, 60.0), (2, 4, 60.0)) == [said, said]


def test_process_0_is_missing(port):
    assert meet(port, (1, 2, 0.0)) == [
        f"coordinator=localhost:{port}: process 0 does not answer there (for 0 s: Connection "
        "refused); start it with process=0 and the same coordinator"
    ]


def test_an_address_that_is_not_process_0_s_own(port, monkeypatch):
    """JAX would look for its service there for a minute, and say that processes are missing."""
    monkeypatch.setattr(roll_call, "REPLY_SECONDS", 0.05)
    connect = socket.create_connection
    said = f"coordinator=localhost:{port} is no address of process 0's machine, where it listens"
    with socket.create_server(("127.0.0.1", 0)) as other:  # on another machine, say
        place = other.getsockname()
        monkeypatch.setattr(socket, "create_connection", lambda _, timeout: connect(place, timeout))
        assert meet(port, (0, 2, 60.0)) == [f"{said}; name one"]
    assert meet(port, (0, 2, 60.0)) == [f"{said} (Connection refused); name one"]


def test_another_number_of_processes_is_said(port, monkeypatch):
    is_over_after(monkeypatch, callers=2)
    first, other = meet(port, (0, 2, 60.0), (1, 3, 60.0))
    assert other == "process 0 has processes=2; give each the same number"
    assert first.startswith("process 1 has not joined within ")


def test_a_process_that_is_there_twice_is_said(port, monkeypatch):
    is_over_after(monkeypatch, callers=3)
    found = meet(port, (0, 3, 60.0), (1, 3, 60.0), (1, 3, 60.0))
    assert sorted(found[1:])[1] == "process=1 is there twice; each has its own"
    assert found[0].startswith("process 2 has not joined within ")


def test_a_port_that_is_taken(port):
    with socket.create_server(("", port)):
        (said,) = meet(port, (0, 2, 60.0))
    assert said.startswith(f"coordinator=HOST:{port}: that port can't be had on this machine (")
    for wrong in (0, 99999):
        expected = f"coordinator=localhost:{wrong}: {wrong} is no port; those are 1 to 65535"
        assert meet(wrong, (0, 2, 60.0), (1, 2, 60.0)) == [expected] * 2


def reached(port: int, first: Future) -> socket.socket:
    while not first.done():
        with contextlib.suppress(OSError):
            return socket.create_connection(("localhost", port), timeout=60)
    raise AssertionError(f"nobody listens: {first.result()}")


def test_others_that_call_are_passed_over(port):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, port, (0, 2, 60.0))
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"process 7 of 2\n", b"\n"):
            with reached(port, first) as caller:
                caller.sendall(text)
        assert meet(port, (1, 2, 60.0)) == ["went on"]
        assert first.result() == ["went on"]
