"""Scaling experiments that differ in their batches alone stand in one figure, by a menu."""

import json

import pytest

from seqmodels.report.figure import Choice
from seqmodels.report.reading import find
from seqmodels.report.scaling_modes import modes_of
from seqmodels.report.scaling_section import scaling_section
from seqmodels.report.styles import Styles
from seqmodels.report.writing import figures_in, report_sections
from tests.report.folders import scaling_folder, scaling_of_tokens, write_json

ONE, TOKENS = "a batch of 1", "batches of 2,048 tokens"


def changed(folder, name, **keys):
    content = json.loads((folder / name).read_text())
    write_json(folder / name, content | keys)


def modes_in(folder):
    return modes_of(find([str(folder)], pytest.fail).scalings)


def test_constant_tokens_stand_beside_a_constant_batch(tmp_path):
    scaling_folder(tmp_path / "a")
    scaling_of_tokens(tmp_path / "b")
    (modes,) = modes_in(tmp_path)
    assert [mode.batches for mode in modes] == [ONE, TOKENS]
    section = scaling_section(modes, Styles())
    assert section.title == "a and b: cost by length"
    assert f"12 cells of a mixer and a length, {ONE}; 12 cells" in section.text
    cost = section.figures[0]
    assert isinstance(cost, Choice)
    by_menu = dict(cost.options)
    for counted in ("a batch", "a position"):
        figures = [by_menu["time of a training step", counted, mode] for mode in (ONE, TOKENS)]
        assert [figure.title.endswith(f", {ONE}") for figure in figures] == [True, False]
        one, tokens = (figure.series[0].points for figure in figures)
        share = [8, 4, 2, 1] if counted == "a batch" else [1] * 4
        assert [b.y / a.y for a, b in zip(one, tokens, strict=True)] == pytest.approx(share)
    told = [finding.text for finding in section.findings]
    assert [text.count(f"({ONE})") for text in told] == [1, 1, 1, 0, 0, 0]
    assert [text.count(f"({TOKENS})") for text in told] == [0, 0, 0, 1, 1, 1]
    names = {figure.name for drawn in section.figures for figure in figures_in(drawn)}
    assert {finding.figure for finding in section.findings} <= names
    assert len({finding.figure for finding in section.findings}) == 2
    tables = [table.name for table in section.tables]
    assert len(set(tables)) == len(tables)
    assert any(table.title == f"Cells, {TOKENS}" for table in section.tables)


@pytest.mark.parametrize(
    "other", ["models", "no config", "machine", "target", "the same batches", "other batches"]
)
def test_what_differs_in_more_than_its_batches_stands_alone(tmp_path, other):
    scaling_folder(tmp_path / "a")
    folder = scaling_of_tokens(tmp_path / "b")
    if other == "models":
        changed(folder, "config.json", width=128)
    elif other == "no config":
        for each in ("a", "b"):
            (tmp_path / each / "config.json").unlink()
    elif other == "machine":
        changed(folder, "scaling.json", machine={"cores": 4})
    elif other == "target":
        changed(folder, "scaling.json", target="tpu:v5e:4x4")
    elif other == "the same batches":
        scaling_of_tokens(tmp_path / "a")
    else:
        cells = json.loads((folder / "scaling.json").read_text())["cells"]
        odd = [cell | {"batch_size": cell["length"] % 255} for cell in cells]
        changed(folder, "scaling.json", cells=odd)
    alone = modes_in(tmp_path)
    assert [len(modes) for modes in alone] == [1, 1]
    assert [mode.told for modes in alone for mode in modes] == ["", ""]
    assert len(report_sections(find([str(tmp_path)], pytest.fail), Styles())) == 2
