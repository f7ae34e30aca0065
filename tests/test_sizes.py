"""Sizes beyond the machine: one line with the size and what there is, and nothing is computed."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.errors import ConfigError, UserError
from seqmodels.evaluation.lengths import Asked, _check, read_lengths
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.generation.decoding import Sampling
from seqmodels.generation.run import _continue_text, generate
from seqmodels.model import Model, build_model
from seqmodels.tasks import TASKS
from seqmodels.tasks.base import Batch, TaskSpec
from seqmodels.tasks.files.text import Text
from seqmodels.training import experiment, memory
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.optimizer import Optimizer, make_optimizer
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh
from seqmodels.training.workdir import Workdir
from tests.command_line import ROOT, tiny_config

GIB = 2**30
GRU: dict[str, Any] = {"depth": 1, "pattern": ("gru",), "mixers": {"gru": {"kind": "gru"}}}
LANGUAGE = TaskSpec("many-to-many", "tokens", 256, 256, True, "loss", False)


def optimizer(model: Model, **settings: Any) -> Optimizer:
    return make_optimizer({"learning_rate": 1e-3, **settings}, 2, model.parameters)


@pytest.fixture(autouse=True)
def eight_gib(monkeypatch):
    """A machine of 8 GiB, wherever this runs."""
    monkeypatch.setattr(memory, "machine_bytes", lambda: 8 * GIB)


@pytest.fixture
def nothing_is_drawn(monkeypatch):
    for task in {cls for made in TASKS.values() for cls in made.__mro__ if "batch" in vars(cls)}:
        monkeypatch.setattr(task, "batch", lambda *_: pytest.fail("a batch was drawn"))


@pytest.mark.parametrize("file", ["copy", "recall", "languages", "memory", "set", "reverse"])
@pytest.mark.parametrize(
    ("key", "value", "least"),
    [
        ("train.length", 10**9, 200),
        ("train.batch_size", 10**11, 1000),
        ("task.evaluation_examples", 10**17, 10**8),
    ],
)
@pytest.mark.usefixtures("nothing_is_drawn")
def test_batches_and_splits_beyond_the_machine(file, key, value, least):
    config = load_whole(f"{ROOT}/configs/{file}.py", [(key, str(value))]).config
    with pytest.raises(ConfigError) as caught:
        build_experiment(config)
    message = str(caught.value)
    assert f"{key}={value}" in message
    size = float(message.split("at least ")[1].split(" GiB")[0].replace(",", ""))
    assert size >= least
    assert "this machine has 8 GiB; lower " in message
    assert "\n" not in message


def test_a_model_beyond_the_machine(monkeypatch):
    config = load_whole(f"{ROOT}/configs/copy.py", [("model.width", "100000")]).config
    with pytest.raises(ConfigError) as caught:
        run_mesh(build_experiment(config), 1)
    assert str(caught.value).startswith("model.width=100000, model.depth=")
    assert "GiB, and this machine has 8 GiB; lower model.width or model.depth" in str(caught.value)
    with pytest.raises(ConfigError, match="or take one device in place of 2, each of which"):
        run_mesh(build_experiment(config), 2)


@pytest.mark.parametrize(("devices", "rows", "fits"), [(1, 2**15, True), (1, 2**16, False)])
def test_activations_beyond_the_machine(devices, rows, fits):
    """2 bytes of 64 features at 2,048 positions: 256 KiB a row, of which 8 GiB hold 32,768."""
    model = build_model(GRU | {"width": 64}, LANGUAGE)
    sizes = (model, optimizer(model), make_mesh(devices), rows, 2048)
    if fits:
        memory.require_model_memory(*sizes)
    else:
        with pytest.raises(ConfigError, match=r"65,536 rows of 2,048 positions .* 16 GiB"):
            memory.require_model_memory(*sizes)


def test_parameters_are_counted_with_their_moments(monkeypatch):
    """Three numbers of 4 bytes for each, once a device of a CPU; two where one is kept."""
    model = build_model(GRU | {"width": 64}, LANGUAGE)
    count = sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))
    )
    for devices in (1, 2):
        monkeypatch.setattr(memory, "machine_bytes", lambda n=devices: 12 * count * n)
        memory.require_model_memory(model, optimizer(model), make_mesh(devices), 1, 1)
        monkeypatch.setattr(memory, "machine_bytes", lambda n=devices: 12 * count * n - 1)
        with pytest.raises(ConfigError, match=f"{count:,} parameters .the largest, "):
            memory.require_model_memory(model, optimizer(model), make_mesh(devices), 1, 1)
        lion = optimizer(model, kind="lion")
        monkeypatch.setattr(memory, "machine_bytes", lambda n=devices: 8 * count * n)
        memory.require_model_memory(model, lion, make_mesh(devices), 1, 1)


def test_what_does_not_fit_in_memory_while_it_is_built_is_one_line(monkeypatch):
    def full(*_, **__):
        raise MemoryError("Unable to allocate 745. GiB for an array with shape (100000000000,)")

    monkeypatch.setattr(experiment, "construct_kind", full)
    with pytest.raises(ConfigError, match=r"more than the \d+ GiB .* \(Unable to allocate 745"):
        build_experiment(load_whole(f"{ROOT}/configs/copy.py").config)


def test_the_machine_has_as_much_as_its_container(monkeypatch, tmp_path):
    monkeypatch.undo()
    whole = memory.machine_bytes()
    assert GIB / 8 < whole < 2**50
    for text, expected in (("max\n", None), ("1048576\n", 2**20)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(memory, "Path", lambda _: tmp_path / "memory.max")
        assert memory.machine_bytes() == (expected or memory.machine_bytes())


def loaded(of: Experiment) -> LoadedRun:
    """As if trained; nothing of it is read."""
    return LoadedRun(Workdir("no-such-run"), of, 0, {}, make_mesh(1))


@pytest.mark.parametrize("text", ["32,33,...,1000000000", "1,3,...,9999999"])
def test_too_many_lengths(text):
    with pytest.raises(UserError, match=r"lengths; at most 1,000 are taken"):
        read_lengths(text)


@pytest.mark.parametrize("chunk", [None, 64])
def test_a_length_to_evaluate_beyond_the_machine(chunk):
    run = loaded(build_experiment(load_whole(f"{ROOT}/configs/memory.py:mixer=gru").config))
    message = (
        "lengths=1000000000: 1,000,000,000 positions: the inputs of a batch take at least 238 GiB"
    )
    with pytest.raises(UserError, match=message):
        _check(run, Asked("test", (10**9,), chunk=chunk))


def test_a_text_beyond_the_machine():
    model = build_model(GRU | {"width": 8}, LANGUAGE)
    run = loaded(build_experiment(tiny_config())._replace(model=model))
    with pytest.raises(UserError, match=r"1,000,000,000,001 tokens take at least 3,725 GiB"):
        _continue_text(run, object.__new__(Text), 10**12, "a", Sampling(), jax.random.key(0))


def test_a_depth_of_1000_is_refused_at_once():
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"model.depth=1000 is above 256"):
        build_model(GRU | {"width": 8, "depth": 1000}, LANGUAGE)
    with pytest.raises(ConfigError, match=r"model.depth=1000000000 is above 256"):
        build_model(GRU | {"width": 8, "depth": 10**9}, LANGUAGE)
    assert time.monotonic() - start < 10


READS = TaskSpec("sequence-to-sequence", "tokens", 5, 4, False, "exact_match", True, end=3)
LEARNED = {"width": 8, "positions": "learned", "max_length": 6}


@pytest.mark.slow
def test_what_is_longer_than_learned_positions_is_refused_wherever_it_is_read():
    """A whole sequence, a source to write for, a prompt: the last position would serve the rest."""
    scored, params = build_model(GRU | LEARNED, LANGUAGE), {}
    tokens = np.zeros((1, 7), np.int32)
    batch = Batch(tokens, tokens, np.ones((1, 7), np.float32), np.ones((1, 7), bool))
    params = scored.init(jax.random.key(0))
    message = r"model\.max_length=6 is below the length 7 that is asked for"
    with pytest.raises(ConfigError, match=message):
        scored.apply(params, batch)
    with pytest.raises(ConfigError, match=message):
        scored.start(params, 1, 7)
    run = loaded(build_experiment(tiny_config())._replace(model=scored))._replace(params=params)
    with pytest.raises(ConfigError, match="lengths=7: " + message):
        _check(run, Asked("test", (7,), chunk=4))
    with pytest.raises(ConfigError, match=message):
        generate(scored, params, jnp.asarray(tokens[:, :3]), 4, Sampling(), jax.random.key(0))
    writer = build_model(LEARNED | {"encoder": GRU, "decoder": GRU, "pooling": "mean"}, READS)
    params = writer.init(jax.random.key(0))
    short = batch._replace(targets=tokens[:, :4], weights=np.ones((1, 4), np.float32))
    for call in (lambda: writer.apply(params, short), lambda: writer.start(params, short, 4)):
        with pytest.raises(ConfigError, match=message):
            call()
