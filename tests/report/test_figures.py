"""What stands behind the findings: score against cost, by length and by field, and the heat map."""

import json

import pytest

from seqmodels.report.comparison import comparisons
from seqmodels.report.comparison_section import comparison_section
from seqmodels.report.cost_figure import cost_figures
from seqmodels.report.figure import Choice, Mark, pareto
from seqmodels.report.heat_map import heat_map
from seqmodels.report.reading import find
from seqmodels.report.slice_figures import position_figures, slice_figures
from seqmodels.report.styles import Styles
from tests.report.folders import MACHINE, give_cost, run_folder, sweep_folder, write_json


def compared(*folders):
    return comparisons(find([str(folder) for folder in folders], pytest.fail))


def costs_of(comparison):
    """The figures of score against cost, by what stands in their menus."""
    (drawn,), _ = cost_figures(comparison, Styles())
    assert isinstance(drawn, Choice)
    return dict(drawn.options)


def test_every_cost_that_is_known_is_in_the_menu(tmp_path):
    for mixer, accuracy, seconds in (("gru", 0.5, 10.0), ("lstm", 0.7, 40.0)):
        run = run_folder(tmp_path / mixer, mixer, accuracy=accuracy, seconds=seconds)
        known = {"step_seconds": seconds / 100, "step_bytes": 2**20, "prefill_seconds": 0.01}
        give_cost(run, **known, decode_seconds=0.001, state_bytes=512)
    (comparison,) = compared(tmp_path)
    figures = costs_of(comparison)
    assert [cost for cost, _ in figures] == [
        "bytes of state",
        "time of a training step",
        "peak memory of a training step",
        "tokens trained a second",
        "time to read a prompt",
        "time of a further position",
        "training time of a run",
        "parameters",
    ]
    tokens = figures["tokens trained a second", "all"]
    assert tokens.better == ("more", "more")
    assert {s.name: s.points[0].x for s in tokens.series if s.is_data} == {
        "gru": 64 * 64 / 0.1,
        "lstm": 64 * 64 / 0.4,
    }


def test_tokens_a_second_are_told_of_runs_of_one_length_alone(tmp_path):
    """Of drawn lengths the config has the greatest, which most steps don't have."""
    run = run_folder(tmp_path / "gru", "gru")
    give_cost(run, step_seconds=0.1)
    config = json.loads((run / "config.json").read_text())
    config["train"] |= {"lengths": "uniform", "shortest": 8}
    write_json(run / "config.json", config)
    (comparison,) = compared(tmp_path)
    assert comparison.groups[0].costs.values == {"step_seconds": 0.1, "state_bytes": 0}


def test_the_time_to_a_score_is_of_those_that_come_to_it(tmp_path):
    """To that which half of all come to on validation; the scores grow by 1 - 0.6^part."""
    runs = {"gru": (0.5, 50.0), "conv": (0.7, 50.0), "lstm": (0.9, 100.0), "local": (0.9, 200.0)}
    for mixer, (accuracy, seconds) in runs.items():
        run_folder(tmp_path / mixer, mixer, accuracy=accuracy, seconds=seconds)
    (comparison,) = compared(tmp_path)
    figure = costs_of(comparison)["training time to a score", "all"]
    assert figure.x.title == "training time to validation accuracy 71.0%"
    times = {s.name: s.points[0].x for s in figure.series if s.is_data}
    assert times == {"lstm": pytest.approx(40), "local": pytest.approx(80)}


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("model.width", (32, 64), {"gru": 2, "lstm": 1}),
        (
            "optimizer.learning_rate",
            (0.001, 0.003),
            {"gru, optimizer.learning_rate=0.001": 1, "gru, optimizer.learning_rate=0.003": 1}
            | {"lstm": 1},
        ),
    ],
)
def test_models_of_other_sizes_make_a_line_and_no_others_do(tmp_path, key, values, names):
    run_folder(tmp_path / "lstm", "lstm", seconds=5.0)
    for value in values:
        run = run_folder(tmp_path / f"gru-{value}", "gru", seconds=1000 * value)
        config = json.loads((run / "config.json").read_text())
        section, name = key.split(".")
        config[section][name] = value
        write_json(run / "config.json", config)
    (comparison,) = compared(tmp_path)
    figure = costs_of(comparison)["training time of a run", "all"]
    assert {s.name: len(s.points) for s in figure.series if s.is_data} == names


