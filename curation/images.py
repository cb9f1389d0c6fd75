"""Bytes of the web to pixels: RGB on white, upright, eight bits, or a reason.

Used by `embed` (descriptors) and by whatever else must look at a picture. Only raster formats that Pillow decodes by itself are
opened: others (EPS, PDF) would start programs.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from curation.errors import Reason

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # those that the download keeps
MAX_PIXELS = 100_000_000  # twice the download's default: a second fence, for pictures that came another way
_SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
_SWAPS_SIDES = {5, 6, 7, 8}  # EXIF orientations by a quarter turn


class UndecodableImageError(ValueError):
    """The bytes are no picture that can be decoded whole; `reason` is what the ledger counts."""

    reason = Reason.UNDECODABLE_IMAGE


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    image: Image.Image
    """RGB; smaller than the file's picture where `draft_side` allowed it."""
    width: int
    """Pixels of the file's picture, upright."""
    height: int
    """Pixels of the file's picture, upright."""


def decode(body: bytes, *, draft_side: int | None = None) -> Picture:
    """Decode the first frame to RGB: transparency on white, EXIF orientation applied, 16 bits cut to their upper 8.

    draft_side: a JPEG may be decoded at 1/2, 1/4 or 1/8 as long as both sides keep this many pixels; several times faster.
    Raises UndecodableImageError for bytes that are no picture, are cut short, or announce over MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(body), formats=FORMATS) as image:
                return _decoded(image, draft_side)
    except (UndecodableImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on hostile bytes: OSError, SyntaxError, struct.error
        raise UndecodableImageError(f"{type(error).__name__}: {error}"[:200]) from error


def _decoded(image: Image.Image, draft_side: int | None) -> Picture:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UndecodableImageError(f"{width} x {height} pixels, at most {MAX_PIXELS} are decoded")
    if draft_side and image.format in {"JPEG", "MPO"}:
        image.draft(None, (draft_side, draft_side))
    image.load()
    orientation = image.getexif().get(0x0112, 1)
    upright = ImageOps.exif_transpose(image) if orientation != 1 else image
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    return Picture(_to_rgb(upright), width, height)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, transparent pixels onto white."""
    if image.mode in _SIXTEEN_BITS or image.mode in {"I", "F"}:
        return _deep_to_rgb(image)
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Cut deep grey to eight bits; Pillow's own conversion clips, which turns 16-bit pictures white.

    Integers above 255 are taken for 16 bits; floats, and integers above 65,535, are stretched from their least to their largest.
    """
    values = np.asarray(image)
    clear = values == image.info["transparency"] if _is_number(image.info.get("transparency")) else None
    if image.mode == "F" or (values.size and int(values.max()) > 0xFFFF):
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        low, span = finite.min(), np.ptp(finite)
        grey = (finite - low) * (255 / span if span else 0)
    else:
        deep = image.mode != "I" or values.max(initial=0) > 0xFF
        grey = values >> 8 if deep else values
    grey = np.clip(grey, 0, 255).astype(np.uint8)
    if clear is not None:
        grey = np.where(clear, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
