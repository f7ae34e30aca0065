"""evaluate.py on a finished run: the table, what it stores, damage, and generated text."""

import os
import shutil
from pathlib import Path

import pytest

from seqmodels.evaluation.splits import evaluate_run
from seqmodels.generation.run import generate_run
from seqmodels.training.fit import fit
from seqmodels.training.resolving import load_whole
from tests.command_line import ROOT, call, finish, read_json, start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A language model on eight small files, with checkpoints 4 and 6 and at most one more."""
    folder = tmp_path_factory.mktemp("trained")
    for number in range(8):
        (folder / f"{number}.txt").write_text(f"line {number} of many\n" * 30)
    overrides = {
        "model.width": 16,
        "model.depth": 1,
        "task.files": folder / "*.txt",
        "task.evaluation_windows": 20,
        "optimizer.warmup_steps": 2,
        "train.steps": 6,
        "train.batch_size": 8,
        "train.log_every": 1,
        "train.evaluate_every": 2,
    }
    spec = f"{ROOT}/configs/text.py:mixer=gru,length=16"
    config = load_whole(spec, [(key, str(value)) for key, value in overrides.items()]).config
    fit(config, folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy to write into, or to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_best_checkpoint_scores_what_the_run_said(run, capsys):
    before, results = contents(run), read_json(run / "results.json")
    scores = evaluate_run(str(run), "best", ("test", "validation"))
    assert scores == {split: results[split] for split in ("validation", "test")}
    table = capsys.readouterr().out
    assert f"{run}, checkpoint {results['best_step']}" in table
    assert 3 < results["chance"] < 6
    assert f"{results['chance']:.3f}" in table
    for word in ("split", "loss", "bits per byte", "accuracy", "chance", "validation", "test"):
        assert word in table
    after = contents(run)
    assert read_json(run / "evaluations.json") == {str(results["best_step"]): scores}
    del after["evaluations.json"]
    assert after == before


def test_evaluations_add_up(run):
    evaluate_run(str(run), "6", ("test",))
    evaluate_run(str(run), "latest", ("validation",))
    evaluate_run(str(run), "4", ("test",))
    stored = read_json(run / "evaluations.json")
    assert {step: list(splits) for step, splits in stored.items()} == {
        "6": ["test", "validation"],
        "4": ["test"],
    }
    assert stored["6"]["test"] != stored["4"]["test"]


def test_a_damaged_best_checkpoint_falls_back(run, capsys):
    best = read_json(run / "results.json")["best_step"]
    for file in (run / f"checkpoints/{best}/default/d").iterdir():
        os.truncate(file, 10)
    before = contents(run / "checkpoints")
    evaluate_run(str(run), "best", ("test",))
    output, errors = capsys.readouterr()
    other = int(next(iter(read_json(run / "evaluations.json"))))
    assert other != best
    first, second = errors.splitlines()
    assert first.startswith(f"warning: checkpoint {best} is damaged (")
    assert second == f"warning: falling back to checkpoint {other}"
    assert f"checkpoint {other}" in output
    assert contents(run / "checkpoints") == before


def test_text_follows_from_prompt_seed_and_temperature(run, capsys):
    def sample(count, temperature, seed):
        text = generate_run(
            str(run), "best", count, prompt="line é", temperature=temperature, seed=seed
        )
        assert capsys.readouterr().out == text + "\n"
        assert (run / "sample.txt").read_text() == text + "\n"
        assert text.startswith("line é")
        return text

    first = sample(40, 1.0, 0)
    assert sample(40, 1.0, 1) != first
    assert sample(40, 1.0, 0) == first
    assert sample(5, 0.0, 0) == sample(5, 0.0, 1)
    assert len(sample(1, 1.0, 0)) == 7


def test_the_command_line(run, tmp_path):
    """The table comes from a process of its own, the others from this one meanwhile."""
    flag = f"--workdir={run}"
    process = start(["evaluate.py", flag, "--split=validation,test"], tmp_path / "cache")
    text = call("evaluate.py", flag, "--generate=30", "--prompt=line")
    endless = call("evaluate.py", flag, "--split=train")
    missing = call("evaluate.py", flag, "--checkpoint=5")
    pictures = call("evaluate.py", flag, "--pictures")
    beams = call("evaluate.py", flag, "--prompt=line", "--beams=2", "--top_k=3")
    table = finish(process)
    assert (table[0], table[2]) == (0, "")
    results = read_json(run / "results.json")
    (splits,) = read_json(run / "evaluations.json").values()
    for split in ("validation", "test"):  # on one device, not eight
        assert splits[split] == pytest.approx(results[split], rel=1e-5)
        assert split in table[1]
    assert (text[0], text[2]) == (0, "")
    assert text[1].startswith("line")
    assert text[1] == (run / "sample.txt").read_text()
    message = "--split=train: its examples are endless; use validation or test"
    assert endless == (2, "", f"evaluate.py: {message}\n")
    kept = ", ".join(sorted(path.name for path in (run / "checkpoints").iterdir()))
    message = f"{run}/checkpoints holds no checkpoint 5; it has {kept}"
    assert missing == (2, "", f"evaluate.py: {message}\n")
    drawn = [run / "pictures" / name for name in ("receptive-field.png", "half-lives.png")]
    assert pictures == (0, "".join(f"{file}\n" for file in drawn), "")
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)
    message = "--beams=2 takes the best sequence, and nothing is drawn: leave out temperature, "
    assert beams == (2, "", f"evaluate.py: {message}top_k and top_p\n")