def test_times_of_two_machines_stand_in_no_figure_together(tmp_path):
    """What is of no machine, such as the state, does."""
    for place, mixer in enumerate(("gru", "lstm", "conv", "local")):
        run = run_folder(tmp_path / mixer, mixer)
        on = MACHINE | {"processor": "AB"[place % 2]}
        give_cost(run, step_seconds=0.1 + place, state_bytes=8 + place, machine=on)
    (comparison,) = compared(tmp_path)
    figures = costs_of(comparison)
    drawn = {cost: {s.name for s in f.series if s.is_data} for (cost, _), f in figures.items()}
    assert drawn["bytes of state"] == {"gru", "lstm", "conv", "local"}
    for processor, mixers in (("A", {"gru", "conv"}), ("B", {"lstm", "local"})):
        on = f"{processor}, 2 cores, 2 cpu:cpu"
        assert drawn[f"time of a training step, on {on}"] == mixers


def test_the_front_is_of_the_more_where_more_is_better():
    points = [Mark(1, 0.9), Mark(2, 0.4), Mark(3, 0.5)]
    assert [point.x for point in pareto(points, True, "more")] == [3, 1]


def at_lengths(run, scores, slices=None, **more):
    """A run's scores by length; ``more`` is what each length has besides."""
    entry = {"low": 0.0, "high": 1.0, "examples": 9}
    found = {
        str(length): {
            "metrics": {"accuracy": entry | {"mean": mean}},
            "slices": slices or {},
            **more,
        }
        for length, mean in scores.items()
    }
    write_json(run / "lengths.json", {"200": {"test": found}})


def test_an_effective_length_ends_where_the_score_first_falls_short(tmp_path):
    lengths = {"gru": {64: 0.95, 128: 0.8, 256: 0.95}, "lstm": {64: 0.5, 128: 0.5}}
    for mixer in ("gru", "lstm", "conv"):
        run = run_folder(tmp_path / mixer, mixer)
        if mixer in lengths:
            at_lengths(run, lengths[mixer])
    (comparison,) = compared(tmp_path)
    results = comparison_section(comparison, Styles()).tables[0]
    place = [column.title for column in results.columns].index("effective length")
    assert {row.values[0]: row.values[place] for row in results.rows} == {
        "gru": 64,
        "lstm": None,
        "conv": None,
    }


def test_a_score_by_what_is_asked_has_a_place_for_each_value(tmp_path):
    """Values that were joined stand at their first; of two seeds the mean is drawn."""
    score = {"low": 0.0, "high": 1.0, "examples": 9}
    for seed, mean in ((0, 0.5), (1, 0.7)):
        run = run_folder(tmp_path / str(seed), "gru", seed)
        values = {"1": score | {"mean": mean}, "16-31": score | {"mean": mean - 0.2}}
        at_lengths(run, {64: 0.6, 128: 0.5}, {"distance": values})
    (comparison,) = compared(tmp_path)
    drawn = slice_figures(comparison, Styles())
    assert isinstance(drawn, Choice)
    assert [labels for labels, _ in drawn.options] == [
        ("distance", "length 64"),
        ("distance", "length 128"),
    ]
    (series,) = [series for series in drawn.options[0][1].series if series.is_data]
    assert [(p.x, p.y, p.seeds) for p in series.points] == [
        (1, pytest.approx(0.6), (0.5, 0.7)),
        (16, pytest.approx(0.4), (0.3, pytest.approx(0.5))),
    ]
    assert "distance 16-31" in series.points[1].note


