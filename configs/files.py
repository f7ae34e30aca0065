"""Files of your own: a language model on a .npy of tokens, or images by class.

seqmodels train --config=files:path=corpus.npy,length=512 --workdir=runs/tokens
seqmodels train --config=files:kind=images,path=photos,length=1024 --workdir=runs/photos

tokens: whole numbers on one axis, as np.save writes them; scored in nats a token, for which
ln V is what guessing gives. images: photos/CLASS/NAME.png or .jpg, all of one size; their length
is width times height. configs/text.py reads a folder of text as it is. How long a run takes and
what it reaches depends on your files.
"""

from typing import Any

from ml_collections import ConfigDict

from seqmodels import preset, read_arguments

# By kind: where files are looked for, unless path says where; the task's other settings; the
# model's.
_KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tokens": (
        "tokens.npy",
        {"vocabulary": None},  # finds the largest token, which reads the file once
        {"causal": True, "pooling": None},
    ),
    "images": (
        "images",
        {"colours": "grey"},  # or colour
        {"causal": False, "pooling": "mean", "dropout": 0.1, "positions": "learned"},
    ),
}


def get_config(arg: str = "") -> ConfigDict:
    """Arguments: kind=tokens|images, path=FILE.npy or FOLDER, mixer=PRESET (seqmodels/presets.py),
    length=64, layout=sequence|permuted|grid (of images)."""
    arguments = read_arguments(
        arg,
        kind=("tokens", "images"),
        path="",
        mixer="gru",
        length=64,
        layout=("sequence", "permuted", "grid"),
    )
    path, task, model = _KINDS[arguments.kind]
    path = arguments.path or path
    config = ConfigDict()
    config.seed = 0
    if arguments.kind == "tokens":
        if arguments.layout != "sequence":
            raise ValueError(f"layout={arguments.layout!r} is for kind=images; leave it out")
        config.task = {"kind": "tokens", "path": path, **task}
    else:
        config.task = {"kind": "images", "folder": path, "layout": arguments.layout, **task}
        model = {**model, "max_length": arguments.length}
    config.model = preset(arguments.mixer, parameters=400_000, depth=2, **model)
    if arguments.layout == "grid":
        config.model = _on_a_grid(config.model.to_dict())
    config.optimizer = {"learning_rate": 3e-3, "warmup_steps": 100, "final_learning_rate": 1e-4}
    config.train = {
        "steps": 2000,
        "batch_size": 32,
        "length": arguments.length,
        "log_every": 50,
        "evaluate_every": 500,
    }
    return config.lock()


def _on_a_grid(model: dict[str, Any]) -> dict[str, Any]:
    """A preset whose mixers work on two axes, or read them row after row where they can't."""
    mixers = {}
    for name, mixer in model["mixers"].items():
        if mixer["kind"] in ("convolution", "neighbourhood_attention"):
            mixers[name] = mixer | {"kernel": (3, 3)}
        elif mixer["kind"] == "attention" and "window" not in mixer:
            mixers[name] = mixer | {"positions": "none"}
    scanned = {"scan": "rows"} if len(mixers) < len(model["mixers"]) else {}
    return model | {"mixers": model["mixers"] | mixers} | scanned
