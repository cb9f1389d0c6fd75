"""The built-in descriptor: what must be one picture, what must not, and what hostile pictures become."""

from collections.abc import Callable

import numpy as np
import pytest
from drawings import drawing, saved
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from curation.dedup.builtin import (
    DIMENSION,
    QUERY_VIEWS,
    VIEWS,
    WORKING_SIDE,
    codes,
    described,
    parameters,
    trimmed,
)
from curation.dedup.neighbours import near_pairs, near_pairs_oracle
from curation.dedup.second_look import BOUND, DETAIL_BYTES, agreement
from curation.images import decode


def cosine(left: Image.Image, right: Image.Image) -> float:
    pairs = near_pairs_oracle(np.stack([codes(left), codes(right)]), 0.001)
    return float(pairs.cosine[0]) if len(pairs) else 0.0


def agreed(left: Image.Image, right: Image.Image) -> float:
    details = [np.frombuffer(described(image).detail, np.uint8)[None] for image in (left, right)]
    return float(agreement(*details)[0])


TRANSFORMS = {
    "jpeg": lambda image: decode(saved(image, "JPEG", quality=40)).image,
    "resize": lambda image: image.resize((120, 90)),
    "crop": lambda image: image.crop((8, 6, 232, 174)),
    "corner": lambda image: image.crop((0, 12, 220, 180)),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "border": lambda image: ImageOps.expand(image, 12, (30, 30, 30)),
    "flip": ImageOps.mirror,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_web_does_to_a_picture_leaves_it_near(
    transform: Callable[[Image.Image], Image.Image], seed: int
) -> None:
    assert cosine(drawing(seed), transform(drawing(seed))) >= 0.9
    assert agreed(drawing(seed), transform(drawing(seed))) >= BOUND


def test_other_pictures_are_not_near() -> None:
    pictures = [drawing(seed) for seed in range(6)]
    both = [(a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    assert not any(cosine(a, b) >= 0.88 and agreed(a, b) >= BOUND for a, b in both)


def heart(colour: tuple[int, int, int]) -> Image.Image:
    twin = Image.new("RGB", (120, 120), "white")
    outline = [(60, 110), (10, 40), (40, 10), (60, 30), (80, 10), (110, 40)]
    ImageDraw.Draw(twin).polygon(outline, fill=colour)
    return twin


def test_twins_in_another_colour_do_not_agree() -> None:
    red, blue = heart((200, 30, 30)), heart((30, 60, 200))
    assert agreed(red, blue) < BOUND
    assert agreed(red, red.convert("L").convert("RGB")) >= BOUND


def face(mouth: str) -> Image.Image:
    image = Image.new("RGB", (144, 144), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((8, 8, 136, 136), fill=(250, 200, 60))
    for x in (48, 96):
        draw.ellipse((x - 8, 45, x + 8, 65), fill=(90, 60, 20))
    if mouth == "smile":
        draw.chord((40, 65, 104, 118), 10, 170, fill=(90, 60, 20))
    elif mouth == "cry":
        draw.chord((45, 85, 99, 130), 190, 350, fill=(90, 60, 20))
    return image


def test_a_face_with_another_mouth_does_not_agree() -> None:
    smile, cry = face("smile"), face("cry")
    assert cosine(smile, cry) > 0.85  # the codes alone would join them
    assert agreed(smile, cry) < BOUND
    assert agreed(smile, TRANSFORMS["jpeg"](smile)) >= BOUND


def test_codes_have_the_shape_of_their_kind() -> None:
    found = described(drawing())
    assert (found.codes.dtype, found.codes.shape) == (np.int8, (VIEWS, DIMENSION))
    assert np.abs(found.codes).max(axis=1).tolist() == [127] * VIEWS
    assert len(found.detail) == DETAIL_BYTES
    assert described(drawing()).detail == found.detail
    assert codes(drawing()).tobytes() == found.codes.tobytes()


def test_a_mirrored_picture_has_the_mirrored_codes() -> None:
    picture = drawing(1, (WORKING_SIDE, WORKING_SIDE))
    here, there = codes(picture), codes(ImageOps.mirror(picture))
    np.testing.assert_allclose(here[QUERY_VIEWS], there[0], atol=1)


def test_query_views_are_enough_on_one_side() -> None:
    every = np.stack([codes(change(drawing(seed))) for seed in range(3) for change in TRANSFORMS.values()])
    found = near_pairs(every, 0.9, query_views=QUERY_VIEWS)
    wanted = near_pairs_oracle(every, 0.9)
    assert found.cosine.tolist() == wanted.cosine.tolist()
    assert found.second.tolist() == wanted.second.tolist()


@pytest.mark.parametrize("size", [(8, 8), (300, 300), (2000, 9), (9, 2000), (1, 1)])
def test_plain_pictures_have_zero_codes_in_any_shape(size: tuple[int, int]) -> None:
    found = described(Image.new("RGB", size, (20, 120, 220)))
    assert not found.codes.any()
    assert len(found.detail) == DETAIL_BYTES


@pytest.mark.parametrize("size", [(8, 8), (3000, 12), (12, 3000), (100, 1), (70_000, 2)])
def test_odd_shapes_are_described(size: tuple[int, int]) -> None:
    image = Image.linear_gradient("L").resize(size).rotate(90 if size[1] == 1 else 0).convert("RGB")
    found = described(image)
    assert found.codes.shape == (VIEWS, DIMENSION)
    assert 0 <= agreed(image, drawing()) <= 1
    assert agreed(image, image) == 1


def test_a_frame_and_the_margin_in_it_are_trimmed() -> None:
    picture = Image.new("RGB", (100, 80), "white")
    ImageDraw.Draw(picture).rectangle((20, 20, 79, 59), fill="black")
    left = trimmed(ImageOps.expand(picture, 10, (90, 0, 0)))
    assert left.outer == pytest.approx((10, 10, 110, 90), abs=3)
    assert left.inner == pytest.approx((30, 30, 90, 70), abs=5)
    assert left.framed
    plain = trimmed(Image.new("RGB", (50, 50), "red"))
    assert (plain.outer, plain.inner, plain.framed) == ((0, 0, 50, 50), (0, 0, 50, 50), False)
    assert not trimmed(heart((200, 30, 30))).framed


def test_parameters_are_what_json_holds() -> None:
    from curation.canonical import sha256_json

    assert len(sha256_json(parameters())) == 64
