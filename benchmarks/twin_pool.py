"""A twin of the pool's two lists: other pictures, another seed, another maker's emoji, changes of the same kinds and strengths.

The pool's lists were looked at while the descriptor was made; nobody looked at this one's pictures. Their strengths are the ranges
that the pairs of duplicates.parquet show (sizes, edges, levels, JPEG tables): one change a copy, written as JPEG at quality 75, 84
or 92. As there, a picture that is copied is clip art or of the English manual, of 2,500 bytes or more (so that few are of the 1,378
stars, which differ in their points alone); it is one of half `test` of `descriptor_sets`, which the second look was never trained
on, and stands in neither list. The different things are those of distinct.parquet as another maker draws them.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import descriptor_sets
import pyarrow.parquet as pq
from descriptor_sets import SITE, Copy, Dice, PictureSet, listed_paths, set_of, too_plain
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from curation.ids import coin
from curation.images import UndecodableImageError, decode

MAKER = "twitter"
SOURCES = 1_200
LEAST_BYTES = 2_500  # of a picture that is copied
MOST_COPIES = 3  # of a picture


def make(pool: Path, seed: int, emoji: Path | None = None) -> PictureSet:
    """Return the twin: all the site's pictures but the mirrors' and bad ones, the copies, and the different things.

    emoji: a folder of pictures named by code points (1f600.png) from elsewhere, to take the place of the pool's other maker's.
    """
    with zipfile.ZipFile(pool / "site.zip") as site:
        names = [path for path in site.namelist() if not path.startswith(("bad/", "mirror/"))]
        pictures = {path: site.read(path) for path in names}
    if emoji is not None:
        pictures = {path: body for path, body in pictures.items() if not path.startswith("emoji/")}
        pictures |= {f"emoji/{MAKER}/{file.name}": file.read_bytes() for file in sorted(emoji.glob("*.png"))}
    listed = listed_paths(pool)
    candidates = [path for path, body in pictures.items() if path not in listed and _is_copied(path, body)]
    copies: list[Copy] = []
    taken = 0
    for path in sorted(candidates, key=lambda path: coin(path, seed, "twin-source")):
        made = _copies(path, pictures[path], seed)
        copies += made
        taken += bool(made)
        if taken == SOURCES:
            break
    things = {}
    for url in pq.read_table(pool / "distinct.parquet", columns=["url"])["url"].to_pylist():
        path = f"emoji/{MAKER}/{url.removeprefix(SITE).rsplit('/', 1)[1]}"
        if path in pictures:
            things[path] = path
    return PictureSet(pictures, copies, things)


def _is_copied(path: str, body: bytes) -> bool:
    return (
        path.startswith(("gimp/en/", "openclipart/")) and set_of(path) == "test" and len(body) >= LEAST_BYTES
    )


def _copies(path: str, body: bytes, seed: int) -> list[Copy]:
    """Return one to three copies of a picture; none where it cannot be decoded or is too plain."""
    try:
        image = decode(body).image
    except UndecodableImageError:
        return []
    if too_plain(image):
        return []
    dice = Dice(f"{path}\0twin", seed)
    made = []
    for _ in range(1 + int(dice.between(0, MOST_COPIES))):
        name = dice.one_of(sorted(TRANSFORMS))
        changed = TRANSFORMS[name](image, dice)
        stream = io.BytesIO()
        changed.save(stream, "JPEG", quality=40 if name == "q40" else dice.one_of([75, 84, 92]))
        made.append(Copy(path, name, stream.getvalue()))
    return made


def _resize(image: Image.Image, dice: Dice) -> Image.Image:
    """Keep 0.5 to 0.8 of each side, not in proportion."""
    width, height = (max(1, round(side * dice.between(0.5, 0.8))) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _crop(image: Image.Image, dice: Dice) -> Image.Image:
    """Cut 0.01 to 0.06 off each edge."""
    left, right = (round(image.width * dice.between(0.01, 0.06)) for _ in range(2))
    upper, lower = (round(image.height * dice.between(0.01, 0.06)) for _ in range(2))
    return image.crop((left, upper, image.width - right, image.height - lower))


def _mark(image: Image.Image, dice: Dice) -> Image.Image:
    """Write a line in the lower left corner."""
    marked = image.copy()
    colour = (round(dice.between(40, 200)), round(dice.between(20, 60)), round(dice.between(20, 60)))
    place = (4, image.height - 14)
    ImageDraw.Draw(marked).text(place, "(c) clip-photos.example", colour, ImageFont.load_default(10))
    return marked


def _border(image: Image.Image, dice: Dice) -> Image.Image:
    """Add 0.02 to 0.055 of the width on each side, in a grey."""
    grey = round(dice.between(0, 255))
    return ImageOps.expand(image, max(2, round(image.width * dice.between(0.02, 0.055))), (grey, grey, grey))


TRANSFORMS: dict[str, Callable[[Image.Image, Dice], Image.Image]] = {
    **{name: descriptor_sets.TRANSFORMS[name] for name in ("q40", "grey", "flip")},
    "resize": _resize,
    "crop": _crop,
    "bright": lambda image, dice: ImageEnhance.Brightness(image).enhance(dice.between(0.75, 1.2)),
    "blur": lambda image, dice: image.filter(ImageFilter.GaussianBlur(dice.between(0.5, 1.2))),
    "mark": _mark,
    "border": _border,
}
