"""What an earlier version left behind can still be scored, continued, summarised and reported.

make.py made the folders; expected.json has what they scored then. A change that can't keep a test
here says to a user with such a folder, in one line, what is different. All are scored, and all of
the unfinished ones go on, where SOAK is set: SOAK=1 python -m pytest tests/old_folders (two minutes
more); else some of each kind do, and the checkpoints of all are read.
"""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from seqmodels.config import load_config
from seqmodels.evaluation.runs import load
from seqmodels.evaluation.splits import evaluate_run
from seqmodels.report.reading import find
from seqmodels.report.styles import Styles
from seqmodels.report.writing import report_sections, write_report
from seqmodels.scaling import run as scaling
from seqmodels.sweeps.run import SweepOptions, run_sweep
from seqmodels.training.fit import fit
from seqmodels.training.scores import evaluate
from seqmodels.training.step import jit_evaluation_step
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT, events, read_json
from tests.soaking import SOAK
from tests.sweeps.small_sweep import FAKE_TRAIN

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())
NAMES = list(EXPECTED["finished"])
SPLITS = ("validation", "test")
STEPS, STOPPED = 12, 6
# All of them take minutes of a core together; make test-fast takes these.
SCORED_FAST = ("gru", "grid-conv")
GOES_ON_FAST = ("gru", "conv")
SCORED = (
    *(*SCORED_FAST, "relative", "qk_norm", "learned", "reverse-additive", "from-class", "bfloat16"),
    "post",
)
if SOAK:
    SCORED = GOES_ON = NAMES
else:
    GOES_ON = GOES_ON_FAST


def each(names, fast):
    marked = [n if n in fast else pytest.param(n, marks=pytest.mark.slow) for n in names]
    return pytest.mark.parametrize("name", marked)


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly():
    """Most of the time here is XLA's, whose programs then run for milliseconds."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def assert_close(scores, expected):
    assert scores.keys() == expected.keys()
    for split, metrics in expected.items():
        assert scores[split] == pytest.approx(metrics, abs=1e-4, rel=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SCORED])
def test_checkpoints_are_read(old, name):
    """Their parameters have the places and shapes of the model's."""
    for state, which in (("finished", "best"), ("unfinished", "latest")):
        run = load(old / state / name, which, devices=1)
        assert run.step == EXPECTED[state][name]["step"]
        shapes = jax.eval_shape(run.experiment.model.init, jax.random.key(0))
        assert jax.tree.map(jnp.shape, run.params) == jax.tree.map(jnp.shape, shapes)


@pytest.mark.slow
@each(SCORED, SCORED_FAST)
def test_checkpoints_score_what_they_did(old, name):
    """The best of the finished one and the latest of the unfinished one, by one program."""
    step = None
    for state, which in (("finished", "best"), ("unfinished", "latest")):
        run = load(old / state / name, which, devices=1)
        task, settings = run.experiment.task, run.experiment.train
        step = step or jit_evaluation_step(run.experiment.model, task, run.mesh)
        of = settings.batch_size, settings.length, run.mesh
        scores = {split: evaluate(step, run.params, task, split, *of) for split in SPLITS}
        expected = EXPECTED[state][name]
        assert run.step == expected["step"]
        assert_close(scores, expected["evaluated"])
        if state == "finished":
            assert_close(scores, expected["results"])


def test_a_finished_run_is_evaluated_again(copied):
    folder = copied("finished/gru")
    before = read_json(Path(folder, "evaluations.json"))
    assert_close(evaluate_run(folder, "best", SPLITS), EXPECTED["finished"]["gru"]["results"])
    after = read_json(Path(folder, "evaluations.json"))
    assert after.keys() == before.keys()


def test_a_finished_run_is_not_trained_again(copied, capsys):
    folder = copied("finished/gru")
    results = fit(Workdir(folder).config(), folder, devices=1)
    assert results == read_json(Path(folder, "results.json"))
    assert "finished/gru is finished (results.json)" in capsys.readouterr().out


@pytest.mark.slow
@each(GOES_ON, GOES_ON_FAST)
def test_an_unfinished_run_goes_on(copied, capsys, name):
    folder = copied(f"unfinished/{name}")
    results = fit(Workdir(folder).config(), folder, devices=1)
    assert results["steps"] == STEPS
    assert f"continuing from step {STOPPED} in {folder}\n" in capsys.readouterr().out
    assert [event["step"] for event in events(Path(folder), "train")] == [3, 6, 9, 12]
    assert all(math.isfinite(results[split]["loss"]) for split in SPLITS)
    assert read_json(Path(folder, "results.json")) == results


