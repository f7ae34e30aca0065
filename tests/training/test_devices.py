"""Which devices a run takes, and what they can't share."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import pytest

from seqmodels.errors import ConfigError, UserError
from seqmodels.training import devices as devices_module
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.mesh import MeshSettings, read_mesh
from seqmodels.training.resolving import load_whole
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT, tiny_config


def experiment(mixer: str, batch_size: int, accumulate: int = 1) -> Experiment:
    settings = {"train.batch_size": batch_size, "train.accumulate": accumulate}
    overrides = [(key, str(value)) for key, value in settings.items()]
    return build_experiment(load_whole(f"{ROOT}/configs/digits.py:mixer={mixer}", overrides).config)


@pytest.fixture
def four_rows_pay(monkeypatch):
    """A core for each four rows of an experiment."""

    def pay(of: Experiment) -> Experiment:
        monkeypatch.setattr(devices_module, "LEAST_FLOPS", 4 * 3 * of.cost().flops)
        return of

    return pay


@pytest.mark.parametrize(
    ("mixer", "batch_size", "accumulate", "devices"),
    [
        ("gru", 64, 1, 8),
        ("lstm", 16, 1, 4),  # of four rows each, not two
        ("lstm", 64, 4, 4),
        ("rnn", 12, 1, 3),
        ("rnn", 7, 1, 1),
        ("rnn", 3, 1, 1),
        ("conv", 64, 1, 8),
        ("transformer", 40, 2, 5),
    ],
)
def test_cores_share_the_batch(mixer, batch_size, accumulate, devices, four_rows_pay):
    mesh = run_mesh(four_rows_pay(experiment(mixer, batch_size, accumulate)))
    assert mesh.size == devices
    assert list(mesh.devices.flat) == jax.devices()[:devices]


@pytest.mark.parametrize(
    ("spec", "settings", "devices"),
    [
        ("digits.py:mixer=gru", {}, 4),
        ("recall.py:mixer=global", {"task.vocabulary": 8192, "train.batch_size": 512}, 8),
        (
            "recall.py:mixer=transformer,length=1024",
            {"model.width": 512, "model.depth": 4, "train.batch_size": 2},
            2,
        ),
        ("recall.py:mixer=transformer", {"train.batch_size": 2}, 1),
        ("recall.py:mixer=transformer,length=16", {"train.batch_size": 8}, 1),
        ("recall.py:mixer=mamba2,length=512", {"train.batch_size": 2}, 1),
    ],
)
def test_cores_that_pay(spec, settings, devices):
    """On two cores each of these was the faster way, or as fast: docs/performance.md."""
    overrides = [(key, str(value)) for key, value in settings.items()]
    of = build_experiment(load_whole(f"{ROOT}/configs/{spec}", overrides).config)
    assert run_mesh(of).size == devices


def test_accelerators_are_all_used(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert run_mesh(experiment("conv", 8)).size == 8


@pytest.mark.slow
def test_another_number_of_devices():
    assert run_mesh(experiment("gru", 64), 2).size == 2
    assert run_mesh(experiment("conv", 8), 8).size == 8


@pytest.fixture
def two_processes(monkeypatch):
    """The first with five of the devices, the second with three."""
    of_process = [jax.devices()[:5], jax.devices()[5:]]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "local_devices", lambda process: of_process[process])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "devices", "chosen"),
    [(24, None, [0, 1, 2, 5, 6, 7]), (20, None, [0, 1, 5, 6]), (4, None, [0, 5]), (24, 2, [0, 5])],
)
def test_processes_have_equally_many_devices(
    two_processes, four_rows_pay, batch_size, devices, chosen
):
    mesh = run_mesh(four_rows_pay(experiment("gru", batch_size)), devices)
    assert list(mesh.devices.flat) == [jax.devices()[number] for number in chosen]


@pytest.mark.slow
def test_devices_that_processes_can_not_share(two_processes):
    with pytest.raises(UserError, match=r"^devices=3 can't be shared equally among 2 processes"):
        run_mesh(experiment("gru", 24), 3)
    with pytest.raises(UserError, match=r"^devices=8 is not from 1 to the 6 there are"):
        run_mesh(experiment("gru", 24), 8)


@pytest.mark.parametrize(
    ("accumulate", "devices", "message"),
    [
        (1, 9, "devices=9 is not from 1 to the 8 there are"),
        (1, 3, "train.batch_size=64 can't be shared equally among 1 micro-batches on 3 devices; "),
        (
            32,
            4,
            "train.batch_size=64 can't be shared equally among 32 micro-batches on 4 devices; "
            "choose a multiple of 128, or another number of devices$",
        ),
    ],
)
def test_refused(accumulate, devices, message):
    with pytest.raises(UserError, match=f"^{message}"):
        run_mesh(experiment("gru", 64, accumulate), devices)


@cache
def built(spec: str, *overrides: tuple[str, str]) -> Experiment:
    """An experiment of a config; built once."""
    return build_experiment(load_whole(f"{ROOT}/configs/{spec}", overrides).config)


def of(spec: str, mesh: str, *overrides: tuple[str, str], **train: Any) -> Experiment:
    """That with a mesh, and other settings of training."""
    found = built(spec, *overrides)
    return found._replace(mesh=read_mesh(mesh), train=replace(found.train, **train))


GLOBAL, GRU = "recall.py:mixer=transformer", "recall.py:mixer=gru"


@pytest.mark.parametrize(
    ("mesh", "rows", "devices", "sizes"),
    [
        ("", 64, 8, (8, 1, 1)),
        ("sequence=2,model=2", 64, 8, (2, 2, 2)),
        ("sequence=4", 64, 4, (1, 4, 1)),
        ("data=2,sequence=2", 64, None, (2, 2, 1)),
        ("model=4", 3, 4, (1, 1, 4)),
    ],
)
def test_a_config_says_what_devices_share(mesh, rows, devices, sizes):
    made = run_mesh(of(GLOBAL, mesh, batch_size=rows), devices)
    assert dict(made.shape) == dict(zip(("data", "sequence", "model"), sizes, strict=True))


@pytest.mark.parametrize(
    ("mesh", "train", "devices", "message"),
    [
        (
            "sequence=2,model=2",
            {},
            6,
            "devices=6 can't be shared by mesh.data=-1, mesh.sequence=2 and mesh.model=2; choose a "
            "multiple of 4, or another mesh",
        ),
        (
            "data=2,sequence=2",
            {},
            8,
            "devices=8 can't be shared by mesh.data=2, mesh.sequence=2 and mesh.model=1; choose 4, "
            "or another mesh",
        ),
        (
            "data=4,sequence=4",
            {},
            None,
            "mesh.data=4, mesh.sequence=4 and mesh.model=1 take 16 devices, and there are 8; "
            "choose another mesh",
        ),
        (
            "data=4,sequence=2",
            {"batch_size": 6},
            None,
            "train.batch_size=6 can't be shared equally among 1 micro-batches on mesh.data=4; "
            "choose a multiple of 4, or another mesh",
        ),
        (
            "sequence=8",
            {"length": 100},
            8,
            "train.length=100 can't be shared equally by mesh.sequence=8; choose a multiple of 8, "
            "or another mesh.sequence",
        ),
        (
            "sequence=8",
            {"truncate": 4},
            8,
            "train.truncate=4 can't be shared equally by mesh.sequence=8; choose a ",
        ),
        (
            "model=8",
            {},
            8,
            "blocks.0.mixer.outputs.weights has H=4 heads, which can't be shared equally by "
            "mesh.model=8; choose a multiple of 8, or another mesh.model",
        ),
    ],
)
def test_what_devices_can_not_share(mesh, train, devices, message):
    assert_refused(of(GLOBAL, mesh, **train), devices, message)


def assert_refused(experiment: Experiment, devices: int | None, message: str) -> None:
    with pytest.raises(UserError) as caught:
        run_mesh(experiment, devices)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_positions_and_features_that_devices_can_not_share():
    grid = of("digits_grid.py", "sequence=3")
    rows = "8 positions along the first axis, can't be shared equally by mesh.sequence=3; "
    assert_refused(grid, 3, f"train.length=64, {rows}")
    lengths = ("train.length", "60"), ("train.lengths", "uniform"), ("train.shortest", "20")
    drawn = of(GRU, "sequence=8", *lengths)
    what = (
        "train.lengths='uniform', train.shortest=20: a batch of length 60 can't be shared equally"
    )
    assert_refused(drawn, 8, what)
    wide = of(GRU, "model=8", ("model.mlp", "gelu"), ("model.mlp_expansion", "0.3"))
    assert_refused(wide, 8, "blocks.0.mlp.inputs.bias has F=")


@pytest.mark.parametrize(
    "text", ["data=2,seqence=4", "data=two", "data=2,data=4", "data", "data=0", "model=0"]
)
def test_a_mesh_that_is_none(text):
    with pytest.raises(ConfigError):
        read_mesh(text)


def test_few_heads_of_keys_and_an_odd_vocabulary_are_whole():
    keys = ("model.mixers.global.kv_heads", "1"), ("task.vocabulary", "250")
    assert run_mesh(of(GLOBAL, "model=4", *keys), 8).shape["model"] == 4


def test_a_run_keeps_the_cores_that_it_chose():
    chosen = of(GRU, "")
    assert run_mesh(chosen, before=2).size == 2
    assert run_mesh(chosen, devices=4, before=2).size == 4, "a flag has the last word"
    assert run_mesh(chosen, before=64).size == run_mesh(chosen).size, "there are not so many"
    assert run_mesh(of(GRU, "sequence=4"), before=2).size == 4, "another mesh takes more"


def test_another_mesh_is_the_same_config(tmp_path):
    """And it is kept as the run began; an earlier version's folder has none."""
    run, config = Workdir(tmp_path / "run"), tiny_config().unlock()
    config.mesh.sequence = 2
    run.open_for(config)
    config.mesh.update({"sequence": 1, "model": 2, "fully_sharded": True})
    run.open_for(config)
    assert run.config().mesh.to_dict() == {
        "data": -1,
        "sequence": 2,
        "model": 1,
        "fully_sharded": False,
    }
    stored = run.read("config.json")
    assert stored is not None
    del stored["mesh"]
    run.write("config.json", stored)
    run.open_for(config)
    assert build_experiment(run.config()).mesh == MeshSettings()
