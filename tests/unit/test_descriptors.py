"""The built-in descriptor: what must be one picture, what must not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from curation.dedup.descriptors import builtin_codes, kind_of, trimmed_box
from curation.dedup.neighbours import near_pairs_oracle
from curation.errors import ConfigError
from curation.images import decode


def drawing(seed: int = 0, size: tuple[int, int] = (240, 180)) -> Image.Image:
    image = Image.new("RGB", size, (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for i in range(7):
        x, y = (37 * (i + seed) * (seed + 3) + 20 * i) % 170 + 10, (53 * (i + 1) * (seed + 1)) % 110 + 10
        colour = ((90 * i + 60 * seed) % 256, (70 * i) % 256, (200 - 40 * i) % 256)
        (draw.ellipse if i % 2 else draw.rectangle)((x, y, x + 25 + 5 * i, y + 45 - 3 * i), fill=colour)
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def cosine(left: Image.Image, right: Image.Image) -> float:
    pairs = near_pairs_oracle(np.stack([builtin_codes(left), builtin_codes(right)]), 0.001)
    return float(pairs.cosine[0]) if len(pairs) else 0.0


TRANSFORMS = {
    "jpeg": lambda image: decode(saved(image, "JPEG", quality=40)).image,
    "resize": lambda image: image.resize((110, 90)),
    "crop": lambda image: image.crop((8, 6, 232, 174)),
    "bright": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "border": lambda image: ImageOps.expand(image, 12, (30, 30, 30)),
    "flip": ImageOps.mirror,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_web_does_to_a_picture_leaves_it_near(
    transform: Callable[[Image.Image], Image.Image], seed: int
) -> None:
    assert cosine(drawing(seed), transform(drawing(seed))) >= 0.95


def test_other_pictures_are_not_near() -> None:
    pictures = [drawing(seed) for seed in range(6)]
    assert max(cosine(a, b) for i, a in enumerate(pictures) for b in pictures[:i]) < 0.95


def test_twins_in_another_colour_are_not_near() -> None:
    twins = []
    for colour in ((200, 30, 30), (30, 60, 200)):
        twin = Image.new("RGB", (120, 120), "white")
        ImageDraw.Draw(twin).polygon(
            [(60, 110), (10, 40), (40, 10), (60, 30), (80, 10), (110, 40)], fill=colour
        )
        twins.append(twin)
    assert cosine(*twins) < 0.95
    assert cosine(twins[0], twins[0].convert("L").convert("RGB")) >= 0.95


def test_codes_have_the_shape_of_their_kind() -> None:
    kind = kind_of("builtin")
    codes = builtin_codes(drawing())
    assert (codes.dtype, codes.shape) == (np.int8, (kind.views, kind.dimension))
    assert np.abs(codes).max(axis=1).tolist() == [127] * kind.views
    assert codes.tobytes() == builtin_codes(drawing()).tobytes()


def test_query_views_are_enough_on_one_side() -> None:
    from curation.dedup.neighbours import near_pairs

    kind = kind_of("builtin")
    codes = np.stack(
        [builtin_codes(change(drawing(seed))) for seed in range(3) for change in TRANSFORMS.values()]
    )
    found = near_pairs(codes, 0.9, query_views=kind.query_views)
    wanted = near_pairs_oracle(codes, 0.9)
    assert found.cosine.tolist() == wanted.cosine.tolist()
    assert found.second.tolist() == wanted.second.tolist()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="builtin"):
        kind_of("sscd")


@pytest.mark.parametrize("size", [(8, 8), (300, 300), (2000, 9), (9, 2000), (1, 1)])
def test_plain_pictures_have_zero_codes_in_any_shape(size: tuple[int, int]) -> None:
    assert not builtin_codes(Image.new("RGB", size, (20, 120, 220))).any()


@pytest.mark.parametrize("size", [(8, 8), (3000, 12), (12, 3000), (100, 1)])
def test_odd_shapes_have_codes(size: tuple[int, int]) -> None:
    image = Image.linear_gradient("L").resize(size).rotate(90 if size[1] == 1 else 0).convert("RGB")
    assert builtin_codes(image).shape == (10, 81)


def test_a_frame_and_the_margin_in_it_are_trimmed() -> None:
    picture = Image.new("RGB", (100, 80), "white")
    ImageDraw.Draw(picture).rectangle((20, 20, 79, 59), fill="black")
    left, upper, right, lower = trimmed_box(ImageOps.expand(picture, 10, (90, 0, 0)))
    assert (left, upper, right, lower) == pytest.approx((30, 30, 90, 70), abs=2)
    assert trimmed_box(Image.new("RGB", (50, 50), "red")) == (0, 0, 50, 50)
