"""A whole model's cost against what its program computes; nothing is compiled."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import jax
from flax import nnx

from seqmodels import model_cost
from seqmodels.flops import count_flops
from seqmodels.model import Model
from seqmodels.tasks.base import Batch


def assert_counted(model: Model, batch: Batch) -> None:
    """That it is what the program computes, but for what the forms of its mixers do add or save."""
    met: list[tuple[Any, Callable[..., Any], tuple[Any, ...]]] = []
    alone: list[float] = []

    def watch(note: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda cost: alone.append(cost.flops) or note(cost)

    class Mixer(model_cost._SilentMixer):
        def __call__(self, x: Any, *context: Any) -> Any:
            met.append((self.mixer, lambda mixer, x: mixer(x), (x,)))
            self.note = watch(self.note)
            return super().__call__(x, *context)

    class Cross(model_cost._SilentCross):
        def __call__(self, x: Any, source: Any) -> Any:
            def call(cross, x, source):
                return cross(x, cross.project(source, None))

            met.append((self.cross, call, (x, source.keys[:, :, 0])))
            self.note = watch(self.note)
            return super().__call__(x, source)

    with patch.multiple(model_cost, _SilentMixer=Mixer, _SilentCross=Cross):
        needed = model.cost(batch).flops
    waste = sum(count_alone(*part) for part in met) - sum(alone)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    counted = count_flops(model.apply, shapes, model_cost.one_row(batch))
    # Blocks of a matrix state take less than its steps do, by which its cost is counted.
    assert needed + min(waste, 0) <= counted, f"{needed:,} needed and {counted:,} counted"
    assert abs(counted - needed - waste) <= 0.03 * counted, f"{counted - needed:,}, {waste:,}"


def count_alone(part: Any, call: Callable[..., Any], arrays: tuple[Any, ...]) -> int:
    """What a part computes of arrays; of all of them the shapes are known."""
    graph, params = nnx.split(part, nnx.Param)

    def run(params, *arrays):
        return call(nnx.merge(graph, params), *arrays)

    def shapes(tree):
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)

    return count_flops(run, shapes(nnx.to_pure_dict(params)), *shapes(arrays))
