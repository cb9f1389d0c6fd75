import io
import struct
import time
import zlib

import pytest
from badserver import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.errors import Reason
from curation.imagetype import EXTENSIONS, Header, inspect, sniff

KINDS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}


def look(body: bytes, *, max_pixels: int = 10**6, min_side: int = 8) -> Header:
    return inspect(body, max_pixels=max_pixels, min_side=min_side)


@pytest.mark.parametrize("kind", KINDS)
def test_type_and_size_are_read_from_the_bytes(kind: str) -> None:
    found = look(picture(kind, (40, 9)))
    assert found == Header(mime=KINDS[kind], width=40, height=9)
    assert KINDS[kind] in EXTENSIONS


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0x"}])
def test_every_form_of_webp_has_its_size(options: dict[str, object]) -> None:
    body = io.BytesIO()
    Image.new("RGB", (33, 21), (1, 2, 3)).save(body, "WEBP", **options)
    assert look(body.getvalue()) == Header(mime="image/webp", width=33, height=21)


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"<!DOCTYPE HTML><p>", "html"), (b"\n <html>", "html"), (b"<!-- a --><!-- b -->\n<head>", "html"), (b"<svg width='1'/>", "svg"),
     (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<!DOCTYPE svg PUBLIC 'a'>\n<svg/>", "svg"), (b"%PDF-1.7", "pdf"), (b"not found", "text"),
     (b"\0\0\0\x20ftypavif", "avif"), (b"PK\x03\x04", "zip"), (b"\x01\x02\x03", "unknown bytes 010203")],
)  # fmt: skip
def test_what_is_no_picture_is_named(body: bytes, name: str) -> None:
    assert sniff(body) == name
    assert look(body) == Header(reason=Reason.NOT_AN_IMAGE, detail=name)


@pytest.mark.parametrize("piece", [b"<!-->-->", b"<!---->", b"<?xml>", b" ", b"<!--", b"<?xml ?><!-- -->"])
def test_a_page_made_to_backtrack_is_judged_at_once(piece: bytes) -> None:
    started = time.monotonic()
    sniff(piece * 2_000 + b"x")
    assert time.monotonic() - started < 0.2


def test_the_limits_are_exact() -> None:
    body = picture("PNG", (20, 10))
    assert look(body, max_pixels=200, min_side=10).reason is None
    assert look(body, max_pixels=199).reason is Reason.TOO_MANY_PIXELS
    assert look(body, min_side=11).reason is Reason.TOO_FEW_PIXELS


def test_a_bomb_is_judged_by_its_header_however_large() -> None:
    """A PNG header of 2^31 - 1 pixels a side, far beyond the size at which Pillow itself refuses to open a file."""
    body = picture("PNG")
    side = struct.pack(">I", 2**31 - 1)
    header = b"IHDR" + side + side + body[24:29]
    bomb = body[:12] + header + struct.pack(">I", zlib.crc32(header)) + body[33:]
    assert look(bomb).reason is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_cut_of_a_picture_is_seen(kind: str) -> None:
    body = picture(kind)
    for size in range(20, len(body) - 1):
        assert look(body[:size]).reason in {Reason.BODY_TRUNCATED, Reason.NOT_AN_IMAGE}, size


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_after_the_end_are_no_cut(kind: str) -> None:
    assert look(picture(kind) + b"<!-- served in 3 ms -->").reason is None


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 200), st.binary(max_size=80))
def test_hostile_bytes_are_judged_without_an_error(kind: str, at: int, noise: bytes) -> None:
    body = picture(kind)
    found = look(body[:at] + noise + body[at + len(noise) :])
    assert found.reason is not None or (found.width and found.height)
