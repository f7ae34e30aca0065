"""Runs as flat rows: the same columns in all, each of one type."""

from seqmodels import load_results
from tests.report.folders import run_folder, sweep_folder


def test_a_row_a_run_with_the_columns_of_all(tmp_path, capsys):
    run_folder(tmp_path / "a", "gru", accuracy=0.9)
    run_folder(tmp_path / "b", "lstm", seed=3, finished=False)
    sweep_folder(tmp_path / "sweep", ("rnn",), (64,), seeds=(0,), states={1: ("waiting", None)})
    rows = load_results([tmp_path / "a", tmp_path / "b", tmp_path / "sweep"])
    assert capsys.readouterr().err == ""
    (columns,) = {tuple(row) for row in rows}
    assert columns[:4] == ("folder", "state", "task", "mixer")
    assert [row["mixer"] for row in rows] == ["gru", "lstm", "rnn", "rnn"]
    assert [row["state"] for row in rows[:3]] == [
        "finished",
        "unfinished: step 100 of 200",
        "finished",
    ]
    assert [row["test.accuracy"] for row in rows[:2]] == [0.9, None]
    assert [row["seed"] for row in rows] == [0, 3, 0, 0]
    assert rows[0]["model.width"] == 64
    assert rows[0]["model.pattern"] == "['gru']"
    for name in columns:
        kinds = {type(row[name]) for row in rows if row[name] is not None}
        assert len(kinds) <= 1, name
        assert kinds <= {str, int, float, bool}, name


def test_one_folder_is_named_alone_and_what_can_not_be_read_is_said(tmp_path, capsys):
    run_folder(tmp_path / "a", accuracy=1)
    run_folder(tmp_path / "c", accuracy=0.5)
    (run_folder(tmp_path / "b") / "results.json").write_text("{")
    rows = load_results(str(tmp_path))
    assert [str(row["test.accuracy"]) for row in rows] == ["1.0", "0.5"]
    assert "b/results.json is cut short or no JSON" in capsys.readouterr().err
