"""The dashed paths of Pathfinder: how they grow, and how they are kept apart on a map of room."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, UInt8
from numpy.random import Generator

from seqmodels.arrays import Bool, Float, Int

ARMS = 4
"""Halves of long paths that meet at a crossing; arm k and the opposite one are equally long."""
EVERYONE = 0xFF
"""All owners of room: the four arms, by the lower bits, and the four sides of the crossing."""


class Drawing(NamedTuple):
    """How images of a side are drawn; lengths are in pixels."""

    dashes: int
    """Of a long path."""
    dash: int
    """From end to end of its middle line; the pen adds its reach on both sides."""
    gap: int
    """Between two dashes of a path, so wide that no pixel with ink touches one of the next dash."""
    reach: float
    """Of the pen: its ink falls from 1 to 0 over the last half of a pixel's length."""
    margin: float
    """Paths lie further apart than this: pixels of two paths than those on both sides of a gap."""
    radius: float
    """Of a circle's ink, around a path's end; at most ``dash + reach``, so that it hides a dash."""
    turn: float
    """The standard deviation of a path's turn from dash to dash, in radians."""
    distractors: int
    """So many are tried; those that find no room are left out."""
    distractor_dashes: int
    spacing: int
    """From point to point of a path."""
    ways: int
    """So many ways are tried for an arm, and places for a distractor."""
    compared: int
    """Of so many ways that have room an arm takes the one in which its end leans the least."""
    tries: int
    """So many plans are made for an image: of about that many one works out."""

    @property
    def period(self) -> int:
        """From the begin of a dash to that of the next one."""
        return self.dash + self.gap


class Layout(NamedTuple):
    """What is drawn of some images but which ends are joined: that is left to a coin."""

    arms: Complex[np.ndarray, "B 4 n"]
    """From the crossing on; an arm's last point is repeated after its end."""
    crossing: Complex[np.ndarray, "B 4 2"]
    """The dashes of both ways in which the arms can be joined: 0 to 1, 1 to 2, 2 to 3, 3 to 0."""
    distractors: list[tuple[Int[np.ndarray, "b"], Complex[np.ndarray, "b m"]]]
    """Of each the images that have it, and its points."""


def lay_out(random: Generator, rows: int, side: int, drawing: Drawing) -> Layout:
    """Plans images; those whose arms find no room are planned anew."""
    parts: list[tuple[np.ndarray, ...]] = []
    left = rows
    while left:
        some = _plan_arms(random, drawing.tries * left + 8, side, drawing)
        parts.append(tuple(part[:left] for part in some))
        left -= len(parts[-1][0])
    arms, crossing, room = (np.concatenate(part) for part in zip(*parts, strict=True))
    arms, crossing = _turned(arms, crossing)
    distractors = []
    for _ in range(drawing.distractors):
        points, found = _place(random, room, side, drawing)
        take_room(room, found.nonzero()[0], points[found], EVERYONE, drawing)
        distractors.append((found.nonzero()[0], points[found]))
    return Layout(arms, crossing, distractors)


def _turned(
    arms: Complex[np.ndarray, "B 4 n"], crossing: Complex[np.ndarray, "B 4 2"]
) -> tuple[Complex[np.ndarray, "B 4 n"], Complex[np.ndarray, "B 4 2"]]:
    """The arms counted from the one on whose choice distances from the circles tell the least.

    Circles lie at the ends of the first two. Of each way in which arms can be joined the two dashes
    lie nearly as far from a circle as those of the other, and the more so the less the arms lean.
    """
    away = abs(arms[:, :, -1:] - crossing.mean(axis=2)[:, None])  # of each arm's end to each dash
    one_way, other_way = np.sort(away[..., ::2]), np.sort(away[..., 1::2])
    told = abs(one_way - other_way).sum(axis=2)
    first = (told + np.roll(told, -1, axis=1)).argmin(axis=1)
    counted = (first[:, None] + np.arange(ARMS)) % ARMS
    rows = np.arange(len(arms))[:, None]
    return arms[rows, counted], crossing[rows, counted]