def test_scores_by_position_have_a_line_a_mixer_and_what_they_are_held_against(tmp_path):
    """The score has its levels, the loss none; what an earlier version scored has no positions."""
    score = {"low": 0.0, "high": 1.0, "examples": 9}
    for mixer, more in (("gru", 0.0), ("lstm", 0.1), ("conv", 0.2)):
        run = run_folder(tmp_path / mixer, mixer)
        accuracies = {"64": score | {"mean": 0.5 + more}, "65-80": score | {"mean": 0.3 + more}}
        losses = {name: score | {"mean": 3.0 + more} for name in ("64", "65-80", "0")}
        kept = {"accuracy": accuracies, "loss": losses}
        held = {"chance": 0.1} if mixer != "conv" else {}
        by_position = {"by_position": kept} if mixer != "conv" else {}
        at_lengths(run, {64: 0.6, 128: 0.5}, **by_position, **held)
    (comparison,) = compared(tmp_path)
    drawn = position_figures(comparison, Styles())
    assert isinstance(drawn, Choice)
    lengths = ("length 64", "length 128")
    assert [labels for labels, _ in drawn.options] == [
        (what, length, "all") for what in ("accuracy", "loss") for length in lengths
    ]
    figures = dict(drawn.options)
    accuracy = figures["accuracy", "length 128", "all"]
    assert {s.name: [tuple(p[:2]) for p in s.points] for s in accuracy.series if s.is_data} == {
        "gru": [(64, 0.5), (72.5, 0.3)],
        "lstm": [(64, 0.6), (72.5, 0.4)],
    }
    levels = {s.name: [tuple(p[:2]) for p in s.points] for s in accuracy.series if not s.is_data}
    assert levels == {
        "chance": [(64, 0.1), (72.5, 0.1)],
        "90%, the threshold": [(64, 0.9), (72.5, 0.9)],
    }
    assert accuracy.at == ((64, "trained at 64"),)
    loss = figures["loss", "length 128", "all"]
    assert [s.name for s in loss.series] == ["gru", "lstm"]
    assert [p.x for p in loss.series[0].points] == [64, 72.5], "0 has no place"
    styles = [s.style for s in accuracy.series if s.is_data]
    assert styles == [s.style for s in loss.series]


def test_by_position_only_models_of_one_training_are_compared(tmp_path):
    kept = {"accuracy": {str(x): {"mean": 0.5, "low": 0, "high": 1, "examples": 9} for x in (1, 2)}}
    for mixer, length in (("gru", 64), ("gru", 256), ("lstm", 64)):
        run = run_folder(tmp_path / f"{mixer}-{length}", mixer, length=length)
        at_lengths(run, {128: 0.5}, by_position=kept)
    (comparison,) = compared(tmp_path)
    options = dict(position_figures(comparison, Styles()).options)
    assert {
        labels[2]: [s.name for s in f.series if s.is_data] for labels, f in options.items()
    } == {
        "length 64": ["gru", "lstm"],
        "length 256": ["gru"],
    }
    trained = {labels[2]: figure.at for labels, figure in options.items()}
    assert trained == {"length 64": ((64, "trained at 64"),), "length 256": ()}


def test_without_positions_there_is_no_figure_of_them(tmp_path):
    at_lengths(run_folder(tmp_path / "gru"), {64: 0.6, 128: 0.5})
    (comparison,) = compared(tmp_path)
    assert position_figures(comparison, Styles()) is None


def test_losses_of_seeds_may_lie_above_one(tmp_path):
    """Their interval is cut to what a loss can be, and not to what the score can."""
    for seed in (0, 1):
        told = {"mean": 2.0 + seed, "low": 0.0, "high": 9.0, "examples": 9}
        kept = {"loss": {"1": told, "2": told}}
        at_lengths(run_folder(tmp_path / str(seed), seed=seed), {64: 0.6}, by_position=kept)
    (comparison,) = compared(tmp_path)
    figure = position_figures(comparison, Styles())
    first = figure.series[0].points[0]
    assert (first.y, first.low) == (2.5, 0)
    assert first.high > 3


def test_a_heat_map_is_shaded_from_guessing_to_the_best_of_a_column(tmp_path):
    folder = sweep_folder(tmp_path / "sweep", ("gru", "lstm"), (64, 128), rates=(0.003,))
    made = heat_map(compared(folder))
    assert made is not None
    assert made.columns == [("recall", "length 64"), ("recall", "length 128")]
    rows = dict(made.rows)
    assert [label for label, _ in made.rows] == ["lstm", "gru"], "the best stands first"
    assert [cell.shade for cell in rows["lstm"]] == [1, 1]
    gru, lstm, chance = 0.405, 0.675, 1 / 128
    assert rows["gru"][0].value == pytest.approx(gru)
    assert rows["gru"][0].shade == pytest.approx((gru - chance) / (lstm - chance))
    assert rows["gru"][0].text == "40.5"
    assert rows["gru"][0].told.startswith("gru on recall at length 64: 40.5% accuracy (34.1 to ")
    assert [link.text for link in rows["gru"][0].runs] == ["seed 0: 40.0%", "seed 1: 41.0%"]
    assert heat_map(compared(sweep_folder(tmp_path / "one", ("gru",), (64, 128)))) is None
