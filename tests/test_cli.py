"""What a mistake on the command line costs: one line, and nothing else."""

import errno
import inspect
import json
import re
import runpy
import signal
from dataclasses import asdict

import jax
import pytest
from absl import flags

from seqmodels import cli, commands
from seqmodels.config import to_dict
from seqmodels.errors import UserError
from seqmodels.evaluation import splits
from seqmodels.generation import run as generation
from seqmodels.mixers import MIXERS
from seqmodels.presets import PRESETS
from seqmodels.stopping import SIGNALS
from seqmodels.training.mesh import MeshSettings
from tests.command_line import CONFIG, ROOT, TINY, call, tiny_config
from tests.moments import Refusing
from tests.report.folders import run_folder

COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: COMPILED.append(event) if "backend_compile" in event else None
)


def assert_one_line(result: tuple[int, str, str], expected: str) -> None:
    """Exit code 2, and one line on standard error that begins as expected."""
    code, output, errors = result
    assert errors.startswith(expected)
    assert (code, output, errors.count("\n"), errors[-1]) == (2, "", 1, "\n")


MISTAKES = {
    "no config": (
        [],
        "--config is missing; name one, such as --config=digits (see: seqmodels list)",
    ),
    "empty config": (["--config="], "--config=: no such file; known: "),
    "no such config": (
        ["--config=configs/digit.py"],
        "--config=configs/digit.py: no such file; did you mean 'configs/digits.py'? (known: ",
    ),
    "misspelt argument": (
        ["--config=configs/copy.py:mixr=lstm"],
        "config argument 'mixr' is not known; did you mean 'mixer'? (known: length, mixer)",
    ),
    "unknown mixer": (
        ["--config=configs/copy.py:mixer=lstn"],
        f"mixer='lstn' is not a preset; did you mean 'lstm'? (known: {min(PRESETS)}, ",
    ),
    "argument of a wrong type": (
        ["--config=configs/copy.py:length=long"],
        "config key length=long: wants int (now 64)",
    ),
    "negative length": (["--config=configs/copy.py:length=-5"], "train.length=-5 is below 1"),
    "length that is too short": (
        ["--config=configs/copy.py:length=19"],
        "train.length=19 can't be made by the task copy: a pattern of 10 takes at least 20",
    ),
    "misspelt flag": (
        [CONFIG, "--wrokdir=x"],
        "Unknown command line flag 'wrokdir'. Did you mean: workdir ? (see --help)",
    ),
    "no flag": ([CONFIG, "runs/x"], "'runs/x' is not a flag; flags look like --name=value (see"),
    "override without value": ([CONFIG, "--config.seed"], "--config.seed has no value; write "),
    "misspelt key": (
        [CONFIG, "--config.optimizer.learning_rat=1"],
        "config key 'optimizer.learning_rat' does not exist; did you mean 'optimizer.learning_rate",
    ),
    "key of another mixer": (
        [CONFIG, "--config.model.mixers.gru.window=3"],
        "config key 'model.mixers.gru.window' does not exist; did you mean ",
    ),
    "key that the new mixer never reads": (
        ["--config=configs/copy.py:mixer=local", "--config.model.mixers.local.kind=gru"],
        "model.mixers.local.window=16 is never read by GRU; known: form",
    ),
    "key of another task": (
        [CONFIG, "--config.task.kind=recall"],
        "task.pattern=10 is never read by Recall; known: evaluation_examples, filler, pairs, ",
    ),
    "unknown mixer kind": (
        ["--config=configs/copy.py:mixer=gru", "--config.model.mixers.gru.kind=gruu"],
        f"model.mixers.gru.kind='gruu' is not known; did you mean 'gru'? (known: {min(MIXERS)}, ",
    ),
    "unknown task": (
        [CONFIG, "--config.task.kind=cpoy"],
        "task.kind='cpoy' is not known; did you mean 'copy'? (known: ",
    ),
    "wrong type": (
        [CONFIG, "--config.train.steps=many"],
        "config key train.steps=many: wants int (now ",
    ),
    "no seed": ([CONFIG, "--config.seed=-1"], "config.seed=-1 is not at least 0 and below 2**32"),
    "heads that do not divide the width": (
        [
            "--config=configs/copy.py:mixer=global",
            "--config.model.width=12",
            "--config.model.mixers.global.heads=5",
        ],
        "model.mixers.global.heads=5 does not divide the width 12; choose one of 1, 2, 3, 4, 6, 12",
    ),
    "window 0": (
        ["--config=configs/copy.py:mixer=local", "--config.model.mixers.local.window=0"],
        "model.mixers.local.window=0 is below 1; a window of 1 is the position itself, None is ",
    ),
    "value with an equals sign": (
        ["--config=configs/text.py", "--config.task.files=/nowhere/a=b/*.txt"],
        "task.files='/nowhere/a=b/*.txt' matches nothing; write a file, a folder, a glob such as ",
    ),
    "glob that matches nothing": (
        ["--config=configs/text.py", "--config.task.files=/nowhere/*.txt"],
        "task.files='/nowhere/*.txt' matches nothing; write a file, a folder, a glob such as ",
    ),
}


