"""The dashed paths of Pathfinder: how they grow, and how they are kept apart on a map of room."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex

from seqmodels.arrays import Bool, Float, Int

PLACES, PROMISING = 192, 24
"""So many places are tried for a path with a few of its points, and so many of these with all."""
SAMPLES = 2
"""Points of a path in a pixel's length."""
LINE = 1.25
"""The reach of a line's grey, from its middle: it is grey 1/2 at 0.75 pixels."""
PARTINGS = 48
"""So many ways are tried for a path that parts."""
AROUND = 8
"""Points around an end that may bear a circle."""


class Drawing(NamedTuple):
    """How images of a side are drawn; lengths are in pixels."""

    dashes: int
    """Of a long path; a distractor has a third as many."""
    dash: int
    gap: int
    """Between two dashes of a path."""
    margin: float
    """Paths lie further apart than this: pixels of two paths than those on both sides of a gap."""
    radius: float
    """Of a circle."""
    turn: float
    """The standard deviation of a path's turn from dash to dash, in radians."""
    distractors: int
    """So many are tried; those that find no room are left out."""
    spacing: int
    """From point to point where paths are kept apart."""
    shared: int
    """So many dashes at each circle are the same whether the circles are joined or not."""


def path_points(drawing: Drawing, dashes: int) -> int:
    """How many points a path of so many dashes has."""
    return SAMPLES * (dashes * (drawing.dash + drawing.gap) - drawing.gap) + 1


def _walk(
    random: np.random.Generator, shape: tuple[int, ...], drawing: Drawing, dashes: int
) -> Complex[np.ndarray, "*n"]:
    """Paths from 0 on: the heading changes evenly from dash to dash, by a random turn."""
    size, period = path_points(drawing, dashes), SAMPLES * (drawing.dash + drawing.gap)
    turns = random.normal(0, drawing.turn / period, (*shape, dashes))
    heading = np.cumsum(np.repeat(turns, period, axis=-1)[..., : size - 1], axis=-1)
    points = np.zeros((*shape, size), complex)
    np.cumsum(np.exp(1j * heading) / SAMPLES, axis=-1, out=points[..., 1:])
    return points


