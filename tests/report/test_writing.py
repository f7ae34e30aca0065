"""The files of a report: a figure's PNG, CSV and Markdown, a table's CSV and Markdown."""

import base64
import csv
import json
import re
import zlib

import matplotlib.image
import plotly.graph_objects as go
import pytest

from seqmodels.errors import UserError
from seqmodels.report import picture
from seqmodels.report.chart import to_chart
from seqmodels.report.figure import Axis, Figure, Mark, Series, pareto
from seqmodels.report.findings import Finding, Strong
from seqmodels.report.page import LONG, Section, to_page
from seqmodels.report.reading import find
from seqmodels.report.styles import Styles
from seqmodels.report.table import Column, Row, Table
from seqmodels.report.values import shown
from seqmodels.report.writing import figures_in, report_sections, write_report
from tests.report.folders import (
    HOSTILE,
    run_folder,
    scaling_folder,
    sweep_folder,
    write_json,
)


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def sections_of(folder):
    """Those of sweeps, runs and scalings: what stands above them all is left out."""
    made = report_sections(find([str(folder)], print), Styles())
    return [section for section in made if section.name != "overall"]


def shown_in(section):
    """Every figure that a section may show."""
    return [figure for drawn in section.figures for figure in figures_in(drawn)]


@pytest.mark.slow
def test_each_figure_and_table_has_its_files(tmp_path, capsys):
    sweep_folder(tmp_path / "recall", ("gru", "lstm"), accuracy=0.6)
    scaling_folder(tmp_path / "scaling")
    out = tmp_path / "report"
    page = write_report([str(tmp_path)], str(out))
    assert capsys.readouterr().out.endswith(f"{page}\n")
    sections = report_sections(find([str(tmp_path)], print), Styles())
    drawn = [figure.name for section in sections for figure in section.figures]
    figures = [figure.name for section in sections for figure in shown_in(section)]
    tables = [table.name for section in sections for table in section.tables]
    assert len(set(figures)) == len(figures) > 10
    assert len(set(drawn)) == len(drawn) > 4
    for name in drawn:
        image = matplotlib.image.imread(out / "figures" / f"{name}.png")
        assert image.std() > 0.05, f"{name} is blank"
    for name in {*figures, "heat-map"}:
        assert rows_of(out / "figures" / f"{name}.csv")
        assert (out / "figures" / f"{name}.md").read_text().startswith("### ")
    assert {path.stem for path in (out / "tables").iterdir()} == set(tables)
    by_length = rows_of(out / "figures" / "sweep-1-recall-score-by-length.csv")
    assert [row["length"] for row in by_length] == ["64", "128", "256"] * 2
    assert by_length[0]["test accuracy"] == "0.605"
    text = page.read_text()
    assert page.stat().st_size < 1.7e6
    assert "http-equiv" in text
    assert 'src="http' not in text


@pytest.mark.slow
def test_every_chart_is_one_of_plotly_s(tmp_path):
    """Its schema knows each trace and each key of the layout."""
    sweep_folder(tmp_path / "recall", ("gru", "lstm"))
    scaling_folder(tmp_path / "scaling")
    kinds = set()
    for figure in (one for section in sections_of(tmp_path) for one in shown_in(section)):
        chart = to_chart(figure)
        traces = [
            go.Scatter({k: v for k, v in one.items() if k != "type"}) for one in chart["data"]
        ]
        assert len(traces) >= len(figure.series)
        assert go.Layout(chart["layout"])
        kinds |= {series.form for series in figure.series}
    assert kinds == {"line", "points", "curve", "fit", "front", "level", "missing"}


