"""How many devices share a batch."""

import jax
import pytest

from seqmodels.config import load_config
from seqmodels.errors import UserError
from seqmodels.experiment import Experiment, build_experiment
from seqmodels.training.sharding import run_mesh
from tests.command_line import ROOT


def experiment(mixer: str, batch_size: int, accumulate: int = 1) -> Experiment:
    settings = {"train.batch_size": batch_size, "train.accumulate": accumulate}
    overrides = [(key, str(value)) for key, value in settings.items()]
    return build_experiment(load_config(f"{ROOT}/configs/digits.py:mixer={mixer}", overrides))


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


def test_another_number_of_devices():
    assert run_mesh(experiment("gru", 64), 2).size == 2
    assert run_mesh(experiment("conv", 8), 8).size == 8


@pytest.mark.parametrize(
    ("accumulate", "devices", "message"),
    [
        (1, 9, "--devices=9 is not from 1 to the 8 there are"),
        (1, 3, "train.batch_size=64 can't be shared equally among 1 micro-batches on 3 devices; "),
        (32, 4, "train.batch_size=64 can't be shared equally among 32 micro-batches on 4 devices;"),
    ],
)
def test_refused(accumulate, devices, message):
    with pytest.raises(UserError, match=f"^{message}"):
        run_mesh(experiment("gru", 64, accumulate), devices)