def test_the_count_of_compilations_counts():
    before = len(COMPILED)
    jax.jit(lambda x: x + 3)(1.0)
    assert len(COMPILED) == before + 1


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_config_costs_one_line(tmp_path, name):
    arguments, message = MISTAKES[name]
    compiled = len(COMPILED)
    result = call("train.py", *arguments, f"--workdir={tmp_path / 'run'}")
    assert_one_line(result, f"train.py: {message}")
    assert len(COMPILED) == compiled, "something was compiled"
    assert not (tmp_path / "run").exists()


def test_no_workdir():
    message = "train.py: --workdir is missing; it names a folder of the run; made if missing\n"
    assert_one_line(call("train.py", CONFIG), message)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_workdir_that_can_not_be_written(tmp_path, place):
    (tmp_path / "file").write_text("precious")
    compiled, workdir = len(COMPILED), tmp_path / place
    result = call("train.py", CONFIG, *TINY, f"--workdir={workdir}")
    assert_one_line(result, f"train.py: --workdir={workdir} can't be written (")
    assert len(COMPILED) == compiled
    assert (tmp_path / "file").read_text() == "precious"


def test_a_workdir_that_holds_another_run(tmp_path):
    other = to_dict(tiny_config(steps=3)) | {"seed": 5}
    (tmp_path / "config.json").write_text(json.dumps(other))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = call("train.py", CONFIG, *TINY, f"--workdir={tmp_path}")
    differing = "seed=5, now 0; train.steps=3, now 200. Choose another folder, or the same config"
    message = f"train.py: --workdir={tmp_path} holds a run of another config: {differing}\n"
    assert_one_line(result, message)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--workdir is missing; it names a folder of the run"),
        (["--workdir=RUN"], "--workdir=RUN holds no run (no config.json); train first"),
        (["--workdir=RUN", "--generate=x"], "flag --generate=x: invalid literal for int() "),
        (["--workdir=RUN", "--generate=0"], "--generate=0 is below 1"),
        (["--workdir=RUN", "--generate=5", "--temperature=-1"], "--temperature=-1.0 is below 0"),
        (["--workdir=RUN", "--split=tset"], "--split='tset' is not one of train, validation, test"),
        (["--workdir=RUN", "--split="], "--split='' is not one of train, validation, test"),
        (["--workdir=RUN", "--pictures", "--lengths=64"], "--lengths and --pictures are done one"),
        (["--workdir=RUN", "--lengths=64", "--prompt=x"], "--prompt and --lengths are done one at"),
        (["--workdir=RUN", "--stream=8"], "--stream=8 is read with --lengths, and not without any"),
        (["--workdir=RUN", "--seed=1"], "--seed=1 is read with --generate or with --prompt, and "),
        (
            ["--workdir=RUN", "--pictures", "--split=test,train"],
            "--split=test,train is read with --lengths or alone, and not beside --pictures; leave",
        ),
        (["--workdir=RUN", "--generate=5", "--devices=2"], "--devices=2 is read with --lengths or"),
        (["--workdir=RUN", "--config.seed=1"], "Unknown command line flag 'config.seed'"),
    ],
)
def test_a_mistake_in_an_evaluation_costs_one_line(tmp_path, arguments, message):
    run = str(tmp_path / "run")
    result = call("evaluate.py", *(argument.replace("RUN", run) for argument in arguments))
    assert_one_line(result, "evaluate.py: " + message.replace("RUN", run))
    assert list(tmp_path.iterdir()) == []


