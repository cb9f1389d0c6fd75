"""How one picture lies in another: mirrored or not, and a shift and a scale along each axis, found on small grey thumbnails.

Each picture is known by the box of what is not plain border, as a thumbnail, and by where this box lies in the whole picture. A
`Placement` says which point of the other's box a point of the template's box is. Some forty are guessed (box on box, whole on
whole, each a crop of the other at nine places; each mirrored), the two that correlate best are refined by Gauss and Newton's
method in its inverse compositional form (Baker and Matthews 2004), gain and offset of the levels set aside, and the better stays.

Sums are exact integers, steps are correctly rounded float64 operations one by one, and placements are integers: the result is
the same on any machine and in any batch.
"""

# E pairs, S side of a thumbnail, H guesses

import functools
from dataclasses import dataclass

import numpy as np

UNIT = 1 << 16  # of placements: one side of a box
_FRACTION_BITS = 6  # of a pixel, in which levels are interpolated
LEVEL_BITS = 4  # binary places that a warped level has more
FULL_SIDE = 48
_GUESS_SIDE, _COARSE_SIDE, _FINE_SIDE = 12, 16, 24
_COARSE_STEPS, _FINE_STEPS = 4, 3
_GUESSES = 2  # refined
_CROP = 0.88  # side of the guessed crops, of the whole's
_LEAST_COVERED = 0.5  # of the template, for a guess to count
_STEP, _RESCALED, _MOVED = 0.12, 1.45, 0.4  # the longest step; how far a placement may leave its guess


@dataclass(frozen=True)
class Frame:
    """Where parts of pictures lie in the whole: int64 (E, 4): left, upper, right, lower, in UNITs of the whole's sides."""

    window: np.ndarray
    """What the thumbnail shows."""
    known: np.ndarray
    """Beyond the window there is up to here what is at its edge; beyond this, anything."""
    outer: np.ndarray
    """What is not plain border."""
    inner: np.ndarray
    """What is not plain border inside that; the same where there is none."""

    def mirrored(self, where: np.ndarray) -> "Frame":
        """Return the same of pictures of which some are mirrored. where: bool (E,)."""
        return Frame(*(_turned(edges, where) for edges in (self.window, self.known, self.outer, self.inner)))


def _turned(edges_E4: np.ndarray, where: np.ndarray) -> np.ndarray:
    left, upper, right, lower = edges_E4.T
    return np.where(where[:, None], np.stack([UNIT - right, upper, UNIT - left, lower], axis=1), edges_E4)


@dataclass(frozen=True)
class Placement:
    """Where the template's box lies in the box of the other picture."""

    centre: np.ndarray
    """int64 (E, 2): x and y of the template's centre, in UNITs of the other box's sides."""
    scale: np.ndarray
    """int64 (E, 2): sides of the template's box in the same."""

    def take(self, chosen: np.ndarray) -> "Placement":
        """Return some of the placements."""
        return Placement(self.centre[chosen], self.scale[chosen])

    def where(self, better: np.ndarray, other: "Placement") -> "Placement":
        """Return these, or the other's where it is better: bool (E,)."""
        rows = better[:, None]
        return Placement(np.where(rows, other.centre, self.centre), np.where(rows, other.scale, self.scale))


@dataclass(frozen=True)
class Alignment:
    """The placement that was found."""

    placement: Placement
    mirror: np.ndarray
    """bool (E,): the other picture is mirrored first."""
    correlation: np.ndarray
    """float64 (E,): of the levels, where both are known; -1 to 1."""

    def take(self, chosen: np.ndarray) -> "Alignment":
        """Return some of the alignments."""
        return Alignment(self.placement.take(chosen), self.mirror[chosen], self.correlation[chosen])


