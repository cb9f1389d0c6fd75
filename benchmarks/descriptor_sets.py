"""Sets of pictures with copies made on purpose, to fit and to test descriptors on: never the pool's own two lists.

A set holds pictures of ../shared/pool/site.zip that stand in neither list (duplicates.parquet, distinct.parquet), copies of some
of them as the web makes them, and emoji of one style of which any two families (code points less skin tone, gender and hair)
show different things. `fit` and `test` share no picture: clip art, manuals and code points fall to one or the other by coin,
and their emoji are of different makers. All strengths are drawn by coin from the seed.
"""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from curation.ids import coin
from curation.images import UndecodableImageError, decode

SITE = "http://127.0.0.1:8765/"
MAKERS = {"fit": "twitter", "test": "google"}
COPIES = 1_800  # a set
COMBINED = 0.3  # of the copies have two changes
_SAME_FAMILY = re.compile(r"-?\b(1f3f[b-f]|fe0f|200d|2640|2642|27a1|1f9b[0-3])\b")
_PERSON = re.compile(r"\b(1f468|1f469|1f9d1)\b")
_FEWEST_PIXELS = 48  # a side, of a picture that is copied
_LEAST_RANGE = 24  # grey levels between its darkest and its lightest pixel
_T = TypeVar("_T")


class Dice:
    """Uniform draws from a key and a seed, by the project's coin."""

    def __init__(self, key: str, seed: int) -> None:
        self.key, self.seed, self.drawn = key, seed, 0

    def between(self, low: float, high: float) -> float:
        """Return a draw in [low, high)."""
        self.drawn += 1
        return low + (high - low) * coin(f"{self.key}\0{self.drawn}", self.seed, "descriptor-sets")

    def one_of(self, choices: list[_T]) -> _T:
        """Return one of the choices."""
        return choices[int(self.between(0, len(choices)))]


@dataclass(frozen=True)
class Copy:
    """A copy of a picture of the set."""

    source: str
    transform: str
    """One name, or two with a plus between."""
    body: bytes


@dataclass(frozen=True)
class PictureSet:
    """Pictures, their copies, and what no two of may be grouped."""

    pictures: dict[str, bytes]
    """By path in the site; all of the set's, copied or not."""
    copies: list[Copy]
    families: dict[str, str]
    """Path of an emoji to its family."""


def make(pool: Path, name: str, seed: int, *, copies: int = COPIES) -> PictureSet:
    """Return set `fit` or `test` of the pool's pictures."""
    listed = listed_paths(pool)
    with zipfile.ZipFile(pool / "site.zip") as site:
        chosen = [path for path in site.namelist() if path not in listed and set_of(path) == name]
        pictures = {path: site.read(path) for path in chosen}
    families = {path: family(path) for path in pictures if path.startswith("emoji/")}
    order = sorted(pictures, key=lambda path: coin(path, seed, "descriptor-sets-source"))
    made: list[Copy] = []
    for number, path in enumerate(order):
        if len(made) >= copies:
            break
        if families.get(path) and number % 3:  # emoji are many: a third of them
            continue
        made += [
            copy for turn in range(2) if (copy := _copied(path, pictures[path], f"{path}\0{turn}", seed))
        ]
    return PictureSet(pictures, made, families)


def family(path: str) -> str:
    """Return an emoji's code points without skin tone, gender and hair: alike to the eye, or nearly."""
    name = path.rsplit("/", 1)[1].removesuffix(".png")
    return _PERSON.sub("person", _SAME_FAMILY.sub("", name)).strip("-")


def listed_paths(pool: Path) -> set[str]:
    """Return the paths that stand in either list."""
    columns = [("duplicates", "url"), ("duplicates", "duplicate_url"), ("distinct", "url")]
    return {
        url.removeprefix(SITE)
        for table, column in columns
        for url in pq.read_table(pool / f"{table}.parquet", columns=[column])[column].to_pylist()
    }