ASKED = {"generate": "5", "prompt": "x", "lengths": "64", "pictures": "true"}
"""What evaluate.py can be asked to do, each by a flag."""
OTHERS = {
    "split": "test",
    "devices": "1",
    "mesh": "data=1",
    "examples": "2",
    "stream": "8",
    "threshold": "0.5",
    "temperature": "1.0",
    "top_k": "2",
    "top_p": "0.5",
    "beams": "2",
    "seed": "1",
}
WRITES = {"generate", "prompt", "temperature", "top_k", "top_p", "beams", "seed"}
SCORES = {"lengths", "split", "examples", "stream", "threshold", "devices", "mesh"}
TAKES = {"generate": WRITES, "prompt": WRITES, "lengths": SCORES, "pictures": {"pictures"}}


@pytest.fixture
def evaluation():
    """What evaluate.py defines; its flags are gone afterwards."""
    before = set(flags.FLAGS)
    yield runpy.run_path(str(ROOT / "seqmodels/commands/evaluate.py"), run_name="evaluate")
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()


@pytest.mark.parametrize("other", [*ASKED, *OTHERS])
@pytest.mark.parametrize("asked", [*ASKED, None])
def test_a_flag_that_its_mode_does_not_read_is_refused(evaluation, asked, other):
    values = ASKED | OTHERS
    given = [f"--{name}={values[name]}" for name in {asked, other} - {None}]
    flags.FLAGS(["evaluate.py", *given])
    reads = TAKES[asked] if asked else {*ASKED, "split", "devices", "mesh"}
    if other == asked or other in reads:
        cli.require_read(evaluation["READ"])
    else:
        with pytest.raises(UserError, match=f"--{other}"):
            cli.require_read(evaluation["READ"])


MODULES = (f"commands/{name}.py" for name in ("__init__", *commands.COMMANDS))
COMMANDS = ("cli.py", "config_help.py", *MODULES)
WRITE_COMMANDS = {
    "command.py": "shows a command line",
    "secrets.py": "shows a part of one",
    "errors.py": "shows what a command prints",
    "report/heat_map.py": "sets variables of CSS",
    "report/comparison.py": "names the command of another program",
    "report/page.py": "writes variables of CSS",
    "sweeps/orders.py": "starts train.py",
    "sweeps/worker.py": "starts train.py",
    "training/environment.py": "starts git",
}


def test_flags_are_known_to_commands_alone():
    """The library names a setting as NAME=VALUE, and the command says which flag that is."""
    folder = ROOT / "seqmodels"
    for file in folder.rglob("*.py"):
        if str(file.relative_to(folder)) not in {*COMMANDS, *WRITE_COMMANDS}:
            assert re.findall(r"(?<![\w-])--[a-z][\w-]*", file.read_text()) == [], file


