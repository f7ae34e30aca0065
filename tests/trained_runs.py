"""Runs of small models, each written once and loaded once."""

import pytest

from seqmodels.evaluation import lengths_run
from seqmodels.evaluation import splits as evaluation
from seqmodels.generation import run as generation
from seqmodels.pictures import run as pictures
from tests.runs import load_once, write_run
from tests.test_configs import load, reduced


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Makes the folder of a run of a config, once."""
    made = {}

    def make(file: str, mixer: str, depth: int | None = None):
        if (file, mixer, depth) not in made:
            folder = tmp_path_factory.mktemp(mixer)
            config = reduced(load(f"configs/{file}.py", mixer))
            if file == "reverse":
                config.train.length = 5
            if depth is not None:
                config.model.depth = depth
            write_run(config, folder)
            made[file, mixer, depth] = str(folder)
        return made[file, mixer, depth]

    return make


@pytest.fixture(autouse=True)
def loads_once(monkeypatch):
    """Tests of one run share its model, and so its programs."""
    for module in (evaluation, generation, lengths_run, pictures):
        monkeypatch.setattr(module, "load", load_once)