@pytest.mark.slow
def test_report_reads_them_all(old):
    lines = []
    found = find([str(old)], lines.append)
    assert (lines, found.skipped) == ([], [])
    assert len(found.runs) == 2 * len(NAMES)
    for run in found.runs:
        finished = run.folder.parent.name == "finished"
        assert run.state[0] == ("finished" if finished else f"unfinished: step 6 of {STEPS}")
        assert all(other.startswith("other version: ") for other in run.state[1:])
        assert run.config
        assert run.events
        if finished:
            assert run.results is not None
            told = {split: run.results[split] for split in SPLITS}
            assert told == EXPECTED["finished"][run.name]["results"]
    (lengths,) = [run.lengths for run in found.runs if run.lengths]
    assert list(lengths["12"]["test"]) == ["12", "24"]
    states = {s.folder.name: sorted(t.state[0] for t in s.trials) for s in found.sweeps}
    assert states == {
        "finished": ["finished"] * 4,
        "half-done": ["finished", "finished", "waiting", "waiting"],
    }
    (scaled,) = found.scalings
    assert [cell["length"] for cell in scaled.content["cells"]] == [16, 32, 64]
    assert report_sections(found, Styles())


@pytest.mark.slow
def test_report_is_written(old, tmp_path):
    page = write_report([str(old / "sweeps"), str(old / "scaling")], str(tmp_path))
    assert page.stat().st_size > 1e6


@pytest.mark.slow
def test_a_half_done_sweep_is_known(copied, tmp_path, capfd):
    """What is finished is not run again; what is left would be by a train.py that takes no time."""
    (tmp_path / "train.py").write_text(FAKE_TRAIN)
    folder = copied("sweeps/half-done")
    run_sweep("small.py", [], folder, tmp_path / "train.py", SweepOptions(workers=1))
    output = capfd.readouterr().out
    assert "2 of 4 runs are finished" in output
    assert "4 of 4 runs finished, 0 failed, 0 pruned" in output
    states = [read_json(path) for path in Path(folder).glob("trials/*/trial.json")]
    assert sorted(state["attempts"] for state in states) == [1, 1, 1, 2], "one was begun"


@pytest.mark.slow
@pytest.mark.soak
def test_a_half_done_sweep_goes_on(copied, monkeypatch, capfd):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")  # of its processes too
    folder = copied("sweeps/half-done")
    run_sweep("small.py", [], folder, ROOT / "train.py", SweepOptions(workers=1))
    output = capfd.readouterr().out
    assert "2 of 4 runs are finished" in output
    assert "4 of 4 runs finished, 0 failed, 0 pruned" in output
    trials = {path.name: path for path in Path(folder).glob("trials/*")}
    assert len(trials) == 4
    for name, expected in EXPECTED["sweeps"]["half-done"].items():
        assert read_json(trials[name] / "trial.json")["attempts"] == 1
        assert_close({s: read_json(trials[name] / "results.json")[s] for s in SPLITS}, expected)
    said = [(path / "output.txt").read_text() for path in trials.values()]
    assert sum(f"continuing from step {STOPPED} in" in text for text in said) == 1


def test_a_scaling_table_is_not_measured_again(copied, monkeypatch):
    folder = copied("scaling")
    before = read_json(Path(folder, "scaling.json"))
    monkeypatch.setattr(scaling, "run_child", None)
    file = f"{ROOT}/configs/scaling.py"
    settings = {"mixers": "gru", "lengths": "16,32,64", "width": "8", "depth": "1", "repeats": "2"}
    config = load_config(file, [*settings.items(), ("from_length", "16")]).config
    after = scaling.scale(config, file, folder)
    for part in ("cells", "crossovers", "longest", "quality"):
        assert json.loads(json.dumps(after[part])) == before[part]
    # Student's quantile had three digits then.
    for found, old in zip(json.loads(json.dumps(after["fits"])), before["fits"], strict=True):
        numbers = {name for name, value in old.items() if isinstance(value, float)}
        assert {k: v for k, v in found.items() if k not in numbers} == {
            k: v for k, v in old.items() if k not in numbers
        }
        for name in numbers:
            assert found[name] == pytest.approx(old[name], rel=1e-4)
