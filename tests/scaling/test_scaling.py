"""The scaling table: whatever a cell does, the rest goes on; what is done is not done again."""

import csv
import importlib
import json
import os
import signal
import time
from pathlib import Path
from unittest.mock import patch

import jax
import pytest

from benchmarks.scaling_tables import markdown
from seqmodels.config import flatten, load_config
from seqmodels.errors import ConfigError, UserError
from seqmodels.scaling import child, quality
from seqmodels.scaling import run as scaling
from seqmodels.scaling.child import Ending, run_child
from seqmodels.scaling.programs import language_model, model_section
from seqmodels.scaling.results import QUANTITIES, summarise
from seqmodels.scaling.run import scale
from seqmodels.scaling.settings import read_settings
from tests.command_line import ROOT, finish, read_json, start
from tests.sweeps.small_sweep import lives, wait_for

FILE = f"{ROOT}/configs/scaling.py"
FAKE = "tests.scaling.fake_cell"


def config(**changes):
    small = {"width": 8, "lengths": "256,512,1024,2048", "from_length": 256}
    overrides = small | {name.replace("__", "."): value for name, value in changes.items()}
    return load_config(FILE, [(key, str(value)) for key, value in overrides.items()]).config


class Clock:
    """Stands still until a file is there, which is when 2.1 seconds are over."""

    def __init__(self, file: Path):
        self._file = file

    def monotonic(self) -> float:
        return 2.1 if self._file.exists() else 0.0


@pytest.fixture
def fake(monkeypatch, tmp_path_factory):
    """Cells that take no time, or as long as is allowed; which there were."""
    asked, waiting = [], tmp_path_factory.mktemp("fake") / "waiting"

    def run(module, request, memory, seconds, environment):
        asked.append((request["mixer"], request["length"]))
        waiting.unlink(missing_ok=True)
        environment = (environment or {}) | {"WAITING": str(waiting)}
        return run_child(module, request, memory, seconds, environment)

    monkeypatch.setattr(child, "time", Clock(waiting))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(scaling, "CELL", FAKE)
    monkeypatch.setattr(scaling, "run_child", run)
    return asked


@pytest.mark.slow
def test_every_ending_is_a_result_and_the_rest_goes_on(fake, tmp_path, capsys):
    mixers = "lstm,gru,conv,local,rnn"
    limits = {"limits__memory_gib": 0.2, "limits__seconds": 2.0}
    scale(config(mixers=mixers, lengths="256", **limits), FILE, str(tmp_path))
    cells = {cell["mixer"]: cell for cell in read_json(tmp_path / "scaling.json")["cells"]}
    found = {mixer: (cell["status"], cell["reason"]) for mixer, cell in cells.items()}
    assert found["rnn"] == ("measured", None)
    assert found["lstm"] == (
        "failed",
        "ended with exit code 1: ValueError: the cell's own trouble",
    )
    assert found["gru"][0] == "failed"
    assert "killed by SIGKILL, perhaps by the system for lack of memory" in found["gru"][1]
    assert found["conv"][0] == "does not fit"
    assert "GiB; the limit is 0.2 GiB" in found["conv"][1]
    assert found["local"] == ("too slow", "was not done after 2 s, the limit")
    for cell in cells.values():
        assert cell["temporary_bytes"] == 256, "what was found before the end is kept"
    output = capsys.readouterr().out
    for mixer in ("lstm", "gru", "conv", "local"):
        assert f"{mixer} at 256: {found[mixer][0]}: {found[mixer][1]}" in output


