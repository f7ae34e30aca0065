"""Who looks at whom: the weights of a run's attention layers on one example."""

from typing import NamedTuple

import jax
import numpy as np

from seqmodels.arrays import Float
from seqmodels.evaluation.runs import LoadedRun
from seqmodels.generation.run import Choice, write_for
from seqmodels.observing import observed
from seqmodels.tasks.base import WritingTask


class Map(NamedTuple):
    """One attention layer's weights."""

    title: str
    weights: Float[np.ndarray, "H M L"]
    rows: list[str] | None
    """The tokens that look, as text; None where positions have no names."""
    columns: list[str] | None
    """The tokens that are looked at."""


def attention_maps(run: LoadedRun) -> list[Map]:
    """The maps of every attention layer, in the order in which they run, on a test example.

    A model that writes gets what it writes greedily as its targets: the maps are those of
    its own decoding. Local attention in a convolution's place is not among them.
    """
    task, model = run.experiment.task, run.experiment.model
    batch = task.batch("test", 0, 1, run.experiment.train.length)
    source = target = None
    if isinstance(task, WritingTask) and task.spec.shape == "sequence-to-sequence":
        written = write_for(run, batch, Choice(), jax.random.key(0))
        batch = batch._replace(targets=written)
        source = [task.show_source(token) for token in batch.inputs[0][:, None]]
        target = [task.show_target(token) or "end" for token in written[0][:, None]]
    names = []

    @jax.jit
    def record(params, batch):
        _, seen = observed(model.apply)(params, batch)
        names.extend(name for name in seen if name.endswith(".weights"))
        return [seen[name][0] for name in names]

    weights = record(jax.device_put(run.params, jax.devices()[0]), batch)
    found = []
    for index, (name, layer) in enumerate(zip(names, weights, strict=True), start=1):
        if ".backward." in name:  # made of the sequence from its end
            layer = np.flip(layer, axis=(1, 2))
        writes, kind = name.startswith("decoder."), "cross" if ".cross." in name else "self"
        rows = target if writes else source
        columns = source
        if writes and kind == "self" and target is not None:
            columns = ["begin", *target[:-1]]  # what a decoder reads
        title = f"layer {index}, {'to the source' if kind == 'cross' else 'to itself'}"
        axes = zip((rows, columns), layer.shape[1:], strict=True)
        # After a stride a position is several tokens, and has no name.
        named = [n if n is not None and len(n) == size else None for n, size in axes]
        found.append(Map(title, np.asarray(layer), *named))
    return found
