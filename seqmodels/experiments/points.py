"""What configs import from :mod:`seqmodels`, by the name that it had, for one release."""

import warnings

from seqmodels.sweeps.points import Between, Point, chain, product, zipped

__all__ = ["Between", "Point", "chain", "product", "zipped"]

warnings.warn(
    "seqmodels.experiments.points goes with the next release: from seqmodels import product",
    FutureWarning,
    stacklevel=2,
)