def align(template_ESS: np.ndarray, other_ESS: np.ndarray, frame: Frame, other_frame: Frame) -> Alignment:
    """Return how each template lies in the other picture.

    Levels: integers (E, FULL_SIDE, FULL_SIDE).
    """
    found: Alignment | None = None
    template, other = pooled(template_ESS, _COARSE_SIDE), pooled(other_ESS, _COARSE_SIDE)
    for guess, mirror in _guessed(template_ESS, other_ESS, frame, other_frame):
        pair = template, _flipped(other, mirror)
        tried = _refined(pair, other_frame.mirrored(mirror), guess, mirror, steps=_COARSE_STEPS)
        found = tried if found is None else _better(found, tried)
    assert found is not None
    mirror = found.mirror
    pair = pooled(template_ESS, _FINE_SIDE), _flipped(pooled(other_ESS, _FINE_SIDE), mirror)
    return _refined(pair, other_frame.mirrored(mirror), found.placement, mirror, steps=_FINE_STEPS)


def _better(first: Alignment, second: Alignment) -> Alignment:
    """Return of each pair the alignment that correlates better, the first where both do alike."""
    better = second.correlation > first.correlation
    return Alignment(
        first.placement.where(better, second.placement),
        np.where(better, second.mirror, first.mirror),
        np.where(better, second.correlation, first.correlation),
    )


def pooled(levels_ESS: np.ndarray, side: int) -> np.ndarray:
    """Return the sums of levels over squares, float32 integers (E, side, side)."""
    sums = _pooling(levels_ESS.shape[1], side)
    result: np.ndarray = sums @ levels_ESS.astype(np.float32) @ sums.T
    return result


