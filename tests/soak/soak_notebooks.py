"""The notebooks in a kernel, from their first cell to their last, with fewer steps."""

import json

import nbclient
import nbformat
import pytest

from tests.test_notebooks import NOTEBOOKS, ROOT


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs(file, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel's
    (tmp_path / "notebooks").mkdir()
    text = file.read_text()
    assert text.count("STEPS = 1200") == 1
    notebook = nbformat.reads(text.replace("STEPS = 1200", "STEPS = 10"), as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    outputs = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert outputs.count("image/png") == 2
    assert "10/10" in outputs, "the progress bar, as an output that is replaced"
    assert (tmp_path / "runs/notebook/by-length.png").exists()
