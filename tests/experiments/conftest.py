"""Runs of two steps, each trained once."""

import pytest

from seqmodels.training.fit import fit
from tests.test_configs import load, reduced


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Makes the folder of a run of a config, once."""
    made = {}

    def make(file: str, mixer: str):
        if (file, mixer) not in made:
            folder = tmp_path_factory.mktemp(mixer)
            config = reduced(load(f"configs/{file}.py", mixer))
            if file == "reverse":
                config.train.length = 5
            fit(config, folder)
            made[file, mixer] = str(folder)
        return made[file, mixer]

    return make
