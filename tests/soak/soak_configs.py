"""Malformed configs, drawn from the real ones: one line before anything is compiled, or they run.

500 of them by default (CONFIGS=2000 for more, SEED=1 for others), of one to six changes each:
values of other types and out of range, huge sizes, keys that are missing, misspelt or of something
else, and sections of other configs. What is not refused is traced, and one in a dozen of those
compiled and run for a step. Ten minutes.
"""

import copy
import gc
import os
import resource
import signal
import traceback
from collections import Counter
from contextlib import contextmanager
from typing import Any

import jax
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
from rich.table import Table

from seqmodels.config import flatten
from seqmodels.errors import UserError
from seqmodels.model import count_parameters
from seqmodels.training import memory
from seqmodels.training.devices import run_mesh
from seqmodels.training.experiment import Experiment, build_experiment
from seqmodels.training.programs import Programs, abstract_state, new_state
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh, put_batch
from seqmodels.training.step import jit_evaluation_step
from tests.test_configs import FILES, MIXER_WORDS, PRESETS, ROOT, reduced, shallow, with_sets

EXAMPLES = int(os.environ.get("CONFIGS", 500))
SEED = int(os.environ.get("SEED", 0))
EVERY = 12
"""One in so many of those that are not refused is compiled."""
SECONDS = 30
"""That refusing or tracing one takes at most, and seconds to compile are not limited."""
GIB = 2**30
OTHER_TASKS = [
    *[f"memory.py:task={n}" for n in ("delayed_copy", "adding", "induction", "needle")],
    *[f"memory.py:task={n}" for n in ("in_context_recall", "fuzzy_recall", "memorisation")],
    *[f"languages.py:task={n}" for n in ("even_pairs", "cycle_navigation", "word_problem")],
    *[f"languages.py:task={n}" for n in ("modular_arithmetic,length=41", "listops,length=64")],
    *[f"reverse.py:task={n}" for n in ("sort", "duplicate", "stack_manipulation")],
    *["reverse.py:task=compression,cross=none", "reverse.py:task=dates,length=29"],
    *["set.py:operation=count", "source.py:task=same_file"],
    "files.py:kind=images,length=32",
]
# Of every type, at every edge, and what settings elsewhere are called.
VALUES = (
    *(None, True, False, "", "x", "none", "last", "learned", "gated", "rotary", "additive"),
    *(0, 1, 2, 3, 5, 7, 16, 100, 257, -1, -7, 2**31, 2**32 - 1, 2**63, 10**12, 10**400),
    *(0.0, 0.5, 1.0, 1.5, -0.5, 1e-30, 1e30, 1e308, float("nan"), float("inf"), -float("inf")),
    *(
        (),
        (1,),
        (3, 3),
        (3, 3, 3),
        (2, 2),
        (1, 1, 1, 1),
        ("x",),
        ("a", "b"),
        ((1,),),
        (0,),
        (-3, 5),
    ),
    *({}, {"a": 1}, {"kind": "gru"}, {"kind": 3}, {"kind": "x"}, b"x", 1j),
    *("\0", "x" * 5000, "[", "**", "~", "/", "a\nb", "\udcff", "../..", "/dev/null"),
)
# And what is less absurd, so that two of them may fit each other or not.
FITTING = (
    *(4, 6, 8, 9, 12, 24, 31, 32, 33, 48, 64, 65, 128, 1000, 10**5, 2**20, 2**24 - 1),
    *(0.1, 0.25, 0.9, 0.999, 2.0, 4.0, 1e-7, 100.0, (5,), (1, 3), (3, 5), (2,), (7, 7), (1, 1)),
)


def specs() -> list[str]:
    """Every config with every word for its mixer, and its other tasks."""
    words = [(f, w) for f in FILES for w in MIXER_WORDS.get(f, PRESETS)]
    return [f"{f}:mixer={w}" for f, w in words] + [f"configs/{spec}" for spec in OTHER_TASKS]


