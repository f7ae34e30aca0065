"""Every file in configs/: complete, wholly read, and able to train."""

import copy
import functools
import itertools
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from seqmodels.config import construct_kind, flatten, load_config, load_sweep, read_arguments
from seqmodels.errors import ConfigError
from seqmodels.presets import PRESETS
from seqmodels.sweeps.plan import make_plan
from seqmodels.training import experiment as experiments
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from seqmodels.training.sharding import make_mesh, replicated
from seqmodels.training.step import initial_state, jit_train_step
from tests.model_costs import assert_counted
from tests.soaking import SOAK
from tests.tasks.small_sets import small_sets

ROOT = Path(__file__).parents[1]
# A table of costs and no training: tests/scaling/test_scaling.py.
NOT_TRAINED = {"configs/scaling.py"}
ALL_FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("configs/*.py"))
FILES = [file for file in ALL_FILES if file not in NOT_TRAINED]
DIGITS = "configs/digits.py"
# With the other kind of what a config describes, where the kinds share little.
SPECS = [*FILES, "configs/files.py:kind=images,length=32"]
every_file = pytest.mark.parametrize("file", SPECS)
# The words that a config's argument mixer takes, where they are not the presets.
WITH_DIRECTION = tuple(name for name in PRESETS if name != "bidirectional")
MIXER_WORDS = {
    **dict.fromkeys(
        [
            f"configs/{name}.py"
            for name in (
                "text",
                "copy",
                "recall",
                "digits_from_class",
                "memory",
                "languages",
                "files",
            )
        ],
        WITH_DIRECTION,
    ),
    "configs/length.py": (
        *("none", "sinusoidal", "rotary", "rotary_linear", "rotary_ntk", "randomised"),
        *("relative", "alibi", "local", "lstm", "gru", "dilated"),
    ),
    "configs/digits_grid.py": ("conv", "local", "hybrid", "vit"),
    # Of the presets one of each number of heads; one with an MLP and one without.
    "configs/atlas.py": ("retention", "kda", "gru", "local"),
    "configs/hybrid.py": ("gated_deltanet", "mlstm", "conv"),
    "configs/reverse.py": ("rnn", "lstm", "gru", "transformer"),
    "configs/translation.py": ("rnn", "lstm", "gru", "transformer"),
}
CHOICES = [(file, word) for file in FILES for word in MIXER_WORDS.get(file, PRESETS)]
every_choice = pytest.mark.parametrize(("file", "mixer"), CHOICES)
# Each word in some files, each file with some words; tests/soak/soak_costs.py has all of both.
WHOLE = {DIGITS, "configs/reverse.py"}
some_choices = pytest.mark.parametrize(
    ("file", "mixer"), [c for place, c in enumerate(CHOICES) if c[0] in WHOLE or place % 11 == 0]
)


@pytest.fixture(autouse=True)
def beside_own_files(own_files, monkeypatch):
    """The files that configs/files.py looks for unless it is told where they lie."""
    monkeypatch.chdir(own_files)


MADE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def tasks_are_made_once(monkeypatch):
    """A task is a pure function of its settings, and a config has the same one for each mixer."""

    def construct_once(kinds, section, path, **given):
        key = repr((path, dict(section.items()), given))
        if key not in MADE:
            MADE[key] = construct_kind(kinds, section, path, **given)
        return MADE[key]

    monkeypatch.setattr(experiments, "construct_kind", construct_once)


def load(file: str, mixer: str | None = None) -> ConfigDict:
    return with_sets(load_whole(str(ROOT / file) + (f":mixer={mixer}" if mixer else "")).config)


def with_sets(config: ConfigDict) -> ConfigDict:
    """Small sets in place of those that no test machine has; their images have 64 pixels."""
    if config.task.kind.startswith("tfds"):
        config.task.update({"data_dir": str(small_sets())})
        if config.task.input == "image":
            config.train.length = 64
    return config


