"""Machines to compile for: what they are, and a table for each compiler that is installed."""

import importlib.util

import jax
import pytest

from seqmodels.config import load_config
from seqmodels.errors import UserError
from seqmodels.scaling.run import scale
from seqmodels.scaling.targets import MACHINES, Roofline, Target, card, read_target
from seqmodels.training.mesh import MeshSettings
from tests.command_line import finish, read_json, start


@pytest.mark.parametrize(
    ("dtype", "flops", "moved", "sent", "seconds", "bound"),
    [
        ("bfloat16", 989e12, 1, 1, 1.0, "operations"),
        ("float32", 989e12, 1, 1, 2.0, "operations"),
        ("bfloat16", 1, 3.35e12, 1, 1.0, "memory"),
        ("bfloat16", 1, 3.35e12, 0.9e12, 2.0, "links"),
    ],
)
def test_the_roofline_is_the_greatest_of_operations_bytes_and_what_is_sent(
    dtype, flops, moved, sent, seconds, bound
):
    roofline = Roofline.of(MACHINES["h100"], dtype, flops, moved, sent)
    assert roofline == (pytest.approx(seconds), bound)


def test_a_targets_devices_lie_along_the_axes_of_a_mesh(monkeypatch):
    """Simulated ones in the place of those that aren't here."""
    monkeypatch.setattr(Target, "devices", lambda self: jax.devices()[:8])
    target = Target("v5e", "2x4")
    assert tuple(target.mesh(MeshSettings(sequence=4)).shape.items()) == (
        ("data", 2),
        ("sequence", 4),
        ("model", 1),
    )
    with pytest.raises(UserError, match=r"^devices=8 can't be shared by mesh\.data=-1, mesh\.seq"):
        target.mesh(MeshSettings(sequence=3))


def test_a_mesh_is_of_a_targets_devices():
    with pytest.raises(UserError, match="mesh=data=8 shares a target's devices, and a cell is"):
        scale(load_config("configs/scaling.py").config, "scaling", "unused", mesh="data=8")


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


CUDA = "jax_cuda13_plugin"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "mesh", "rows"),
    [
        pytest.param("tpu:v5e:2x2", None, 4, marks=needs("libtpu", "tpu")),
        pytest.param("tpu:v5e:2x4", "sequence=4", 2, marks=needs("libtpu", "tpu")),
        pytest.param("tpu:v5e:1x1", None, 1, marks=needs("libtpu", "tpu")),
        pytest.param("gpu:h100:8", "data=4,sequence=2", 4, marks=needs(CUDA, "cuda")),
        pytest.param("gpu:a100:1", None, 1, marks=needs(CUDA, "cuda")),
    ],
)
def test_a_table_for_a_machine_that_is_not_here(target, mesh, rows, tmp_path):
    command = [
        "scaling.py",
        "--config=configs/scaling.py",
        f"--workdir={tmp_path}",
        f"--target={target}",
        "--config.mixers=conv",
        "--config.lengths=256",
        "--config.batch_size=2",
        "--config.dtype=bfloat16",
        *([] if mesh is None else [f"--mesh={mesh}"]),
    ]
    assert finish(start(command, tmp_path / "cache"))[::2] == (0, "")
    stored = read_json(tmp_path / "scaling.json")
    assert (stored["target"], stored["mesh"]) == (target, mesh)
    (cell,) = stored["cells"]
    assert (cell["status"], cell["batch_size"]) == ("compiled", 2 * rows)
    assert cell["temporary_bytes"] > 0
    assert cell["roofline_seconds"] > 0
    assert (cell["sent_bytes"] > 0) == (rows > 1 or mesh is not None)
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
