"""A run that an older version began goes on, and says under what."""

import json

import pytest
from ml_collections import ConfigDict

from seqmodels.config import load_config
from seqmodels.earlier import renew
from seqmodels.errors import UserError
from seqmodels.training.resolving import resolved
from seqmodels.training.workdir import MATHEMATICS, Workdir
from tests.command_line import tiny_config


@pytest.mark.parametrize(
    ("stored", "older"),
    [
        ({"command": "python train.py"}, True),  # as commit 86804e9 writes it
        ({"mathematics": MATHEMATICS}, False),
        ({"mathematics": MATHEMATICS - 1}, True),
        ({"starts": [{"mathematics": MATHEMATICS - 1}, {"mathematics": MATHEMATICS}]}, False),
        ({"starts": [{"mathematics": MATHEMATICS - 1}]}, True),
    ],
)
def test_a_folder_says_whether_an_older_version_began_it(stored, older, tmp_path):
    Workdir(tmp_path).open_for(tiny_config())
    file = tmp_path / "environment.json"
    assert json.loads(file.read_text())["starts"][-1]["mathematics"] == MATHEMATICS
    file.write_text(json.dumps(stored))
    run = Workdir(tmp_path)
    run.open_for(tiny_config())
    assert run.is_older is older
    again = Workdir(tmp_path)
    again.open_for(tiny_config())
    assert not again.is_older, "it is said once"


@pytest.mark.parametrize("content", ['{"mathematics": "two"}', "[]", "{"])
def test_what_can_not_be_read_is_not_taken_for_this_version(content, tmp_path):
    Workdir(tmp_path).open_for(tiny_config())
    file = tmp_path / "environment.json"
    file.write_text(content)
    with pytest.raises(UserError, match=r"environment\.json .*; put back a copy of it, or delete"):
        Workdir(tmp_path).open_for(tiny_config())
    assert file.read_text() == content


def test_a_new_folder_is_not_older(tmp_path):
    run = Workdir(tmp_path / "run")
    run.open_for(tiny_config())
    assert not run.is_older


def test_a_kind_goes_on_under_another_name(tmp_path):
    """A folder and a config may name it as they did; the config is told, once it is read."""
    mixers = "mixers={'near': {'kind': 'local_attention', 'kernel': 3, 'heads': 1}}"
    (tmp_path / "named.py").write_text(
        "from tests.command_line import tiny_config\n"
        "def get_config(arg=''):\n"
        "    config = tiny_config()\n    config.unlock()\n"
        f"    config.model.update(pattern=('near',), {mixers})\n"
        "    del config.model.mixers.gru\n"
        "    return config\n"
    )
    with pytest.warns(FutureWarning, match="kind='local_attention' is now called 'neighbourhood_"):
        config = load_config(str(tmp_path / "named.py")).config
    assert config.model.mixers.near.kind == "neighbourhood_attention"
    run = Workdir(tmp_path / "run")
    run.open_for(config)
    file = run.path / "config.json"
    file.write_text(file.read_text().replace("neighbourhood_attention", "local_attention"))
    assert "local_attention" in file.read_text()
    Workdir(run.path).open_for(config)
    found = Workdir(run.path).config()
    assert found.model.mixers.near.kind == "neighbourhood_attention"


@pytest.mark.parametrize(("plain", "form"), [(True, "whole"), (False, None)])
def test_a_setting_is_said_by_another(plain, form):
    """Wherever it stands, also inside a mixer; what it never could be is left to be refused."""
    one = {"kind": "attention", "plain": plain, "heads": 2}
    mixers = {"a": one, "b": {"kind": "bidirectional", "mixer": one}, "c": one | {"plain": 5}}
    found = resolved({"model": {"decoder": {"mixers": mixers}}}).model.decoder.mixers
    assert (found.a.form, found.b.mixer.form) == (form, form)
    assert "plain" not in {*found.a, *found.b.mixer}
    assert (found.c.plain, found.c.form) == (5, None)
    assert renew(ConfigDict({"m": one})) == [
        f"config.m.plain={plain} is now form={form!r}; change it"
    ]


@pytest.mark.parametrize("kind", ["gla", "rwkv7"])
def test_a_setting_that_has_another_name_now_keeps_its_value(kind):
    config = ConfigDict({"m": {"kind": kind, "rank": 4}, "n": {"kind": "other", "rank": 4}})
    assert renew(config) == [f"config.m.rank of {kind} is now called decay_rank; change the name"]
    assert config.to_dict() == {
        "m": {"kind": kind, "decay_rank": 4},
        "n": {"kind": "other", "rank": 4},
    }
