"""What every test runs under; imported before any test and before anything of seqmodels.

Eight simulated CPU devices, so that a mesh can have any number up to that many
(``jax.devices()[:n]``); shape and type annotations checked at run time; no
implicit rank promotion; nothing read from or written to a compilation cache.
All of it is set in this process and not in the environment: a script that a test
starts finds the machine as a user's would.
"""

from pathlib import Path

import jax
import numpy as np
import PIL.Image
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_compilation_cache", False)

install_import_hook("seqmodels", "beartype.beartype")


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
