"""How many devices share a batch."""

import jax
import pytest

from seqmodels.errors import UserError
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import run_mesh
from tests.command_line import ROOT


def experiment(mixer: str, batch_size: int, accumulate: int = 1) -> Experiment:
    settings = {"train.batch_size": batch_size, "train.accumulate": accumulate}
    overrides = [(key, str(value)) for key, value in settings.items()]
    return build_experiment(load_whole(f"{ROOT}/configs/digits.py:mixer={mixer}", overrides).config)


@pytest.mark.parametrize(
    ("mixer", "batch_size", "accumulate", "devices"),
    [
        ("gru", 64, 1, 8),
        ("lstm", 16, 1, 4),  # four rows each, not two
        ("lstm", 64, 4, 4),
        ("rnn", 12, 1, 3),
        ("rnn", 7, 1, 1),
        ("rnn", 3, 1, 1),
        ("conv", 64, 1, 8),
        ("transformer", 40, 2, 5),
    ],
)
def test_cores_share_the_batch(mixer, batch_size, accumulate, devices):
    mesh = run_mesh(experiment(mixer, batch_size, accumulate))
    assert mesh.size == devices
    assert list(mesh.devices.flat) == jax.devices()[:devices]


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
def test_processes_have_equally_many_devices(two_processes, batch_size, devices, chosen):
    mesh = run_mesh(experiment("gru", batch_size), devices)
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
