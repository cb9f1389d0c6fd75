"""The outlines of the demo's objects: polygons in a square from -1 to 1, y downwards, so that they turn and grow exactly.

A part is (role, points): "body" in the object's colour, "detail" in a contrasting shade on top of it, "hole" cuts through both.
"""

import math
from functools import lru_cache

Point = tuple[float, float]
Part = tuple[str, tuple[Point, ...]]


def _oval(x: float, y: float, rx: float, ry: float, arc: tuple[float, float] = (0, 360)) -> tuple[Point, ...]:
    """Return an ellipse, or the arc of one in degrees clockwise from the right, closed by its chord."""
    steps = 22
    start, stop = arc
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return tuple((x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles)


def _disc(x: float, y: float, r: float) -> tuple[Point, ...]:
    return _oval(x, y, r, r)


def _box(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _bar(x0: float, y0: float, x1: float, y1: float, width: float) -> tuple[Point, ...]:
    """Return a line of a width as a rectangle."""
    length = math.hypot(x1 - x0, y1 - y0)
    dx, dy = -(y1 - y0) / length * width / 2, (x1 - x0) / length * width / 2
    return ((x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy))


def _body(*outlines: tuple[Point, ...]) -> tuple[Part, ...]:
    return tuple(("body", outline) for outline in outlines)


def _detail(*outlines: tuple[Point, ...]) -> tuple[Part, ...]:
    return tuple(("detail", outline) for outline in outlines)


def _hole(*outlines: tuple[Point, ...]) -> tuple[Part, ...]:
    return tuple(("hole", outline) for outline in outlines)


def _star() -> tuple[Point, ...]:
    turns = [math.pi * step / 5 - math.pi / 2 for step in range(10)]
    return tuple(
        ((1, 0.4)[i % 2] * math.cos(turn), (1, 0.4)[i % 2] * math.sin(turn)) for i, turn in enumerate(turns)
    )


def _around(count: int, inner: float, outer: float, width: float) -> list[tuple[Point, ...]]:
    """Return rays around the centre."""
    turns = [2 * math.pi * step / count for step in range(count)]
    return [
        _bar(inner * math.cos(t), inner * math.sin(t), outer * math.cos(t), outer * math.sin(t), width)
        for t in turns
    ]


def _petals() -> list[tuple[Point, ...]]:
    turns = [2 * math.pi * step / 6 for step in range(6)]
    return [_disc(0.6 * math.cos(turn), 0.6 * math.sin(turn), 0.38) for turn in turns]


def _simple_shapes() -> dict[str, tuple[Part, ...]]:
    moon = _oval(0, 0, 0.95, 0.95, (60, 300)) + _oval(0.32, 0, 0.75, 0.85, (285, 75))
    heart = ((-0.97, -0.2), (0.97, -0.2), (0.75, 0.18), (0, 0.95), (-0.75, 0.18))
    waves = [_disc(x, 0.05 if x else -0.15, r) for x, r in ((-0.55, 0.4), (0.0, 0.52), (0.55, 0.4))]
    return {
        "star": _body(_star()),
        "heart": _body(heart, _oval(-0.49, -0.32, 0.5, 0.5), _oval(0.49, -0.32, 0.5, 0.5)),
        "moon": _body(moon),
        "sun": _body(_disc(0, 0, 0.5), *_around(8, 0.62, 1.0, 0.2)),
        "cloud": _body(
            *waves, _box(-0.75, 0.05, 0.75, 0.45), _disc(-0.75, 0.2, 0.25), _disc(0.75, 0.2, 0.25)
        ),
        "flower": _body(*_petals()) + _detail(_disc(0, 0, 0.3)),
        "crown": _body(
            ((-0.95, -0.6), (-0.45, 0), (0, -0.8), (0.45, 0), (0.95, -0.6), (0.8, 0.7), (-0.8, 0.7))
        )
        + _detail(_box(-0.8, 0.45, 0.8, 0.6)),
    }


def _living_shapes() -> dict[str, tuple[Part, ...]]:
    ears = (((-0.85, -0.95), (-0.15, -0.55), (-0.8, -0.1)), ((0.85, -0.95), (0.15, -0.55), (0.8, -0.1)))
    whiskers = [
        _bar(s * 0.25, y, s * 1.0, y + d, 0.07) for s in (-1, 1) for y, d in ((0.3, -0.1), (0.42, 0.1))
    ]
    return {
        "cat": _body(_oval(0, 0.15, 0.85, 0.75), *ears)
        + _detail(
            _oval(-0.33, 0.0, 0.14, 0.18),
            _oval(0.33, 0.0, 0.14, 0.18),
            ((-0.12, 0.25), (0.12, 0.25), (0, 0.4)),
        )
        + _detail(*whiskers),
        "fish": _body(_oval(-0.2, 0, 0.75, 0.48), ((0.35, 0), (0.98, -0.5), (0.98, 0.5)))
        + _detail(_disc(-0.55, -0.1, 0.1), _bar(-0.2, -0.3, -0.2, 0.3, 0.08)),
        "tree": _body(_disc(0, -0.42, 0.52), _disc(-0.4, -0.1, 0.4), _disc(0.4, -0.1, 0.4))
        + _detail(_box(-0.14, 0.2, 0.14, 0.98)),
    }


def _built_shapes() -> dict[str, tuple[Part, ...]]:
    windows = (_box(-0.38, -0.38, -0.05, -0.05), _box(0.06, -0.38, 0.4, -0.05))
    return {
        "house": _body(_box(-0.7, -0.1, 0.7, 0.9))
        + _detail(((0, -0.95), (0.98, -0.05), (-0.98, -0.05)), _box(-0.18, 0.35, 0.18, 0.9)),
        "car": _body(_box(-0.98, 0.0, 0.98, 0.45), ((-0.6, 0.0), (-0.42, -0.5), (0.45, -0.5), (0.65, 0.0)))
        + _detail(_disc(-0.52, 0.48, 0.26), _disc(0.52, 0.48, 0.26), *windows),
        "boat": _body(
            ((-0.95, 0.35), (0.95, 0.35), (0.6, 0.85), (-0.6, 0.85)), ((0.08, -0.95), (0.08, 0.2), (0.8, 0.2))
        )
        + _detail(_box(-0.06, -0.95, 0.04, 0.35), ((-0.12, -0.7), (-0.12, 0.2), (-0.65, 0.2))),
    }


def _held_shapes() -> dict[str, tuple[Part, ...]]:
    scallops = [_oval(x, 0.0, 0.24, 0.17) for x in (-0.71, -0.24, 0.24, 0.71)]
    return {
        "cup": _body(_oval(0.55, -0.05, 0.4, 0.4))
        + _hole(_oval(0.55, -0.05, 0.2, 0.22))
        + _body(((-0.8, -0.7), (0.55, -0.7), (0.4, 0.8), (-0.65, 0.8)))
        + _detail(_oval(-0.125, -0.68, 0.6, 0.13)),
        "umbrella": _body(_oval(0, 0, 0.95, 0.9, (180, 360)))
        + _hole(*scallops)
        + _detail(_box(-0.06, -0.98, 0.06, 0.85), _box(0.0, 0.78, 0.35, 0.9), _box(0.25, 0.6, 0.35, 0.9)),
        "key": _body(
            _disc(-0.55, 0, 0.43),
            _box(-0.2, -0.12, 0.98, 0.12),
            _box(0.45, 0.0, 0.6, 0.42),
            _box(0.78, 0.0, 0.95, 0.42),
        )
        + _hole(_disc(-0.6, 0, 0.19)),
    }


@lru_cache(maxsize=1)
def shapes() -> dict[str, tuple[Part, ...]]:
    """Return the parts of each object, in drawing order, by its English singular."""
    return _simple_shapes() | _living_shapes() | _built_shapes() | _held_shapes()
