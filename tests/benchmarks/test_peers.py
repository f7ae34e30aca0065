"""A peer is trained until its score is ours."""

import sys
from pathlib import Path

import pytest

SCRIPT = """
print("Producing data...")
print("Test set: Average loss: 0.5")
print("Test set: Average loss: 0.01")
print("Test set: Average loss: 0.001")
"""


@pytest.fixture
def peers(monkeypatch):
    """Whose neighbours are imported as in a script."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from benchmarks import peer_runs

    monkeypatch.setattr(peer_runs, "of_ours", lambda case: peer_runs.Ours(0.02, 60.0, 0.1))
    return peer_runs


def test_a_peer_ends_where_it_has_our_score(peers, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    case = peers.CASES["tcn-adding"]._replace(folder=".", script=("script.py",))
    made = peers.run(case, tmp_path, Path(sys.executable), 1.0)
    assert [point["score"] for point in made["curve"]] == [0.5, 0.01]
    assert made["reached"]
    text = peers.text({"tcn-adding": made | {"machine": {"cores": 2, "processor": "one"}}})
    assert "| tcn-adding | 0.02 | 60 | 0 | 0.01 | 2 cores, one |" in text
    (tmp_path / "script.py").write_text("print('no such module')")
    with pytest.raises(peers.UserError, match=r"script.py ended without a score: no such module"):
        peers.run(case, tmp_path, Path(sys.executable), 1.0)