def shallow(config: ConfigDict) -> ConfigDict:
    """With each mixer of the pattern once."""
    stacks = [config.model]
    if "decoder" in config.model:
        stacks = [s for s in (config.model.encoder, config.model.decoder) if s is not None]
    for stack in stacks:
        stack.depth = len(set(stack.pattern))
        stack.pattern = tuple(dict.fromkeys(stack.pattern))
    return config


def reduced(config: ConfigDict) -> ConfigDict:
    """The same architecture and task, as small as they go."""
    small = {
        "model": {"width": 16},
        "optimizer": {"warmup_steps": 1},
        "train": {"steps": 8, "batch_size": 8, "log_every": 1, "evaluate_every": 2},
        "task": {
            "digits": {},
            "digits_from_class": {},
            "text": {"files": str(ROOT / "seqmodels/**/*.py"), "evaluation_windows": 8},
            "source_package": {"files": str(ROOT / "seqmodels/**/*.py"), "classes": 3},
            "tokens": {"held_out": 0.1, "evaluation_windows": 8},
            "images": {},
            "tfds": {},
            "tfds_pairs": {},
        }.get(config.task.kind, {"evaluation_examples": 8}),
    }
    if config.task.kind not in ("digits", "digits_from_class", "pathfinder", "tfds"):
        small["train"]["length"] = 32
    config.update(small)
    return config


def test_there_are_configs():
    assert DIGITS in FILES


def test_only_what_has_no_task_is_tested_elsewhere():
    without = {file for file in ALL_FILES if "task" not in load_whole(str(ROOT / file)).config}
    assert without == NOT_TRAINED


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_choice_describes_something_else(file):
    words = MIXER_WORDS.get(file, PRESETS)
    # As many presets mean the same in each file that takes them.
    words = words if SOAK or file == DIGITS or len(words) < 20 else list(words)[::6]
    described = {str(load_whole(f"{ROOT / file}:mixer={word}").config.to_dict()) for word in words}
    assert len(described) == len(words)


@pytest.mark.parametrize("file", ALL_FILES)
def test_every_number_that_is_asked_for_is_heeded(file, monkeypatch):
    """Each argument of a config that is a number sets something."""
    defaults: dict[str, Any] = {}

    def note(text: str, **given: Any) -> ConfigDict:
        defaults.update(given)
        return read_arguments(text, **given)

    monkeypatch.setattr("seqmodels.config.read_arguments", note)
    plain = flatten(load_whole(str(ROOT / file)).config)
    numbers = {name: value for name, value in defaults.items() if isinstance(value, int)}
    for name, value in numbers.items():
        assert flatten(load_whole(f"{ROOT / file}:{name}={2 * value or 1}").config) != plain, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "task"),
    [
        *[("memory", task) for task in ("delayed_copy", "adding", "induction", "needle")],
        *[("memory", task) for task in ("in_context_recall", "fuzzy_recall", "memorisation")],
        *[("languages", task) for task in ("even_pairs", "cycle_navigation", "word_problem")],
        ("languages", "modular_arithmetic,length=41"),
        ("languages", "modular_arithmetic_brackets"),
        ("languages", "listops,length=64"),
        *[("atlas", task) for task in ("selective_copy", "parity,short=off")],
        *[("reverse", task) for task in ("sort", "copy_string", "duplicate", "odds_first")],
        ("reverse", "stack_manipulation"),
        ("reverse", "compression,cross=none"),
        ("reverse", "dates,length=29"),
        ("set", "set,operation=count"),
        ("source", "same_file"),
        ("pathfinder", "side,side=128"),
    ],
)
def test_every_task_of_a_config_builds(file, task):
    spec = f"task={task}" if file not in ("set", "pathfinder") else task.split(",")[1]
    few = [("task.files", str(ROOT / "seqmodels/tasks"))] if task == "same_file" else []
    build_experiment(load_whole(str(ROOT / f"configs/{file}.py:{spec}"), few).config)