def place_path(
    random: np.random.Generator,
    room: Bool[np.ndarray, "B R R"],
    side: int,
    drawing: Drawing,
    dashes: int,
) -> tuple[Complex[np.ndarray, "B n"], Bool[np.ndarray, "B"]]:
    """A new path at the first of some places that has room for it, turned by chance.

    Takes the room; returns the paths, and which of them found any.
    """
    walk = _walk(random, (len(room),), drawing, dashes)
    walk -= (walk[:, :1] + walk[:, -1:]) / 2
    down, right, angle = random.random((3, len(room), PLACES))
    places, turns = side * (down + 1j * right), np.exp(2j * np.pi * angle)
    few = walk[:, :: (walk.shape[1] - 1) // 4]
    hopeful = _is_free(room, few[:, None] * turns[..., None] + places[..., None], drawing)
    best = np.argsort(~hopeful, axis=1, kind="stable")[:, :PROMISING]
    turns, places = (np.take_along_axis(array, best, axis=1) for array in (turns, places))
    body = path_body(walk, drawing, circles=dashes == drawing.dashes)
    candidates = body[:, None] * turns[..., None] + places[..., None]
    chosen, found = _settle(room, candidates, drawing)
    rows = np.arange(len(room))
    return walk * turns[rows, chosen][:, None] + places[rows, chosen][:, None], found


def part_path(
    random: np.random.Generator,
    room: Bool[np.ndarray, "B R R"],
    path: Complex[np.ndarray, "B n"],
    drawing: Drawing,
) -> tuple[Complex[np.ndarray, "B n"], Bool[np.ndarray, "B"]]:
    """A path that has the first dashes of another and then its own way; as :func:`place_path`."""
    kept = path[:, : SAMPLES * drawing.shared * (drawing.dash + drawing.gap) + 1]
    ahead = (kept[:, -1:] - kept[:, -2:-1]) * SAMPLES
    ways = _walk(random, (len(path), PARTINGS), drawing, drawing.dashes - drawing.shared)[..., 1:]
    ways = kept[:, None, -1:] + ways * ahead[..., None]
    kept = np.broadcast_to(kept[:, None], (*ways.shape[:2], kept.shape[1]))
    paths = np.concatenate([kept, ways], axis=2)
    chosen, found = _settle(room, path_body(paths, drawing, circles=True), drawing)
    return paths[np.arange(len(path)), chosen], found


def _settle(
    room: Bool[np.ndarray, "B R R"], bodies: Complex[np.ndarray, "B T m"], drawing: Drawing
) -> tuple[Int[np.ndarray, "B"], Bool[np.ndarray, "B"]]:
    """Which body is the first with room, and whether one is; takes its room."""
    free = _is_free(room, bodies, drawing)
    rows, chosen, found = np.arange(len(room)), free.argmax(axis=1), free.any(axis=1)
    body = bodies[rows, chosen]
    found &= ~_meets_itself(body, drawing)
    take_room(room, rows[found], body[found], drawing)
    return chosen, found


def path_body(
    path: Complex[np.ndarray, "*B n"], drawing: Drawing, circles: bool
) -> Complex[np.ndarray, "*B m"]:
    """The points that keep away from others: a path's, and around ends that may bear a circle.

    The ends come first.
    """
    begin, end = path[..., :1], path[..., -1:]
    around = np.zeros(1)
    if circles:
        around = (drawing.radius + 0.5 - LINE) * np.exp(2j * np.pi * np.arange(AROUND) / AROUND)
    points = path[..., :: SAMPLES * drawing.spacing]
    return np.concatenate([begin + around, end + around, points], axis=-1)


def _meets_itself(body: Complex[np.ndarray, "B m"], drawing: Drawing) -> Bool[np.ndarray, "B"]:
    """Whether points lie near one another that are twice as far apart along the path."""
    points = body[:, 2 * AROUND :]  # none is left of a short path, which can't
    along = math.ceil(2 * drawing.margin / drawing.spacing)
    first, later = np.triu_indices(points.shape[1], along)
    return (abs(points[:, first] - points[:, later]) < drawing.margin).any(axis=1)


def _padding(drawing: Drawing) -> int:
    """Cells around an image, so that what a path takes is never cut."""
    return math.ceil(drawing.margin) + 2


def free_room(rows: int, side: int, drawing: Drawing) -> Bool[np.ndarray, "B R R"]:
    """A map of the pixels that paths may cross: all but the border."""
    pad = _padding(drawing)
    room = np.zeros((rows, side + 2 * pad, side + 2 * pad), bool)
    room[:, pad + 1 : -pad - 1, pad + 1 : -pad - 1] = True
    return room


def _is_free(
    room: Bool[np.ndarray, "B R R"], points: Complex[np.ndarray, "B T m"], drawing: Drawing
) -> Bool[np.ndarray, "B T"]:
    """Whether all points of a candidate lie where there is room."""
    last, pad = room.shape[1] - 1, _padding(drawing)
    down, right = (
        np.clip(np.rint(part).astype(np.int32) + pad, 0, last)
        for part in (np.real(points), np.imag(points))
    )
    rows = np.arange(len(room), dtype=np.int32)[:, None, None]
    return room.reshape(-1).take((rows * (last + 1) + down) * (last + 1) + right).all(axis=2)


def take_room(
    room: Bool[np.ndarray, "B R R"],
    rows: Int[np.ndarray, "b"],
    body: Complex[np.ndarray, "b m"],
    drawing: Drawing,
) -> None:
    """Takes from the map the pixels in which a point may be nearer than the margin."""
    # What is asked of the map is a point's pixel, whose centre lies up to 0.71 from it.
    reach = drawing.margin + 0.71
    flat, apart = pixels_near(room.shape[1], rows, body, reach, _padding(drawing))
    room.reshape(-1)[flat[apart <= reach]] = False


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
    down, right = down[near], right[near]
    rounded = np.rint(points)
    inside = (points - rounded).astype(np.complex64)
    apart = abs((down + 1j * right).astype(np.complex64) - inside[..., None])
    cells = np.real(rounded).astype(np.int32), np.imag(rounded).astype(np.int32)
    corner = (rows[:, None] * side + cells[0] + padding) * side + cells[1] + padding
    return corner[..., None] + (down * side + right), apart