def _plan_arms(
    random: Generator, rows: int, side: int, drawing: Drawing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four arms and the crossing that they leave, where that works out, and the room they leave.

    The corners of a square are the crossing's: arms leave there, and two opposite sides of
    it bear a dash each, which joins the arms at both ends of the side.
    """
    every = np.arange(rows)
    square = drawing.margin + 0.2
    across = (square - drawing.dash) / 2
    # So far outside of its corner an arm begins that the gap to a side's dash is no wider.
    out = (math.sqrt(4 * drawing.gap**2 - 2 * across**2) - math.sqrt(2) * across) / 2
    away = square / math.sqrt(2) + out
    clear = away + drawing.dash + drawing.reach + 1
    middle = clear + (side - 1 - 2 * clear) * (random.random(rows) + 1j * random.random(rows))
    outward = np.exp(2j * np.pi * (random.random(rows)[:, None] + np.arange(ARMS) / ARMS))
    along = outward * np.exp(0.75j * np.pi)  # from a corner to the next
    sides = middle[:, None] + (outward + np.roll(outward, -1, axis=1)) * square / math.sqrt(8)
    crossing = sides[..., None] + along[..., None] * drawing.dash / 2 * np.array([-1, 1])
    starts = middle[:, None] + outward * away
    dashes = random.integers(1, drawing.dashes - 1, rows)
    room = free_room(rows, side, drawing)
    size = ((drawing.dashes - 2) * drawing.period - drawing.gap) // drawing.spacing + 1
    for arm in range(ARMS):
        for points, owner in ((sides, ARMS + arm), (starts, arm)):
            take_room(room, every, points[:, arm, None], 1 << owner, drawing)
    arms, left = np.zeros((rows, ARMS, size), np.complex64), every
    for arm in range(ARMS):
        long = dashes if arm % 2 == 0 else drawing.dashes - 1 - dashes
        next_to = [arm, arm - 1]  # sides of the crossing
        own = 1 << arm | sum(1 << ARMS + side % ARMS for side in next_to)
        path, free = _grow(
            random, room[left], starts[left, arm], outward[left, arm], long[left],
            EVERYONE & ~own, drawing,
        )  # fmt: skip
        free &= ~_meets_itself(np.hstack([sides[left][:, next_to], path]), drawing)
        left, path = left[free], path[free]
        arms[left, arm] = path
        take_room(room, left, path_body(path, drawing), 1 << arm, drawing)
    return arms[left], crossing[left], room[left]


def _walk(
    random: Generator, shape: tuple[int, ...], dashes: int, drawing: Drawing
) -> Complex[np.ndarray, "*n"]:
    """Paths from 0 on, at first to 1; the heading changes evenly, by a random turn each period."""
    points = drawing.period // drawing.spacing
    turns = random.standard_normal((*shape, dashes), np.float32) * (drawing.turn / points)
    heading = np.cumsum(np.repeat(turns, points, axis=-1), axis=-1)
    size = (dashes * drawing.period - drawing.gap) // drawing.spacing
    path = np.zeros((*shape, size + 1), np.complex64)
    steps = np.empty((*shape, size), np.complex64)
    np.cos(heading[..., :size], out=steps.real)
    np.sin(heading[..., :size], out=steps.imag)
    np.cumsum(drawing.spacing * steps, axis=-1, out=path[..., 1:])
    return path


def _grow(
    random: Generator,
    room: UInt8[np.ndarray, "B R R"],
    starts: Complex[np.ndarray, "B"],
    headings: Complex[np.ndarray, "B"],
    dashes: Int[np.ndarray, "B"],
    others: int,
    drawing: Drawing,
) -> tuple[Complex[np.ndarray, "B n"], Bool[np.ndarray, "B"]]:
    """An arm of so many dashes, one of some ways that have room; and whether one has."""
    rows = len(room)
    walk = _walk(random, (rows, drawing.ways), drawing.dashes - 2, drawing)
    last = (dashes * drawing.period - drawing.gap) // drawing.spacing
    place = np.minimum(np.arange(walk.shape[-1]), last[:, None])
    walk = np.take_along_axis(walk, place[:, None], axis=2)
    lean = abs(np.imag(walk[..., -1])) / abs(walk[..., -1])
    walk = walk * headings[:, None, None] + starts[:, None, None]
    free = is_free(room, path_body(walk, drawing), others, drawing)
    compared = free & (free.cumsum(axis=1) <= drawing.compared)
    chosen = np.where(compared, lean, 2).argmin(axis=1)
    return walk[np.arange(rows), chosen], free.any(axis=1)


def _place(
    random: Generator, room: UInt8[np.ndarray, "B R R"], side: int, drawing: Drawing
) -> tuple[Complex[np.ndarray, "B n"], Bool[np.ndarray, "B"]]:
    """A distractor at the first of some places that have room for it, and whether one has."""
    rows = len(room)
    walk = _walk(random, (rows, 1), drawing.distractor_dashes, drawing)
    down, right, angle = random.random((3, rows, drawing.ways, 1), np.float32)
    walk = walk * np.exp(2j * np.pi * angle).astype(np.complex64)
    walk += (side - 1) * (down + 1j * right)
    free = is_free(room, walk, EVERYONE, drawing)
    return walk[np.arange(rows), free.argmax(axis=1)], free.any(axis=1)


def path_body(path: Complex[np.ndarray, "*B n"], drawing: Drawing) -> Complex[np.ndarray, "*B m"]:
    """What keeps away from others: a path's points, and some around the circle at its end."""
    around = (drawing.radius - drawing.reach) * np.exp(0.25j * np.pi * np.arange(8))
    return np.concatenate([path[..., ::2], path[..., -1:] + around.astype(np.complex64)], axis=-1)


def _meets_itself(path: Complex[np.ndarray, "B n"], drawing: Drawing) -> Bool[np.ndarray, "B"]:
    """Whether points lie near one another that are twice as far apart along the path."""
    along = math.ceil(2 * drawing.margin / drawing.spacing)
    first, later = np.triu_indices(path.shape[1], along)
    near = abs(path[:, first] - path[:, later]) < drawing.margin
    return (near & (path[:, later] != path[:, later - 1])).any(axis=1)


def _padding(drawing: Drawing) -> int:
    """Cells around an image, so that what a path takes is never cut."""
    return math.ceil(drawing.margin) + 2


def free_room(rows: int, side: int, drawing: Drawing) -> UInt8[np.ndarray, "B R R"]:
    """A map of pixels; a bit says for whom there is no room, and at the border there is none."""
    pad = _padding(drawing)
    room = np.full((rows, side + 2 * pad, side + 2 * pad), EVERYONE, np.uint8)
    room[:, pad + 1 : -pad - 1, pad + 1 : -pad - 1] = 0
    return room


def is_free(
    room: UInt8[np.ndarray, "B R R"],
    points: Complex[np.ndarray, "B T m"],
    owners: int,
    drawing: Drawing,
) -> Bool[np.ndarray, "B T"]:
    """Whether no point of a candidate lies where one of some owners (bits) has taken the room."""
    last, pad = room.shape[1] - 1, _padding(drawing)
    down, right = (
        np.clip(np.rint(part).astype(np.int32) + pad, 0, last)
        for part in (np.real(points), np.imag(points))
    )
    rows = np.arange(len(room), dtype=np.int32)[:, None, None]
    taken = room.reshape(-1).take((rows * (last + 1) + down) * (last + 1) + right)
    return (taken & np.uint8(owners) == 0).all(axis=2)


def take_room(
    room: UInt8[np.ndarray, "B R R"],
    rows: Int[np.ndarray, "b"],
    body: Complex[np.ndarray, "b m"],
    owners: int,
    drawing: Drawing,
) -> None:
    """Takes from the map the pixels in which a point may be nearer than the margin."""
    width, pad = room.shape[1], _padding(drawing)
    within = _stamp(drawing.margin, width)
    down, right = (np.floor(part * QUARTERS) for part in (np.real(body), np.imag(body)))
    down, right = down.astype(np.int32), right.astype(np.int32)
    corner = (rows[:, None] * width + down // QUARTERS + pad) * width + right // QUARTERS + pad
    taken = corner[..., None] + within[down % QUARTERS, right % QUARTERS]
    flat = room.reshape(-1)
    flat[taken] = flat[taken] | np.uint8(owners)


QUARTERS = 4
"""Places of a point in its pixel, on each axis, that make a difference to the room it takes."""


@lru_cache(maxsize=8)
def _stamp(margin: float, width: int) -> Int[np.ndarray, "4 4 n"]:
    """By its place in the pixel, the pixels in which others may be nearer to a point than a margin.

    As flat indices of a map, from the pixel's corner on; as many for each place.
    """
    # What is asked of the map is a point's pixel, whose centre lies up to 0.71 from it.
    reach = margin + 0.71 + 0.71 / QUARTERS
    extent = math.ceil(reach) + 1
    down, right = np.mgrid[-extent : extent + 1, -extent : extent + 1].reshape(2, -1)
    inside = (np.arange(QUARTERS) + 0.5) / QUARTERS
    apart = abs(down + 1j * right - (inside[:, None, None] + 1j * inside[:, None]))
    nearest = np.argsort(apart, axis=2)[..., : (apart <= reach).sum(axis=2).max()]
    return (down * width + right)[nearest].astype(np.int32)


def pixels_near(
    side: int,
    rows: Int[np.ndarray, "b"],
    points: Complex[np.ndarray, "b m"],
    reach: float,
    padding: int,
) -> tuple[Int[np.ndarray, "b m n"], Float[np.ndarray, "b m n"]]:
    """The pixels around points, as flat indices, and how far their centres lie from them."""
    extent = math.floor(reach + 0.5)
    down, right = np.mgrid[-extent : extent + 1, -extent : extent + 1].reshape(2, -1)
    near = down**2 + right**2 <= (reach + 0.71) ** 2
    down, right = down[near].astype(np.int32), right[near].astype(np.int32)
    rounded = np.rint(points)
    inside = (points - rounded).astype(np.complex64)
    apart = abs((down + 1j * right).astype(np.complex64) - inside[..., None])
    cells = np.real(rounded).astype(np.int32), np.imag(rounded).astype(np.int32)
    corner = (rows[:, None] * side + cells[0] + padding) * side + cells[1] + padding
    return corner[..., None] + (down * side + right), apart
