"""A PostgreSQL server for a test, where it is installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[str]:
    """Starts a server with its files in a folder of its own, and gives its database's URL.

    Skips where none is installed.

    The server refuses to run as root: a test that does starts it as the user postgres.
    """
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.get_exec_path())]
    found = [place for place in places if (place / "initdb").exists()]
    if not found:
        pytest.skip("PostgreSQL is not installed (initdb)")
    user = None
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL can't be run as root, and there is no user postgres")
    # Not below pytest's folder, which is open to its own user alone.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user is not None:
        shutil.chown(folder, user.pw_uid, user.pw_gid)
    owner = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, **owner
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = str(folder / "data"), str(folder / "log")
    run(str(found[0] / "initdb"), "-D", data, "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    control = str(found[0] / "pg_ctl")
    run(control, "-D", data, "-l", log, "-o", options, "-w", "start")
    try:
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