@functools.cache
def _pooling(size: int, side: int) -> np.ndarray:
    """Return what sums neighbouring pixels: float32 (side, size)."""
    return np.repeat(np.eye(side, dtype=np.float32), size // side, axis=1)


def warped(levels_ESS: np.ndarray, frame: Frame, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Return the other picture's levels where the template's pixels lie, and where they are known.

    Levels come with LEVEL_BITS more binary places: float32 integers (E, S, S). Outside the box they are those of its edge, since
    there is nothing but plain border; outside the whole picture they are unknown: bool (E, S, S).
    """
    side = levels_ESS.shape[1]
    across, known_x = _interpolation(frame, placement, 0, side)
    along, known_y = _interpolation(frame, placement, 1, side)
    # Integers below 2^24 in float32: exact, in whatever order they are added.
    values = along @ levels_ESS.astype(np.float32) @ across.transpose(0, 2, 1)
    scale = np.float32(2.0 ** (LEVEL_BITS - 2 * _FRACTION_BITS))
    return np.floor(values * scale), known_y[:, :, None] & known_x[:, None]


def _interpolation(frame: Frame, placement: Placement, axis: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the other's pixels for each of the template's, float32 integers (E, S, S), and which lie in the whole."""
    steps = 2 * np.arange(side) + 1 - side
    centre, scale = placement.centre[:, axis, None], placement.scale[:, axis, None]
    place = centre * side + (scale * steps >> 1)  # in UNITs of a pixel, from the box's edge
    start, stop = frame.window[:, axis, None], frame.window[:, axis + 2, None]
    least, most = frame.known[:, axis, None], frame.known[:, axis + 2, None]
    quarter, length = UNIT // 4, np.maximum(stop - start, 1)
    low = (least - start) * (UNIT * side) // length - quarter
    high = (most - start) * (UNIT * side) // length + quarter
    clipped = np.clip(place - UNIT // 2, 0, (side - 1) * UNIT - 1)
    share = (clipped >> 16 - _FRACTION_BITS & (1 << _FRACTION_BITS) - 1).astype(np.float32)
    weights = np.zeros((len(centre), side, side), np.float32)
    before = (clipped >> 16)[:, :, None]
    np.put_along_axis(weights, before, (1 << _FRACTION_BITS) - share[:, :, None], 2)
    np.put_along_axis(weights, before + 1, share[:, :, None], 2)
    return weights, (place > low) & (place < high)


def correlations(template_ESS: np.ndarray, other_ESS: np.ndarray, known_ESS: np.ndarray) -> np.ndarray:
    """Return the correlation of levels where they are known, float64 (E,); 0 where one is flat or hardly covered."""
    count, covariance, first, second = _moments(template_ESS, other_ESS, known_ESS)
    enough = (count >= _LEAST_COVERED * template_ESS[0].size) & (first > 0) & (second > 0)
    lengths = np.sqrt(np.maximum(first, 1).astype(np.float64)) * np.sqrt(
        np.maximum(second, 1).astype(np.float64)
    )
    return np.where(enough, covariance / lengths, 0.0)


def _moments(
    template_ESS: np.ndarray, other_ESS: np.ndarray, known_ESS: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return count, count^2 times covariance and variances, int64 (E,), over the known pixels."""
    num = len(template_ESS)
    # Integers below 2^53 in float64: exact, in whatever order they are added.
    known = known_ESS.reshape(num, -1).astype(np.float64)
    first = template_ESS.reshape(num, -1) * known
    second = other_ESS.reshape(num, -1) * known
    count, sum_first, sum_second = (values.sum(axis=1).astype(np.int64) for values in (known, first, second))
    products = [
        np.vecdot(left, right).astype(np.int64)
        for left, right in ((first, second), (first, first), (second, second))
    ]
    covariance = count * products[0] - sum_first * sum_second
    return count, covariance, count * products[1] - sum_first**2, count * products[2] - sum_second**2


def _flipped(levels_ESS: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return np.where(mirror[:, None, None], levels_ESS[:, :, ::-1], levels_ESS)


def _guessed(
    template_ESS: np.ndarray, other_ESS: np.ndarray, frame: Frame, other_frame: Frame
) -> list[tuple[Placement, np.ndarray]]:
    """Return the best guesses: placement, and whether the other is mirrored."""
    template, other = pooled(template_ESS, _GUESS_SIDE), pooled(other_ESS, _GUESS_SIDE)
    num = len(template)
    here = _Crops(template)
    inner, outer = _crop_placements()
    centres, scales, scores = [], [], []
    mirrors: list[bool] = []
    for mirror in (False, True):
        turned = other[:, :, ::-1] if mirror else other
        turned_frame = other_frame.mirrored(np.full(num, mirror))
        there = _Crops(turned)
        scores += [here.beside(there), there.beside(here)[:, 1:]]
        for constant in (inner, outer[1:]):
            centres.append(np.broadcast_to(constant[:, 0], (num, len(constant), 2)))
            scales.append(np.broadcast_to(constant[:, 1], (num, len(constant), 2)))
        for placed in _coinciding(frame, turned_frame):
            levels, known = warped(turned, turned_frame, placed)
            scores.append(correlations(template, levels, known)[:, None])
            centres.append(placed.centre[:, None])
            scales.append(placed.scale[:, None])
        mirrors += [mirror] * (sum(score.shape[1] for score in scores) - len(mirrors))
    score_EH = np.concatenate(scores, axis=1)
    best = np.argsort(-score_EH, axis=1, kind="stable")[:, :_GUESSES]
    centre_EH2, scale_EH2 = np.concatenate(centres, axis=1), np.concatenate(scales, axis=1)
    row = np.arange(num)
    return [
        (Placement(centre_EH2[row, column], scale_EH2[row, column]), np.array(mirrors)[column])
        for column in best.T
    ]


class _Crops:
    """Each picture and its nine crops, as integer vectors without mean."""

    def __init__(self, levels_ESS: np.ndarray) -> None:
        num, side = levels_ESS.shape[:2]
        matrix = (
            _crop_matrices().reshape(3 * side, side).T
        )  # from a line's pixels to those of its three crops
        # Integers below 2^24 in float32, and below 2^53 in float64: exact, in whatever order they are added.
        rows = (levels_ESS.reshape(-1, side) @ matrix).reshape(num, side, 3 * side)
        both = rows.transpose(0, 2, 1).reshape(-1, side) @ matrix  # (E, crop along x, x, crop along y, y)
        vectors = np.empty((num, 10, side * side))
        vectors[:, 0] = levels_ESS.reshape(num, -1)
        crops = both.reshape(num, 3, side, 3, side).transpose(0, 3, 1, 4, 2)
        np.floor(crops.reshape(num, 9, -1) * np.float32(1 / 256), out=vectors[:, 1:])
        self._vectors = vectors * vectors.shape[2] - vectors.sum(axis=2, keepdims=True)
        squared = np.vecdot(self._vectors, self._vectors)
        self._lengths = np.sqrt(np.maximum(squared, 1))

    def beside(self, others: "_Crops") -> np.ndarray:
        """Return the correlations of these whole pictures with the others' whole ones and crops, float64 (E, 10)."""
        products = np.matmul(others._vectors, self._vectors[:, 0, :, None])[:, :, 0]  # noqa: SLF001
        result: np.ndarray = products / (self._lengths[:, :1] * others._lengths)  # noqa: SLF001
        return result


@functools.cache
def _crop_matrices() -> np.ndarray:
    """Return interpolation to the first, middle and last crop along an axis, float32 (3, side, side), in sixteenths."""
    matrices = np.zeros((3, _GUESS_SIDE, _GUESS_SIDE), np.float32)
    for number, offset in enumerate((0.0, 0.5, 1.0)):
        for pixel in range(_GUESS_SIDE):
            place = ((1 - _CROP) * offset + _CROP * (pixel + 0.5) / _GUESS_SIDE) * _GUESS_SIDE - 0.5
            before = min(max(int(place // 1), 0), _GUESS_SIDE - 2)
            share = round(16 * min(max(place - before, 0.0), 1.0))
            matrices[number, pixel, before : before + 2] = 16 - share, share
    return matrices


@functools.cache
def _crop_placements() -> tuple[np.ndarray, np.ndarray]:
    """Return the placements of a template that is the other's crop, and of one whose crop the other is.

    int64 (10, 2, 2): the whole first, then the crops row by row; centre and scale, x and y.
    """
    inner, outer = [[(0.5, 0.5), (1.0, 1.0)]], [[(0.5, 0.5), (1.0, 1.0)]]
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            aside = (1 - _CROP) / 2
            inner.append([(0.5 + aside * x, 0.5 + aside * y), (_CROP, _CROP)])
            outer.append([(0.5 - aside * x / _CROP, 0.5 - aside * y / _CROP), (1 / _CROP, 1 / _CROP)])
    inner_H22, outer_H22 = (np.rint(np.array(places) * UNIT).astype(np.int64) for places in (inner, outer))
    return inner_H22, outer_H22


def _coinciding(frame: Frame, other: Frame) -> list[Placement]:
    """Return the placements where the wholes coincide, and where a box of the one and a box of the other do."""
    whole = np.zeros_like(frame.window)
    whole[:, 2:] = UNIT
    parts = [
        (whole, whole),
        (frame.outer, other.outer),
        (frame.outer, other.inner),
        (frame.inner, other.outer),
    ]
    return [_placed(frame.window, part, other.window, other_part) for part, other_part in parts]


def _placed(window: np.ndarray, part: np.ndarray, other: np.ndarray, other_part: np.ndarray) -> Placement:
    """Return where a window lies in the other one, where a part of each whole coincides; all are edges (E, 4)."""
    sides, other_sides = (np.maximum(edges[:, 2:] - edges[:, :2], 1) for edges in (part, other_part))
    length = np.maximum(other[:, 2:] - other[:, :2], 1)
    middle = (window[:, :2] + window[:, 2:]) // 2
    there = other_part[:, :2] + (middle - part[:, :2]) * other_sides // sides
    scale = (window[:, 2:] - window[:, :2]) * other_sides // sides * UNIT // length
    return Placement((there - other[:, :2]) * UNIT // length, np.clip(scale, UNIT // 64, UNIT * 64))


def _refined(
    pair: tuple[np.ndarray, np.ndarray],
    frame: Frame,
    guess: Placement,
    mirror: np.ndarray,
    *,
    steps: int,
) -> Alignment:
    """Return the placement after some steps of least squares, or the guess where that correlates better."""
    template_ESS, other_ESS = pair
    side = template_ESS.shape[1]
    jacobian, normal = _least_squares(template_ESS)
    placement = guess
    levels, known = warped(other_ESS, frame, guess)
    first = correlations(template_ESS, levels, known)
    for _ in range(steps):
        gradient = np.matmul(jacobian, _residual(template_ESS, levels, known)[:, :, None])[:, :, 0]
        placement = _moved(placement, guess, _solved(normal, gradient), side)
        levels, known = warped(other_ESS, frame, placement)
    last = correlations(template_ESS, levels, known)
    worse = last < first
    return Alignment(placement.where(worse, guess), mirror, np.where(worse, first, last))


def _least_squares(levels_ESS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of levels by a shift and a stretch along x and y, and the normal equations of it.

    float64 integers (E, 4, P), in levels a pixel, doubled; float64 (E, 4, 4), a thousandth stiffer than they are.
    """
    num, side = levels_ESS.shape[:2]
    steps = (2 * np.arange(side) + 1 - side).astype(np.float64)
    along_x, along_y = np.zeros((num, side, side)), np.zeros((num, side, side))
    along_x[:, :, 1:-1] = levels_ESS[:, :, 2:] - levels_ESS[:, :, :-2]
    along_y[:, 1:-1] = levels_ESS[:, 2:] - levels_ESS[:, :-2]
    parts = [along_x, along_x * steps, along_y, along_y * steps[:, None]]
    jacobian = np.stack([part.reshape(num, -1) for part in parts], axis=1)
    normal = np.matmul(jacobian, jacobian.transpose(0, 2, 1))
    diagonal = np.arange(4)
    normal[:, diagonal, diagonal] += normal[:, diagonal, diagonal] / 1000 + 1
    return jacobian, normal


def _residual(template_ESS: np.ndarray, other_ESS: np.ndarray, known_ESS: np.ndarray) -> np.ndarray:
    """Return by how much the other, brought to the template's mean and contrast, is above it: float64 integers (E, P)."""
    num = len(template_ESS)
    known = known_ESS.reshape(num, -1)
    count, _, first, second = _moments(template_ESS, other_ESS, known_ESS)
    gain = np.sqrt(np.maximum(first, 1).astype(np.float64)) / np.sqrt(
        np.maximum(second, 1).astype(np.float64)
    )
    here, there = template_ESS.reshape(num, -1), other_ESS.reshape(num, -1)
    many = np.maximum(count, 1)
    mean_here, mean_there = ((levels * known).sum(axis=1) / many for levels in (here, there))
    above = (there - mean_there[:, None]) * gain[:, None] - (here - mean_here[:, None])
    return np.where(known, np.rint(above), 0.0)


def _solved(normal_EKK: np.ndarray, right_EK: np.ndarray) -> np.ndarray:
    """Solve symmetric positive systems, float64 (E, K), by elimination in one order of operations."""
    size = right_EK.shape[1]
    rows = [[normal_EKK[:, i, j] for j in range(size)] + [right_EK[:, i]] for i in range(size)]
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [below - factor * above for below, above in zip(rows[j], rows[i], strict=True)]
    solution: list[np.ndarray] = []
    for i in reversed(range(size)):
        value = rows[i][size]
        for j in range(i + 1, size):
            value = value - rows[i][j] * solution[size - 1 - j]
        solution.append(value / rows[i][i])
    return np.stack(solution[::-1], axis=1)


def _moved(placement: Placement, guess: Placement, step_E4: np.ndarray, side: int) -> Placement:
    """Return the placement after the inverse of a step on the template, no further from the guess than is allowed."""
    shift = np.clip(2 * step_E4[:, 0::2] / side, -_STEP, _STEP)
    stretch = np.clip(4 * step_E4[:, 1::2], -_STEP, _STEP)
    scale = np.clip(placement.scale / (1 + stretch), guess.scale / _RESCALED, guess.scale * _RESCALED)
    far = _MOVED * np.maximum(guess.scale, UNIT)
    centre = np.clip(placement.centre - scale * shift, guess.centre - far, guess.centre + far)
    return Placement(
        np.rint(centre).astype(np.int64), np.maximum(np.rint(scale).astype(np.int64), UNIT // 64)
    )
