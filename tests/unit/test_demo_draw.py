"""The demo's pictures: quick to tell apart, for a person and for a near-duplicate search."""

import io

import numpy as np
import pytest
from PIL import Image

from curation.demo.chance import Chance
from curation.demo.concepts import COLOURS, OBJECTS, SIZES, draw_scene
from curation.demo.copies import TRANSFORMS, near_duplicate
from curation.demo.draw import encode, render
from curation.demo.shapes import shapes
from curation.demo.words import (
    FRENCH_COLOURS,
    FRENCH_OBJECTS,
    GERMAN_COLOURS,
    GERMAN_OBJECTS,
    JAPANESE_COLOURS,
    JAPANESE_OBJECTS,
)


def luminance(picture: Image.Image, side: int = 16) -> np.ndarray:
    """Return the picture's low-frequency luminance, its mean taken off, as a unit vector."""
    flat = Image.new("RGBA", picture.size, "white")
    flat.alpha_composite(picture.convert("RGBA"))
    levels = np.asarray(flat.convert("L").resize((side, side), Image.Resampling.BOX), dtype=np.float64)
    centred = (levels - levels.mean()).ravel()
    return centred / np.linalg.norm(centred)


def test_every_object_is_drawn_inside_its_square_and_named_in_every_language() -> None:
    assert set(shapes()) == {thing.en for thing in OBJECTS}
    for parts in shapes().values():
        assert all(abs(x) <= 1.06 and abs(y) <= 1.06 for _, points in parts for x, y in points)
    for names in (FRENCH_OBJECTS, GERMAN_OBJECTS, JAPANESE_OBJECTS):
        assert len(set(names.split("|"))) == len(OBJECTS)
    for names in (FRENCH_COLOURS, GERMAN_COLOURS, JAPANESE_COLOURS):
        assert len(set(names.split("|"))) == len(COLOURS)


def test_different_pictures_are_no_near_duplicates() -> None:
    chance = Chance(11)
    vectors = np.stack([luminance(render(draw_scene(chance, f"picture {n}"), chance)) for n in range(500)])
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    assert (cosines >= 0.95).mean() < 1e-4
    assert (cosines >= 0.9).mean() < 1e-3  # well below the threshold of dedup


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if name not in {"flip", "border"}])
def test_near_duplicates_are_near_their_originals(transform: str) -> None:
    chance = Chance(1)
    cosines = []
    for number in range(12):
        scene = draw_scene(chance, f"picture {number}")
        body = encode(render(scene, chance), scene.kind)
        copy = near_duplicate(body, transform, chance, f"copy {number}")
        assert copy != body
        with Image.open(io.BytesIO(body)) as original, Image.open(io.BytesIO(copy)) as changed:
            cosines.append(luminance(original, 8) @ luminance(changed, 8))
    assert np.median(cosines) > 0.9


def test_a_picture_depends_on_its_key_and_seed_alone() -> None:
    one, other = Chance(0), Chance(1)
    scene = draw_scene(one, "picture 7")
    body = encode(render(scene, one), scene.kind)
    assert encode(render(draw_scene(Chance(0), "picture 7"), Chance(0)), scene.kind) == body
    assert draw_scene(other, "picture 7") != scene


def test_files_open_as_what_they_say_and_transparency_is_there() -> None:
    chance = Chance(2)
    kinds = set()
    for number in range(80):
        scene = draw_scene(chance, f"picture {number}")
        with Image.open(io.BytesIO(encode(render(scene, chance), scene.kind))) as opened:
            assert opened.size == scene.size
            assert scene.size in SIZES
            assert opened.format == ("JPEG" if scene.kind.startswith("jpeg") else "PNG")
            assert (opened.mode == "RGBA") == (scene.kind == "alpha") == (scene.ground.key == "transparent")
        kinds.add(scene.kind)
    assert kinds == {"jpeg90", "jpeg75", "jpeg60", "png", "alpha"}
