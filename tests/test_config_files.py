"""Config files of every form that people write, and what is said of those that fail."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqmodels.config import differing_keys, load_config, load_sweep, to_dict
from seqmodels.errors import ConfigError, UserError
from seqmodels.training.experiment import build_experiment
from seqmodels.training.resolving import load_whole
from tests.command_line import ROOT

HEAD = "from ml_collections import ConfigDict\n"


def written(folder: Path, text: str, name: str = "own.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


LOADED = {
    "without an argument": HEAD + "def get_config():\n    return ConfigDict({'a': 1})\n",
    "an argument with a default": HEAD + "def get_config(arg=1):\n    return {'a': arg}",
    "an argument": HEAD + "def get_config(arg):\n    return ConfigDict({'a': 1 + len(arg)})",
    "any arguments": HEAD + "def get_config(*args, **more):\n    return ConfigDict({'a': 1})",
    "a lambda": HEAD + "get_config = lambda: ConfigDict({'a': 1})",
    "a partial": "import functools\ndef f(x, arg):\n    return {'a': x}\n"
    "get_config = functools.partial(f, 1)",
    "a dict": "def get_config():\n    return {'a': 1}",
    "a frozen config": "from ml_collections import FrozenConfigDict\n"
    "def get_config():\n    return FrozenConfigDict({'a': 1})",
    "a dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass, asdict\n"
    "@dataclass\nclass Settings:\n    a: int = 1\n"
    "def get_config(arg=None):\n    return asdict(Settings())",
    "NumPy's number": "import numpy as np\ndef get_config():\n    return {'a': np.int64(1)}",
}


@pytest.mark.parametrize("form", LOADED)
def test_forms_that_load(form, tmp_path):
    config = load_config(written(tmp_path, LOADED[form], "copy.py")).config
    assert to_dict(config) == {"a": 1}
    assert type(config.a) is int
    assert config.is_locked
    assert "site-packages" not in str(sys.modules["copy"].__file__)
    assert sys.modules["copy"].__name__ == "copy", "a config's name hides no module of Python's"
    assert str(tmp_path) not in str(sys.modules["copy"].__file__)


def test_numbers_of_numpy_become_pythons(tmp_path):
    text = HEAD + (
        "import numpy as np\n"
        "def get_config():\n"
        "    inner = {'rate': np.float32(0.5), 'flag': np.bool_(True), 'word': np.str_('x')}\n"
        "    return ConfigDict({'list': [np.int8(3), (np.int64(4),)], 'array': np.arange(2),\n"
        "                       'part': ConfigDict(inner)})\n"
    )
    config = load_config(written(tmp_path, text)).config
    assert (config.list, config.array) == ((3, (4,)), (0, 1))
    types = {key: type(value) for key, value in config.part.items()}
    assert types == {"rate": float, "flag": bool, "word": str}
    assert to_dict(config)["array"] == [0, 1]


FAILS = {
    "syntax": ("x = 1\ndef get_config(:\n", ", line 2: SyntaxError: invalid syntax"),
    "indent": ("def get_config():\nreturn 1\n", ", line 2: IndentationError: expected an ind"),
    "null": ("x = 1\0\n", ": SyntaxError: source code string cannot contain null bytes"),
    "import": ("\n\nimport nowhere_to_be_found\n", ", line 3: ModuleNotFoundError: No module na"),
    "name": ("def get_config():\n    return missing\n", ", line 2: NameError: name 'missing' is"),
    "deep": (
        "import json\n\ndef get_config(arg=''):\n    return json.loads('{')\n",
        ", line 4: JSONDecodeError: Expecting property name",
    ),
    "several lines": ("raise ValueError('a\\nb')", ", line 1: ValueError: a b"),
    "no words": ("raise ValueError\n", ", line 1: ValueError"),
    "exit": ("import sys\nsys.exit(3)\n", ", line 2: SystemExit: 3"),
    "nothing": ("x = 1", ": defines no get_config(arg)"),
    "no function": ("get_config = 3", ": defines no get_config(arg)"),
    "returns nothing": ("def get_config():\n    pass", ": get_config returns None; return a C"),
    "returns a list": ("def get_config():\n    return [1]", ": get_config returns [1]; return a"),
    "two arguments": ("def get_config(a, b):\n    pass", ": get_config needs arguments (a, b);"),
    "a keyword": ("def get_config(*, a):\n    pass", ": get_config needs arguments (a); it takes"),
    "dotted key": ("def get_config():\n    return {'a.b': 1}", ""),
    "key": ("def get_config():\n    return {1: 2}", "config has the key 1; keys are words"),
    "object": ("def get_config():\n    return {'a': {1}}", "config.a={1} is a set; a value is a"),
    "a class": ("def get_config():\n    return {'a': int}", "is a type; a val"),
    "itself": (
        "def get_config():\n    own = {}\n    own['a'] = own\n    return own",
        ".a is nested more than 64 levels deep, or holds itself",
    ),
    "a deep tuple": (
        "def get_config():\n    own = ()\n    for _ in range(5000):\n        own = (own,)\n"
        "    return {'a': own}",
        "config.a is nested more than 64 levels deep",
    ),
    "a placeholder": (
        HEAD + "from ml_collections.config_dict import required_placeholder\n"
        "def get_config():\n    return ConfigDict({'a': required_placeholder(int)})",
        "config.a is a required_placeholder, which no flag could set",
    ),
    "an error without words": (
        "class Own(Exception):\n    def __str__(self):\n        raise RuntimeError\n"
        "def get_config():\n    raise Own",
        ", line 5: Own",
    ),
    "an object without words": (
        "class Own:\n    def __repr__(self):\n        raise RuntimeError\n"
        "def get_config():\n    return {'a': Own()}",
        "config.a=<Own instance at ",
    ),
}


@pytest.mark.parametrize("case", FAILS)
def test_what_fails_is_one_line_with_the_file_and_the_line(case, tmp_path):
    text, expected = FAILS[case]
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    if ", line " in expected:
        assert message.startswith(f"config={file}{expected}")
        assert caught.value.__cause__ is not None


def test_an_error_in_a_module_names_the_line_that_imports_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path, "x = (\n", "helper_of_a_config.py")
    file = written(tmp_path, "# first\nimport helper_of_a_config\n")
    with pytest.raises(ConfigError, match=r"own\.py, line 2: SyntaxError: '\(' was never closed"):
        load_config(file)


def test_a_folder_is_no_config(tmp_path):
    (tmp_path / "own.py").mkdir()
    with pytest.raises(ConfigError, match=r"own\.py: no such file; known: atlas, "):
        load_config(str(tmp_path / "own.py"))


def test_an_argument_that_nothing_takes(tmp_path):
    file = written(tmp_path, "def get_config():\n    return {}")
    expected = rf"{file}:mixer=lstm: get_config\(\) takes no argument; leave out ':mixer=lstm'"
    with pytest.raises(ConfigError, match=expected):
        load_config(f"{file}:mixer=lstm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def sweep():\n    return 1 / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("def sweep(arg):\n    return []\n", r"sweep needs arguments \(arg\); it takes none"),
        ("x = 1", r"defines no sweep\(\); copy that of .*configs/digits.py"),
    ],
)
def test_sweeps_fail_in_the_same_words(text, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        load_sweep(written(tmp_path, text))


def test_a_file_that_can_not_be_read(tmp_path):
    file = tmp_path / "own.py"
    file.write_bytes(b"x = '\xff'\n")
    with pytest.raises(ConfigError, match="SyntaxError"):
        load_config(str(file))


def test_values_of_a_sweep_may_be_numpys():
    from seqmodels.sweeps.points import product, require_points

    points = product({"seed": np.arange(2), "model.width": (np.int64(8),), "length": [np.int8(4)]})
    found = require_points(points, "own.py")
    assert found == [
        {"seed": 0, "model.width": 8, "length": 4},
        {"seed": 1, "model.width": 8, "length": 4},
    ]
    assert {type(value) for point in found for value in point.values()} == {int}
    with pytest.raises(ConfigError, match=r"own.py: sweep\(\): a=<object .* is a object"):
        require_points([{"a": object()}], "own.py")


def test_a_config_of_the_package_is_found_by_its_name(tmp_path, monkeypatch):
    """From any folder; also where something else there has its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recall").mkdir()
    named = load_config("recall:mixer=gru,length=16")
    by_path = load_config(f"{ROOT}/configs/recall.py:mixer=gru,length=16")
    assert to_dict(named.config) == to_dict(by_path.config)
    assert named.origin["file"] == "recall"
    assert len(load_sweep("recall")) == 7 * 3 * 9
    written(tmp_path, "def get_config():\n    return {'mine': 1}\n", "recall.py")
    assert to_dict(load_config("recall.py").config) == {"mine": 1}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("recal", "did you mean 'recall'?"),
        ("configs/digit.py", "did you mean 'digits'?"),
        ("nothing-like-it", "known: atlas, compare, copy, "),
    ],
)
def test_a_name_that_no_config_has(tmp_path, monkeypatch, name, near):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(f"config={name}: no such file; {near}")):
        load_config(name)