# The mixers' contract has their gradients; of those on one operation one preset is trained and
# reads images, the others where SOAK is set.
ON_ONE_OPERATION = (
    *("rnn", "gru", "separable", "temporal_block", "gated", "local", "global", "long_convolution"),
    *("mingru", "retention", "slstm"),
    *("minlstm", "lru", "rglru", "griffin", "s4d", "s5", "hyena", "tcn"),
    *("linear_attention", "gla", "mamba2", "mamba3", "mlstm"),
    *("deltanet", "gated_deltanet", "kda", "deltaproduct", "rwkv7", "neighbourhood"),
    *("bidirectional", "hybrid"),
)
SOME_PRESETS = [preset for preset in PRESETS if SOAK or preset not in ON_ONE_OPERATION]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mixer", "layout"),
    # What is permuted is another sequence to all of them.
    [("gru", "permuted"), *itertools.product(SOME_PRESETS, ("sequence", "grid"))],
)
def test_presets_read_images_of_ones_own(mixer, layout):
    spec = f"kind=images,length=32,layout={layout},mixer={mixer}"
    build_experiment(load_whole(str(ROOT / f"configs/files.py:{spec}")).config)


@pytest.mark.parametrize("layout", ["sequence", "permuted", "grid"])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_every_layout_of_images_builds(name, layout):
    spec = f"set={name},layout={layout}"
    build_experiment(with_sets(load_whole(str(ROOT / f"configs/tfds.py:{spec}")).config))


@pytest.mark.parametrize("spec", ["set=imdb_reviews", "set=speech_commands,mixer=tcn"])
def test_every_other_set_builds(spec):
    build_experiment(with_sets(load_whole(str(ROOT / f"configs/tfds.py:{spec},length=64")).config))


# The seeds of each config that has a sweep.
SWEEPS = {DIGITS: [0, 1, 2]}
IN_SOAK = {"configs/atlas.py", "configs/compare.py", "configs/hybrid.py", "configs/recall.py"}
"""In soak/soak_atlas.py: many points, or deep ones."""


def test_every_sweep_is_tested():
    with_one = {f for f in FILES if "def sweep(" in (ROOT / f).read_text()}
    assert with_one == SWEEPS.keys() | IN_SOAK


@pytest.mark.slow
@pytest.mark.parametrize("file", SWEEPS)
def test_every_point_of_a_sweep_builds(file):
    check_sweep(file, SWEEPS[file])


def check_sweep(file: str, seeds: list[int]):
    """Each point builds, and groups differ in their arguments alone: each has the same keys and
    seeds."""
    plan = make_plan(str(ROOT / file), [], None, "grid", None)
    assert len(plan.runs) == len(load_sweep(str(ROOT / file)))
    sizes = [group.settings[0].size["parameters"] for group in plan.groups]
    assert max(sizes) < 2.5 * min(sizes)
    for group in plan.groups:
        assert [s.values for s in group.settings] == [s.values for s in plan.groups[0].settings]
        assert group.seeds == seeds


@pytest.mark.parametrize(
    ("argument", "pattern"),
    [
        ("ratio=1:0", "LLLL"),
        ("ratio=3:1", "LLAL"),
        ("ratio=3:1,place=first,depth=8", "AALLLLLL"),
        ("ratio=3:1,place=last,depth=8", "LLLLLLAA"),
        ("ratio=1:1", "LALA"),
        ("ratio=7:1,depth=16", "LLLLALLLLLLLALLL"),
    ],
)
def test_a_hybrid_holds_its_ratio(argument, pattern):
    model = load_config(f"{ROOT}/configs/hybrid.py:mixer=gla,{argument}").config.model
    letters = {"gla": "L", "global": "A"}
    assert "".join(letters[name] for name in model.pattern) == pattern
    assert (model.depth, set(model.mixers)) == (len(pattern), set(model.pattern))


