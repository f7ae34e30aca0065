"""Only like is joined, ranked or put beside one another; what differs is named."""

import itertools
import json

import matplotlib.figure
import pytest

from seqmodels.drawing import mark_log_axis
from seqmodels.report.alike import leaves_of
from seqmodels.report.chart import axis_marks
from seqmodels.report.comparison import comparisons
from seqmodels.report.figure import Axis, legend
from seqmodels.report.reading import find
from seqmodels.report.scaling_tables import longest_table
from seqmodels.report.styles import Styles
from seqmodels.report.writing import figures_in, report_sections
from tests.report.folders import run_folder, scaling_folder, sweep_folder, write_json

HELD = ("task.", "train.")


def changed(folder, **keys):
    """A run's folder with other values of its config, such as ``task__pairs``."""
    config = json.loads((folder / "config.json").read_text())
    for key, value in keys.items():
        section, name = key.split("__")
        config[section][name] = value
    write_json(folder / "config.json", config)


def figures_of(folder):
    sections = report_sections(find([str(folder)], print), Styles())
    return [f for section in sections for drawn in section.figures for f in figures_in(drawn)]


def configs_of(figure, folder):
    """Of each series the settings of the runs that it is made of, without their lengths."""
    found = find([str(folder)], print)
    for series in (one for one in figure.series if one.is_data):
        names = [link.text for point in series.points for link in point.runs]
        for run in (run for run in found.runs if run.name in names):
            leaves = leaves_of(run.config)
            yield {k: v for k, v in leaves.items() if k.startswith(HELD) and k != "train.length"}


DIFFERENT = {
    "distance": {"task__distance": 8},
    "another number of pairs": {"task__pairs": 5},
    "steps": {"train__steps": 20},
    "batch size": {"train__batch_size": 8},
    "a budget that goes with the length": {"train__steps": 400},
    "cut gradients": {"train__truncate": 16},
}


@pytest.mark.slow
@pytest.mark.parametrize("difference", DIFFERENT)
@pytest.mark.parametrize("length", [64, 128])
def test_runs_of_another_task_or_budget_are_not_joined(tmp_path, difference, length):
    run_folder(tmp_path / "a", "gru", length=64)
    run_folder(tmp_path / "b", "lstm", length=64)
    changed(run_folder(tmp_path / "c", "gru", length=length), **DIFFERENT[difference])
    changed(run_folder(tmp_path / "d", "lstm", length=length), **DIFFERENT[difference])
    (comparison,) = comparisons(find([str(tmp_path)], print))
    (key,) = DIFFERENT[difference]
    told = {group.setting.text for group in comparison.groups}
    assert len(told) == 2
    assert all(key.split("__")[1] in text for text in told)
    along = key.split("__")[1].replace("_", " ")
    figures = [figure for figure in figures_of(tmp_path) if figure.x.title != along]
    assert {figure.name.split("-")[2] for figure in figures} == {"score", "curves"}
    for figure in figures:
        together = list(configs_of(figure, tmp_path))
        assert len(together) == 2
        assert together[0] == together[1]


def test_what_goes_with_the_length_is_joined_and_told(tmp_path):
    for length, mixer in itertools.product((64, 128), ("gru", "lstm")):
        run = run_folder(tmp_path / f"{mixer}-{length}", mixer, length=length)
        changed(run, task__pairs=length // 16, model__max_length=length)
    (figure,) = [f for f in figures_of(tmp_path) if "against length" in f.title]
    assert [(s.name, [p.x for p in s.points]) for s in figure.series if s.is_data] == [
        ("gru", [64, 128]),
        ("lstm", [64, 128]),
    ]
    assert "pairs = 0.0625 × length" in figure.description
    assert figure.series[0].points[0].note == "length 64, pairs 4, 1 seed"


def test_models_that_differ_are_not_joined_under_one_name(tmp_path):
    for length, width in ((64, 64), (128, 64), (256, 32)):
        changed(run_folder(tmp_path / str(length), length=length), model__width=width)
    (figure,) = [f for f in figures_of(tmp_path) if "against length" in f.title]
    assert {s.name: [p.x for p in s.points] for s in figure.series if s.is_data} == {
        "gru, model.width=64": [64, 128],
        "gru, model.width=32": [256],
    }


def test_a_sweep_that_tunes_the_budget_names_it(tmp_path):
    """Chosen on validation, each mixer had another one: they stand in no figure together."""
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64,), rates=(20, 60))
    summary = json.loads((folder / "summary.json").read_text())
    for file in (folder / "sweep.json", *folder.rglob("trial.json")):
        text = file.read_text().replace("optimizer.learning_rate", "train.steps")
        file.write_text(text)
    for trial in folder.glob("trials/*"):
        point = json.loads((trial / "trial.json").read_text())
        changed(trial, train__steps=point["overrides"]["train.steps"])
    for row, steps in zip(summary, (20, 60), strict=True):
        row["chosen"] = {"train.steps": steps}
    write_json(folder / "summary.json", summary)
    (comparison,) = comparisons(find([str(tmp_path)], print))
    assert [group.setting.text for group in comparison.groups] == ["steps 20", "steps 60"]
    assert not [f for f in figures_of(tmp_path) if "against" in f.title]


