"""What speaks for and against two aligned pictures showing the same: measured block by block, so that a mark in one corner is
told from another mouth in the same face.

Gain and offset of the levels are fitted to the blocks that agree. Then in each block: how far levels differ, and how much of the
structure (gradients) of each picture the other lacks. A mark only adds; where something else is drawn, both lack what the other
has. Colour is compared where both pictures have any: a grey copy has none.
"""

# E pairs, S side of a thumbnail, B blocks

import functools
from dataclasses import dataclass

import numpy as np

BLOCKS = 6  # a side
_LEAST_IN_BLOCK = 0.5  # of a block's pixels known, for it to count
_ROUNDS = 3  # of the robust fit
_NOISE = 4.0  # levels: the contrast below which pictures are compared as if they had it
_COLOURLESS = 9  # squared levels of chroma, on average: below, a picture is grey
_COLOURED = 36  # above, it is not
_SATURATION = (0.65, 1.5)  # by which colours may be paler or stronger
FEATURES = (
    "mean", "worst1", "worst2", "worst3", "worst5", "worst8", "worst12", "lacking1", "lacking2", "lacking3", "lacking5",
    "lacking", "lacks_less", "lacks_more", "uncorrelated", "gain", "contrasts", "contrast", "covered", "aspect", "grey",
    "colour1", "colour3", "colour5", "colour", "hue", "rescaled",
)  # fmt: skip


@dataclass(frozen=True)
class Aligned:
    """Two pictures in the template's frame."""

    template: np.ndarray
    """float32 integers (E, S, S): levels."""
    other: np.ndarray
    """float32 integers (E, S, S): levels, in sixteenths."""
    known: np.ndarray
    """bool (E, S, S)."""
    colours: np.ndarray
    """float32 integers (E, 2, C, C): chroma of the template about 0."""
    other_colours: np.ndarray
    """float32 integers (E, 2, C, C): chroma of the other about 0, in sixteenths."""
    colours_known: np.ndarray
    """bool (E, C, C)."""


@dataclass(frozen=True)
class Levels:
    """How the template's levels are brought to the other's: float64 (E,)."""

    gain: np.ndarray
    offset: np.ndarray
    """In levels."""
    middle: np.ndarray
    """The mean of the other's levels, where they are known."""
    contrast: np.ndarray
    """Their standard deviation in the paler of both, at least that of noise."""


def measured(pairs: Aligned) -> tuple[dict[str, np.ndarray], Levels]:
    """Return the features that pictures have by themselves, float64 (E,) by name, and how their levels stand."""
    moments = _moments(pairs)
    gain, offset = _fitted(moments)
    differences = _differences(moments, gain, offset)
    middle = moments.second.sum(axis=1) / np.maximum(moments.count.sum(axis=1), 1) / 4
    levels = Levels(gain, offset / 4, middle, differences["contrast"])
    return {**differences, **_structures(pairs, gain), **_colours(pairs)}, levels


@dataclass(frozen=True)
class _Moments:
    """Sums over the known pixels of each block, float64 integers (E, B): levels in quarters."""

    counts: np.ndarray
    """bool (E, B): enough of the block is known."""
    count: np.ndarray
    first: np.ndarray
    second: np.ndarray
    first_first: np.ndarray
    first_second: np.ndarray
    second_second: np.ndarray


def _quarters(pairs: Aligned) -> tuple[np.ndarray, np.ndarray]:
    """Return both pictures' levels in quarters, float32 (E, S, S)."""
    return 4 * pairs.template, np.floor(pairs.other / 4 + np.float32(0.5))


