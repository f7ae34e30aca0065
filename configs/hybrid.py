"""Hybrids by ratio: how much attention does a linear mixer need, and where?

seqmodels train --config=hybrid:mixer=gla,ratio=3:1,place=last --workdir=runs/hybrid
seqmodels sweep --config=hybrid --workdir=sweeps/hybrid --match=parameters
--target=600000

A ratio of 7:1 is seven blocks of one mixer to one of another. Each block has an MLP, but for the
kinds that were published without one. xLSTM[7:1] is mixer=mlstm,other=slstm,ratio=7:1,depth=8.
What stands beside a mixer is its name's to set: --config.model.blocks.global.mlp_expansion=4.0.
"""

from itertools import cycle
from typing import Any

from ml_collections import ConfigDict

from seqmodels import preset, product, read_arguments

_RATIOS = ("3:1", "1:0", "7:1", "1:1")
_ALONE = ("mamba", "mamba2", "mlstm")


def sweep() -> list[dict[str, Any]]:
    """From none to half of eight blocks with attention, at three learning rates."""
    return product(
        {"mixer": ("gated_deltanet",), "ratio": _RATIOS, "depth": (8,)},
        {"optimizer.learning_rate": (1e-3, 3e-3, 1e-2)},
    )


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: mixer=PRESET (seqmodels/presets.py), ratio=3:1|1:0|7:1|1:1 to other=PRESET, whose
    blocks are place=spread (in the middle of every few)|first|last; depth=4, length=64, pairs=4."""
    arguments = read_arguments(
        arg,
        mixer="gated_deltanet",
        other="global",
        ratio=_RATIOS,
        place=("spread", "first", "last"),
        depth=4,
        length=64,
        pairs=4,
    )
    depth, length = arguments.depth, arguments.length
    places = _places(arguments.ratio, arguments.place, depth)
    sizes = {"parameters": 75_000 * depth, "depth": depth, "length": length}
    mixer, other = (
        preset(name, causal=True, pooling=None, **sizes)
        for name in (arguments.mixer, arguments.other)
    )
    own, others = cycle(mixer["pattern"]), cycle(other["pattern"])
    pattern = tuple(next(others if place in places else own) for place in range(depth))
    known = mixer["mixers"] | other["mixers"]
    mixers = {name: known[name] for name in pattern}
    alone = [name for name in mixers if mixers[name]["kind"] in _ALONE]
    config = ConfigDict()
    config.seed = 0
    config.task = {"kind": "recall", "pairs": arguments.pairs}
    config.model = {
        **mixer,
        "pattern": pattern,
        "mixers": mixers,
        "mlp": "gated",
        "mlp_expansion": 2.0,
    }
    if alone:
        config.model.blocks = {name: {"mlp": "none", "mlp_expansion": None} for name in alone}
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "weight_decay": 0.1}
    config.train = {"steps": 1200, "batch_size": 64, "length": length}
    return config.lock()


def _places(ratio: str, place: str, depth: int) -> range:
    """Which blocks are of the other mixer, from 0."""
    most, least = map(int, ratio.split(":"))
    group = most + least
    if depth < 1 or depth % group:
        fewer = max(1, depth // group) * group
        raise ValueError(
            f"depth={depth} holds no ratio={ratio}, which takes {group} blocks or a multiple; take "
            f"depth={fewer} or {fewer + group}"
        )
    count = depth // group * least
    spread = range(group // 2, depth, group) if least else range(0)
    return {"spread": spread, "first": range(count), "last": range(depth - count, depth)}[place]
