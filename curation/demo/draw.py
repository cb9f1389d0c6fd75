"""Scenes into pictures: Pillow polygons on a ground of soft light, encoded as JPEG or PNG.

Each ground carries a coarse light of its own, so that two pictures of one scene are not near-duplicates of each other.
"""

import io
import math
from typing import NamedTuple

from PIL import Image, ImageDraw

from curation.demo.chance import Chance
from curation.demo.concepts import Rgb, Scene, ground_rgb
from curation.demo.shapes import Point, shapes

OVERSAMPLING = 2  # masks are drawn this many times larger and then reduced: smooth edges
LIGHT_CELLS = 4  # the light is given on so many cells a side
LIGHT_RANGE = 34.0  # and varies by so many levels of 255 in each direction
LARGEST_TURN = 10.0  # degrees
PNG_LEVEL = 3  # of zlib: half the time of the default


class Place(NamedTuple):
    """Where one object stands: centre, half its side in pixels, turn in radians, stretch (below 0: mirrored)."""

    x: float
    y: float
    half: float
    turn: float
    stretch: float


def places(scene: Scene, chance: Chance) -> list[Place]:
    """Return where the scene's objects stand: one anywhere, more of them in cells of a grid."""
    width, height = scene.size
    if scene.count == 1:
        cells = [(0.0, 0.0, float(width), float(height))]
    elif scene.count == 2:
        split = chance.between(f"{scene.key}/split", 0.45, 0.55) * width
        cells = [(0.0, 0.0, split, float(height)), (split, 0.0, float(width), float(height))]
    else:
        x, y = width / 2, height / 2
        grid = [
            (0.0, 0.0, x, y),
            (x, 0.0, float(width), y),
            (0.0, y, x, float(height)),
            (x, y, float(width), float(height)),
        ]
        cells = chance.shuffled(f"{scene.key}/cells", grid)[: scene.count]
    return [
        _place(chance, f"{scene.key}/{number}", cell, single=len(cells) == 1)
        for number, cell in enumerate(cells)
    ]


def _place(chance: Chance, key: str, cell: tuple[float, float, float, float], *, single: bool) -> Place:
    left, top, right, bottom = cell
    room = min(right - left, bottom - top)
    half = room * chance.between(f"{key}/half", 0.38 if single else 0.42, 0.48)
    return Place(
        x=chance.between(f"{key}/x", left + half, right - half),
        y=chance.between(f"{key}/y", top + half, bottom - half),
        half=half,
        turn=math.radians(chance.between(f"{key}/turn", -LARGEST_TURN, LARGEST_TURN)),
        stretch=chance.between(f"{key}/stretch", 0.84, 1.0) * chance.pick(f"{key}/mirror", (-1.0, 1.0)),
    )


def _placed(points: tuple[Point, ...], place: Place) -> list[Point]:
    """Return the points of an outline in the pixels of the mask."""
    scale = place.half * OVERSAMPLING
    cos, sin = math.cos(place.turn) * scale, math.sin(place.turn) * scale
    x0, y0 = place.x * OVERSAMPLING, place.y * OVERSAMPLING
    wide = place.stretch
    return [(x0 + wide * x * cos - y * sin, y0 + wide * x * sin + y * cos) for x, y in points]


def _masks(scene: Scene, chance: Chance) -> tuple[Image.Image, Image.Image]:
    """Return the masks of body and detail, mode L, in the scene's size."""
    width, height = scene.size
    large = (width * OVERSAMPLING, height * OVERSAMPLING)
    body, detail = Image.new("L", large), Image.new("L", large)
    on_body, on_detail = ImageDraw.Draw(body), ImageDraw.Draw(detail)
    for place in places(scene, chance):
        for role, points in shapes()[scene.thing.en]:
            outline = _placed(points, place)
            if role == "detail":
                on_detail.polygon(outline, fill=255)
                continue
            on_body.polygon(outline, fill=0 if role == "hole" else 255)
            on_detail.polygon(outline, fill=0)
    return body.reduce(OVERSAMPLING), detail.reduce(OVERSAMPLING)


