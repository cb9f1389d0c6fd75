import numpy as np
import pytest
import torch
from PIL import Image
from tinymanifest import encoded

from curation.images import UndecodableImageError
from trainer.transforms import MEAN, STD, centre_crop, decode_reduced, normalise


def test_a_transparent_picture_lies_on_white() -> None:
    assert (decode_reduced(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0))), 8) == 255).all()


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.info["transparency"] = 0
    image.paste(0, (0, 0, 4, 8))
    found = decode_reduced(encoded(image), 8)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 7].tolist() == [10, 200, 30]


def test_sixteen_bits_are_cut_to_eight_and_do_not_turn_white() -> None:
    grey = Image.fromarray(np.full((8, 8), 0x4000, np.uint16))
    assert (decode_reduced(encoded(grey), 8) == 0x40).all()


def test_cmyk_becomes_rgb() -> None:
    body = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    red, green, blue = decode_reduced(body, 16)[8, 8].tolist()
    assert red > 200
    assert max(green, blue) < 60


def test_bytes_that_are_no_picture_are_an_error_of_one_type() -> None:
    whole = encoded(Image.effect_mandelbrot((64, 64), (-2, -2, 2, 2), 9))
    for body in (b"", b"<html>", whole[: len(whole) // 2]):
        with pytest.raises(UndecodableImageError):
            decode_reduced(body, 8)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("width", "height"), [(400, 200), (50, 900), (20, 10)])
def test_the_shorter_side_is_reduced_and_never_enlarged(kind: str, width: int, height: int) -> None:
    found = decode_reduced(encoded(Image.new("RGB", (width, height)), kind), 32)
    assert min(found.shape[:2]) == min(32, width, height)
    assert found.shape[1] / found.shape[0] == pytest.approx(width / height, rel=0.05)


def test_the_centre_crop_is_the_middle_square() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    assert (centre_crop(pixels, 10) == 200).all()


def test_normalised_pixels_have_the_figures_of_clip() -> None:
    pixels = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    wanted = [(v / 255 - m) / s for v, m, s in zip((0, 128, 255), MEAN, STD, strict=True)]
    assert normalise(pixels).flatten().tolist() == pytest.approx(wanted, abs=1e-6)
