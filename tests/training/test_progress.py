"""What a run shows: as long as that works."""

import pytest

from seqmodels.training import progress
from seqmodels.training.progress import ProgressDisplay


def test_a_line_a_step(capsys):
    with ProgressDisplay(0, 10) as display:
        display.advance(5)
        display.metrics(5, {"loss": 0.5}, 3.0)
        display.line("validation [x/y]")
    assert capsys.readouterr().out == "step 5/10  loss 0.500  3 s left\nvalidation [x/y]\n"


def test_a_notebook_has_a_bar_that_is_replaced(capsys, monkeypatch):
    shown = []

    class Output:
        def update(self, content, raw):
            shown[-1] = content["text/plain"]

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return Output()

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    with ProgressDisplay(0, 10) as bar:
        bar.metrics(5, {"loss": 0.5}, 3.0)
        bar.line("validation")
        (first,) = shown
        bar.advance(5)
    assert ("0/10" in first, "5/10" in shown[0], "loss 0.500" in shown[0]) == (True, True, True)
    assert len(shown) == 1
    assert capsys.readouterr().out == "validation\n"


@pytest.mark.parametrize("method", ["start", "update", "refresh", "stop"])
def test_what_can_not_be_shown_is_said_once(capsys, monkeypatch, method):
    def broken(*_, **__) -> None:
        raise RuntimeError("no terminal")

    display = ProgressDisplay(0, 10)
    monkeypatch.setattr(display._bar, method, broken)
    with display:
        for step in range(3):
            display._refreshed = 0.0
            display.advance(step)
    warning = "warning: the run's progress can't be shown (RuntimeError: no terminal)\n"
    assert capsys.readouterr().out == (warning if method != "stop" else "")
