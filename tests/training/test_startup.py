"""What start_jax sets, each looked at from a process of its own."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from seqmodels.training import startup
from seqmodels.training.startup import cores, overlooked_card, start_jax
from tests.command_line import finish, start

FAULTS = """
import resource
import statistics

import jax.numpy as jnp

barrier = jax.lax.optimization_barrier
step = jax.jit(lambda x: barrier(x[::-1] * 2)[::-1] + 1)  # 64 MiB in, out, and between
x = jnp.ones(2**24)
counts = []
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(x).block_until_ready()
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(statistics.median(counts[10:])))  # beside other work single steps have many
"""


LARGE = """
from seqmodels.allocator import return_large_memory

return_large_memory(2**32)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, list[str]]:
    """What three programs print that call start_jax first: how many devices, and how many faults.

    As it is; with what a user may set in its environment; and after a step that takes a lot.
    """
    flags = "--xla_force_host_platform_device_count=3"
    programs = {
        "plain": ({}, ""),
        "set": ({"MALLOC_ARENA_MAX": "8", "XLA_FLAGS": flags}, ""),
        "large": ({}, LARGE),
    }
    begin = "import jax\nfrom seqmodels.training.startup import start_jax; start_jax()\n"
    begin += "print(jax.device_count())\n"
    cache = tmp_path_factory.mktemp("cache")
    processes = {
        name: start(["-c", begin + extra + FAULTS], cache, **environment)
        for name, (environment, extra) in programs.items()
    }
    ends = {name: finish(process) for name, process in processes.items()}
    assert [(code, errors) for code, _, errors in ends.values()] == [(0, "")] * 3
    return {name: output.split() for name, (_, output, _) in ends.items()}


def test_a_program_that_uses_jax_keeps_its_devices():
    assert jax.device_count() == 8
    start_jax()
    assert jax.device_count() == 8


@pytest.mark.slow
def test_each_core_is_offered_as_a_device(outputs):
    assert int(outputs["plain"][0]) == cores()
    assert outputs["set"][0] == "3"


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that gives memory back")
def test_memory_is_kept_from_step_to_step(outputs):
    """A step allocates 128 MiB: 32,770 pages, a fault each, unless freed memory is kept."""
    kept, returned, large = (int(outputs[name][1]) for name in ("plain", "set", "large"))
    assert kept < max(returned / 3, 1000)  # with huge pages there are few either way
    assert large > returned / 3


ARENAS = """
import ctypes
import sys
import tempfile
from pathlib import Path

import jax.numpy as jnp

from seqmodels import cli
from seqmodels.scaling import cell
from seqmodels.training.startup import start_jax


def arenas(*_):
    start_jax()
    for device in jax.devices():
        jax.jit(lambda x: x @ x)(jax.device_put(jnp.ones((500, 500)), device)).block_until_ready()
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as file:
        to = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
        libc.malloc_info(0, to)
        libc.fclose(to)
        print(Path(file.name).read_text().count("<heap nr="))


cell.cell, cell.CellRequest = arenas, lambda **_: None
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are glibc's")
@pytest.mark.parametrize("begin", ["cli.run(lambda: arenas())", "cell.main()"])
def test_a_process_has_one_arena_however_many_threads_it_begins_with(begin, tmp_path):
    """A command answers Ctrl-C in a thread, and a measured child waits for its parent's end."""
    program = [sys.executable, "-c", f"import jax\n{ARENAS}\n{begin}"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        assert process.stdout.read() == b"1\n"


@pytest.mark.parametrize("home", ["unknown", "not to be written", "a home"])
def test_without_a_home_no_programs_are_kept(monkeypatch, tmp_path, home):
    """A user without an entry in passwd, as containers have them, or on a read-only disk."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    kept = jax.config.jax_compilation_cache_dir
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "file").touch()
    homes = {"not to be written": tmp_path / "file", "a home": tmp_path}
    monkeypatch.setattr(Path, "home", lambda: homes[home] if home in homes else unknown())
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        start_jax()
        found = jax.config.jax_compilation_cache_dir
    finally:
        jax.config.update("jax_compilation_cache_dir", kept)
    assert found == (str(tmp_path / ".cache/seqmodels") if home == "a home" else None)


PCI = "sys/bus/pci/devices/0000:00:04.0"
CARDS = {
    "nothing": ({}, None),
    "nvidia": ({"dev/nvidia0": ""}, "cuda"),
    "nvidia's driver": ({"proc/driver/nvidia/version": "580"}, "cuda"),
    "tpu": ({f"{PCI}/vendor": "0x1ae0\n", f"{PCI}/device": "0x0063\n"}, "tpu"),
    "google's network": ({f"{PCI}/vendor": "0x1ae0", f"{PCI}/device": "0x0042"}, None),
    "intel": ({f"{PCI}/vendor": "0x8086", f"{PCI}/device": "0x0063"}, None),
}


@pytest.fixture
def no_platform_asked(monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    before = jax.config.jax_platforms
    jax.config.update("jax_platforms", None)
    yield
    jax.config.update("jax_platforms", before)


@pytest.mark.usefixtures("no_platform_asked")
@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("has_plugin", [True, False])
def test_a_card_that_jax_can_not_use_is_told(tmp_path, monkeypatch, card, has_plugin):
    files, extra = CARDS[card]
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = object() if has_plugin else None
    monkeypatch.setattr(startup.importlib.util, "find_spec", lambda name: found)
    line = overlooked_card(str(tmp_path))
    if extra is None or has_plugin:
        assert line is None
    else:
        assert f"`make setup EXTRA={extra}`" in line
        monkeypatch.setenv("JAX_PLATFORMS", "cpu")
        assert overlooked_card(str(tmp_path)) is None, "it is meant so"
