"""Machines to compile for: what they are, and a table for each compiler that is installed."""

import importlib.util

import pytest

from seqmodels.scaling.targets import MACHINES, card, read_target, roofline_seconds
from tests.command_line import finish, read_json, start


def test_the_roofline_is_the_greater_of_operations_and_bytes():
    h100 = MACHINES["h100"]
    assert roofline_seconds(h100, "bfloat16", 989e12, 1) == pytest.approx(1.0)
    assert roofline_seconds(h100, "float32", 989e12, 1) == pytest.approx(2.0)
    assert roofline_seconds(h100, "bfloat16", 1, 3.35e12) == pytest.approx(1.0)


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_can_be_named(name):
    machine = MACHINES[name]
    target = read_target(f"{machine.family}:{name}:{machine.default}")
    assert target.machine is machine
    assert machine.float32_flops <= machine.bfloat16_flops
    if machine.family == "gpu":
        assert f"device_memory_size: {int(machine.memory_bytes)}\n" in card(name)


def needs(module: str, extra: str):
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"pip install -e '.[{extra}]'"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "devices"),
    [
        pytest.param("tpu:v5e:2x2", 4, marks=needs("libtpu", "tpu")),
        pytest.param("tpu:v5e:1x1", 1, marks=needs("libtpu", "tpu")),
        pytest.param("gpu:h100:2", 2, marks=needs("jax_cuda13_plugin", "cuda")),
        pytest.param("gpu:a100:1", 1, marks=needs("jax_cuda13_plugin", "cuda")),
    ],
)
def test_a_table_for_a_machine_that_is_not_here(target, devices, tmp_path):
    command = [
        "scaling.py",
        "--config=configs/scaling.py",
        f"--workdir={tmp_path}",
        f"--target={target}",
        "--config.mixers=conv",
        "--config.lengths=256",
        "--config.batch_size=2",
        "--config.dtype=bfloat16",
    ]
    assert finish(start(command, tmp_path / "cache"))[::2] == (0, "")
    stored = read_json(tmp_path / "scaling.json")
    assert stored["target"] == target
    (cell,) = stored["cells"]
    assert (cell["status"], cell["batch_size"]) == ("compiled", 2 * devices)
    assert cell["temporary_bytes"] > 0
    assert cell["roofline_seconds"] > 0
    assert cell["step_seconds"] is cell["peak_bytes"] is None


@pytest.mark.slow
@needs("libtpu", "tpu")
def test_a_topology_that_does_not_exist(tmp_path):
    flags = ["--config=configs/scaling.py", "--config.mixers=conv", "--config.lengths=256"]
    command = ["scaling.py", *flags, f"--workdir={tmp_path}", "--target=tpu:v5e:5x7"]
    code, _, errors = finish(start(command, tmp_path / "cache"))
    assert code == 2
    assert errors.startswith("scaling.py: --target=tpu:v5e:5x7 is no topology that there is (")
    assert errors.endswith("); try 4x4\n")
    assert errors.count("\n") == 1