@pytest.mark.slow
def test_a_hybrid_has_mlps_where_they_were_published():
    """xLSTM[7:1]: beside sLSTM and not beside mLSTM."""
    spec = "mixer=mlstm,other=slstm,ratio=7:1,place=last,depth=8"
    config = load_whole(f"{ROOT}/configs/hybrid.py:{spec}").config
    assert config.model.pattern == ("mlstm",) * 7 + ("slstm",)
    params = jax.eval_shape(build_experiment(config).model.init, jax.random.key(0))
    blocks = params["blocks"]
    assert ["mlp" in blocks[place] for place in sorted(blocks)] == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("depth=6", "depth=6 holds no ratio=3:1, which takes 4 blocks or a multiple; take depth=4"),
        ("ratio=7:1", "depth=4 holds no ratio=7:1, which takes 8 blocks or a multiple; take "),
        ("depth=0", "or a multiple; take depth=4 or 8"),
        ("ratio=5:1", "ratio='5:1' is not known; "),
    ],
)
def test_a_depth_that_holds_no_ratio_is_refused(argument, message):
    with pytest.raises(ConfigError) as caught:
        load_config(f"{ROOT}/configs/hybrid.py:{argument}")
    assert message in str(caught.value)


@pytest.mark.slow
@some_choices
def test_every_choice_builds(file, mixer):
    build_experiment(load(file, mixer))


@functools.cache
def first_leaves() -> dict[str, list[str]]:
    """Of each config the leaves that no earlier one has in a section of the same kind."""
    before: set[tuple[str, Any]] = set()
    first = {}
    for file in SPECS:
        found = flatten(load(file))
        own = {path: (path, found.get(f"{path.rpartition('.')[0]}.kind")) for path in found}
        first[file] = [path for path, key in own.items() if key not in before]
        before.update(own.values())
    return first


@pytest.mark.slow
@every_file
def test_every_leaf_is_read(file):
    """Whatever leaf is set to something absurd, the experiment is refused and the leaf is named."""
    whole = load(file)
    leaves = flatten(whole) if SOAK else first_leaves()[file]
    small = reduced(whole).unlock()
    for path in leaves:
        config = copy.deepcopy(small)
        *sections, leaf = path.split(".")
        section = config
        for name in sections:
            section = section[name]
        with section.ignore_type():
            section[leaf] = b"absurd"
        with pytest.raises(ConfigError) as caught:
            build_experiment(config)
        assert f"{path}=b'absurd'" in str(caught.value)


@pytest.mark.slow
@every_file
def test_a_model_costs_what_its_program_computes(file):
    """soak/soak_costs.py has every choice of every config."""
    of = build_experiment(shallow(load(file)))
    assert_counted(of.model, of.task.batch("train", 0, 1, of.train.length))


OTHER_THAN_ALL = ("text", "recall", "set", "digits_grid", "reverse")
"""Their models read and score what no other's do; with SOAK all are trained."""
TRAINED = [(DIGITS, name) for name in SOME_PRESETS]
TRAINED += [(f, None) for f in SPECS if f != DIGITS and (SOAK or Path(f).stem in OTHER_THAN_ALL)]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "mixer"), TRAINED)
def test_every_config_and_every_family_trains(file, mixer):
    """It begins about at chance, learns one batch, and every parameter has a part in that."""
    of = build_experiment(shallow(reduced(load(file, mixer))))
    mesh = make_mesh(1)
    settings = of.train
    step = jit_train_step(
        of.model, of.task, of.optimizer, settings.accumulate, of.seed, mesh, settings.truncate
    )
    state = jax.jit(
        lambda: initial_state(of.model, of.optimizer, of.seed), out_shardings=replicated(mesh)
    )()
    before = jax.device_get(state.params)
    batch = jax.device_put(of.lengths.batch(0).batch, replicated(mesh))
    losses = []
    for _ in range(settings.steps):
        state, report = step(state, batch)
        total, count = report.read()["loss"]
        losses.append(total / count)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[0] == pytest.approx(math.log(of.task.spec.outputs), abs=1.5)
    assert min(losses[-2:]) < losses[0]
    moved = jax.tree.map(lambda a, b: np.any(a != b), before, jax.device_get(state.params))
    for path, leaf in jax.tree.leaves_with_path(moved):
        assert leaf, jax.tree_util.keystr(path)
