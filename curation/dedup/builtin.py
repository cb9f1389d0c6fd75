"""Kind `builtin`: a picture to views of the lowest frequencies, and to the detail that a second look takes; no weights.

A view is the lowest frequencies of a 32 x 32 thumbnail: luminance without its mean, and colour. Views: the whole; the whole
without its plain border, and without another inside it; crops in the middle and at the corners of what a frame leaves, so that a
picture and its crop meet in one of them; and each of these mirrored, which in the frequencies is a change of sign. Colour has at
most 0.2 of luminance's length: a grey copy keeps a cosine of 1 / sqrt(1 + 0.2^2) = 0.981. The codes only propose pairs: `curation.dedup.second_look` decides on the details.

From the thumbnail on, all is integer arithmetic (float64 holds every product exactly): the same codes on any machine.
A view of hardly any contrast is the zero vector, which is near to nothing: a plain picture has duplicates by its bytes alone.
"""

# V views, D dimensions, K frequencies a side, S side of the thumbnail

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from curation.dedup import second_look
from curation.dedup.second_look import Edges, Trimmed

VERSION = 2
WORKING_SIDE = 96  # pixels: pictures are reduced to 96-191 a side before anything is measured
_S, _K, _K_COLOUR = 32, 8, 3
_BASIS_BITS, _WEIGHT_BITS = 10, 4  # binary places of the cosines, and of the weights and frequencies
EMPHASIS = 0.25  # frequency (k, l) is multiplied by |(k, l)|^0.25: pictures have little energy high up
COLOUR_SHARE = (1, 5)  # colour's greatest length, of luminance's
CROP = 0.87  # sides of the crops, of those of the whole, or of what a frame leaves
CROPS = ((0.5, 0.5), (0, 0), (1, 0), (0, 1), (1, 1))  # where they lie, of what is left and above
TRIM_TOLERANCE = 16  # grey levels in which a plain border may vary
TRIM_OUTLIERS = 100  # one pixel in so many of a border's line may differ
TRIM_MIXED = 2  # pixels between border and content in which both mix
TRIM_LEAST = 8  # a part of each side, and pixels, that must be left
STRAIGHT = (
    17,
    20,
)  # of the pixels along the edges of what is left differ from the border, where a frame was around it
PLAIN_CONTRAST = 2  # grey levels of standard deviation; below, a view is plain
# The codes only propose: crops come down to 0.88, where drawings of one kind are near too, and the second look tells them apart.
THRESHOLD = 0.88  # of the cosine
FLOOR = 0.86  # of the cosine, from which pairs are kept
QUERY_VIEWS = 3 + len(CROPS)
VIEWS = 2 * QUERY_VIEWS
DIMENSION = _K * _K - 1 + 2 * _K_COLOUR * _K_COLOUR


def parameters() -> dict[str, object]:
    """Return all that codes and details depend on beside the picture."""
    return {
        "version": VERSION, "working_side": WORKING_SIDE, "thumbnail": _S, "luminance_frequencies": _K,
        "colour_frequencies": _K_COLOUR, "basis_bits": _BASIS_BITS, "weight_bits": _WEIGHT_BITS, "emphasis": EMPHASIS,
        "colour_share": list(COLOUR_SHARE), "crop": CROP, "crops": [list(place) for place in CROPS],
        "trim_tolerance": TRIM_TOLERANCE, "trim_outliers": TRIM_OUTLIERS, "trim_mixed": TRIM_MIXED, "trim_least": TRIM_LEAST, "straight": list(STRAIGHT), "plain_contrast": PLAIN_CONTRAST, "second_look": second_look.parameters(),
    }  # fmt: skip


@dataclass(frozen=True)
class Description:
    """A picture's descriptor."""

    codes: np.ndarray
    """int8 (V, D): the views as in the module's docstring, then each mirrored."""
    detail: bytes
    """What `curation.dedup.second_look.agreement` compares."""


