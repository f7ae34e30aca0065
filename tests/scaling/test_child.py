"""A child is of this very package, and whatever it says or dies of is a result."""

import sys
from pathlib import Path

import pytest

import seqmodels
from seqmodels.scaling.child import run_child

ODD = """
import json, os, sys
import seqmodels
from seqmodels.scaling.child import read_request

signal = read_request()["signal"]
for line in ("{no JSON}", "[1]", "7", '{"a": 1}', '{"deep": ' * 10_000 + "1" + "}" * 10_000):
    print(line)
print(json.dumps({"package": seqmodels.__file__}), flush=True)
sys.stdout.buffer.write(b"\\xff\\n")
sys.stdout.flush()
sys.stderr.buffer.write(b"\\xff\\n")
os.kill(os.getpid(), signal)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signals without a name are Linux's")
def test_a_child_may_be_started_from_anywhere_and_say_anything(tmp_path, monkeypatch):
    (tmp_path / "odd.py").write_text(ODD)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "seqmodels").mkdir(parents=True)
    (elsewhere / "seqmodels/__init__.py").write_text("raise SystemExit('another package')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(elsewhere)
    ending = run_child("odd", {"signal": 40}, memory_gib=1.0, seconds=60.0)
    assert ending.found == {"a": 1, "package": str(Path(seqmodels.__file__))}
    assert ending.status == "failed"
    assert ending.reason == "was killed by signal 40"