def set_of(path: str) -> str | None:
    """Return which set a path falls to, if any. Both languages of a manual's picture fall to one."""
    site, *rest = path.split("/")
    if site == "emoji":
        half = "fit" if coin(family(path), 0, "descriptor-sets-half") < 0.5 else "test"
        return half if MAKERS[half] == rest[0] else None
    if site == "openclipart":
        return "fit" if coin(path, 0, "descriptor-sets-half") < 0.5 else "test"
    if site == "gimp":
        name = re.sub(r"[-_]?\d+$", "", rest[-1].rsplit(".", 1)[0])
        return "fit" if coin(name, 0, "descriptor-sets-half") < 0.5 else "test"
    return None


def _copied(path: str, body: bytes, key: str, seed: int) -> Copy | None:
    """Return one copy of a picture, or nothing where it cannot be decoded, or is too small or plain to be one."""
    try:
        image = decode(body).image
    except UndecodableImageError:
        return None
    if too_plain(image):
        return None
    dice = Dice(key, seed)
    names = [dice.one_of(sorted(TRANSFORMS))]
    if dice.between(0, 1) < COMBINED:
        names.append(dice.one_of(sorted(set(TRANSFORMS) - set(names))))
    for name in names:
        image = TRANSFORMS[name](image, dice)
    quality = dice.between(30, 70) if "q40" in names else dice.between(75, 95)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=round(quality))
    return Copy(path, "+".join(sorted(names)), stream.getvalue())


def too_plain(image: Image.Image) -> bool:
    """Return whether a picture is too small or too even to be told from others."""
    low, high = image.convert("L").getextrema()
    return bool(min(image.size) < _FEWEST_PIXELS or high - low < _LEAST_RANGE)


def _resize(image: Image.Image, dice: Dice) -> Image.Image:
    """Make it smaller, and not always in its proportions."""
    share, squashed = dice.between(0.4, 0.9), dice.between(0.9, 1.1) if dice.between(0, 1) < 0.5 else 1.0
    return image.resize(
        (max(16, round(image.width * share * squashed)), max(16, round(image.height * share)))
    )


def _crop(image: Image.Image, dice: Dice) -> Image.Image:
    """Keep 0.8 to 0.95 of each side, anywhere."""
    width, height = (round(side * dice.between(0.8, 0.95)) for side in image.size)
    left = round((image.width - width) * dice.between(0, 1))
    upper = round((image.height - height) * dice.between(0, 1))
    return image.crop((left, upper, left + width, upper + height))


def _bright(image: Image.Image, dice: Dice) -> Image.Image:
    """Change brightness, contrast or gamma."""
    way, strength = dice.between(0, 3), dice.between(0.7, 1.4)
    if way < 1:
        return ImageEnhance.Brightness(image).enhance(strength)
    if way < 2:
        return ImageEnhance.Contrast(image).enhance(strength)
    return image.point([round(255 * (level / 255) ** strength) for level in range(256)] * 3)


def _blur(image: Image.Image, dice: Dice) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * dice.between(0.004, 0.016)))


def _mark(image: Image.Image, dice: Dice) -> Image.Image:
    """Write a line over the picture, half seen or whole, in white, black or a colour, anywhere."""
    size = max(8, round(min(image.size) * dice.between(0.06, 0.16)))
    text = dice.one_of(["(c) example.com", "SAMPLE", "photo stock", "@someone", "www.clip.art"])
    colour = dice.one_of([(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 30)])
    layer = Image.new("RGBA", image.size)
    left, upper = dice.between(-0.1, 0.7) * image.width, dice.between(0, 0.9) * image.height
    font = ImageFont.load_default(size)
    ImageDraw.Draw(layer).text((left, upper), text, (*colour, round(dice.between(90, 255))), font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def _border(image: Image.Image, dice: Dice) -> Image.Image:
    colour = dice.one_of([(255, 255, 255), (0, 0, 0), (120, 120, 120), (30, 60, 150), (230, 220, 190)])
    return ImageOps.expand(image, max(2, round(min(image.size) * dice.between(0.02, 0.12))), colour)


TRANSFORMS: dict[str, Callable[[Image.Image, Dice], Image.Image]] = {
    "q40": lambda image, _: image,
    "resize": _resize,
    "crop": _crop,
    "bright": _bright,
    "grey": lambda image, _: image.convert("L").convert("RGB"),
    "blur": _blur,
    "mark": _mark,
    "border": _border,
    "flip": lambda image, _: ImageOps.mirror(image),
}
