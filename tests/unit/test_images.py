"""Decoding: what must be one picture, what must not, and what every mode of file becomes."""

import numpy as np
import pytest
from drawings import drawing, saved
from PIL import Image

from curation.dedup.builtin import codes
from curation.dedup.exact import best_cosines
from curation.errors import Reason
from curation.images import UndecodableImageError, decode


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_kept_type_decodes_to_rgb(kind: str) -> None:
    picture = decode(saved(drawing(), kind))
    assert (picture.image.mode, picture.width, picture.height) == ("RGB", 240, 180)
    assert np.abs(np.asarray(picture.image, np.int16) - np.asarray(drawing(), np.int16)).mean() < 6


def test_transparency_falls_on_white() -> None:
    layer = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    layer.paste((10, 20, 200, 255), (0, 0, 10, 20))
    palette = layer.convert("RGB").quantize(4)
    for body in (
        saved(layer, "PNG"),
        saved(layer.convert("LA"), "PNG"),
        saved(palette, "PNG", transparency=palette.getpixel((15, 5))),
        saved(palette, "GIF", transparency=palette.getpixel((15, 5))),
        saved(layer.convert("RGB"), "PNG", transparency=(0, 0, 0)),
    ):
        image = decode(body).image
        assert image.getpixel((15, 5)) == (255, 255, 255)
        assert image.getpixel((5, 5)) != (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_greys(kind: str) -> None:
    ramp = np.linspace(0, 65_535, 64 * 64).reshape(64, 64).astype(np.uint16)
    grey = np.asarray(decode(saved(Image.fromarray(ramp), kind)).image.convert("L"))
    np.testing.assert_array_equal(grey, ramp >> 8)


def test_floats_are_stretched_and_nan_is_no_crash() -> None:
    ramp = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(32, 32)
    ramp[0, 1] = np.nan
    grey = np.asarray(decode(saved(Image.fromarray(ramp), "TIFF")).image.convert("L"))
    assert (grey.min(), grey.max()) == (0, 255)


def test_cmyk_keeps_its_colours() -> None:
    red = Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK")
    assert decode(saved(red, "JPEG")).image.getpixel((8, 8)) == pytest.approx((200, 30, 30), abs=12)


def test_orientation_is_applied_and_the_size_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(saved(drawing(), "JPEG", exif=exif, quality=95))
    assert (picture.width, picture.height) == picture.image.size == (180, 240)


def test_a_draft_keeps_the_size_of_the_file() -> None:
    body = saved(drawing(size=(1600, 1200)), "JPEG")
    picture = decode(body, draft_side=96)
    assert (picture.width, picture.height) == (1600, 1200)
    assert 96 <= min(picture.image.size) < 300
    both = (codes(image)[None] for image in (picture.image, decode(body).image))
    assert best_cosines(*both)[0] > 0.99


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        saved(drawing(), "PNG")[:-500],
        saved(drawing(), "JPEG")[:-500],
        saved(drawing(), "GIF")[:400],
        b"\xff\xd8\xff" + bytes(100),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["empty", "html", "png", "jpeg", "gif", "zeros", "postscript"],
)
def test_what_is_no_whole_picture_has_a_reason(body: bytes) -> None:
    for side in (None, 96):
        with pytest.raises(UndecodableImageError) as caught:
            decode(body, draft_side=side)
        assert caught.value.reason is Reason.UNDECODABLE_IMAGE


def test_a_picture_with_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.images.MAX_PIXELS", 100)
    with pytest.raises(UndecodableImageError, match="240 x 180"):
        decode(saved(drawing(), "PNG"))
