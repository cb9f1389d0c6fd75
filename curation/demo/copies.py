"""Near-duplicates of the demo's pictures, as mirror hosts make them."""

import io
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from curation.demo.chance import Chance

MARKS = ("sample", "mirror", "(c) demo")

Transform = Callable[[Image.Image, Chance, str], Image.Image]


def _same(picture: Image.Image, _chance: Chance, _key: str) -> Image.Image:
    return picture


def _resized(picture: Image.Image, chance: Chance, key: str) -> Image.Image:
    share = chance.pick(f"{key}/share", (0.7, 0.8, 1.3, 1.5))
    return picture.resize(
        (round(picture.width * share), round(picture.height * share)), Image.Resampling.BICUBIC
    )


def _cropped(picture: Image.Image, chance: Chance, key: str) -> Image.Image:
    """Cut 5 to 8 percent of each axis away, divided between the two sides by chance."""
    edges = []
    for axis, length in (("x", picture.width), ("y", picture.height)):
        cut = chance.between(f"{key}/cut {axis}", 0.05, 0.08) * length
        first = round(cut * chance.at(f"{key}/side {axis}"))
        edges.append((first, first + length - round(cut)))
    (left, right), (top, bottom) = edges
    return picture.crop((left, top, right, bottom))


def _brightened(picture: Image.Image, chance: Chance, key: str) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(chance.pick(f"{key}/light", (0.8, 0.87, 1.12, 1.2)))


def _bordered(picture: Image.Image, chance: Chance, key: str) -> Image.Image:
    width = max(1, round(min(picture.size) * 0.03))
    return ImageOps.expand(
        picture, border=width, fill=chance.pick(f"{key}/border", ((0, 0, 0), (255, 255, 255)))
    )


def _marked(picture: Image.Image, chance: Chance, key: str) -> Image.Image:
    marked = picture.copy()
    at = (round(marked.width * chance.between(f"{key}/mark x", 0.05, 0.4)), round(marked.height * 0.85))
    ImageDraw.Draw(marked).text(at, chance.pick(f"{key}/mark", MARKS), fill=(128, 128, 128))
    return marked


def _flipped(picture: Image.Image, _chance: Chance, _key: str) -> Image.Image:
    return ImageOps.mirror(picture)


TRANSFORMS: dict[str, Transform] = {
    "jpeg40": _same,
    "resize": _resized,
    "crop": _cropped,
    "brightness": _brightened,
    "border": _bordered,
    "watermark": _marked,
    "flip": _flipped,
}
EXACT = "exact"  # the same bytes under another address


def near_duplicate(body: bytes, transform: str, chance: Chance, key: str) -> bytes:
    """Return a JPEG made from a picture's file by one of TRANSFORMS; transparency becomes white."""
    with Image.open(io.BytesIO(body)) as opened:
        picture = opened.convert("RGBA") if opened.mode == "RGBA" else opened.convert("RGB")
    if picture.mode == "RGBA":
        ground = Image.new("RGB", picture.size, (255, 255, 255))
        ground.paste(picture, mask=picture.getchannel("A"))
        picture = ground
    target = io.BytesIO()
    TRANSFORMS[transform](picture, chance, key).save(
        target, "JPEG", quality=40 if transform == "jpeg40" else 80
    )
    return target.getvalue()