@pytest.fixture(autouse=True)
def a_machine_of_eight_gib(own_files, monkeypatch):
    """So that no draw can take more of this one, and where configs/files.py finds its files."""
    monkeypatch.chdir(own_files)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 8 * GIB)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (12 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@contextmanager
def at_most(seconds: int):
    def late(number, frame):
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Corpus:
    """The configs that are changed, and what is put in the place of what."""

    def __init__(self):
        self.configs: dict[str, dict[str, Any]] = {}
        for spec in specs():
            config = shallow(reduced(with_sets(load_whole(f"{ROOT}/{spec}").config)))
            self.configs[spec] = config.to_dict()
        self.leaves: dict[str, list[Any]] = {}
        self.sections: dict[str, list[Any]] = {}
        for content in self.configs.values():
            for path, value in flatten(content).items():
                self._add(self.leaves, path.rsplit(".", 1)[-1], value)
            for name in ("task", "model", "optimizer", "train"):
                self._add(self.sections, name, content[name])
            for stack in (content["model"], *map(content["model"].get, ("encoder", "decoder"))):
                for mixer in (stack or {}).get("mixers", {}).values():
                    self._add(self.sections, "mixer", mixer)

    @staticmethod
    def _add(table: dict[str, list[Any]], name: str, value: Any) -> None:
        known = table.setdefault(name, [])
        if repr(value) not in map(repr, known):
            known.append(value)


def paths(content: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where something lies, sections and leaves."""
    found = []
    for key, value in content.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += paths(value, (*prefix, key))
    return found


def change(draw: Any, content: dict[str, Any], corpus: Corpus) -> str:
    """Changes one thing, and says what."""
    path = draw(st.sampled_from(paths(content)))
    section = content
    for name in path[:-1]:
        section = section[name]
    key, old = path[-1], section[path[-1]]
    where = ".".join(path)
    kinds = ["other", "value", "missing", "unknown", *("fitting",) * 8]
    if isinstance(old, bool | str) or old is None:
        kinds.append("leaf")
    elif isinstance(old, int | float):
        kinds += ["scaled", "scaled"]
    kind = draw(st.sampled_from(kinds))
    if kind == "fitting":
        options = [v for v in VALUES + FITTING if type(v) is type(old)]
        options += corpus.leaves.get(key, []) * 3
        section[key] = copy.deepcopy(draw(st.sampled_from(options or VALUES)))
        return f"{where}={section[key]!r:.60}"
    if kind == "missing":
        del section[key]
        return f"without {where}"
    if kind == "unknown":
        name = draw(st.sampled_from([*sorted(corpus.leaves), key + "s", key.upper(), "a b", "é"]))
        section[name] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        return f"with {name} in {'.'.join(path[:-1]) or 'the config'}"
    if kind == "scaled":
        factor = draw(st.sampled_from([-1, 0, 0.5, 2, 3, 1.01, 10, 1000, 1e6, 1e9, 1e18]))
        section[key] = type(old)(old * factor)
    elif kind == "leaf":
        leaf = draw(st.sampled_from(sorted(corpus.leaves)))
        section[key] = draw(st.sampled_from(corpus.leaves[leaf]))
    elif kind == "value":
        section[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    else:
        name = "mixer" if path[-2:-1] == ("mixers",) else key
        others = corpus.sections.get(name) or corpus.leaves.get(name) or VALUES
        section[key] = copy.deepcopy(draw(st.sampled_from(others)))
    return f"{where}={section[key]!r:.60}"


@st.composite
def malformed(draw, corpus: Corpus) -> tuple[str, dict[str, Any]]:
    """A config, and what was done to it in words."""
    spec = draw(st.sampled_from(sorted(corpus.configs)))
    content = copy.deepcopy(corpus.configs[spec])
    count = draw(st.sampled_from([1, 1, 2, 2, 3, 4, 6]))
    changes = []
    for _ in range(count):
        if content:
            changes.append(change(draw, content, corpus))
    return f"{spec} {'; '.join(changes)}", content


def made(content: dict[str, Any]) -> Experiment:
    """As fit does before it compiles."""
    experiment = build_experiment(ConfigDict(content).lock())
    run_mesh(experiment, 1)
    return experiment


def run(experiment: Experiment, compiled: bool) -> None:
    """Traces a step of training and one of evaluation; with ``compiled`` takes them too."""
    mesh = make_mesh(1)
    programs = Programs(experiment, mesh)
    programs.describe()
    train = experiment.train
    prepared = experiment.lengths.batch(0)
    batch = put_batch(prepared.batch, mesh)
    state = abstract_state(experiment, mesh)
    programs._step.trace(state, batch)
    evaluation = jit_evaluation_step(experiment.model, experiment.task, mesh)
    held = experiment.task.batch("validation", 0, train.batch_size, train.length)
    try:
        evaluation.trace(state.params, put_batch(held, mesh))
    except UserError as error:
        raise AssertionError(f"refused after training alone: {error}") from error
    if compiled:
        state = new_state(experiment, mesh)
        programs.compile(state, prepared)
        state, report = programs[prepared.bucket](state, prepared.batch)
        report.read()
        jax.device_get(evaluation(state.params, put_batch(held, mesh)))


def small(experiment: Experiment) -> bool:
    """Whether a step takes a moment."""
    train = experiment.train
    flops = train.batch_size * experiment.cost().flops
    return count_parameters(experiment.model) < 10**6 and flops < 10**9


class Outcomes:
    """What became of the configs."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self.wrong: dict[str, str] = {}

    def fail(self, what: str, error: Exception) -> None:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "/seqmodels/" in f.filename
        ]
        at = f"{frames[-1].filename.split('/seqmodels/')[-1]}:{frames[-1].lineno}" if frames else ""
        said = (str(error).strip().splitlines() or [""])[0][:200]
        self.counts["neither"] += 1
        line = f"{type(error).__name__} at {at}: {said}\n    {what}"
        if at not in self.wrong:
            print(line, flush=True)
        self.wrong.setdefault(at, line)


def judge(what: str, content: dict[str, Any], outcomes: Outcomes) -> None:
    """Refused in one line, or traced, or run; anything else is written down."""
    try:
        with at_most(SECONDS):
            experiment = made(content)
    except UserError as error:
        message = str(error)
        if "\n" in message or len(message) > 2000:
            outcomes.fail(what, ValueError(f"a message of {len(message)} letters: {message:.100}"))
        outcomes.counts["refused in one line"] += 1
        return
    except Exception as error:
        outcomes.fail(what, error)
        return
    try:
        passed = outcomes.counts["traced"] + outcomes.counts["run"]
        compiled = passed % EVERY == 0 and small(experiment)
        with at_most(10 * SECONDS if compiled else SECONDS):
            run(experiment, compiled)
        outcomes.counts["run" if compiled else "traced"] += 1
    except UserError:  # before anything is compiled
        outcomes.counts["refused while it was traced"] += 1
    except Exception as error:
        outcomes.fail(what, error)


def test_a_malformed_config_is_refused_in_one_line_or_runs(show):
    corpus, outcomes = Corpus(), Outcomes()

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(malformed(corpus))
    def draw(case):
        judge(*case, outcomes)
        if sum(outcomes.counts.values()) % 50 == 0:
            jax.clear_caches()
            gc.collect()

    draw()
    table = Table("configs", *outcomes.counts)
    table.add_row(str(sum(outcomes.counts.values())), *map(str, outcomes.counts.values()))
    show(table)
    assert not outcomes.wrong
