"""Makes attention.npz: softmax attention that forgets, and with sinks.

    python tests/goldens/make_attention.py FOLDER

README.md says what FOLDER holds and what has to be installed. q, o [B, L, H, K], k, v [B, L, G, K],
g [B, L, H] the log of a forgetting gate, sinks [H]; a window counts the query's own key.
"""

import sys
from types import SimpleNamespace

import torch
from make_gradients import GIVEN, TRANSFORMERS, Drawn, Tensors, record
from recording import Recording, Source
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward

B, L, H, G, K = 2, 37, 4, 2, 8
SCALE, WINDOW = K**-0.5, 9


def forgetting(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """FoX: the sum of the log gates since a key is added to its score."""
    path, name = "fla/ops/forgetting_attn/naive.py", "naive_forgetting_attn"
    function = vars(fla.take(path, name, **GIVEN))[name]
    inputs = {
        "q": drawn.normal(B, L, H, K),
        "k": drawn.normal(B, L, G, K),
        "v": drawn.normal(B, L, G, K),
        "g": drawn.log_decay(B, L, H),
    }
    for case, window in (("forgetting/whole", None), ("forgetting/window", WINDOW)):

        def run(q, k, v, g, window=window) -> Tensors:
            return {"o": function(q, k, v, g, window_size=window)}

        settings = {"scale": SCALE, **({"window": window} if window else {})}
        record(recording, case, fla.origin(path, name), run, inputs, **settings)


def sinks(recording: Recording, fla: Source, drawn: Drawn) -> None:
    """A learned score that takes its share of the softmax and has no value."""
    path, name = "tests/ops/test_attn_sink.py", "_gpt_oss_eager_sink_reference"
    function = vars(fla.take(path, "_repeat_kv_for_gpt_oss", name, **GIVEN))[name]
    inputs = {
        "q": drawn.normal(B, L, H, K),
        "k": drawn.normal(B, L, G, K),
        "v": drawn.normal(B, L, G, K),
        "sinks": drawn.normal(H, scale=2.0),
    }

    def of_fla(q, k, v, sinks) -> Tensors:
        return {"o": function(q, k, v, sinks, scale=SCALE, window_size=WINDOW)[0]}

    settings = {"scale": SCALE, "window": WINDOW}
    record(recording, "sinks/fla", fla.origin(path, name), of_fla, inputs, **settings)

    distance = torch.arange(L)[:, None] - torch.arange(L)
    seen = (distance >= 0) & (distance < WINDOW)
    mask = torch.zeros(L, L).masked_fill(~seen, -torch.inf)[None, None]

    def of_transformers(q, k, v, sinks) -> Tensors:
        module = SimpleNamespace(sinks=sinks, num_key_value_groups=H // G, training=False)
        heads = (array.transpose(1, 2) for array in (q, k, v))
        return {"o": eager_attention_forward(module, *heads, mask, SCALE)[0]}

    origin = f"{TRANSFORMERS}::gpt_oss.eager_attention_forward"
    record(recording, "sinks/transformers", origin, of_transformers, inputs, **settings)


def main(folder: str) -> None:
    """Makes every case and writes them beside this script."""
    recording, fla = Recording(), Source(folder, "fla-org/flash-linear-attention")
    forgetting(recording, fla, Drawn(30))
    sinks(recording, fla, Drawn(31))
    recording.write(__file__)


if __name__ == "__main__":
    main(sys.argv[1])
