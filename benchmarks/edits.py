"""Edits that make another picture of one: a part pasted in, taken away, moved, turned or recoloured. No copy, though much alike."""

from collections.abc import Callable

from descriptor_sets import Dice
from PIL import Image, ImageDraw, ImageOps

from curation.dedup import builtin

PART = (0.15, 0.45)  # of each side of what is not border
CENTRE = (0.5, 0.8)
CHANNELS = ((1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0))
Edges = tuple[int, int, int, int]


def edited(image: Image.Image, other: Image.Image, dice: Dice) -> Image.Image:
    """Return the RGB picture after one of EDITS, drawn by coin. other: where a piece that is pasted in comes from."""
    return EDITS[dice.one_of(sorted(EDITS))](image, other, dice)


def _part(image: Image.Image, dice: Dice, share: tuple[float, float] = PART) -> Edges:
    """Return a box somewhere in what is not border."""
    left, upper, right, lower = builtin.trimmed(image).outer
    width, height = (
        min(side, max(4, round(side * dice.between(*share)))) for side in (right - left, lower - upper)
    )
    x = left + round(dice.between(0, right - left - width))
    y = upper + round(dice.between(0, lower - upper - height))
    return x, y, x + width, y + height


def _size(box: Edges) -> tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]


def _mask(size: tuple[int, int], dice: Dice) -> Image.Image:
    """Return a rectangle, an ellipse or a polygon of that size."""
    mask = Image.new("L", size)
    pen, shape = ImageDraw.Draw(mask), dice.one_of(["rectangle", "ellipse", "polygon"])
    if shape == "rectangle":
        pen.rectangle((0, 0, *size), fill=255)
    elif shape == "ellipse":
        pen.ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    else:
        corners = [(dice.between(0, size[0]), dice.between(0, size[1])) for _ in range(5)]
        pen.polygon([*corners, (size[0] / 2, 0), (size[0], size[1] / 2)], fill=255)
    return mask


def _paste(image: Image.Image, other: Image.Image, dice: Dice) -> Image.Image:
    box, made = _part(image, dice), image.copy()
    piece = other.crop(builtin.trimmed(other).inner).resize(_size(box))
    made.paste(piece, box, _mask(_size(box), dice))
    return made


def _centre(image: Image.Image, other: Image.Image, dice: Dice) -> Image.Image:
    """Show something else in the middle: another symbol in the same frame."""
    left, upper, right, lower = builtin.trimmed(image).outer
    width, height = (max(4, round(side * dice.between(*CENTRE))) for side in (right - left, lower - upper))
    at, made = ((left + right - width) // 2, (upper + lower - height) // 2), image.copy()
    piece = other.crop(builtin.trimmed(other).inner).resize((width, height))
    made.paste(piece, at, _mask((width, height), dice) if dice.between(0, 1) < 0.5 else None)
    return made


def _erase(image: Image.Image, _: Image.Image, dice: Dice) -> Image.Image:
    """Fill a part with the colour beside it."""
    box, made = _part(image, dice), image.copy()
    beside = image.getpixel((max(0, box[0] - 1), max(0, box[1] - 1)))
    made.paste(beside, box, _mask(_size(box), dice))  # type: ignore[arg-type]
    return made


def _move(image: Image.Image, _: Image.Image, dice: Dice) -> Image.Image:
    box, there, made = _part(image, dice), _part(image, dice), image.copy()
    made.paste(image.crop(box), there[:2], _mask(_size(box), dice))
    return made


def _turn(image: Image.Image, _: Image.Image, dice: Dice) -> Image.Image:
    box, made = _part(image, dice), image.copy()
    turned = dice.one_of([ImageOps.mirror, ImageOps.flip, lambda part: part.rotate(180)])
    made.paste(turned(image.crop(box)), box)
    return made


def _recoloured(image: Image.Image, dice: Dice) -> Image.Image:
    bands = image.split()
    return Image.merge("RGB", [bands[band] for band in dice.one_of(list(CHANNELS))])


def _hue(image: Image.Image, _: Image.Image, dice: Dice) -> Image.Image:
    box, made = _part(image, dice), image.copy()
    made.paste(_recoloured(image.crop(box), dice), box, _mask(_size(box), dice))
    return made


def _blot(image: Image.Image, _: Image.Image, dice: Dice) -> Image.Image:
    box, made = _part(image, dice), image.copy()
    red, green, blue = (int(dice.between(0, 256)) for _ in range(3))
    made.paste((red, green, blue), box, _mask(_size(box), dice))
    return made


EDITS: dict[str, Callable[[Image.Image, Image.Image, Dice], Image.Image]] = {
    "blot": _blot,
    "centre": _centre,
    "channels": lambda image, _, dice: _recoloured(image, dice),
    "erase": _erase,
    "hue": _hue,
    "move": _move,
    "paste": _paste,
    "turn": _turn,
}
