"""Makes delta_rule.npz: recurrences of a matrix that something is erased from at each step.

    python tests/goldens/make_delta_rule.py FOLDER

README.md says what FOLDER holds and what has to be installed. Letters and their order are as in
make_matrix_state.py; beta [B, L, H] is the share that is written anew. Keys are normalised before,
and no function does it again.
"""

import sys
from collections.abc import Callable
from functools import partial

import torch
from make_gradients import GIVEN, TRANSFORMERS, Drawn, Tensors, heads_first, record
from recording import Arrays, Recording, Source, exact
from transformers.models.kimi_linear.modeling_kimi_linear import chunk_kimi_delta_attention
from transformers.models.olmo_hybrid.modeling_olmo_hybrid import (
    torch_recurrent_gated_delta_rule,
)
from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

B, H, K, U = 2, 2, 6, 4
SCALE = K**-0.5


def drawn_inputs(drawn: Drawn, length: int, largest: float, steps: int = 1) -> Arrays:
    """Queries, keys, values, shares below the largest, and a state; several keys a position."""
    return {
        "q": drawn.normal(B, length, H, K),
        "k": drawn.unit(B, length * steps, H, K),
        "v": drawn.normal(B, length * steps, H, U),
        "beta": drawn.uniform(B, length * steps, H, high=largest),
        "state": drawn.normal(B, H, K, U),
    }


def of_decays(function: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., Tensors]:
    """A function of (q, k, v, g, beta), as one of what :func:`drawn_inputs` draws, and decays."""

    def run(q, k, v, beta, state, g) -> Tensors:
        o, last = function(q, k, v, g, beta, initial_state=state, output_final_state=True)
        return {"o": o, "state": last}

    return run


def delta(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """DeltaNet, with shares up to 2: eigenvalues in [-1, 1]."""
    path, name = "fla/ops/delta_rule/naive.py", "delta_rule_recurrence"
    function = vars(fla.take(path, name, **GIVEN))[name]

    def run(q, k, v, beta, state) -> Tensors:
        o, last = function(*heads_first(q, k, v, beta), state)
        return {"o": heads_first(o)[0], "state": last}

    record(recording, "delta/fla", fla.origin(path, name), run, drawn_inputs(drawn, 37, 2.0))


def gated_delta(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """Gated DeltaNet, step by step and by chunks of 64 of somebody else."""
    inputs = {**drawn_inputs(drawn, 70, 1.0), "g": drawn.log_decay(B, 70, H)}
    path, name = "fla/ops/gated_delta_rule/naive.py", "naive_recurrent_gated_delta_rule"
    function = vars(fla.take(path, name, **GIVEN))[name]
    run = of_decays(lambda q, k, v, g, beta, **more: function(q, k, v, beta, g, **more))
    record(recording, "gated_delta/fla", fla.origin(path, name), run, inputs, scale=SCALE)
    run = of_decays(torch_chunk_gated_delta_rule)
    origin = f"{TRANSFORMERS}::qwen3_next.torch_chunk_gated_delta_rule"
    record(recording, "gated_delta/transformers", origin, run, inputs, scale=SCALE)

    inputs = {**drawn_inputs(drawn, 37, 2.0), "g": drawn.log_decay(B, 37, H)}
    inputs["k"] = drawn.normal(B, 37, H, K)
    origin = f"{TRANSFORMERS}::olmo_hybrid.torch_recurrent_gated_delta_rule"
    case, settings = "gated_delta_normalised/transformers", {"scale": SCALE, "normalised": True}
    run = of_decays(partial(torch_recurrent_gated_delta_rule, use_qk_l2norm_in_kernel=True))
    record(recording, case, origin, run, inputs, **settings)


def diagonal(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """Kimi Delta Attention: a decay a key channel, step by step and by chunks of somebody else."""
    inputs = {**drawn_inputs(drawn, 70, 2.0), "g": drawn.log_decay(B, 70, H, K)}
    path, name = "fla/ops/kda/naive.py", "naive_recurrent_kda"
    run = of_decays(vars(fla.take(path, name, **GIVEN))[name])
    record(recording, "kda/fla", fla.origin(path, name), run, inputs, scale=SCALE)
    run = of_decays(chunk_kimi_delta_attention)
    origin = f"{TRANSFORMERS}::kimi_linear.chunk_kimi_delta_attention"
    record(recording, "kda/transformers", origin, run, inputs, scale=SCALE)


def free(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """What RWKV-7 needs: the state as it was is read by b and what was read written by a.

    ``S_t = (diag(exp g) + a b^T) S_{t-1} + k v^T``; both orders of naming occur elsewhere.
    """
    path, name = "fla/ops/generalized_delta_rule/dplr/naive.py", "dplr_recurrence"
    function = vars(fla.take(path, name, **GIVEN))[name]

    def run(q, k, v, a, b, g, state) -> Tensors:
        o, last = function(*heads_first(q, k, v, b, a, g), initial_state=state)
        return {"o": heads_first(o)[0], "state": last}

    unit = drawn.unit(B, 70, H, K)
    inputs = {
        "q": drawn.normal(B, 70, H, K),
        "k": drawn.normal(B, 70, H, K),
        "v": drawn.normal(B, 70, H, U),
        "a": exact(-unit * drawn.uniform(B, 70, H, K)),
        "b": unit,
        "g": drawn.log_decay(B, 70, H, K),
        "state": drawn.normal(B, H, K, U),
    }
    record(recording, "free/fla", fla.origin(path, name), run, inputs, scale=SCALE)


def product(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """Gated DeltaProduct: two keys a position, and the decay before the first."""
    path = "fla/ops/gated_delta_product/naive.py"
    name = "naive_recurrent_gated_delta_product"
    function = vars(fla.take(path, name, **GIVEN))[name]

    def run(q, k, v, beta, state, g) -> Tensors:
        o, last = function(q, k, v, g, beta, 1.0, None, state, True, num_householder=2)
        return {"o": o, "state": last}

    inputs = {**drawn_inputs(drawn, 37, 2.0, 2), "g": drawn.log_decay(B, 37, H)}
    settings = {"scale": 1.0, "steps": 2}
    record(recording, "product/fla", fla.origin(path, name), run, inputs, **settings)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording, fla = Recording(), Source(folder, "fla-org/flash-linear-attention")
    for number, family in enumerate((delta, gated_delta, diagonal, free, product)):
        family(recording, fla, Drawn(10 + number))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
