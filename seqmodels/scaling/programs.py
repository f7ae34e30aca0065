"""What a cell of a scaling table runs: a language model's forward pass, training step and token."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from seqmodels.arrays import Array, Int, Params, State
from seqmodels.model import Cost, Model, build_model
from seqmodels.presets import preset
from seqmodels.tasks.base import Batch, Split, generator
from seqmodels.tasks.files.text import Text
from seqmodels.training.optimizer import Optimizer, make_optimizer
from seqmodels.training.sharding import (
    batch_shapes,
    by_row,
    replicated,
    traced_under,
    with_shardings,
)
from seqmodels.training.step import initial_state, jit_train_step, make_train_step

FORMS = {"plain": ("global", "whole"), "newton": ("rnn", "newton")}
"""By what a table calls them, presets in a form of their own: global attention with all scores at
once in memory, and a recurrent network by Newton's method (up to 32 states: width=32)."""


class RandomBytes:
    """The text task on endless random bytes instead of files."""

    spec = Text.spec
    metrics = Text.metrics

    def examples(self, split: Split, length: int) -> int | None:
        return None

    def chance(self, split: Split, length: int) -> float:
        return 8.0  # bits per byte: all are as likely

    def batch(self, split: Split, step: int, batch_size: int, length: int) -> Batch:
        """Bytes [B, L] and, at each position, the byte that follows [B, L]."""
        tokens = generator(0, split, step).integers(0, 256, (batch_size, length + 1), np.int32)
        weights = np.ones((batch_size, length), np.float32)
        return Batch(tokens[:, :-1], tokens[:, 1:], weights)


class LanguageModel(NamedTuple):
    """A model of the next byte at one length, its optimizer, and what it is fed."""

    model: Model
    optimizer: Optimizer
    rows: int
    """B"""
    length: int

    def batch(self) -> Batch:
        return RandomBytes().batch("train", 0, self.rows, self.length)

    def cost(self, length: int) -> Cost:
        return self.model.cost(RandomBytes().batch("train", 0, 1, length))

    def state(self) -> Any:
        return initial_state(self.model, self.optimizer, 0)

    def step(self) -> Callable:
        """One training step: (state, batch) to (state, report)."""
        return make_train_step(self.model, RandomBytes(), self.optimizer, 1, 0)

    def jit_step(self, mesh: Mesh) -> Any:
        return jit_train_step(self.model, RandomBytes(), self.optimizer, 1, 0, mesh)

    def lower_step(self, mesh: Mesh, fully_sharded: bool = False) -> Any:
        """The step lowered for a mesh, of arguments that lie where those of a run do."""
        shapes = jax.eval_shape(self.state)
        state = with_shardings(shapes, self.model.parameters, mesh, fully_sharded)
        where = jax.tree.map(lambda leaf: leaf.sharding, state)
        step = jax.jit(
            traced_under(mesh, self.step()),
            donate_argnums=0,
            out_shardings=(where, replicated(mesh)),
        )
        return step.lower(state, batch_shapes(self.batch(), mesh))

    def jit_forward(self, mesh: Mesh) -> Any:
        """(params, batch) to scores [B, L, V], jitted over a mesh."""
        forward = traced_under(mesh, lambda params, batch: self.model.apply(params, batch, None))
        return jax.jit(
            forward, in_shardings=(replicated(mesh), by_row(mesh)), out_shardings=by_row(mesh)
        )

    def jit_extend(self, mesh: Mesh) -> Any:
        """(params, tokens, state) to the likeliest next tokens [B, 1] and the state, in place."""

        def extend(
            params: Params, tokens: Int[Array, "B C"], state: State
        ) -> tuple[Int[Array, "B 1"], State]:
            scores, state = self.model.extend(params, tokens, state)
            return jnp.argmax(scores[:, -1:], axis=-1).astype(jnp.int32), state

        return jax.jit(traced_under(mesh, extend), donate_argnums=2)


def language_model(section: dict[str, Any], length: int, rows: int) -> LanguageModel:
    """The model of a config's ``model`` section on bytes, trained with clipping and AdamW."""
    model = build_model(section, Text.spec, length)
    settings = {"learning_rate": 1e-3, "warmup_steps": 10, "weight_decay": 0.01, "beta2": 0.999}
    optimizer = make_optimizer(settings, 10**6, model.parameters)
    return LanguageModel(model, optimizer, rows, length)


def model_section(
    mixer: str, width: int, depth: int, dtype: str, length: int | None = None
) -> dict[str, Any]:
    """The ``model`` section of a preset, causal, with a score at each position.

    One of :data:`FORMS` is a preset that is computed in another way.
    """
    name, form = FORMS.get(mixer, (mixer, None))
    section = preset(
        name,
        parameters=1,
        depth=depth,
        causal=True,
        pooling=None,
        length=length,
        width=width,
        dtype=dtype,
    )
    if form is not None:
        section["mixers"] = {name: own | {"form": form} for name, own in section["mixers"].items()}
    return section
