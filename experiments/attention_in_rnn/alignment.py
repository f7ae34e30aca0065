"""Where a decoder's attention looks, against where the symbols are that it writes."""

import numpy as np

from seqmodels.arrays import Float
from seqmodels.evaluation.loaded import LoadedRun


def weights_of(run: LoadedRun, examples: int) -> Float[np.ndarray, "B M S"]:
    """The decoder's weights on test sources, of its one head, for the true symbols before each."""
    batch = run.task.batch("test", 0, examples, run.experiment.train.length)
    ((_, weights),) = run.activations(batch, "*cross*.weights").items()
    return weights[:, 0]


def aligned(weights: Float[np.ndarray, "B M S"]) -> tuple[float, float]:
    """How often the largest weight is on the symbol that is written, the source being read from its
    end, and the mean weight there; the end token repeats none, and doesn't count.

    >>> aligned(np.array([[[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]]]))
    (0.5, 0.55)
    """
    places = weights.shape[2]
    true = np.arange(places)[::-1]
    symbols = weights[:, :places]
    share = (symbols.argmax(axis=2) == true[None]).mean()
    weight = np.take_along_axis(symbols, true[None, :, None], axis=2).mean()
    return float(share), round(float(weight), 6)