def shade(colour: Rgb, *, dark: bool) -> Rgb:
    """Return the shade of an object's details: darker than its colour, or lighter."""
    red, green, blue = (c * 2 // 5 if dark else c + (255 - c) * 3 // 5 for c in colour)
    return red, green, blue


def _light(scene: Scene, chance: Chance, colour: Rgb, low: float = -LIGHT_RANGE) -> Image.Image:
    """Return a ground of one colour under uneven light."""
    levels = [
        chance.between(f"{scene.key}/light{i}", low, low + 2 * LIGHT_RANGE) for i in range(LIGHT_CELLS**2)
    ]
    cells = bytes(max(0, min(255, round(channel + level))) for level in levels for channel in colour)
    return Image.frombytes("RGB", (LIGHT_CELLS, LIGHT_CELLS), cells).resize(
        scene.size, Image.Resampling.BICUBIC
    )


def _ground(scene: Scene, chance: Chance) -> Image.Image:
    """Return the background, RGB."""
    colour = ground_rgb(scene.ground_colour)
    second = shade(colour, dark=sum(colour) > 600) if scene.ground.key != "plain" else colour
    second = tuple((3 * a + b) // 4 for a, b in zip(colour, second, strict=True))  # type: ignore[assignment]
    if scene.ground.key == "striped":
        return _stripes(scene, chance, _light(scene, chance, colour), second)
    if scene.ground.key == "dotted":
        return _dots(scene, chance, _light(scene, chance, colour), second)
    if scene.ground.key == "meadow":
        return _meadow(scene, chance)
    if scene.ground.key == "gradient":
        return _gradient(scene, chance, colour)
    return _light(scene, chance, colour)


def _stripes(scene: Scene, chance: Chance, ground: Image.Image, colour: Rgb) -> Image.Image:
    width, height = scene.size
    period = chance.between(f"{scene.key}/period", 0.09, 0.2) * width
    turn = chance.between(f"{scene.key}/direction", 0, math.pi)
    phase = chance.between(f"{scene.key}/phase", 0, period)
    cos, sin, reach = math.cos(turn), math.sin(turn), width + height
    pen = ImageDraw.Draw(ground)
    for step in range(-int(reach / period), int(reach / period) + 1):
        x, y = width / 2 + (phase + step * period) * cos, height / 2 + (phase + step * period) * sin
        ends = (x - reach * sin, y + reach * cos, x + reach * sin, y - reach * cos)
        pen.line(ends, fill=colour, width=max(2, round(period * 0.42)))
    return ground


def _dots(scene: Scene, chance: Chance, ground: Image.Image, colour: Rgb) -> Image.Image:
    width, height = scene.size
    step = chance.between(f"{scene.key}/period", 0.11, 0.22) * width
    radius = step * 0.26
    left, top = (chance.between(f"{scene.key}/phase {axis}", 0, step) for axis in "xy")
    pen = ImageDraw.Draw(ground)
    for row in range(-1, int(height / step) + 2):
        for column in range(-1, int(width / step) + 2):
            x, y = left + (column + row % 2 / 2) * step, top + row * step
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return ground


def _meadow(scene: Scene, chance: Chance) -> Image.Image:
    """Return sky over grass, the two about equally light, with a slanted horizon and tufts."""
    width, height = scene.size
    ground = _light(scene, chance, (150, 200, 240))
    left, right = (chance.between(f"{scene.key}/{side}", 0.3, 0.85) * height for side in ("left", "right"))
    mask = Image.new("L", scene.size)
    ImageDraw.Draw(mask).polygon([(0, left), (width, right), (width, height), (0, height)], fill=255)
    ground.paste(_light(scene, chance, (130, 205, 105)), mask=mask)
    return ground


def _gradient(scene: Scene, chance: Chance, colour: Rgb) -> Image.Image:
    """Return the colour running to a shade of it, from one corner or side to the other."""
    other = shade(colour, dark=sum(colour) > 380)
    shares = [chance.at(f"{scene.key}/corner{corner}") for corner in range(9)]
    cells = bytes(round(a + (b - a) * share) for share in shares for a, b in zip(colour, other, strict=True))
    return Image.frombytes("RGB", (3, 3), cells).resize(scene.size, Image.Resampling.BICUBIC)


def render(scene: Scene, chance: Chance) -> Image.Image:
    """Return the picture of a scene: RGB, or RGBA where its ground is transparent."""
    body, detail = _masks(scene, chance)
    colour, details = scene.colour.rgb, shade(scene.colour.rgb, dark=sum(scene.colour.rgb) > 300)
    if scene.ground.key == "transparent":
        picture = Image.new("RGB", scene.size, colour)
        picture.paste(details, mask=detail)
        alpha = body.copy()
        alpha.paste(255, mask=detail)
        picture.putalpha(alpha)
        return picture
    picture = _ground(scene, chance)
    picture.paste(colour, mask=body)
    picture.paste(details, mask=detail)
    return picture


def encode(picture: Image.Image, kind: str) -> bytes:
    """Return the file of a picture; `kind` is png, alpha (a PNG too) or jpeg with its quality, such as jpeg75."""
    target = io.BytesIO()
    if kind.startswith("jpeg"):
        picture.convert("RGB").save(target, "JPEG", quality=int(kind[4:]))
    else:
        picture.save(target, "PNG", compress_level=PNG_LEVEL)
    return target.getvalue()


def suffix(kind: str) -> str:
    """Return the file name's ending of a kind of file."""
    return ".jpg" if kind.startswith("jpeg") else ".png"