@pytest.mark.parametrize(
    ("name", "key"), [("distance", "task__distance"), ("width", "model__width")]
)
def test_what_a_sweep_gives_may_be_an_axis(tmp_path, name, key):
    """What is asked, or the model's own size: that joins its models under the mixer's name."""
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64, 128), rates=(0.003,))
    for file in (folder / "sweep.json", folder / "summary.json", *folder.rglob("trial.json")):
        text = file.read_text()
        for length, value in {64: 8, 128: 16}.items():
            text = text.replace(f'"length": {length}}}', f'"length": 64, "{name}": {value}}}')
        file.write_text(text)
    for trial in folder.glob("trials/*"):
        point = json.loads((trial / "trial.json").read_text())["arguments"]
        changed(trial, **{key: point[name]}, train__length=64)
    (figure,) = [f for f in figures_of(tmp_path) if f"against {name}" in f.title]
    assert [(s.name, [p.x for p in s.points]) for s in figure.series if s.is_data] == [
        ("gru", [8, 16]),
        ("lstm", [8, 16]),
    ]


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        ("task.pairs", {"gru, model.depth=2": 2, "gru, model.depth=4": 1, "lstm": 1}),
        ("model.depth", {"gru": 2, "lstm": 0}),
    ],
)
def test_a_number_in_which_runs_differ_may_be_an_axis(tmp_path, key, lines):
    """Lines hold all else the same, and one of a single model is no reason for a figure."""
    run_folder(tmp_path / "lstm", "lstm")
    for name, depth, pairs in (("a", 2, 4), ("b", 2, 8), ("c", 4, 4)):
        run = run_folder(tmp_path / name, "gru")
        changed(run, model__depth=depth, task__pairs=pairs)
    (figure,) = [f for f in figures_of(tmp_path) if f.x.title == key.split(".")[1]]
    assert figure.x.log
    drawn = {s.name: len(s.points) for s in figure.series if s.is_data}
    assert drawn == {name: count for name, count in lines.items() if count}


def test_a_sweep_of_one_mixer_has_a_line_for_each_of_its_other_arguments(tmp_path):
    folder = sweep_folder(tmp_path / "sweep", ("gru",), (64, 128, 256, 512), rates=(0.003,))
    places = {64: (64, 8), 128: (128, 8), 256: (64, 16), 512: (128, 16)}
    for file in (folder / "sweep.json", folder / "summary.json", *folder.rglob("trial.json")):
        text = file.read_text()
        for before, (length, distance) in places.items():
            new = f'"length":{length}, "distance": {distance}}}'
            text = text.replace(f'"mixer": "gru", "length": {before}}}', new)
        file.write_text(text)
    found = {
        figure.x.title: {s.name: [p.x for p in s.points] for s in figure.series if s.is_data}
        for figure in figures_of(tmp_path)
        if "-score-by-" in figure.name and figure.x.kind == "count"
    }
    assert found["length"] == {"gru, distance=8": [64, 128], "gru, distance=16": [64, 128]}
    assert found["distance"] == {"gru, length=64": [8, 16], "gru, length=128": [8, 16]}


@pytest.mark.slow
def test_series_of_a_figure_have_their_own_colours_and_names(tmp_path):
    mixers = [f"mixer-{place}" for place in range(9)]
    for mixer, length, seed in itertools.product(mixers, (64, 128), (0, 1)):
        run = run_folder(tmp_path / f"{mixer}-{length}-{seed}", mixer, seed, length)
        score = {"mean": 0.9, "low": 0.8, "high": 0.95, "examples": 9}
        stored = {"metrics": {"accuracy": score}, "slices": {}}
        split = "test" if seed else "validation"
        write_json(run / "lengths.json", {"200": {split: {"64": stored, "256": stored}}})
        changed(run, model__name=f"{'x' * 80}{seed}", model__width=8 * length)
    figures = figures_of(tmp_path)
    (beyond,) = [figure for figure in figures if "beyond" in figure.title]
    assert sum(series.is_data for series in beyond.series) == 36
    for figure in figures:
        drawn = [series for series in figure.series if series.is_data]
        assert len({series.style.light for series in drawn}) == len(drawn)
        assert len({series.style.dark for series in drawn}) == len(drawn)
        assert len(set(legend(figure))) == len(figure.series)
        assert max(map(len, legend(figure))) <= 64
    many = Styles(map(str, range(300)))
    assert len({style.light for style in many.values()}) == 300


