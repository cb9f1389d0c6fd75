"""The second look: symmetric, the same in any batch, sane for any bytes, and its steps what plain loops say."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from curation.dedup import alignment, evidence
from curation.dedup.alignment import FULL_SIDE, LEVEL_BITS, UNIT, Frame, Placement, align, pooled, warped
from curation.dedup.builtin import described
from curation.dedup.comparison import AT_ONCE, Convolution, Network
from curation.dedup.evidence import FEATURES
from curation.dedup.second_look import (
    BATCH,
    BOUND,
    COLOUR_SIDE,
    DETAIL,
    DETAIL_BYTES,
    agreement,
    seen,
)
from curation.errors import InputError
from curation.ids import coins


def drawn(key: str, *shape: int, low: float = 0, high: float = 1) -> np.ndarray:
    values = coins((f"{key} {number}" for number in range(int(np.prod(shape)))), 0, "second-look-test")
    return (low + (high - low) * values).reshape(shape)


def whole(key: str, *shape: int, low: int, high: int) -> np.ndarray:
    return np.floor(drawn(key, *shape, low=low, high=high)).astype(np.int64)


def scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    image = Image.new("RGB", size, (240, 244, 250))
    draw = ImageDraw.Draw(image)
    for shape in drawn(f"scene {seed}", 9, 8).tolist():
        x, y = int(120 * shape[0]), int(90 * shape[1])
        box = (x, y, x + 10 + int(50 * shape[2]), y + 10 + int(40 * shape[3]))
        colour = tuple(int(255 * level) for level in shape[4:7])
        (draw.ellipse if shape[7] < 0.5 else draw.rectangle)(box, fill=colour)
    return image


def details(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.frombuffer(described(image).detail, np.uint8) for image in images])


def noise(num: int, seed: int = 0) -> np.ndarray:
    return whole(f"noise {seed}", num, DETAIL_BYTES, low=0, high=256).astype(np.uint8)


def some_pairs() -> tuple[np.ndarray, np.ndarray]:
    images = [scene(seed) for seed in range(12)]
    changed = [ImageOps.mirror(image).crop((5, 5, 155, 118)) for image in images]
    return details(images + images), details(changed + images[1:] + images[:1])


def test_agreement_is_symmetric() -> None:
    left, right = some_pairs()
    np.testing.assert_array_equal(agreement(left, right), agreement(right, left))
    left, right = noise(40, 1), noise(40, 2)
    np.testing.assert_array_equal(agreement(left, right), agreement(right, left))


def test_agreement_is_the_same_in_any_batch() -> None:
    left, right = (np.tile(side, (7, 1)) for side in some_pairs())
    assert len(left) > BATCH
    together = agreement(left, right)
    single = [float(agreement(left[row : row + 1], right[row : row + 1])[0]) for row in range(24)]
    assert together.tolist() == single * 7
    backwards = agreement(left[::-1], right[::-1])[::-1]
    assert together.tolist() == backwards.tolist()


def test_copies_agree_and_others_do_not() -> None:
    left, right = some_pairs()
    assert (agreement(left, right)[:12] >= BOUND).all()
    assert (agreement(left, right)[12:] < BOUND).all()


def test_equal_details_agree_wholly_and_none_is_nothing() -> None:
    every = np.concatenate([details([scene(0)]), noise(5), np.zeros((1, DETAIL_BYTES), np.uint8)])
    assert agreement(every, every).tolist() == [1.0] * len(every)
    assert agreement(every[:0], every[:0]).shape == (0,)


@pytest.mark.filterwarnings("error")
def test_any_bytes_give_a_number_from_0_to_1() -> None:
    hostile = np.concatenate(
        [noise(30, 3), np.zeros((2, DETAIL_BYTES), np.uint8), np.full((2, DETAIL_BYTES), 255, np.uint8)]
    )
    flat = details([Image.new("RGB", (300, 2), "red"), Image.new("RGB", (1, 1), "blue"), scene(4)])
    every = np.concatenate([hostile, flat])
    left = np.repeat(every, len(every), axis=0)
    right = np.tile(every, (len(every), 1))
    found = agreement(left, right)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (noise(2).astype(np.int16), noise(2)),
        (noise(2)[:, 1:], noise(2)),
        (noise(2), noise(3)),
        (noise(2)[0], noise(2)[0]),
    ],
    ids=["type", "length", "number", "one"],
)
def test_what_are_no_details_is_refused(left: np.ndarray, right: np.ndarray) -> None:
    with pytest.raises(InputError):
        agreement(left, right)


def frame_of(num: int) -> Frame:
    edges = np.tile(np.array([UNIT // 8, 0, UNIT, UNIT * 7 // 8]), (num, 1))
    known = np.tile(np.array([0, 0, UNIT, UNIT]), (num, 1))
    return Frame(edges, known, edges, edges)


def test_warped_levels_are_those_of_plain_interpolation() -> None:
    num, side = 6, 12
    levels = whole("levels", num, side, side, low=0, high=256)
    placement = Placement(
        whole("centre", num, 2, low=UNIT // 4, high=UNIT * 3 // 4),
        whole("scale", num, 2, low=UNIT // 2, high=UNIT * 2),
    )
    values, known = warped(levels, frame_of(num), placement)
    for picture in range(num):
        for y in range(side):
            for x in range(side):
                before, share, inside = zip(
                    *(_place(placement, picture, axis, pixel, side) for axis, pixel in ((0, x), (1, y))),
                    strict=True,
                )
                total = sum(
                    int(levels[picture, before[1] + j, before[0] + i])
                    * (share[0] if i else 64 - share[0])
                    * (share[1] if j else 64 - share[1])
                    for i in (0, 1)
                    for j in (0, 1)
                )
                assert values[picture, y, x] == total >> 12 - LEVEL_BITS
                assert known[picture, y, x] == all(inside)


def _place(placement: Placement, picture: int, axis: int, pixel: int, side: int) -> tuple[int, int, bool]:
    centre, scale = int(placement.centre[picture, axis]), int(placement.scale[picture, axis])
    place = centre * side + (scale * (2 * pixel + 1 - side) >> 1)
    at = min(max(place - UNIT // 2, 0), (side - 1) * UNIT - 1)
    start, stop = ((UNIT // 8, UNIT), (0, UNIT * 7 // 8))[axis]
    low, high = -start * UNIT * side // (stop - start), (UNIT - start) * UNIT * side // (stop - start)
    return at >> 16, at >> 10 & 63, low - UNIT // 4 < place < high + UNIT // 4


def test_sums_are_those_of_plain_loops() -> None:
    levels = whole("sums", 3, FULL_SIDE, FULL_SIDE, low=-500, high=500).astype(np.float32)
    blocks = evidence._block_sums(levels)
    share = FULL_SIDE // evidence.BLOCKS
    for picture in range(3):
        wanted = [
            levels[picture, y : y + share, x : x + share].sum(dtype=np.float64)
            for y in range(0, FULL_SIDE, share)
            for x in range(0, FULL_SIDE, share)
        ]
        assert blocks[picture].tolist() == wanted
    coarse = pooled(levels, 12)
    assert coarse[1, 2, 3] == levels[1, 8:12, 12:16].sum(dtype=np.float64)


def test_the_systems_are_solved() -> None:
    parts = drawn("parts", 20, 4, 9, low=-1)
    matrices, right = parts @ parts.transpose(0, 2, 1), drawn("right", 20, 4, low=-1)
    np.testing.assert_allclose(
        alignment._solved(matrices, right), np.linalg.solve(matrices, right[:, :, None])[:, :, 0], rtol=1e-6
    )


@pytest.mark.parametrize("mirror", [False, True])
def test_a_crop_is_found_where_it_was_cut(mirror: bool) -> None:
    image = scene(3, (200, 200)).resize((400, 400))
    part = (40, 10, 380, 350)
    cut = image.crop(part)
    both = [np.asarray(picture.convert("L").resize((48, 48))) for picture in (image, cut)]
    if mirror:
        both[1] = both[1][:, ::-1]
    edges = np.array([[0, 0, UNIT, UNIT]])
    frame = Frame(edges, edges, edges, edges)
    found = align(both[0][None], both[1][None], frame, frame)
    assert bool(found.mirror[0]) is mirror
    np.testing.assert_allclose(found.placement.scale[0] / UNIT, 400 / 340, rtol=0.03)
    middle = [(200 - part[0]) / 340, (200 - part[1]) / 340]
    np.testing.assert_allclose(found.placement.centre[0] / UNIT, middle, atol=0.03)
    assert found.correlation[0] > 0.95


def a_convolution(key: str, channels: int, made: int, size: int, stride: int) -> Convolution:
    weights = whole(key, size * size * channels, made, low=-40, high=60).astype(np.float32)
    bias = whole(f"{key} bias", made, low=-900, high=900).astype(np.float32)
    return Convolution(weights, bias, 5, size, stride)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_a_layer_is_what_plain_loops_say(size: int, stride: int) -> None:
    layer = a_convolution(f"layer {size} {stride}", 2, 3, size, stride)
    planes = whole("planes", 2, 8, 8, 2, low=-127, high=128)
    found = layer(planes.astype(np.float32))
    assert found.shape == (2, 8 // stride, 8 // stride, 3)
    for pair, row, column, channel in np.ndindex(found.shape):
        total = int(layer.bias[channel])
        for y, x, plane in np.ndindex(size, size, 2):
            at = row * stride + y - size // 2, column * stride + x - size // 2
            if all(0 <= place < 8 for place in at):
                weight = int(layer.weights[(y * size + x) * 2 + plane, channel])
                total += int(planes[pair, *at, plane]) * weight
        assert found[pair, row, column, channel] == min(max(total + 16 >> 5, 0), 127)


def a_network(certain: int) -> Network:
    layers = [
        a_convolution(f"network {number}", *shape)
        for number, shape in enumerate([(3, 4, 5, 2), (4, 3, 3, 2), (5, 2, 1, 1), (5, 4, 3, 1), (4, 3, 3, 2)])
    ]
    rows = 2 * 3 + len(FEATURES)
    hidden, bias, out = (
        whole(name, *shape, low=-90, high=90) for name, shape in (("h", (rows, 5)), ("b", (5,)), ("o", (5,)))
    )
    bounds = list(np.sort(drawn("bounds", len(FEATURES), 5, low=-1), axis=1))
    return Network(
        (layers[0], layers[1]),
        layers[2],
        (layers[3], layers[4]),
        bounds,
        hidden,
        bias,
        out,
        certain // 2,
        certain,
    )


def test_the_end_weighs_channels_and_bins_as_written() -> None:
    network, num = a_network(1_000_000_000), 2 * AT_ONCE + 3
    levels = whole("end levels", num, FULL_SIDE, FULL_SIDE, 3, low=-127, high=128).astype(np.float32)
    colours = whole("end colours", num, COLOUR_SIDE, COLOUR_SIDE, 5, low=-127, high=128).astype(np.float32)
    rows = drawn("rows", num, len(FEATURES), low=-1)
    found = network.agreement(levels, colours, rows)
    assert len(set(found.tolist())) > num // 2
    for pair in (0, AT_ONCE, num - 1):
        one = network.levels[1](network.levels[0](levels[[pair]]))
        channels = np.concatenate([one, network.colours(colours[[pair]])], axis=3)
        last = network.both[1](network.both[0](channels))[0].reshape(36, 3).astype(int)
        bins = [
            sum(value >= bound for bound in column)
            for value, column in zip(rows[pair], network.bounds, strict=True)
        ]
        ends = [*last.max(axis=0).tolist(), *last.sum(axis=0).tolist(), *bins]
        score = network.out_bias
        for unit in range(5):
            total = int(network.hidden_bias[unit])
            total += sum(
                int(end) * int(weight) for end, weight in zip(ends, network.hidden[:, unit], strict=True)
            )
            score += max(total, 0) * int(network.out[unit])
        assert found[pair] == min(max(score, 0), network.certain) / network.certain


def test_weights_whose_sums_would_not_be_exact_are_refused() -> None:
    layer = {"weights": [[100_000], [40_000]], "bias": [0], "shift": 7, "size": 1, "stride": 1}
    with pytest.raises(AssertionError):
        Convolution.of(layer)


def test_planes_are_whole_numbers_of_one_contrast() -> None:
    left, right = some_pairs()
    _, what = seen(left[:12], right[:12])
    for plane in (what.levels, what.colours):
        assert np.array_equal(plane, np.rint(plane))
        assert np.abs(plane).max() <= 127
    template, other, known = (what.levels[..., k] for k in range(3))
    assert (template[known == 0] == 0).all()
    spread = np.abs(template - other)[known > 0].mean()
    assert spread < 0.3 * np.abs(other)[known > 0].mean()


def test_features_are_finite_and_named() -> None:
    left, right = some_pairs()
    alike, what = seen(left, right)
    rows = what.features
    assert rows.shape == (int(alike.sum()), len(FEATURES))
    assert alike[:12].all()
    assert np.isfinite(rows).all()
    assert DETAIL.itemsize == DETAIL_BYTES