@pytest.mark.parametrize(
    ("arguments", "drawn"),
    [
        (
            {
                64: {"length": 64, "task": "recall"},
                128: {"length": 128, "task": "recall"},
                256: {"length": 64, "task": "set"},
            },
            {"Accuracy against length, task recall": {64, 128}},
        ),
        (
            {length: {"length": length, "pairs": length // 16} for length in (64, 128, 256)},
            {"Accuracy against length": {64, 128, 256}},
        ),
    ],
    ids=["another task at one length", "pairs go with the length"],
)
def test_tasks_have_their_own_figures_by_length(tmp_path, arguments, drawn):
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"))
    for file in (folder / "sweep.json", folder / "summary.json", *folder.rglob("trial.json")):
        text = file.read_text()
        for length, new in arguments.items():
            text = text.replace(f'"length": {length}}}', json.dumps(new)[1:])
        file.write_text(text)
    found = {
        figure.title: {point.x for one in figure.series for point in one.points}
        for section in sections_of(folder)
        for figure in shown_in(section)
        if "against length" in figure.title
    }
    assert found == drawn


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_best_on_validation_stands_first(tmp_path, higher_is_better):
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm", "conv"), (64,))
    content = json.loads((folder / "sweep.json").read_text())
    write_json(folder / "sweep.json", content | {"higher_is_better": higher_is_better})
    (section,) = sections_of(folder)
    results = next(table for table in section.tables if table.name.endswith("results"))
    place = [column.title for column in results.columns].index("validation accuracy")
    scores = [row.values[place] for row in results.rows]
    assert scores == sorted(scores, reverse=higher_is_better)
    assert len(set(scores)) == 3


def test_a_long_table_is_packed(tmp_path):
    """A row less than that and it stands in the page, where it can be read without a script."""
    recipe = [("Seed", "0")]
    for rows in (LONG, LONG + 1):
        table = Table(
            "t", "T", "", [Column("a")], [Row((f"word-{n}",), recipe) for n in range(rows)]
        )
        page = to_page([Section("s", "S", "", [], [], [table], [])], "", [], "", Styles())
        packed = re.search('id="kept">([^<]*)<', page)
        kept = json.loads(zlib.decompress(base64.b64decode(packed[1])))["html"]
        assert ("word-7<" in page) == (rows == LONG)
        assert ("word-7<" in kept.get("long-t", "")) == (rows > LONG)
        assert len([key for key in kept if key.startswith("recipe-t-")]) == rows


@pytest.mark.parametrize("strong", [False, True])
def test_a_value_and_its_unit_stand_in_one_line(strong):
    """Whatever its size; a line may end behind them."""
    values = [shown(1.5 * 10.0**n, "seconds") for n in (-8, -5, -2, 1, 4)]
    values += [shown(1.5 * 1024**n, "bytes") for n in range(6)]
    values += [shown(1.5 * 1000**n, "flops") for n in range(7)]
    values += ["71.7 ± 1.4 points", "16,384 positions", "2.5 times"]
    for value in values:
        part = Strong(value) if strong else value
        finding = Finding((part, " and more"), "", "cost")
        page = to_page([Section("s", "S", "", [], [], [], [finding])], "", [], "", Styles())
        told = re.search('class="lead">(.*?)</p>', page)[1]
        assert value.replace(" ", "&nbsp;") in told
        assert told.endswith(" and more")


def test_curves_are_means_over_seeds(tmp_path):
    """A seed more is 0.01 less accuracy on the way."""
    folder = sweep_folder(tmp_path / "sweep", ("gru",), (64,), accuracy=0.6)
    (section,) = sections_of(folder)
    (curve,) = [
        f for f in shown_in(section) if f.name.startswith("sweep-1-sweep-curves-validation")
    ]
    first = curve.series[0].points[0]
    low, high = 0.61 * 0.64 - 0.01, 0.6 * 0.64
    assert (first.low, first.high) == pytest.approx((low, high))
    assert first.y == pytest.approx((low + high) / 2)


def test_the_front_is_of_the_less_where_less_is_better():
    points = [Mark(1, 0.5), Mark(2, 0.4), Mark(3, 0.9), Mark(4, 0.4)]
    assert [point.x for point in pareto(points, higher_is_better=False)] == [1, 2]
    assert [point.x for point in pareto(points, higher_is_better=True)] == [1, 3]


def test_the_issue_s_figures_are_there(tmp_path):
    sweep_folder(tmp_path / "recall", ("gru", "lstm"))
    scaling_folder(tmp_path / "scaling")
    run = run_folder(tmp_path / "runs" / "gru")
    scores = {
        str(length): {
            "metrics": {"accuracy": {"mean": 0.9, "low": 0.8, "high": 0.95, "examples": 9}},
            "slices": {},
        }
        for length in (64, 128, 1024)
    }
    for length in ("128", "1024"):
        scores[length]["chance"] = 0.01
    score = {"mean": 0.1, "low": 0.1, "high": 0.1, "examples": 9}
    older = {"64": {"metrics": {"accuracy": score}, "slices": {}}}
    write_json(run / "lengths.json", {"99": {"test": older}, "200": {"test": scores}})
    sweep, runs, scaling = sections_of(tmp_path)
    by_name = {figure.name: figure for figure in shown_in(sweep)}
    assert by_name["sweep-1-recall-score-by-length"].x.log
    cost = by_name["sweep-1-recall-score-by-training-time-of-a-run-length-128"]
    assert cost.series[-1].form == "front"
    assert by_name["sweep-1-recall-curves-validation-length-64"].series[0].form == "curve"
    assert by_name["sweep-1-recall-curves-train-length-64"].y.log
    (beyond,) = [figure for figure in shown_in(runs) if "beyond" in figure.name]
    assert [point.x for point in beyond.series[0].points] == [64, 128, 1024]
    levels = {
        figure.name: [(s.name, [tuple(p[:2]) for p in s.points]) for s in figure.series[-2:]]
        for figure in (*shown_in(sweep), beyond._replace(series=beyond.series[:-1]))
    }
    for name, ends in (("score-by-length", (64, 128, 256)), ("curves-validation", (40, 200))):
        (found,) = {str(lines) for figure, lines in levels.items() if name in figure}
        assert found == str(
            [(word, [(x, level) for x in ends])
             for word, level in (("chance", 1 / 128), ("one of those shown", 0.25))]
        )  # fmt: skip
    assert levels[beyond.name][1] == ("chance", [(128, 0.01), (1024, 0.01)])
    costs = {figure.name: figure for figure in shown_in(scaling)}
    step = next(figure for name, figure in costs.items() if name.endswith("step-seconds"))
    assert (step.x.log, step.y.log) == (True, True)
    lines = [series for series in step.series if series.form == "fit"]
    assert [series.name for series in lines] == ["lstm, fitted", "conv, fitted", "global, fitted"]
    first, last = lines[2].points
    assert last.y / first.y == pytest.approx((last.x / first.x) ** 2)
    assert "global (L^2.00)" in [series.name for series in step.series]
    assert "global at 2,048: does not fit: needs 41 GiB" in step.description
    assert any("quality-cost" in name for name in costs)
    assert [(s.name.split(" ")[0], s.end) for s in step.series if s.end] == [
        ("conv", "2× at 2,048"),
        ("global", "12× at 1,024"),
    ]
    (cross,) = [series for series in step.series if series.form == "missing"]
    assert (cross.name, cross.points[0].x) == ("global", 2048)
    assert cross.points[0].note == "2,048: does not fit: needs 41 GiB"
    assert "a batch of 1. " in scaling.text
    share = next(figure for name, figure in costs.items() if name.endswith("seconds-a-position"))
    assert [p.y * p.x for p in share.series[0].points] == pytest.approx(
        [p.y for p in step.series[0].points]
    )


def test_one_name_looks_the_same_everywhere(tmp_path):
    sweep_folder(tmp_path / "recall", ("conv", "lstm"))
    scaling_folder(tmp_path / "scaling")
    sweep, scaling = sections_of(tmp_path)
    styles = {}
    for section in (sweep, scaling):
        for series in (one for figure in shown_in(section) for one in figure.series):
            if series.is_data:
                mixer = series.name.split(" ")[0]
                assert styles.setdefault(mixer, series.style) == series.style
    assert len({style.light for style in styles.values()}) == len(styles) == 3


@pytest.mark.slow
def test_names_stay_in_their_cells(tmp_path):
    for place, mixer in enumerate(("=1+1", "@x", HOSTILE, "_a", "$x$", "a\nb")):
        run_folder(tmp_path / "runs" / str(place), mixer, environment={"command": None})
    out = tmp_path / "report"
    write_report([str(tmp_path / "runs")], str(out))
    rows = rows_of(out / "tables" / "runs-recall-results.csv")
    assert {row["mixer"] for row in rows} == {"'=1+1", "'@x", HOSTILE, "_a", "$x$", "a\nb"}
    lines = (out / "tables" / "runs-recall-results.md").read_text().splitlines()[4:]
    columns = {len(line.replace(r"\|", "").split("|")) for line in lines}
    assert len(lines) == 2 + 6
    assert len(columns) == 1
    assert "<" not in "".join(lines)


@pytest.mark.slow
def test_a_report_over_an_older_one(tmp_path):
    run_folder(tmp_path / "runs" / "a")
    page = tmp_path / "report" / "index.html"
    for accuracy in ("0.5", "0.75"):
        run_folder(tmp_path / "runs" / "a", accuracy=float(accuracy))
        assert write_report([str(tmp_path / "runs")], str(page.parent)) == page
        assert f'data-value="{accuracy}"' in page.read_text()


def test_an_out_folder_that_is_a_file_is_refused(tmp_path):
    run_folder(tmp_path / "runs" / "a")
    (tmp_path / "report").touch()
    with pytest.raises(UserError, match=r"out=.*report can't be written \(.*\); choose another"):
        write_report([str(tmp_path / "runs")], str(tmp_path / "report"))


def test_a_picture_has_room_for_every_name(monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(picture, "save", lambda canvas, path: kept.append(canvas))
    marks, styles = [Mark(1, 0.5), Mark(2, 0.6)], Styles()
    series = [Series(name, styles[name], marks) for name in map(str, range(40))]
    axes = Axis("step", "count"), Axis("loss")
    picture.draw(Figure("many", "Many", "", *axes, series), tmp_path / "many.png")
    (canvas,) = kept
    canvas.draw_without_rendering()
    box = canvas.legends[0].get_window_extent()
    assert 0 < box.y0 < box.y1 < canvas.bbox.height
