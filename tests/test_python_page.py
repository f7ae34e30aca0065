"""docs/python.md: its examples run, one after the other, as a reader would run them."""

import random
import re

import pytest

from tests.command_line import ROOT
from tests.test_readme import blocks

PAGE = (ROOT / "docs/python.md").read_text()


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "notes").mkdir()
    words = random.Random(0).choices(["def ", "return ", "self", "\n", "(x)", " + "], k=2000)
    for number in range(4):
        (tmp_path / f"notes/{number}.txt").write_text("".join(words[500 * number :][:500]))
    monkeypatch.chdir(tmp_path)
    examples = blocks(PAGE, "python")
    exec(compile("\n".join(examples), "docs/python.md", "exec"), {})
    printed = capsys.readouterr().out
    results = re.search(r"^([\d.]+) of a chance level of", printed, re.MULTILINE)
    assert results
    assert f"\n{results[1]}\n" in printed, "a loaded run scores what fit's results say"
    assert "blocks.0.outputs (2, 32, 16)\n" in printed
    assert "starting from the parameters of exported/model.safetensors\n" in printed
    assert "[('gru', 64, " in printed
