"""Scaling experiments of the same models with other batches: one size, or as many tokens."""

from collections.abc import Sequence
from typing import NamedTuple

from seqmodels.report.reading import Content, Scaling
from seqmodels.report.values import readable, slug

_MODELS = ("width", "depth", "dtype")
"""Keys of a scaling's config that make its models."""


class Mode(NamedTuple):
    """A scaling experiment, and what its steps hold."""

    name: str
    """Of letters, digits and hyphens; no other's."""
    title: str
    scaling: Scaling
    batches: str
    """``a batch of 1``, ``batches of 16,384 tokens``; empty where they are neither."""
    told: str
    """The same where it stands beside others; else empty."""

    def titled(self, title: str) -> str:
        """A title of what is its own."""
        return f"{title.removesuffix('.')}, {self.told}" if self.told else title


def modes_of(scalings: Sequence[Scaling]) -> list[list[Mode]]:
    """The experiments, those together that measured the same models on one machine by other
    batches."""
    together: list[list[Mode]] = []
    for place, scaling in enumerate(scalings):
        title = readable(scaling.folder.resolve().name)
        name = f"scaling-{place + 1}-{slug(title)}"
        mode = Mode(name, title, scaling, _batches(scaling.content), "")
        beside = next((modes for modes in together if _is_beside(mode, modes)), None)
        if beside is None:
            together.append([mode])
        else:
            beside.append(mode)
    return [
        [mode._replace(told=mode.batches if len(modes) > 1 else "") for mode in modes]
        for modes in together
    ]


def _is_beside(mode: Mode, modes: Sequence[Mode]) -> bool:
    """Whether it differs from some others in its batches alone, and from each of them in those."""
    known = [other.batches for other in modes]
    if "" in (mode.batches, *known) or mode.batches in known:
        return False
    models, others = (
        (
            [one.config.get(key) for key in _MODELS],  # a config that can't be read has none
            [one.content.get(key) for key in ("machine", "target", "mesh")],
        )
        for one in (mode.scaling, modes[0].scaling)
    )
    return None not in models[0] and models == others


def _batches(content: Content) -> str:
    sizes = {cell["length"]: cell["batch_size"] for cell in content["cells"] if cell["batch_size"]}
    if len(set(sizes.values())) == 1:
        return f"a batch of {next(iter(sizes.values())):,}"
    tokens = {length * size for length, size in sizes.items()}
    return f"batches of {tokens.pop():,} tokens" if len(tokens) == 1 else ""
