"""Several processes that train one model, and runs that go on with another number of them."""

import json
import random
import shutil
import socket
from pathlib import Path

import jax
import numpy as np
import pytest

from seqmodels.errors import UserError
from seqmodels.training import fit as fit_module
from seqmodels.training.endings import in_terms_of_the_run
from seqmodels.training.fit import fit
from seqmodels.training.interruption import RunInterruptedError
from seqmodels.training.processes import join_processes, largest
from seqmodels.training.quiet_errors import passed_on
from tests.command_line import (
    QUICKLY,
    events,
    finish,
    last_state,
    read_json,
    start,
    tiny_config,
    train_command,
)
from tests.moments import at, terminate
from tests.training.recorded_run import recording

STEPS = 16
SETTINGS: dict = {"steps": STEPS, "log_every": 1, "evaluate_every": 8, "length": 16}
EXAMPLES = 16
DRAWN = {"lengths": "uniform", "shortest": 9}


def recorded(file: Path) -> dict[int, dict[str, str]]:
    """The rows of each step's batch; a batch that is seen twice must be the same twice."""
    batches: dict[int, dict[str, str]] = {}
    for line in map(json.loads, file.read_text().splitlines()):
        rows = batches.setdefault(line["step"], {})
        assert all(rows.get(row, digest) == digest for row, digest in line["rows"].items())
        rows |= line["rows"]
    return batches