def described(image: Image.Image) -> Description:
    """Return the descriptor of an RGB picture."""
    factors = (max(1, image.width // WORKING_SIDE), max(1, image.height // WORKING_SIDE))
    small = image.reduce(factors) if max(factors) > 1 else image
    planes = small.convert("YCbCr")
    left = trimmed(small)
    return Description(_codes(planes, left), second_look.detail_of(planes, left, image.size))


def codes(image: Image.Image) -> np.ndarray:
    """Return the codes of an RGB picture, int8 (V, D)."""
    return described(image).codes


def _codes(planes: Image.Image, left: Trimmed) -> np.ndarray:
    boxes: list[tuple[float, float, float, float]] = [(0, 0, *planes.size), left.outer, left.inner]
    start_x, start_y, stop_x, stop_y = left.outer if left.framed else (0, 0, *planes.size)
    width, height = stop_x - start_x, stop_y - start_y
    for across, along in CROPS:
        x, y = start_x + width * (1 - CROP) * across, start_y + height * (1 - CROP) * along
        boxes.append((x, y, x + width * CROP, y + height * CROP))
    thumbnails = [np.asarray(planes.resize((_S, _S), Image.Resampling.BILINEAR, box=box)) for box in boxes]
    codes_VD = _codes_of_thumbnails(np.stack(thumbnails))
    return np.concatenate([codes_VD, codes_VD * _mirror_signs()])


def trimmed(image: Image.Image) -> Trimmed:
    """Return what is left without a plain border, and without another inside that."""
    whole = (0, 0, *image.size)
    outer, straight = _without_border(image, whole)
    inner, _ = _without_border(image, outer)
    thin = all((outer[axis + 2] - outer[axis]) * 3 >= image.size[axis] * 2 for axis in (0, 1))
    return Trimmed(outer, inner, framed=thin and (straight or inner != outer))


def _without_border(image: Image.Image, box: Edges) -> tuple[Edges, bool]:
    """Return the box of what differs from its corners' median colour, and whether that has straight edges.

    The pixels in which border and content mix are left out. The whole box comes back where there is no border, or where without
    it less than an eighth of a side would remain.
    """
    part = image.crop(box)
    width, height = part.size
    if min(width, height) < 2 * TRIM_LEAST:  # nothing that small has a border worth a view
        return box, False
    corners = [part.getpixel((x, y)) for x in (0, width - 1) for y in (0, height - 1)]
    plain = tuple(int(sorted(channel)[1]) for channel in zip(*corners, strict=True))
    red, green, blue = ImageChops.difference(part, Image.new("RGB", part.size, plain)).split()
    differs = np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue)) > TRIM_TOLERANCE
    left, right = _span(np.count_nonzero(differs, axis=0) * TRIM_OUTLIERS > height)
    upper, lower = _span(np.count_nonzero(differs, axis=1) * TRIM_OUTLIERS > width)
    least = [max(TRIM_LEAST, side // TRIM_LEAST) for side in image.size]
    if right - left < least[0] or lower - upper < least[1]:
        return box, False
    content = differs[upper:lower, left:right]
    lines = np.concatenate([content[0], content[-1], content[:, 0], content[:, -1]])
    straight = bool(np.count_nonzero(lines) * STRAIGHT[1] >= len(lines) * STRAIGHT[0])
    found = box[0] + left, box[1] + upper, box[0] + right, box[1] + lower
    return found, straight and found != box


def _span(differs: np.ndarray) -> tuple[int, int]:
    """Return start and stop of the lines that differ from the border, without those in which it mixes with the content."""
    lines = np.flatnonzero(differs)
    if not len(lines):
        return 0, 0
    start, stop = int(lines[0]), int(lines[-1]) + 1
    return start + TRIM_MIXED * (start > 0), stop - TRIM_MIXED * (stop < len(differs))


def _codes_of_thumbnails(thumbnails_VSSC: np.ndarray) -> np.ndarray:
    """Return int8 codes (V, D) of YCbCr thumbnails, uint8 (V, S, S, 3)."""
    levels = thumbnails_VSSC.astype(np.float64)
    luminance = _frequencies(levels[..., 0], _K)[:, 1:]
    colour = np.concatenate([_frequencies(levels[..., c] - 128, _K_COLOUR) for c in (1, 2)], axis=1)
    length = _length(luminance)
    plain = length < PLAIN_CONTRAST * _S << _WEIGHT_BITS
    share, whole = COLOUR_SHARE
    allowed, present = share * length, whole * _length(colour)
    bounded = np.where(
        (present > allowed)[:, None], _rounded(colour * allowed[:, None], present[:, None]), colour
    )
    vectors = np.concatenate([luminance, bounded], axis=1)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    codes = _rounded(127 * vectors, largest)
    return np.where(plain[:, None], 0, codes).astype(np.int8)


def _frequencies(levels_VSS: np.ndarray, side: int) -> np.ndarray:
    """Return the lowest side x side frequencies as int64 (V, side * side), in units of 2^-4 grey levels, emphasised."""
    basis, weights = _basis(side)
    # Integers below 2^53: exact, in whatever order they are added.
    products = basis @ levels_VSS @ basis.T * weights
    scaled = products.reshape(len(levels_VSS), -1).astype(np.int64)
    return _rounded(scaled, np.int64(1) << 2 * _BASIS_BITS)


@functools.cache
def _basis(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine basis (side, S) in units of 2^-10, and the weights of frequencies (side, side) in units of 2^-4."""
    k, n = np.arange(side)[:, None], np.arange(_S)[None]
    cosines = np.cos(np.pi * (2 * n + 1) * k / (2 * _S)) * np.where(k == 0, np.sqrt(1 / _S), np.sqrt(2 / _S))
    weights = np.maximum(np.hypot(k, np.arange(side)[None]), 1) ** EMPHASIS
    return np.rint(cosines * (1 << _BASIS_BITS)), np.rint(weights * (1 << _WEIGHT_BITS))


@functools.cache
def _mirror_signs() -> np.ndarray:
    """Return int8 (D,): -1 at odd horizontal frequencies, which a mirrored picture has with the other sign."""
    luminance = np.tile(1 - 2 * (np.arange(_K) % 2), _K)[1:]
    colour = np.tile(1 - 2 * (np.arange(_K_COLOUR) % 2), _K_COLOUR)
    return np.concatenate([luminance, colour, colour]).astype(np.int8)


def _length(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean lengths of integer vectors, cut to integers: int64 (V,)."""
    lengths: np.ndarray = np.sqrt(np.square(vectors).sum(axis=1).astype(np.float64))
    return lengths.astype(np.int64)


def _rounded(numerator: np.ndarray, denominator: np.ndarray | np.int64) -> np.ndarray:
    """Return numerator / denominator rounded half away from zero, in integers; 0 where the denominator is 0."""
    bottom = np.maximum(denominator, 1)
    quotient: np.ndarray = np.sign(numerator) * ((2 * np.abs(numerator) + bottom) // (2 * bottom))
    return quotient
