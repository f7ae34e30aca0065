"""A page that is kept current: written again where something has changed, and then alone."""

import json

import pytest

from seqmodels.report.watching import EVERY, watch_report
from tests.report.folders import run_folder, write_json


def test_a_page_follows_what_it_shows(tmp_path, monkeypatch, capsys):
    """No second is waited: each wait is a step of what happens meanwhile."""
    runs, out = tmp_path / "runs", tmp_path / "report"
    for place, mixer in enumerate(("gru", "lstm")):
        run_folder(runs / mixer, mixer, accuracy=0.5 + 0.1 * place)
    drawn = []
    monkeypatch.setattr(
        "seqmodels.report.writing.draw", lambda figure, path: drawn.append(figure.name)
    )
    told = []

    def nothing():
        (runs / "gru" / "train.log").write_text("not what the page shows")

    def a_better_score():
        file = runs / "gru" / "results.json"
        results = json.loads(file.read_text())
        results["test"]["accuracy"] = 0.75
        write_json(file, results)

    def stop():
        raise KeyboardInterrupt

    meanwhile = iter((nothing, a_better_score, nothing, stop))

    def wait(seconds):
        assert seconds >= EVERY
        told.append(((out / "index.html").read_text().count('data-value="0.75"'), len(drawn)))
        next(meanwhile)()

    with pytest.raises(KeyboardInterrupt):
        watch_report([str(runs)], str(out), wait)
    (first, all_drawn), (again, once), (new, twice), (last, thrice) = told
    assert (first, again) == (0, 0)
    assert once == all_drawn
    assert new == last > 0
    assert thrice == twice
    assert all_drawn < twice < 2 * all_drawn, "learning curves are as they were"
    assert not any("curves" in name for name in drawn[all_drawn:])
    assert f'data-reload="{EVERY}"' in (out / "index.html").read_text()
    assert capsys.readouterr().out.count("index.html") == 2
