"""What a body is, by its bytes alone, and how large its picture is, by its header alone: step download.

No pixel is decoded here: that is `embed`'s, which finds what a header hides.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from curation.errors import Reason

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/tiff": "tif",
}
"""The types that are kept, and the ending of their members in a raw shard."""
_MAGIC = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), "image/tiff"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "avif"),
    (re.compile(rb".{4}ftyp(?:heic|heix|mif1|msf1)", re.DOTALL), "heif"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "jxl"),
    (re.compile(rb"\0\0\x01\0"), "ico"),
    (re.compile(rb"\0\0\0\x0cjP  "), "jpeg 2000"),
    (re.compile(rb"%PDF-"), "pdf"),
    (re.compile(rb"PK\x03\x04"), "zip"),
    (re.compile(rb"\x1f\x8b"), "gzip"),
)
_PROLOGUE = (
    rb"(?:\xef\xbb\xbf)?\s*(?>(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*)"  # atomic: a page may be made to backtrack
)
_SVG = re.compile(_PROLOGUE + rb"<(?:!doctype\s+)?svg\b", re.IGNORECASE | re.DOTALL)
_HTML = re.compile(
    _PROLOGUE + rb"<(?:!doctype\s+html|html|head|body|script|title|meta|div|p|h1|table|a|br)\b",
    re.IGNORECASE | re.DOTALL,
)
_SNIFFED = 2_048  # bytes that are looked at
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a body's first bytes say, or why it is no picture to keep."""

    reason: Reason | None = None
    detail: str | None = None
    mime: str | None = None
    width: int | None = None
    height: int | None = None


def sniff(body: bytes) -> str:
    """Return the type by the bytes: `image/...` for the kept ones, else a name such as html, svg or pdf."""
    head = body[:_SNIFFED]
    for magic, name in _MAGIC:
        if magic.match(head):
            return name
    if _SVG.match(head):
        return "svg"
    if _HTML.match(head):
        return "html"
    return "text" if _is_text(head) else "unknown bytes " + head[:8].hex()


def inspect(body: bytes, *, max_pixels: int, min_side: int) -> Header:
    """Return type and size of a body, or the reason to drop it. Never raises: bodies are hostile."""
    mime = sniff(body)
    if mime not in EXTENSIONS:
        return Header(reason=Reason.NOT_AN_IMAGE, detail=mime)
    short = _ends_early(body, mime)
    try:
        width, height = _size(body, mime)
    except Exception as error:  # noqa: BLE001 - Pillow raises SyntaxError, struct.error, KeyError and more on broken headers
        if short:
            return Header(reason=Reason.BODY_TRUNCATED, detail=f"{mime} that ends in its header", mime=mime)
        return Header(reason=Reason.NOT_AN_IMAGE, detail=f"{mime}, header: {type(error).__name__}", mime=mime)
    reason, detail = _judge(width, height, max_pixels=max_pixels, min_side=min_side)
    if reason is None and short:
        reason, detail = Reason.BODY_TRUNCATED, f"{mime} without its end"
    return Header(reason=reason, detail=detail, mime=mime, width=width, height=height)


def _judge(width: int, height: int, *, max_pixels: int, min_side: int) -> tuple[Reason | None, str | None]:
    if width * height > max_pixels:
        return Reason.TOO_MANY_PIXELS, f"{width} x {height} is above {max_pixels} pixels"
    if min(width, height) < min_side:
        return Reason.TOO_FEW_PIXELS, f"{width} x {height} has a side below {min_side}"
    return None, None


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)


def _size(body: bytes, mime: str) -> tuple[int, int]:
    """Return width and height in pixels.

    Pillow's readers are called directly: `Image.open` would stop at its own bomb limit before it says the size.
    """
    if mime == "image/webp":
        return _webp_size(body)
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        ImageFile,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
    )

    readers: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
        "image/jpeg": JpegImagePlugin.JpegImageFile,
        "image/png": PngImagePlugin.PngImageFile,
        "image/gif": GifImagePlugin.GifImageFile,
        "image/bmp": BmpImagePlugin.BmpImageFile,
        "image/tiff": TiffImagePlugin.TiffImageFile,
    }
    with readers[mime](BytesIO(body)) as picture:
        return int(picture.width), int(picture.height)


def _webp_size(body: bytes) -> tuple[int, int]:
    """Return the canvas of a WebP: Pillow's reader would allocate it whole (RFC 9649, sections 2.5 to 2.7)."""
    kind, data = body[12:16], body[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8L" and data[:1] == b"\x2f":
        bits = struct.unpack("<I", data[1:5])[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("not a WebP bitstream")


def _ends_early(body: bytes, mime: str) -> bool:
    """Say whether the data is seen to end before its end mark; False where that is not cheap to see."""
    if mime == "image/png":
        return b"IEND\xaeB`\x82" not in body
    if mime == "image/jpeg":
        return body.find(b"\xff\xd9", _scan_start(body)) < 0
    if mime == "image/webp":
        return len(body) - 8 < int.from_bytes(body[4:8], "little")
    return False


def _scan_start(body: bytes) -> int:
    """Return where a JPEG's first scan begins, past thumbnails with end marks of their own; the body's end if nowhere."""
    at = 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + int.from_bytes(body[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return at
    return len(body)
