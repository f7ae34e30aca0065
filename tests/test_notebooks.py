"""The notebooks: each cell is Python, and none holds what it once printed.

tests/soak/soak_notebooks.py runs them.
"""

import json

import pytest

from tests.command_line import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_cells_are_code_without_outputs(file):
    cells = json.loads(file.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 2
    for cell in code:
        compile("".join(cell["source"]), file.name, "exec")
        assert (cell["outputs"], cell["execution_count"]) == ([], None), "clear all outputs"
