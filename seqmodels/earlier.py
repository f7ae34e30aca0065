"""What configs and folders of earlier versions say otherwise, or leave out."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

RENAMED = {"local_attention": "neighbourhood_attention"}
"""Kinds, and what they are called now."""
RENAMED_SETTINGS = {("gla", "rank"): "decay_rank", ("rwkv7", "rank"): "decay_rank"}
"""A kind's settings, and what they are called now."""
SAID_NOW = {
    ("attention", "plain", False): ("form", None),
    ("attention", "plain", True): ("form", "whole"),
}
"""Of a kind a key and its value, and the key and the value that say it now."""


class Before(NamedTuple):
    """Beside a setting in its schema: what it was before it could be set.

    Folders of runs that were written without it mean that, and new ones its default::

        splitting: Annotated[Literal["shares", "whole_files"], Before("whole_files")] = "shares"
    """

    value: Any


def renew(config: ConfigDict, path: str = "config") -> list[str]:
    """Says what a config says otherwise as this version does; a line for each."""
    said = []
    kind = config.get("kind")
    with config.unlocked(), config.ignore_type():
        if isinstance(kind, str) and kind in RENAMED:
            config.kind = RENAMED[kind]
            said.append(f"{path}.kind={kind!r} is now called {RENAMED[kind]!r}; change the name")
        for (of, key), name in RENAMED_SETTINGS.items():
            if kind == of and key in config:
                config[name] = config[key]
                del config[key]
                said.append(f"{path}.{key} of {kind} is now called {name}; change the name")
        for (of, key, before), (name, value) in SAID_NOW.items():
            if kind == of and config.get(key) is before:
                del config[key]
                config[name] = value
                said.append(f"{path}.{key}={before!r} is now {name}={value!r}; change it")
        for key, value in config.items():
            if isinstance(value, ConfigDict):
                said += renew(value, f"{path}.{key}")
    return said
