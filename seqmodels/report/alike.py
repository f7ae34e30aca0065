"""What groups of runs have in common and what tells them apart: only like is compared with like.

A group's *setting* is what a comparison holds the same: its task, its length and its budget. Its
*label* is what is compared. A *line* joins groups of one label over the length, and what else goes
in proportion to that.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from seqmodels.config import flatten
from seqmodels.report.reading import Content
from seqmodels.report.values import readable

_HELD = ("task.", "train.")
"""Of a config what a setting is made of."""
_SILENT = ("seed", "train.log_every", "train.decode_step", "model.repeat", "mesh.")
"""Keys, or what they begin with, that change nothing that is compared."""


class Conditions(NamedTuple):
    """What a group is held to, in words."""

    text: str
    """``length 64, distance 8``: all in which it differs from other groups; or nothing."""
    line: str
    """The same without the length and what goes in proportion to it."""
    along: str
    """What goes in proportion to the length: ``pairs = 0.0625 × length``."""


def leaves_of(config: Content) -> Content:
    """A config's keys that tell it from another's; one that is None may as well be absent."""
    leaves = flatten(config)
    return {k: v for k, v in leaves.items() if v is not None and not k.startswith(_SILENT)}


def differing(points: Sequence[Content]) -> list[str]:
    """The names that don't have one value in all of the points, in their order."""
    names = dict.fromkeys(name for point in points for name in point)
    return [name for name in names if len({_canonical(p.get(name)) for p in points}) > 1]


def words(point: Content, names: Sequence[str], joint: str = " ") -> str:
    """``length 64, distance 8``.

    >>> words({"model.depth": 2, "task.distance": None}, ["model.depth", "task.distance"], "=")
    'model.depth=2, task.distance=none'
    """
    return ", ".join(f"{readable(name)}{joint}{_shown(point.get(name))}" for name in names)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return readable(value if isinstance(value, str) else json.dumps(value))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def held_to(arguments: Sequence[Content], leaves: Sequence[Content]) -> list[Content]:
    """What each group is held to: names and values, the length first.

    The arguments are those of ``get_config``, where a sweep compares them; the leaves are of a run
    of each group (:func:`leaves_of`). What a group lacks of them is empty.
    """
    names = [name for name in differing(arguments) if name != "mixer"]
    own = [{name: point.get(name) for name in names} for point in arguments]
    known = [place for place, found in enumerate(leaves) if found]
    keys = [k for k in differing([leaves[n] for n in known]) if k.startswith(_HELD)]
    for key in keys:
        # An argument that decides the key says by itself in what the groups differ.
        decided: dict[str, set[str]] = {}
        for n in known:
            point = _canonical({name: own[n][name] for name in names})
            decided.setdefault(point, set()).add(_canonical(leaves[n].get(key)))
        if any(len(values) > 1 for values in decided.values()):
            called = _called(key, [*names, *keys])
            for n in known:
                own[n][called] = leaves[n].get(key)
    return [dict(sorted(point.items(), key=lambda item: item[0] != "length")) for point in own]


def of_the_model(arguments: Sequence[Content], leaves: Sequence[Content]) -> list[str]:
    """The arguments that change the model alone, such as its width: no part of what is asked.

    Those in which groups differ that are alike in all others and in what a setting is made of.

    >>> of_the_model([{"width": 8}, {"width": 16}], [{"train.length": 4}, {"train.length": 4}])
    ['width']
    """
    known = [place for place, found in enumerate(leaves) if found]
    alone = []
    for name in differing([arguments[place] for place in known]):
        if name == "mixer":
            continue
        apart: dict[str, list[int]] = {}
        for place in known:
            others = {k: v for k, v in arguments[place].items() if k != name}
            apart.setdefault(_canonical(others), []).append(place)
        pairs = [places for places in apart.values() if len(places) > 1]
        held = [
            {
                _canonical({k: v for k, v in leaves[p].items() if k.startswith(_HELD)})
                for p in places
            }
            for places in pairs
        ]
        if pairs and all(len(asked) == 1 for asked in held):
            alone.append(name)
    return alone


def _called(key: str, others: Sequence[str]) -> str:
    """A key by its last part, where no other ends so; of a task's kind by ``task``."""
    if key == "task.kind":
        return "task"
    last = key.rsplit(".", 1)[-1]
    return last if sum(o.rsplit(".", 1)[-1] == last for o in others) == 1 else key


def conditions(
    points: Sequence[Content], lengths: Sequence[int | None], leaves: Sequence[Content]
) -> list[Conditions]:
    """The settings of groups, from what each is held to (:func:`held_to`)."""
    budget = {k.removeprefix("train.") for found in leaves for k in found if k.startswith("train.")}
    shares = {
        name: share
        for name in differing(points)
        if name not in {"length", *budget}
        and (share := share_of_length([point.get(name) for point in points], lengths))
    }
    along = ", ".join(f"{readable(name)} = {share:g} × length" for name, share in shares.items())
    return [
        Conditions(
            words(point, list(point)),
            words(point, [name for name in point if name not in {"length", *shares}]),
            along,
        )
        for point in points
    ]


def share_of_length(values: Sequence[Any], lengths: Sequence[int | None]) -> float | None:
    """What part of the length each of some values is; None where it isn't the same for all.

    >>> share_of_length([4, 8], [64, 128]), share_of_length([None, 8], [32, 64])
    (0.0625, None)
    """
    shares = []
    for value, length in zip(values, lengths, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float) or not length:
            return None
        shares.append(value / length)
    alike = shares and shares[0] > 0 and all(math.isclose(s, shares[0]) for s in shares)
    return shares[0] if alike and len(set(lengths)) > 1 else None


def label(mixer: str, told: Content) -> str:
    """What a group is called.

    >>> label("gru", {"model.width": 32}), label("gru", {})
    ('gru, model.width=32', 'gru')
    """
    return ", ".join(filter(None, [mixer, words(told, list(told), "=")]))


def told_apart(
    mixers: Sequence[str], lengths: Sequence[int | None], leaves: Sequence[Content]
) -> list[Content]:
    """What tells each group from others of its mixer: keys of its model and optimizer."""
    made = []
    for mixer, own in zip(mixers, leaves, strict=True):
        places = [place for place, other in enumerate(mixers) if other == mixer]
        same = [leaves[place] for place in places]
        keys = [
            key
            for key in sorted(differing(same))
            if not key.startswith(_HELD)
            and not share_of_length([o.get(key) for o in same], [lengths[p] for p in places])
        ]
        made.append({key: own.get(key) for key in keys})
    return made
