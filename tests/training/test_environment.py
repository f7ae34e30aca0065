"""What a run's starts ran on, each noted; and settings by which a seed means one thing alone."""

import json
import subprocess

import jax
import pytest

from seqmodels.errors import UserError
from seqmodels.training import environment
from seqmodels.training.environment import checkout, starts, with_start
from seqmodels.training.fit import fit
from seqmodels.training.startup import MEANT, start_jax
from seqmodels.training.workdir import MATHEMATICS, Workdir
from tests.command_line import tiny_config


def read_starts(folder):
    return starts(Workdir(folder).read("environment.json") or {})


@pytest.fixture
def looked_at_anew():
    """What git says is asked once by a process."""
    checkout.cache_clear()
    yield
    checkout.cache_clear()


@pytest.fixture
def repository(tmp_path, monkeypatch, looked_at_anew):
    """A repository with one file in its commit, in which the code is said to lie."""
    folder = tmp_path / "repository/code"
    folder.mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(folder / "environment.py"))
    (folder / "environment.py").write_text("x = 1\n")

    def git(*arguments):
        name = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    return folder


def test_each_start_has_an_entry(tmp_path):
    for count in (1, 2, 3):
        Workdir(tmp_path).open_for(tiny_config())
        found = read_starts(tmp_path)
        assert len(found) == count
    assert found[0]["mathematics"] == MATHEMATICS
    assert found[0].keys() >= {"command", "commit", "devices", "settings", "variables", "cores"}
    assert found[0]["settings"]["jax_enable_x64"] is False


def test_an_entry_of_an_earlier_version_stays(tmp_path):
    """It was one start, without any around it."""
    Workdir(tmp_path).open_for(tiny_config())
    earlier = {"command": "python train.py", "commit": "abc", "packages": {"jax": "0.1"}}
    (tmp_path / "environment.json").write_text(json.dumps(earlier))
    Workdir(tmp_path).open_for(tiny_config())
    first, second = read_starts(tmp_path)
    assert first == earlier
    assert second["mathematics"] == MATHEMATICS


@pytest.mark.parametrize(
    ("content", "found"),
    [({}, []), ({"starts": []}, []), ({"starts": [3, {}]}, [{}]), ({"starts": 3}, [{"starts": 3}])],
)
def test_entries_of_any_shape(content, found):
    assert starts(content) == found


def test_changes_of_the_checkout_are_kept_once(repository):
    assert checkout().changes == ""
    assert "uncommitted" not in with_start({}, 2)["starts"][0]
    checkout.cache_clear()
    (repository / "environment.py").write_text("x = 2\n")
    (repository / "untracked.py").write_text("secret\n")
    content = with_start(with_start({}, 2), 2)
    (changed,) = content["changes"].values()
    assert "-x = 1\n+x = 2\n" in changed
    assert "secret" not in changed
    assert [start["uncommitted"] for start in content["starts"]] == [*content["changes"]] * 2
    assert len(content["starts"][0]["commit"]) == 40


def test_long_changes_are_cut(repository, monkeypatch):
    monkeypatch.setattr(environment, "LONGEST_CHANGES", 200)
    (repository / "environment.py").write_text("long\n" * 1000)
    changes = checkout().changes
    assert changes.endswith("\n(cut after 200 bytes)\n")
    assert len(changes) < 250


def test_code_in_a_folder_of_another_repository_has_no_commit(repository):
    (repository.parent / "other.py").write_text("")
    subprocess.run(["git", "rm", "-q", "--cached", "environment.py"], cwd=repository, check=True)
    assert checkout() == (None, "")


def test_a_machine_without_git_has_no_commit(tmp_path, monkeypatch, looked_at_anew):
    monkeypatch.setenv("PATH", str(tmp_path))
    run = Workdir(tmp_path / "run")
    run.open_for(tiny_config())
    assert read_starts(run.path)[0]["commit"] is None


def test_what_may_change_numbers_is_noted(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setenv("PASSWORD", "hush-hush")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "gs://me:hush-hush@host/x")
    start = with_start({}, 2)["starts"][-1]
    assert start["variables"]["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=true"
    assert start["variables"]["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "hush" not in json.dumps(start)


OTHERWISE = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 7,
    "jax_high_dynamic_range_gumbel": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
}


@pytest.mark.parametrize("name", MEANT)
def test_a_seed_means_the_same_whatever_the_environment_says(name):
    def numbers():
        jax.config.update(name, OTHERWISE[name])
        start_jax()
        key = jax.random.key(3)
        return jax.random.key_data(key).tolist(), getattr(jax.config, name)

    try:
        assert numbers() == ([0, 3], MEANT[name])
    finally:
        jax.config.update(name, MEANT[name])


def test_a_run_that_can_not_be_compiled_is_refused(tmp_path):
    said = r"^JAX_DISABLE_JIT is set, and a run is compiled before it begins; unset it$"
    with jax.disable_jit(), pytest.raises(UserError, match=said):
        fit(tiny_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