def test_seeds_that_were_asked_at_other_lengths_are_one_series(tmp_path):
    """With their interval; a run that was asked at one length more has that of its examples."""
    for seed, more in ((0, ["128"]), (1, [])):
        run = run_folder(tmp_path / f"seed-{seed}/gru", seed=seed)
        score = {"mean": 0.9 + 0.02 * seed, "low": 0.8, "high": 0.95, "examples": 9}
        stored = {"metrics": {"accuracy": score}, "slices": {}}
        write_json(run / "lengths.json", {"200": {"test": dict.fromkeys(["64", *more], stored)}})
    (figure,) = [figure for figure in figures_of(tmp_path) if "beyond" in figure.title]
    (drawn,) = [series for series in figure.series if series.is_data]
    both, one = drawn.points
    assert (drawn.name, both.x, both.seeds) == ("gru", 64, (0.9, 0.92))
    assert (both.y, both.low, both.high) == (pytest.approx(0.91), pytest.approx(0.782938), 1)
    assert (one.x, one.y, one.low, one.high) == (128, 0.9, 0.8, 0.95)
    assert figure.at == ((64, "trained at 64"),)
    assert [s.name for s in figure.series if s.form == "level"] == ["90%, the threshold"]


AXES = [Axis("length", "count"), Axis("FLOPs", "flops"), Axis("time", "seconds")]
AXES += [Axis("memory", "bytes"), Axis("loss"), Axis("step", "count")]
CLOSE = [(1.0, 1.0), (1.0, 1.001), (1.0, 1.04), (1.0, 1.9), (1.1, 3.4), (1.0, 27.0), (1.0, 1e6)]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.title)
def test_every_axis_is_marked_where_its_values_lie(axis):
    for (low, high), scale in itertools.product(CLOSE, (1e-5, 0.3, 7.0, 1e3, 3e7)):
        if axis.kind == "count":
            values = [round(low * scale) + 1, round(high * scale) + 1]
        else:
            values = [low * scale, high * scale]
        ticks, texts = axis_marks(axis._replace(log=True), values)
        inside = [tick for tick in ticks if values[0] <= tick <= values[1]]
        assert len(inside) >= len(set(values)), f"{axis} {values} {ticks}"
        assert len(ticks) <= 12
        assert len(set(texts)) == len(set(ticks)) == len(ticks)


def test_marks_are_those_of_the_picture():
    axes = matplotlib.figure.Figure().subplots()
    axes.plot([1, 2], [2.30, 2.31])
    axes.set_yscale("log")
    mark_log_axis(axes.yaxis, [2.3, 2.31], ["low", "high"])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "high"]
    assert axes.get_yticks(minor=True).size == 0


def test_an_older_scaling_is_shown_without_what_its_data_do_not_carry(tmp_path):
    folder = scaling_folder(tmp_path / "scaling")
    content = json.loads((folder / "scaling.json").read_text())
    content["fits"][0] |= {"low": -1.6, "high": 3.4}
    reach = {"limit": "seconds", "value": 1.0, "extrapolated": True}
    content["longest"] = [
        {"mixer": "lstm", "length": 10**15, **reach},
        {"mixer": "conv", "length": 10**15, **reach},
        {"mixer": "conv", "length": 4096, **reach},
    ]
    write_json(folder / "scaling.json", content)
    step = next(f for f in figures_of(tmp_path) if f.name.endswith("step-seconds"))
    names = ["lstm", "conv (L^1.00)", "global (L^2.00)", "conv, fitted", "global, fitted"]
    assert [series.name for series in step.series if series.form != "missing"] == names
    table = longest_table("x", find([str(tmp_path)], print).scalings[0].content)
    assert [row.values[-2:] for row in table.rows] == [
        (2048, "at least, the longest measured"),
        (2048 * 8, "at least, extrapolated"),
        (4096, "extrapolated"),
    ]
