"""What every test runs under; imported before any test and before anything of seqmodels.

Eight simulated CPU devices, so that a mesh can have any number up to that many
(``jax.devices()[:n]``); shape and type annotations checked at run time; no
implicit rank promotion; programs compiled quickly and kept (tests/compiled.py).
All of it is set in this process and not in the environment: a script that a test
starts finds the machine as a user's would.
"""

import gc
import signal
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import PIL.Image
import pytest
from jaxtyping import config as type_checks
from jaxtyping import install_import_hook

from tests.compiled import compile_in_one_piece, keep_programs
from tests.soaking import SOAK
from tests.workers import group_of, pytest_xdist_make_scheduler  # noqa: F401

# A shell that starts the suite in the background has it ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)
install_import_hook("seqmodels", "beartype.beartype")
compile_in_one_piece()
keep_programs()


CHECKED: set[str] = set()
"""Functions and groups of tests that this worker has begun."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Compiles as users' programs are what a test marked ``optimised`` needs fast or exact.

    Types are checked by every test of make test-fast; of the slow ones by the first of each
    function and group, and where SOAK is set by all: checks are a third of what builds models.
    """
    quickly = item.get_closest_marker("optimised") is None
    jax.config.update("jax_disable_most_optimizations", quickly)
    new = {item.nodeid.partition("[")[0], group_of(item.nodeid)} - CHECKED
    CHECKED.update(new)
    slow = item.get_closest_marker("slow") is not None and not SOAK
    type_checks.update("jaxtyping_disable", slow and not new)


@pytest.hookimpl(tryfirst=True)  # what shuffles the tests comes after it
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves to make soak what is marked so, and puts the files and variants with the most slow
    tests first, so that the workers end together."""
    if not SOAK:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("soak")])
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
    groups = {item: group_of(item.nodeid) for item in items}
    slow = Counter(groups[item] for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[groups[item]], groups[item]))


def pytest_collection_finish() -> None:
    """Garbage is looked for in what tests make, and not in all modules again each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files as users have them: ``tokens.npy`` and ``images/CLASS/NAME.png``.

    2,000 tokens below 16; 90 images of 8×4 grey values in each of two classes.
    """
    folder = tmp_path_factory.mktemp("own_files")
    random = np.random.default_rng(0)
    np.save(folder / "tokens.npy", random.integers(16, size=2000, dtype=np.uint16))
    for name in ("dark", "light"):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(90):
            pixels = random.integers(128, size=(4, 8), dtype=np.uint8) + 127 * (name == "light")
            image = PIL.Image.fromarray(pixels.astype(np.uint8))
            image.save(folder / "images" / name / f"{number}.png")
    return folder
