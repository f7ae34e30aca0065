"""Sequence models in JAX: which architecture, at which length, at what cost?

What configs and scripts import stands here, and is imported when it is first asked for, so that a
part can be used alone and starts fast: ``from seqmodels.mixers import LSTM``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqmodels.config import read_arguments
    from seqmodels.evaluation.export import export, read_export
    from seqmodels.evaluation.runs import load
    from seqmodels.presets import preset
    from seqmodels.report.rows import load_results
    from seqmodels.sweeps.points import Between, chain, product, staged, zipped
    from seqmodels.training.fit import fit
    from seqmodels.training.resolving import read_config

__all__ = [
    "Between",
    "chain",
    "export",
    "fit",
    "load",
    "load_results",
    "preset",
    "product",
    "read_arguments",
    "read_config",
    "read_export",
    "staged",
    "zipped",
]

_MODULES = {
    "export": "evaluation.export",
    "fit": "training.fit",
    "load": "evaluation.runs",
    "load_results": "report.rows",
    "preset": "presets",
    "read_arguments": "config",
    "read_config": "training.resolving",
    "read_export": "evaluation.export",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES.get(name, 'sweeps.points')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
