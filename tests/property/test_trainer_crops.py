import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.transforms import MAX_ASPECT, crop, crop_boxes, stored_side

SIDES, COINS = st.integers(1, 700), st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4)


@settings(max_examples=300, deadline=None)
@given(width=SIDES, height=SIDES, coins=COINS, min_scale=st.floats(0.05, 1))
def test_a_crop_lies_inside_the_picture_and_is_not_empty(
    width: int, height: int, coins: list[float], min_scale: float
) -> None:
    ((left, top, right, bottom),) = crop_boxes(np.array([[width, height]]), np.array([coins]), min_scale)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@settings(max_examples=300, deadline=None)
@given(width=st.integers(80, 700), height=st.integers(80, 700), coins=COINS, min_scale=st.floats(0.08, 1))
def test_a_crop_has_at_least_the_smallest_area_where_the_picture_allows(
    width: int, height: int, coins: list[float], min_scale: float
) -> None:
    ((left, top, right, bottom),) = crop_boxes(np.array([[width, height]]), np.array([coins]), min_scale)
    crop_w, crop_h = right - left, bottom - top
    half = 0.5 + 1e-6  # a side is rounded to whole pixels
    assert (crop_w + half) / (crop_h - half) >= 1 / MAX_ASPECT
    assert (crop_w - half) / (crop_h + half) <= MAX_ASPECT
    aspect = max(width / height, height / width)
    smallest = min(
        min_scale, MAX_ASPECT / aspect
    )  # a longer picture has no crop of this share within the aspects
    assert (crop_w + half) * (crop_h + half) >= smallest * width * height


@settings(max_examples=100, deadline=None)
@given(coins=COINS, min_scale=st.floats(0.08, 1))
def test_no_crop_of_a_reduced_square_picture_is_enlarged(coins: list[float], min_scale: float) -> None:
    side = stored_side(32, min_scale)
    ((left, top, right, bottom),) = crop_boxes(np.array([[side, side]]), np.array([coins]), min_scale)
    assert min(right - left, bottom - top) >= 31


@given(number=st.integers(1, 20), min_scale=st.floats(0.1, 1))
@settings(max_examples=30, deadline=None)
def test_a_crop_does_not_depend_on_its_batch(number: int, min_scale: float) -> None:
    sizes = np.arange(2 * number).reshape(number, 2) * 13 + 20
    coins = (np.arange(4 * number).reshape(number, 4) * 0.377) % 1
    together = crop_boxes(sizes, coins, min_scale)
    alone = np.concatenate([crop_boxes(sizes[i : i + 1], coins[i : i + 1], min_scale) for i in range(number)])
    assert (together == alone).all()


def test_a_crop_is_resized_from_its_box_alone() -> None:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, 10:] = 255
    assert (crop(pixels, np.array([10, 0, 20, 10]), 8) == 255).all()
    assert (crop(pixels, np.array([0, 0, 10, 10]), 8) == 0).all()
