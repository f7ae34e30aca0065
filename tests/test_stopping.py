"""Signals that ask a program to stop."""

import ast
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seqmodels import stopping
from seqmodels.stopping import SIGNALS

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def same_after():
    """As they were, whatever those are where the tests run."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    yield
    after = {signal.signal(number, handler) for number, handler in before.items()}
    assert after == {signal.default_int_handler}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised(number):
    with pytest.raises(KeyboardInterrupt) as stop, stopping.raised("train.py"):
        signal.raise_signal(number)
    assert stop.value.args == (number,)


def test_while_modules_are_imported_the_process_ends(tmp_path, monkeypatch, capfd):
    """Code that is imported may do anything with an exception."""
    module = tmp_path / "stopped_while_imported.py"
    strikes = "signal.raise_signal(15)"
    module.write_text(f"import signal\ntry:\n  {strikes}\nexcept BaseException:\n  pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with stopping.raised("train.py"):
        __import__("stopped_while_imported")
    assert ended == [128 + signal.SIGTERM]
    assert capfd.readouterr().err == "train.py: stopped\n"


def test_a_hang_up_that_is_ignored_stays_so():
    """As nohup has it; Ctrl-C that a shell ignores for a program in the background is taken."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    with stopping.raised("train.py"):
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_thread_takes_none():
    taken = []
    thread = threading.Thread(target=lambda: taken.append(stopping.take_over(print)))
    thread.start()
    thread.join()
    assert taken == [{}]


def test_a_command_takes_them_over_first():
    """Each of its imports takes a while; a process of Python alone is all that is started."""
    for script in ROOT.glob("*.py"):
        _, first, second = ast.parse(script.read_text()).body
        assert ast.unparse(first) == "from seqmodels.__main__ import main", script
        assert ast.unparse(second).endswith(f"main({script.stem!r})"), script
    of_all = ast.parse((ROOT / "seqmodels/__main__.py").read_text()).body
    imported = [node.module for node in of_all if isinstance(node, ast.ImportFrom)]
    assert imported == ["typing", "seqmodels.stopping"]
    (main,) = (node for node in of_all if isinstance(node, ast.FunctionDef))
    assert ast.unparse(main.body[1]).startswith("stop_at_once(")  # after its docstring
    program = (
        "import os; from seqmodels.stopping import stop_at_once; stop_at_once('b');"
        "print('done'); os.kill(os.getpid(), 2); import numpy"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout, process.stderr) == (130, "done\n", "b: stopped\n")