def test_the_config_of_a_run_trains_again(tmp_path):
    """With every key, as it was; without what the run decided by itself."""
    run = load_whole("text:mixer=gru,length=16", [("model.width", "8")]).config
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_dict(run) | {"decided": {"devices": 2}}))
    again = load_whole(str(file), [("seed", "3")]).config
    assert differing_keys(run, again) == ["seed=0, now 3"]
    assert type(again.model.pattern) is tuple
    with pytest.raises(ConfigError, match=r"decided.devices' is what a run decided by itself"):
        load_whole(str(file), [("decided.devices", "1")])
    older = to_dict(run)
    del older["task"]["splitting"], older["model"]["remat"]
    file.write_text(json.dumps(older))
    assert differing_keys(run, load_whole(str(file)).config) == [
        "task.splitting='shares', now 'whole_files'"  # as such a run split them
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda file: load_config(f"{file}:mixer=gru"), "the config of a run takes no argument; "),
        (lambda file: load_sweep(file), r"is one run's, without a sweep\(\); name a config that "),
        (lambda file: build_experiment(load_whole(file).config), "config.task is missing; "),
    ],
)
def test_what_the_config_of_a_run_can_not_be(tmp_path, call, message):
    with pytest.raises(ConfigError, match=message):
        call(written(tmp_path, "{}", "config.json"))


def test_a_config_of_a_run_that_is_no_json(tmp_path):
    with pytest.raises(UserError, match=r"config.json is cut short or no JSON"):
        load_config(written(tmp_path, "{", "config.json"))


@pytest.mark.slow
def test_the_calls_are_shown_when_asked_for(tmp_path):
    file = written(tmp_path, "def get_config():\n    return 1 / 0\n")
    run = [sys.executable, "train.py", f"--config={file}", f"--workdir={tmp_path / 'run'}"]
    short, long = (
        subprocess.run([*run, *more], capture_output=True, text=True, check=False)
        for more in ((), ("--traceback",))
    )
    line = f"train.py: --config={file}, line 2: ZeroDivisionError: division by zero"
    assert short.stderr == f"{line} (--traceback shows the calls)\n"
    assert "return 1 / 0" in long.stderr
    assert long.stderr.endswith(f"{line}\n")
    assert (short.returncode, long.returncode) == (2, 2)