def train(folder: Path, record: Path, monkeypatch, stop: int | None = None) -> None:
    """Trains in this process on two devices; up to a step, if one is given."""
    config = tiny_config(**SETTINGS).unlock()
    config.task.evaluation_examples = EXAMPLES
    with config.train.ignore_type():
        config.train.update(DRAWN)
    with monkeypatch.context() as patched:
        patched.setattr(fit_module, "Batches", recording(record))
        if stop is None:
            fit(config, folder, devices=2)
        else:
            with pytest.raises(RunInterruptedError, match=f"^interrupted at step {stop}, which"):
                fit(config, folder, devices=2, observers=[at("step done", stop, terminate)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_run_goes_on_with_one_process_and_then_with_two(tmp_path, monkeypatch):
    """It sees batch for batch what an unbroken run sees, and ends where that does."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(whole, tmp_path / "whole.jsonl", monkeypatch)
    expected = recorded(tmp_path / "whole.jsonl")
    assert {len(rows) for rows in expected.values()} == {8}

    # As if killed after step 8; the record of what came before is the whole run's.
    shutil.copytree(whole, broken)
    shutil.rmtree(broken / "checkpoints/16")
    (broken / "results.json").unlink()
    record = tmp_path / "broken.jsonl"
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:8]))
    stop_at = random.Random(2026).randrange(10, STEPS - 1)
    train(broken, record, monkeypatch, stop=stop_at)
    for name, value in events(whole, "train")[stop_at - 1].items():
        assert events(broken, "train")[-1][name] == value, "bitwise on as many devices"

    flags = [f"--config.train.{key}={value}" for key, value in (SETTINGS | DRAWN).items()]
    flags.append(f"--config.task.evaluation_examples={EXAMPLES}")
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    records = [tmp_path / f"process-{process}.jsonl" for process in (0, 1)]
    processes = [
        start(
            [
                *("-m", "tests.training.recorded_run", str(records[process])),
                *train_command(broken, *flags, "--processes=2", f"--process={process}")[1:],
                *(coordinator, "--devices=2"),
            ],
            tmp_path / "cache",
            **QUICKLY,
        )
        for process in (0, 1)
    ]
    (code, output, errors), (other_code, other_output, other_errors) = map(finish, processes)
    assert (code, other_code) == (0, 0), errors + other_errors
    assert f"continuing from step {stop_at} in {broken}\n" in output
    assert "on 2 cpu devices of 2 processes that share the batch" in output
    assert "step" not in other_output, "the first process alone prints"

    seen = [recorded(file) for file in records]
    for step in range(stop_at, STEPS):
        assert set(seen[0][step]) == {"0", "1", "2", "3"}
        assert set(seen[1][step]) == {"4", "5", "6", "7"}
    together = recorded(record)
    for of_process in seen:
        for step, rows in of_process.items():
            together.setdefault(step, {}).update(rows)
    assert together == expected

    pairs = zip(events(broken, "train"), events(whole, "train"), strict=True)
    for event, other in pairs:
        assert event.pop("split") == other.pop("split")
        assert event == pytest.approx(other, rel=1e-4)
    (step, state), (whole_step, whole_state) = last_state(broken), last_state(whole)
    assert step == whole_step == STEPS
    for leaf, other in zip(state, whole_state, strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)
    results, others = (read_json(folder / "results.json") for folder in (broken, whole))
    for split in ("validation", "test"):
        assert results[split] == pytest.approx(others[split], rel=1e-4)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("2", None, "a:1"), "process=... is missing; processes=2 needs it"),
        (("2", 1, None), "coordinator=... is missing; processes=2 needs it"),
        (("two", 0, "a:1"), "processes=two is neither a number from 1 nor auto"),
        (("0", 0, "a:1"), "processes=0 is neither a number from 1 nor auto"),
        (("²", 0, "a:1"), "processes=² is neither a number from 1 nor auto"),
        (("2", 2, "a:1"), "process=2 is not from 0 to 1"),
        (("2", 1, "a"), "coordinator=a is not HOST:PORT"),
        ((None, 1, None), "process=1 is never read with processes=None"),
        (("auto", None, "a:1"), "coordinator=a:1 is never read with processes=auto"),
    ],
)
def test_refused(flags, message):
    with pytest.raises(UserError) as caught:
        join_processes(*flags)
    assert str(caught.value) == message


def test_a_single_process_asks_nobody():
    join_processes(None, None, None)
    assert largest(15) == 15


DIED = """\
W1126 01:04:45.388211   16093 preemption_sync_manager.cc:147] Failed to retrieve notice: UNAVAILABLE
Additional GRPC error information from remote target coordination_service while calling GetKeyValue:
=== Source Location Trace: ===
. This is only expected if one of the tasks is unhealthy.

E1126 01:04:45.388380   16093 coordination_service_agent.cc:288] Polled an error from the service
F1126 01:04:45.388393   16093 client.h:86] Terminating process because of fatal errors
:UNAVAILABLE:Stream removed (Socket closed)
"""
SAID = "train.py: process 0 has ended or can't be reached (UNKNOWN), at step 8; saved: 6\n"
WARNED = (
    "warning: nothing to do with it\n",
    "W1126 01:04:45.388211   16093 gpu.cc:1] nor has this\n",
)
TASK_3 = (
    "F1126 01:04:45.3 1 coordination_service_agent.cc:1] /job:jax_worker/replica:0/task:3 died\n"
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["".join(WARNED), DIED, SAID], [*WARNED, SAID]),
        ([SAID, DIED, *WARNED], [SAID, *WARNED]),
        ([DIED], ["train.py: process 0 has ended or can't be reached, which ends"]),
        (
            [TASK_3, DIED],
            ["train.py: process 3 has ended or can't be reached, which ends"],
        ),
        (
            [DIED, "RPC: CoordinationService/RegisterTask\n"],
            ["train.py: some of the processes have"],
        ),
        (["Traceback (most recent call last):\n", "  File x\n", "ValueError\n"], None),
        (["\n", "  odd\n"], None),
    ],
)
def test_of_an_ended_process_one_line_is_told(written, expected):
    lines = "".join(written).splitlines(keepends=True)
    found = list(passed_on(lines, "train.py"))
    assert len(found) == len(expected or lines)
    for line, begin in zip(found, expected or lines, strict=True):
        assert line.startswith(begin)
        assert line.endswith("\n")


@pytest.mark.parametrize(("count", "which"), [(2, "process 1"), (4, "one of 1, 2, 3")])
def test_a_process_that_has_ended_is_named(monkeypatch, count, which):
    monkeypatch.setattr(jax, "process_count", lambda: count)
    error = jax.errors.JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer")
    known = in_terms_of_the_run(error, lambda: "at step 45; saved: 40")
    assert str(known) == (
        f"{which} has ended or can't be reached (JaxRuntimeError: {error}), at step 45; saved: 40; "
        "the same command in every process continues"
    )