@pytest.mark.slow
def test_fits_crossings_and_limits_are_stored_and_told(fake, tmp_path, capsys):
    within = {"gib": 1.0, "seconds": 1e-3}
    results = scale(config(mixers="rnn,global,plain"), FILE, str(tmp_path), None, within)
    stored = read_json(tmp_path / "scaling.json")
    assert stored == json.loads(json.dumps(results))
    assert (stored["kind"], stored["target"], stored["quality"]) == ("scaling", None, [])
    fits = {(fit["mixer"], fit["quantity"]): fit for fit in stored["fits"]}
    assert fits["rnn", "step_seconds"]["exponent"] == pytest.approx(1)
    assert fits["global", "step_seconds"]["exponent"] == pytest.approx(2)
    assert fits["global", "temporary_bytes"]["exponent"] == pytest.approx(1)
    assert fits["rnn", "step_seconds"]["lengths"] == 4
    assert ("plain", "step_seconds") not in fits, "two lengths"
    (crossing,) = [c for c in stored["crossovers"] if c["quantity"] == "step_seconds"]
    assert crossing == {
        "quantity": "step_seconds",
        "cheaper_below": "global",
        "cheaper_above": "rnn",
        "length": 1000,
    }
    longest = {(each["mixer"], each["limit"]): each for each in stored["longest"]}
    assert longest["rnn", "seconds"]["length"] == 1000
    assert longest["global", "seconds"]["length"] == 1000
    assert longest["rnn", "gib"]["extrapolated"]
    output = capsys.readouterr().out
    assert "A training step takes longer with global than with rnn from 1,000 positions" in output
    assert "plain at 1,024: does not fit: needs 41 GiB, the limit is 20 GiB" in output
    assert "Within 0.001 s a step, global: up to 1,000 positions" in output
    assert "Within 0.001 s a step, global: up to 1,000 positions" in markdown(results)
    with (tmp_path / "scaling.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert rows[0]["mixer"] == "rnn"
    assert float(rows[0]["step_seconds_high"]) == pytest.approx(1.1 * 256e-6)
    assert {row["status"] for row in rows} == {"measured", "does not fit"}


def cells_of(mixer: str, seconds: dict[int, tuple[float, float]], gib: float = 0.0) -> list[dict]:
    """Measured cells: by length the lowest and the highest time of a step; bytes a position."""
    cells = []
    for length, (low, high) in seconds.items():
        times = {"median": (low + high) / 2, "low": low, "high": high}
        share = int(gib * length * 2**30)
        cells.append(
            dict.fromkeys(QUANTITIES)
            | {"mixer": mixer, "length": length, "step_seconds": times}
            | {"temporary_bytes": share, "argument_bytes": 3 * share}
        )
    return cells


@pytest.mark.parametrize(("high", "crosses"), [(5.0, True), (9.0, False)])
def test_a_crossing_shows_at_both_ends(high, crosses):
    """Where what was measured overlaps at one end, the two are not told apart there."""
    level = cells_of("level", {256: (4.0, 4.2), 512: (5.9, 6.1), 1024: (7.9, 8.1)})
    steep = cells_of("steep", {256: (2.0, 2.2), 512: (6.1, 6.3), 1024: (8.0, 8.4)})
    steep[-1]["step_seconds"] |= {"median": 9.5, "low": 13.5 - high, "high": 10.0}
    found = summarise(level + steep, 256, {})["crossovers"]
    assert [one["cheaper_below"] for one in found] == ["steep"] * crosses


def test_memory_is_that_of_temporaries_and_arguments():
    """A thousandth of a GiB a position, and three of arguments: 16 GiB hold 4,000 positions."""
    cells = cells_of("rnn", dict.fromkeys((1000, 2000, 8000), (1.0, 1.0)), gib=1e-3)
    (found,) = summarise(cells, 1000, {"gib": 16.0})["longest"]
    assert found["length"] == pytest.approx(4000, abs=1)
    assert not found["extrapolated"]


@pytest.mark.parametrize("last", [4.2, 40.0])
def test_what_three_points_do_not_tell_is_not_printed(last):
    """Neither an exponent between -1 and 4 nor the length to which that would reach."""
    cells = cells_of("rnn", {1000: (1.0, 1.0), 2000: (2.05, 2.05), 4000: (last, last)})
    for cell in cells:
        cell["status"] = "measured"
    results = {"cells": cells, "target": None, "quality": []}
    results |= summarise(cells, 1000, {"seconds": 1e9})
    assert results["fits"][0]["quantity"] == "step_seconds", "the data are kept, and their interval"
    told = markdown(results)
    if last == 4.2:
        assert "| rnn | 1.04 (" in told
        assert "- Within 1e+09 s a step, rnn: at least 16,000 positions, by extrapolation" in told
    else:
        assert "Exponents" not in told
        assert "- Within 1e+09 s a step, rnn: at least 4,000 positions\n" in told


@pytest.mark.slow
def test_done_cells_are_not_measured_again(fake, tmp_path):
    scale(config(mixers="rnn,plain", lengths="512,1024"), FILE, str(tmp_path))
    assert fake == [("rnn", 512), ("plain", 512), ("rnn", 1024), ("plain", 1024)]
    fake.clear()
    scale(config(mixers="rnn,plain", lengths="512,1024"), FILE, str(tmp_path))
    assert fake == []
    scale(config(mixers="rnn,global", lengths="256,512"), FILE, str(tmp_path))
    assert fake == [("rnn", 256), ("global", 256), ("global", 512)], "only what is added"
    fake.clear()
    (tmp_path / "cells/rnn-512.json").unlink()
    other = config(mixers="rnn,plain", lengths="512,1024", limits__memory_gib=30.0)
    results = scale(other, FILE, str(tmp_path))
    assert fake == [("rnn", 512), ("plain", 1024)], "the deleted one, and what a limit had ended"
    assert len(results["cells"]) == 4


@pytest.mark.slow
def test_a_step_may_hold_the_same_tokens_at_each_length(fake, tmp_path, monkeypatch):
    """A folder that says nothing of them holds batches of one size."""
    sizes = []
    run = scaling.run_child
    monkeypatch.setattr(
        scaling, "run_child", lambda *a: sizes.append(a[1]["batch_size"]) or run(*a)
    )
    scale(config(mixers="rnn", lengths="256,1024", tokens=2048), FILE, str(tmp_path / "a"))
    assert sizes == [8, 2]
    scale(config(mixers="rnn", lengths="256", batch_size=3), FILE, str(tmp_path / "b"))
    stored = read_json(tmp_path / "b/config.json")
    del stored["tokens"]
    (tmp_path / "b/config.json").write_text(json.dumps(stored))
    scale(config(mixers="rnn", lengths="256,512", batch_size=3), FILE, str(tmp_path / "b"))
    assert sizes == [8, 2, 3, 3]
    with pytest.raises(UserError, match="holds another scaling: tokens=0, now 1024"):
        scale(config(mixers="rnn", lengths="256", tokens=1024, batch_size=3), FILE, f"{tmp_path}/b")


@pytest.mark.slow
def test_other_folders_are_refused_in_one_line(fake, tmp_path):
    scale(config(mixers="rnn", lengths="256"), FILE, str(tmp_path / "scaling"))
    refusals = {
        "scaling": (config(mixers="rnn", width=16), "holds another scaling: width=8, now 16"),
        "run": (config(), "holds a run, not a scaling"),
        "else": (config(), "holds something else"),
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text('{"seed": 0}')
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("mine")
    for name, (changed, message) in refusals.items():
        with pytest.raises(UserError, match=message) as caught:
            scale(changed, FILE, str(tmp_path / name))
        assert "\n" not in str(caught.value)
    assert len(fake) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixers": "lstn"}, "config.mixers: 'lstn' can't be scaled; did you mean 'lstm'?"),
        ({"mixers": "()"}, "config.mixers=() names none"),
        ({"lengths": "()"}, "config.lengths=() names none"),
        ({"lengths": "256,256"}, "names one twice"),
        ({"lengths": "0,256"}, "0 is below 1"),
        ({"lengths": "256,0"}, "0 is below 1"),
        ({"mixers": "rnn,lstn"}, "config.mixers: 'lstn' can't be scaled; did you mean 'lstm'?"),
        ({"lengths": "a,b"}, "config.lengths=('a', 'b')"),
        ({"width": 10, "mixers": "rnn,global"}, "global of width=10"),
        ({"dtype": "float16"}, "config.dtype='float16': Settings wants one of 'float32', "),
        ({"repeats": 0}, "config.repeats=0 is below 1"),
        (
            {"tokens": 1536},
            "tokens=1536 is no multiple of the length [1024]; take one of all lengths",
        ),
        ({"tokens": -256}, "config.tokens=-256 is below 0"),
        ({"limits__seconds": 0.0}, "limits.seconds=0.0 is not above 0"),
    ],
)
def test_a_bad_config_is_refused_in_one_line(changes, message):
    with pytest.raises(ConfigError) as caught:
        read_settings(config(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_leaf_of_the_config_is_read():
    whole = config()
    for path in flatten(whole):
        absurd = whole.copy_and_resolve_references().unlock()
        *sections, leaf = path.split(".")
        section = absurd
        for name in sections:
            section = section[name]
        with section.ignore_type():
            section[leaf] = b"absurd"
        with pytest.raises(ConfigError) as caught:
            read_settings(absurd)
        assert f"{path}=b'absurd'" in str(caught.value)


@pytest.mark.slow
def test_unknown_targets_and_tasks_are_refused(fake, tmp_path):
    for target, message in {
        "v5e:4x4": "is not FAMILY:NAME:TOPOLOGY, such as tpu:v5e:4x4",
        "tpu:v5x:4x4": "no tpu 'v5x'; did you mean 'v5p'",
        "gpu:h100:4x4": "'4x4' is no topology of h100; try 8",
        "tpu:v5e:x4": "'x4' is no topology of v5e; try 4x4",
        "tpu:v5e:4x²": "'4x²' is no topology of v5e; try 4x4",
    }.items():
        with pytest.raises(UserError) as caught:
            scale(config(), FILE, str(tmp_path / "a"), target)
        assert message in str(caught.value)
    with pytest.raises(UserError, match="quality='needel' is not known; did you mean 'needle'"):
        scale(config(), FILE, str(tmp_path / "a"), tasks=("needel",))
    assert not (tmp_path / "a").exists()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_table_leaves_no_process_and_goes_on(number, tmp_path, tmp_path_factory, fake):
    """The first cell is done, the second would wait for ten minutes."""
    waiting = tmp_path_factory.mktemp("stopped") / "waiting"
    program = (
        # A shell's background job ignores SIGINT, and so would what it starts.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"import os; os.environ['WAITING'] = {str(waiting)!r};"
        f"import sys; sys.argv = ['scaling.py', '--config={FILE}', '--workdir={tmp_path}',"
        "'--config.mixers=rnn,local', '--config.lengths=256', '--config.width=8'];"
        f"import seqmodels.scaling.run as s; s.CELL = '{FAKE}';"
        "from seqmodels.__main__ import main; main('scaling')"
    )
    process = start(["-c", program], tmp_path / "cache")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(waiting.exists, lives(process))
    assert (tmp_path / "cells/rnn-256.json").exists()
    (started,) = map(int, children.read_text().split())
    os.kill(process.pid, number)
    code, _, errors = finish(process)
    deadline = time.monotonic() + 120
    while alive(started):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGINT:
        assert (code, errors) == (130, "scaling.py: stopped\n")
        assert [cell["mixer"] for cell in read_json(tmp_path / "scaling.json")["cells"]] == ["rnn"]
    again = config(mixers="rnn,global", lengths="256")
    scale(again, FILE, str(tmp_path))
    assert fake == [("global", 256)]


def child_here(module, request, memory, seconds, environment=None):
    """As run_child, in this process and without its limits."""
    del memory, seconds, environment
    found, program = {}, importlib.import_module(module)
    keeps_programs = jax.config.jax_enable_compilation_cache
    with (
        patch.object(program, "read_request", lambda: json.loads(json.dumps(request))),
        patch.object(program, "tell", lambda **said: found.update(said)),
    ):
        try:
            program.main()
        finally:
            jax.config.update("jax_enable_compilation_cache", keeps_programs)
    return Ending(found, None, None)


@pytest.mark.slow
def test_a_table_is_measured_refused_and_trained(tmp_path, monkeypatch, capsys):
    """Two small cells, of which one needs more than there is.

    The one that fits is the command's, in processes of its own; this process adds the other.
    """
    small = {
        "mixers": "gru",
        "lengths": "2048",
        "batch_size": "8",
        "width": "8",
        "depth": "1",
        "repeats": "2",
        "limits.memory_gib": "1.0",
        "quality.steps": "2",
        "quality.batch_size": "2",
        "quality.examples": "2",
        "quality.longest": "2048",
    }
    flags = [f"--config={FILE}", f"--workdir={tmp_path}", "--quality=needle"]
    flags += [f"--config.{key}={value}" for key, value in small.items()]
    program = (
        "import os, sys; os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = 'true';"
        "import seqmodels.scaling.run as s;"
        "s.measure_quality = lambda *given: print('to train on', given[2]) or [];"
        f"sys.argv = {['scaling.py', *flags]};"
        "from seqmodels.__main__ import main; main('scaling')"
    )
    code, output, errors = finish(start(["-c", program], tmp_path / "cache"))
    assert (code, errors) == (0, "")
    assert "to train on ('needle',)" in output
    (measured,) = read_json(tmp_path / "scaling.json")["cells"]
    assert (measured["mixer"], measured["length"]) == ("gru", 2048)
    assert measured["status"] == "measured"
    for name in ("step_seconds", "forward_seconds", "decode_seconds"):
        time = measured[name]
        assert 0 < time["low"] <= time["median"] <= time["high"]
        assert time["repeats"] == 2
    assert measured["sequential_depth"] == 2048 + 1
    assert measured["state_bytes"] == 4 * 8
    assert measured["peak_bytes"] > measured["temporary_bytes"] > 8 * 2048 * 8 * 4
    assert measured["step_flops"] == pytest.approx(3 * measured["forward_flops"], rel=0.02)

    monkeypatch.setattr(scaling, "run_child", child_here)
    monkeypatch.setattr(quality, "run_child", child_here)
    more = load_config(FILE, list((small | {"mixers": "gru,plain"}).items())).config
    stored = scale(more, FILE, str(tmp_path), tasks=("needle",))
    assert stored["cells"][0] == measured
    refused = stored["cells"][1]
    assert (refused["mixer"], refused["status"]) == ("plain", "does not fit")
    assert refused["reason"].startswith("needs ")
    assert refused["reason"].endswith(" GiB, the limit is 1 GiB")
    assert refused["temporary_bytes"] > 8 * 2048**2 * 4 * 4
    (entry,) = stored["quality"]
    assert (entry["mixer"], entry["length"], entry["task"]) == ("gru", 2048, "needle")
    assert (entry["score"], entry["status"], entry["steps"]) == ("accuracy", "trained", 2)
    assert entry["chance"] == 1 / 14
    assert 0 <= entry["mean"] <= 1
    assert entry["step_seconds"] == measured["step_seconds"]["median"]
    assert (tmp_path / "quality/needle-gru-2048/results.json").exists()
    assert "plain at 2,048: does not fit: needs" in capsys.readouterr().out


def test_a_missing_extra_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        scale(config(), FILE, str(tmp_path / "a"), "tpu:v5e:4x4")
    message = "target=tpu:v5e:4x4: compiling for v5e needs libtpu; pip install -e '.[tpu]'"
    assert (caught.value.exit_code, str(caught.value)) == (2, message)
    assert not (tmp_path / "a").exists()


def test_a_recurrent_network_by_newtons_method_is_a_row_of_its_own():
    """Whose depth hardly grows with the length; wider than its Jacobians go, it is refused."""
    depths = {
        mixer: [
            language_model(model_section(mixer, 32, 1, "float32", n), n, 1).cost(n).sequential_depth
            for n in (1024, 8192)
        ]
        for mixer in ("rnn", "newton")
    }
    assert depths["rnn"][1] > 7.9 * depths["rnn"][0]
    assert depths["newton"][1] < 1.5 * depths["newton"][0]
    with pytest.raises(ConfigError, match=r"newton of width=64 .*form='newton' has Jacobians"):
        read_settings(config(mixers="newton", lengths="512", width=64))
