"""``~`` is a home in every path that a user gives, and what lies elsewhere is refused."""

from pathlib import Path

import pytest

from seqmodels.config import construct_kind, load_config
from seqmodels.errors import UserError
from seqmodels.evaluation.runs import load
from seqmodels.paths import local_path
from seqmodels.report.writing import write_report
from seqmodels.sweeps.run import SweepOptions, run_sweep
from seqmodels.tasks import TASKS
from seqmodels.tasks.prepared.freezing import freeze
from seqmodels.tasks.prepared.records import data_folder
from seqmodels.training import fit as fitting
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT, call, tiny_config

NAMED = {"set": "mnist", "input": "image", "target": "label"}
GIVEN = {
    "fit": lambda path: Workdir(path).config(),
    "evaluation": lambda path: load(path, "best"),
    "a sweep": lambda path: run_sweep(
        f"{ROOT}/configs/digits.py", [], path, ROOT / "train.py", SweepOptions(workers=1)
    ),
    "a report's folders": lambda path: write_report([path], "out"),
    "a report": lambda path: write_report(["configs"], path),
    "a frozen set": lambda path: freeze(tiny_config(), path, None, {}, print),
    "a config": lambda path: load_config(path),
    **{
        f"task {kind}": lambda path, kind=kind, of=of, more=more: construct_kind(
            TASKS, {"kind": kind, of: path, **more}, "task", seed=0
        )
        for kind, of, more in (
            ("text", "files", {}),
            ("source_package", "files", {}),
            ("same_file", "files", {}),
            ("images", "folder", {}),
            ("tokens", "path", {}),
            ("frozen", "folder", {}),
            ("tfds", "data_dir", NAMED | {"layout": "sequence"}),
            ("tfds_pairs", "data_dir", NAMED),
        )
    },
}


@pytest.mark.parametrize("given", [name for name in GIVEN if name != "a config"])
@pytest.mark.parametrize("path", ["gs://bucket/x", "s3://bucket/x", "file:///tmp/x"])
def test_what_lies_elsewhere_is_refused(given, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqmodels.sweeps.run.make_plan", lambda *_: None)
    with pytest.raises(UserError, match=rf"{path} is (not on this machine|a URL)"):
        GIVEN[given](path)
    assert list(tmp_path.iterdir()) == [], "no folder named gs: was made"


def test_a_setting_of_the_environment_is_refused_likewise(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/sets")
    with pytest.raises(UserError, match=r"^data_dir=None: TFDS_DATA_DIR=gs://bucket/sets is not"):
        data_folder(None)


@pytest.mark.parametrize("given", [name for name in GIVEN if "task" in name and "tfds" not in name])
def test_an_empty_path_is_not_the_folder_that_one_is_in(given):
    with pytest.raises(UserError, match="='' is empty; name what is to be read"):
        GIVEN[given]("")


@pytest.mark.parametrize("given", GIVEN)
def test_a_home_that_is_not_known_is_refused(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seqmodels.sweeps.run.make_plan", lambda *_: None)
    with pytest.raises(UserError, match="~nobody-here/x: no home is known for ~nobody-here"):
        GIVEN[given]("~nobody-here/x")


def test_a_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/runs") == tmp_path / "runs"
    assert local_path("~") == tmp_path
    assert local_path("a/~") == Path("a/~")
    assert local_path("./~x") == Path("~x")


def test_flags_know_the_home(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fitting, "fit", lambda config, workdir, **_: asked.append(Workdir(workdir)))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "copy.py").write_text((ROOT / "configs/copy.py").read_text())
    assert call("train.py", "--config=~/copy.py:length=30", "--workdir=~/run") == (0, "", "")
    assert asked[0].path == tmp_path / "run"
    code, output, errors = call("report.py", "~/run", "--out=~/page")
    assert (code, output) == (2, "")
    assert errors.startswith(f"report.py: {tmp_path}/run: no such folder")
