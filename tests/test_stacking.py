"""Parameters of several blocks as one: the same values and gradients, and few programs."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from seqmodels.stacking import stacked, stacked_parameters


def drawn(count):
    draw = np.random.default_rng(0).standard_normal
    shapes = {"weights": (4, 6), "bias": (6,), "scale": (4, 6)}
    return [
        {name: draw(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def descent(stack):
    """A step along the gradient of what is nonlinear in every number."""

    def loss(trees):
        return sum(jnp.sum(jnp.sin(leaf) ** 2) for leaf in jax.tree.leaves(stack(trees)))

    def step(trees):
        return jax.tree.map(lambda leaf, slope: leaf - slope, trees, jax.grad(loss)(trees))

    return jax.jit(step)


def test_values_and_gradients_are_those_of_a_stack():
    jax.tree.map(np.testing.assert_array_equal, stacked_parameters(drawn(3)), stacked(drawn(3)))
    made, expected = (descent(stack)(drawn(3)) for stack in (stacked_parameters, stacked))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), made, expected)


def programs(stack, count):
    """How many different computations a compiled step holds, names and numbering aside."""
    text = descent(stack).lower(drawn(count)).compile().as_text()
    bodies = re.findall(r"^%?[\w.\-]+ \(.*?\{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE)
    bodies = [re.sub(r", metadata=\{[^}]*\}", "", body) for body in bodies]
    return len({re.sub(r"%([a-z_]+)[\w.\-]*", r"\1", body) for body in bodies})


def test_more_trees_take_no_more_programs():
    assert programs(stacked_parameters, 3) == programs(stacked_parameters, 6)
    assert programs(stacked, 3) < programs(stacked, 6)