def test_flags_reach_what_they_are_for(monkeypatch):
    """Also where they are written with hyphens."""
    asked = {}
    signature = inspect.signature(generation.generate_run)

    def note(*arguments, **keywords):
        asked.update(signature.bind(*arguments, **keywords).arguments)

    monkeypatch.setattr(generation, "generate_run", note)
    chosen = {"temperature": 0.5, "top_k": 3, "top_p": 0.75, "beams": 2, "seed": 7, "prompt": "x"}
    chosen |= {"workdir": "runs/a-b", "checkpoint": "latest"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    assert call("evaluate.py", *flags, "--generate=5") == (0, "", "")
    assert asked == chosen | {"count": 5}


def test_flags_of_earlier_versions_mean_nothing_and_show_no_password(monkeypatch):
    monkeypatch.setattr("seqmodels.sweeps.run.run_sweep", lambda *_: None)
    old = "--heartbeat=1", "--storage=postgresql://me:sesame@host/x"
    said = "--storage is not needed: the workdir deals out the runs and knows what was tried\n"
    assert call("sweep.py", CONFIG, "--workdir=no-such-sweep", *old) == (0, said, "")


def test_a_mesh_reaches_training_and_evaluation(monkeypatch, tmp_path):
    """For training it is a part of the config; what is none costs one line."""
    asked = {}
    monkeypatch.setattr("seqmodels.training.fit.fit", lambda config, *_, **__: asked.update(config))
    train = CONFIG, f"--workdir={tmp_path / 'run'}"
    assert call("train.py", *train, "--mesh=data=2,fully_sharded=true") == (0, "", "")
    assert asked["mesh"].to_dict() == asdict(MeshSettings(data=2, fully_sharded=True))

    def load(*given):
        asked["given"] = given
        raise UserError("enough")

    monkeypatch.setattr(splits, "load", load)
    result = call("evaluate.py", f"--workdir={tmp_path}", "--mesh=model=2")
    assert_one_line(result, "evaluate.py: enough")
    assert asked["given"][-1] == "model=2"
    result = call("train.py", *train, "--mesh=modle=2")
    assert_one_line(result, "train.py: config key 'mesh.modle' does not exist; did you mean")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_anything_runs(tmp_path, monkeypatch, number):
    before = signal.signal(number, signal.default_int_handler)  # nohup would have it ignored
    monkeypatch.setattr(cli, "load_config", lambda *_: signal.raise_signal(number))
    found = call("train.py", CONFIG, f"--workdir={tmp_path}")
    signal.signal(number, before)
    assert found == (128 + number, "", "train.py: stopped\n")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x/y"), OSError("odd")])
def test_a_file_that_fails_is_one_line(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "load_config", fail)
    said = "x/y: No space left on device" if error.errno else "OSError: odd"
    expected = f"train.py: {said} (--traceback shows the calls)\n"
    assert call("train.py", CONFIG, f"--workdir={tmp_path}") == (2, "", expected)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_a_reader_that_goes_away_is_no_error(tmp_path, number):
    run_folder(tmp_path / "run", finished=False)
    arguments = [str(tmp_path), f"--out={tmp_path}/report"]
    assert call("report.py", *arguments, output=Refusing(number)) == (0, "", "")
    assert (tmp_path / "report/index.html").exists()


def test_a_platform_that_is_not_there(tmp_path, monkeypatch):
    said = "Unable to initialize backend 'cuda': it is not in the list of known backends: ['cpu']"

    def missing(*_, **__):
        raise RuntimeError(f"{said}\nmore")

    monkeypatch.setattr("seqmodels.training.fit.fit", missing)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    result = call("train.py", CONFIG, f"--workdir={tmp_path / 'run'}")
    message = f"train.py: JAX_PLATFORMS=cuda names what JAX can't use here ({said}); unset it to"
    assert_one_line(result, message)


REPORT_MISTAKES = {
    "no folder": ([], "no folder is named; name those of runs or sweeps: seqmodels report sweeps/"),
    "an empty folder": ([""], "no folder is named; name those of runs or sweeps: seqmodels report"),
    "no such folder": (["/nowhere", "--out=x"], "/nowhere: no such folder; name folders of runs"),
    "nothing in a folder": (["configs"], "configs: no run, sweep or scaling experiment that can"),
    "misspelt flag after a name": (
        ["configs", "--uot=x"],
        "Unknown command line flag 'uot'. Did you mean: out ? (see --help)",
    ),
    "no out": (["configs", "--out="], "--out is missing; it names a folder of the page"),
}


@pytest.mark.parametrize("mistake", REPORT_MISTAKES)
def test_a_mistake_in_asking_for_a_report(mistake):
    arguments, expected = REPORT_MISTAKES[mistake]
    assert_one_line(call("report.py", *arguments), f"report.py: {expected}")


def test_names_and_flags_stand_in_any_order(tmp_path):
    run_folder(tmp_path / "a" / "run", finished=False)
    broken = run_folder(tmp_path / "b" / "run") / "results.json"
    broken.write_text("{")
    out = tmp_path / "report"
    code, output, errors = call("report.py", f"{tmp_path}/a", f"--out={out}", f"{tmp_path}/b")
    assert (code, output) == (0, f"1 run; 1 left out.\n{out}/index.html\n")
    assert errors.startswith(f"warning: {broken} is cut short or no JSON")
    assert errors.count("\n") == 1
