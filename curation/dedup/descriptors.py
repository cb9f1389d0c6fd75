"""Pictures to descriptors: a fixed number of views, each a small int8 vector; a pair's cosine is the best over their views.

Kind `builtin` needs no weights. A view is the lowest frequencies of a 32 x 32 thumbnail: luminance without its mean, and colour.
Views: the whole; the whole without its plain border; a ladder of centred crops, each 0.93 of the one before, so that a picture
and its crop meet at some rung; and each of these mirrored, which in the frequencies is a change of sign. Colour has at most
0.3 of luminance's length: a grey copy keeps a cosine of 1 / sqrt(1 + 0.3^2) = 0.958, a twin in the opposite colour falls to 0.83.
From the thumbnail on, all is integer arithmetic (float64 holds every product exactly): the same codes on any machine.

A view of hardly any contrast is the zero vector, which is near to nothing: a plain picture has duplicates by its bytes alone.
"""

# V views, D dimensions, K frequencies a side, S side of the thumbnail

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from curation.canonical import sha256_json
from curation.errors import ConfigError
from curation.images import decode

VERSION = 1
WORKING_SIDE = 96  # pixels: pictures are reduced to 96-191 a side before anything is measured
_S, _K, _K_COLOUR = 32, 8, 3
_BASIS_BITS, _WEIGHT_BITS = 10, 4  # binary places of the cosines, and of the weights and frequencies
EMPHASIS = 0.25  # frequency (k, l) is multiplied by |(k, l)|^0.25: pictures have little energy high up
COLOUR_SHARE = (3, 10)  # colour's greatest length, of luminance's
CROPS = (0.93, 0.865, 0.804)  # sides of the centred crops, of the whole's
TRIM_TOLERANCE = 16  # grey levels in which a plain border may vary
TRIM_OUTLIERS = 100  # one pixel in so many of a border's line may differ
PLAIN_CONTRAST = 2  # grey levels of standard deviation; below, a view is plain


def _parameters() -> dict[str, object]:
    """Return all that the codes depend on beside the picture."""
    return {
        "version": VERSION, "working_side": WORKING_SIDE, "thumbnail": _S, "luminance_frequencies": _K,
        "colour_frequencies": _K_COLOUR, "basis_bits": _BASIS_BITS, "weight_bits": _WEIGHT_BITS, "emphasis": EMPHASIS,
        "colour_share": list(COLOUR_SHARE), "crops": list(CROPS), "trim_tolerance": TRIM_TOLERANCE,
        "trim_outliers": TRIM_OUTLIERS, "plain_contrast": PLAIN_CONTRAST,
    }  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What produces codes, and their shape."""

    name: str
    """As it stands in the table."""
    sha256: str
    """Hash of what determines the codes."""
    views: int
    """Views a picture."""
    query_views: int
    """The first so many are enough on one side of a comparison: the others are their mirror images."""
    dimension: int
    """Dimensions of a view; at most 128, so that products of squared lengths fit 63 bits."""


@dataclass(frozen=True)
class Description:
    """A picture's descriptor."""

    width: int
    """Pixels, decoded and upright."""
    height: int
    """Pixels, decoded and upright."""
    codes: np.ndarray
    """int8 (V, D)."""


def kind_of(name: str) -> Kind:
    """Return the kind of a configuration's name. Raises ConfigError for an unknown one."""
    if name != "builtin":
        raise ConfigError(f"embed.kind is {name!r}: builtin is what there is")
    query_views = 2 + len(CROPS)
    dimension = _K * _K - 1 + 2 * _K_COLOUR * _K_COLOUR
    return Kind(f"builtin-{VERSION}", sha256_json(_parameters()), 2 * query_views, query_views, dimension)


def describe(body: bytes) -> Description:
    """Decode a picture's bytes and return its `builtin` descriptor.

    Raises curation.images.UndecodableImageError.
    """
    picture = decode(body, draft_side=WORKING_SIDE)
    return Description(picture.width, picture.height, builtin_codes(picture.image))


def builtin_codes(image: Image.Image) -> np.ndarray:
    """Return the codes of an RGB picture, int8 (V, D): the views as in the module's docstring, then each mirrored."""
    factors = (max(1, image.width // WORKING_SIDE), max(1, image.height // WORKING_SIDE))
    small = image.reduce(factors) if max(factors) > 1 else image
    planes = small.convert("YCbCr")
    thumbnails = [
        np.asarray(planes.resize((_S, _S), Image.Resampling.BILINEAR, box=box)) for box in _boxes(small)
    ]
    codes_VD = _codes_of_thumbnails(np.stack(thumbnails))
    return np.concatenate([codes_VD, codes_VD * _mirror_signs()])


def _boxes(image: Image.Image) -> list[tuple[float, float, float, float]]:
    """Return the views' boxes: left, upper, right, lower, in pixels."""
    width, height = image.size
    boxes: list[tuple[float, float, float, float]] = [(0, 0, width, height), trimmed_box(image)]
    for share in CROPS:
        x, y = width * (1 - share) / 2, height * (1 - share) / 2
        boxes.append((x, y, width - x, height - y))
    return boxes


def trimmed_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Return what is left without plain borders, one inside another at the most: a frame, then the margin inside it.

    A picture that would lose more than seven eighths of a side is left whole.
    """
    whole = box = (0, 0, *image.size)
    for _ in range(2):
        inner = _without_border(image.crop(box))
        if inner is None:
            break
        box = (box[0] + inner[0], box[1] + inner[1], box[0] + inner[2], box[1] + inner[3])
    enough = all(box[axis + 2] - box[axis] >= max(8, whole[axis + 2] // 8) for axis in (0, 1))
    return box if enough else whole


def _without_border(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the box of what differs from the corners' median colour, less the pixel in which border and content mix."""
    width, height = image.size
    if min(width, height) < 16:  # nothing that small has a border worth a view
        return None
    corners = [image.getpixel((x, y)) for x in (0, width - 1) for y in (0, height - 1)]
    plain = tuple(int(sorted(channel)[1]) for channel in zip(*corners, strict=True))
    difference = ImageChops.difference(image, Image.new("RGB", image.size, plain))
    red, green, blue = difference.split()
    differs = np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue)) > TRIM_TOLERANCE
    rows = np.flatnonzero(np.count_nonzero(differs, axis=1) * TRIM_OUTLIERS > width)
    columns = np.flatnonzero(np.count_nonzero(differs, axis=0) * TRIM_OUTLIERS > height)
    if not len(rows) or not len(columns):
        return None
    left, upper, right, lower = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    if (left, upper, right, lower) == (0, 0, width, height):
        return None
    left, upper = left + (left > 0), upper + (upper > 0)
    right, lower = right - (right < width), lower - (lower < height)
    return (left, upper, right, lower) if left < right and upper < lower else None


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