def _moments(pairs: Aligned) -> _Moments:
    known = pairs.known.astype(np.float32)
    first, second = _quarters(pairs)
    first, second = first * known, second * known
    count = _block_sums(known)
    enough = count >= _LEAST_IN_BLOCK * (known.shape[1] // BLOCKS) ** 2
    products = (first, second, first * first, first * second, second * second)
    return _Moments(enough, count, *(_block_sums(values) for values in products))


@functools.cache
def _block_matrix(side: int) -> np.ndarray:
    """Return what sums pixels to blocks: float32 (side, BLOCKS)."""
    return np.repeat(np.eye(BLOCKS, dtype=np.float32), side // BLOCKS, axis=0)


def _block_sums(values_ESS: np.ndarray) -> np.ndarray:
    """Return exact sums over blocks, float64 (E, B). values: float32 integers below 2^21."""
    num, side = values_ESS.shape[:2]
    rows = (values_ESS @ _block_matrix(side)).reshape(num, BLOCKS, side // BLOCKS, BLOCKS)
    sums: np.ndarray = rows.sum(axis=2, dtype=np.float64).reshape(num, BLOCKS**2)
    return sums


def _fitted(moments: _Moments) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and offset that bring the template to the other, float64 (E,); blocks that disagree are left out."""
    good = moments.counts
    gain = offset = np.zeros(len(good))
    for turn in range(_ROUNDS):
        count, first, second, squares, products = (
            (values * good).sum(axis=1)
            for values in (
                moments.count,
                moments.first,
                moments.second,
                moments.first_first,
                moments.first_second,
            )
        )
        many = np.maximum(count, 1)
        variance, covariance = squares - first * first / many, products - first * second / many
        gain = covariance / np.maximum(variance, 1)
        offset = (second - gain * first) / many
        if turn + 1 < _ROUNDS:
            errors = np.where(moments.counts, _errors(moments, gain, offset), 0)
            usual = np.sort(errors, axis=1)[:, BLOCKS * BLOCKS * 3 // 4]
            good = moments.counts & (errors <= np.maximum(2 * usual, 16 * 9)[:, None])
    return gain, offset


def _errors(moments: _Moments, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of each block's levels, in quarters squared: float64 (E, B)."""
    g, o = gain[:, None], offset[:, None]
    total = (
        moments.second_second - 2 * g * moments.first_second - 2 * o * moments.second
        + g * g * moments.first_first + 2 * g * o * moments.first + o * o * moments.count
    )  # fmt: skip
    errors: np.ndarray = np.maximum(total, 0) / np.maximum(moments.count, 1)
    return errors


def _differences(moments: _Moments, gain: np.ndarray, offset: np.ndarray) -> dict[str, np.ndarray]:
    """Return how far levels differ, in thousandths of the contrast, and how gain and contrast stand."""
    count, first, second, squares, products, other_squares = (
        values.sum(axis=1)
        for values in (
            moments.count, moments.first, moments.second, moments.first_first, moments.first_second,
            moments.second_second,
        )
    )  # fmt: skip
    many = np.maximum(count, 1)
    deviation, other_deviation = (
        np.sqrt(np.maximum(square - total * total / many, 0) / many) / 4
        for square, total in ((squares, first), (other_squares, second))
    )
    brought = np.abs(gain) * deviation
    contrast = np.minimum(np.maximum(brought, _NOISE), np.maximum(other_deviation, _NOISE))
    relative = np.sqrt(_errors(moments, gain, offset)) / 4 / (contrast + 2)[:, None]
    worst = -np.sort(-np.where(moments.counts, np.rint(1000 * relative), 0), axis=1)
    lengths = np.maximum(16 * many * deviation * other_deviation, 1)
    return {
        "mean": worst.sum(axis=1),
        **{f"worst{place}": worst[:, place - 1] for place in (1, 2, 3, 5, 8, 12)},
        "uncorrelated": 1 - (products - first * second / many) / lengths,
        "gain": np.maximum(np.clip(gain, 0.05, 20), 1 / np.clip(gain, 0.05, 20)),
        "contrasts": np.maximum((brought + 1) / (other_deviation + 1), (other_deviation + 1) / (brought + 1)),
        "contrast": contrast,
    }


def _structures(pairs: Aligned, gain: np.ndarray) -> dict[str, np.ndarray]:
    """Return how much of each picture's gradients the other lacks, in thousandths of all gradients a block."""
    known = pairs.known.astype(np.float32)
    first, second = 2 * pairs.template, np.floor(pairs.other / 8 + np.float32(0.5))
    (x, y), (other_x, other_y) = _gradients(first), _gradients(second)
    g = gain[:, None]
    energy = g * g * _block_sums((x * x + y * y) * known)
    shared = g * _block_sums((x * other_x + y * other_y) * known)
    other_energy = _block_sums((other_x * other_x + other_y * other_y) * known)
    pixels = np.rint(known.sum(axis=(1, 2), dtype=np.float64))
    noise = 16 * 3 * pixels
    whole = np.rint(energy).sum(axis=1) / 2 + other_energy.sum(axis=1) / 2 + noise
    lacks, other_lacks = (
        np.rint(1000 * BLOCKS**2 * np.maximum(own - shared, 0) / np.maximum(whole, 1)[:, None])
        for own in (energy, other_energy)
    )
    both = -np.sort(-np.minimum(lacks, other_lacks), axis=1)
    one, two = lacks.sum(axis=1), other_lacks.sum(axis=1)
    return {
        **{f"lacking{place}": both[:, place - 1] for place in (1, 2, 3, 5)},
        "lacking": both.sum(axis=1),
        "lacks_less": np.minimum(one, two),
        "lacks_more": np.maximum(one, two),
        "covered": pixels,
    }


def _gradients(levels_ESS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of the neighbours along x and along y; at an edge, twice that of the two pixels there."""
    x, y = np.empty_like(levels_ESS), np.empty_like(levels_ESS)
    x[:, :, 1:-1] = levels_ESS[:, :, 2:] - levels_ESS[:, :, :-2]
    y[:, 1:-1] = levels_ESS[:, 2:] - levels_ESS[:, :-2]
    x[:, :, 0], x[:, :, -1], y[:, 0], y[:, -1] = 0, 0, 0, 0
    return x, y


def _colours(pairs: Aligned) -> dict[str, np.ndarray]:
    """Return how far the chroma of two coloured pictures differs, in sixteenths of a level; 0 where one has no colour."""
    known = pairs.colours_known.astype(np.float32)
    first, second = 4 * pairs.colours, np.floor(pairs.other_colours / 4 + np.float32(0.5))
    sums = []
    for left, right in ((first, first), (first, second), (second, second)):
        sums.append(_block_sums((left[:, 0] * right[:, 0] + left[:, 1] * right[:, 1]) * known))
    squares, products, other_squares = sums
    count = _block_sums(known)
    many = np.maximum(count.sum(axis=1), 1)
    power, shared, other_power = (values.sum(axis=1) / many / 16 for values in sums)
    factor = np.clip(shared / np.maximum(power, 1), *_SATURATION)[:, None]
    error = np.maximum(other_squares - 2 * factor * products + factor * factor * squares, 0)
    both = np.minimum(power, other_power) >= _COLOURLESS
    counts = count >= _LEAST_IN_BLOCK * (known.shape[1] // BLOCKS) ** 2
    distance = np.rint(4 * np.sqrt(error / np.maximum(count, 1)))
    worst = -np.sort(-np.where(counts & both[:, None], distance, 0), axis=1)
    cosine = shared / np.sqrt(np.maximum(power * other_power, 1))
    return {
        "grey": (~both & (np.maximum(power, other_power) > _COLOURED)).astype(np.float64),
        **{f"colour{place}": worst[:, place - 1] for place in (1, 3, 5)},
        "colour": worst.sum(axis=1),
        "hue": np.where(both, 1 - cosine, 0),
    }
