"""What two descriptors have in common, in whole numbers: no machine, device or order of addition changes it.

Two views are near at t where dot > 0 and dot^2 * 10^6 >= (1000 t)^2 * n1 * n2, dot and the squared lengths n of the int8 codes
as integers. The cosine of two pictures is the largest dot / sqrt(n1 * n2) over their views, a float64 that follows from the
integers by correctly rounded operations, and agrees with them: `cosine >= t` is their decision for any t of three digits.
"""

# N pictures, V views, D dimensions, E pairs

import numpy as np

from curation.errors import InputError

MAX_DIMENSION = 1_040  # up to here a dot of codes within +-127 is below 2^24: exact as a float32, in any order of addition
_PAIRS = 1 << 14  # pairs of pictures whose codes are copied at once
_MAX_PRODUCTS = 1 << 20  # dots of view pairs, and codes, at once: what a core's cache holds
_TIED = np.float32(1e-5)  # from exact dots and lengths, float32 cosines err by less than 1e-6


def checked(codes_NVD: np.ndarray) -> np.ndarray:
    """Return the codes. Raises InputError unless they are int8 (N, V, D) whose products float32 holds exactly."""
    if codes_NVD.dtype != np.int8 or codes_NVD.ndim != 3 or not 1 <= codes_NVD.shape[2] <= MAX_DIMENSION:
        raise InputError(
            f"codes are {codes_NVD.dtype} {codes_NVD.shape}; int8 (pictures, views, dimensions) with 1 to "
            f"{MAX_DIMENSION} dimensions are wanted"
        )
    if codes_NVD.shape[2] << 14 > 1 << 24 and (codes_NVD == -128).any():
        raise InputError("codes hold -128; with more than 1,024 dimensions they must lie in -127 to 127")
    return codes_NVD


def distinct_views(codes_NVD: np.ndarray) -> np.ndarray:
    """Return which views are worth a row of the search, bool (N, V): not zero, and not equal to an earlier view of the picture.

    An equal one finds the same; where a query view equals another, the one that stays comes first and is a query view too.
    """
    keeps: np.ndarray = np.asarray(codes_NVD.any(axis=2))
    for view in range(1, codes_NVD.shape[1]):
        for earlier in range(view):
            keeps[:, view] &= (codes_NVD[:, view] != codes_NVD[:, earlier]).any(axis=1)
    return keeps


def decided(left_ED: np.ndarray, right_ED: np.ndarray, threshold: float) -> np.ndarray:
    """Return the cosines of int8 vectors, float64 (E,), 0 where the integers say that they are not near at the threshold."""
    left, right = left_ED.astype(np.int32), right_ED.astype(np.int32)
    dot = np.einsum("ed,ed->e", left, right).astype(np.int64)
    lengths = np.einsum("ed,ed->e", left, left).astype(np.int64) * np.einsum("ed,ed->e", right, right)
    near = is_near(dot, lengths, np.int64(round(threshold * 1000)))
    return np.where(near, cosines(dot, lengths), 0.0)


def best_cosines(
    left_EVD: np.ndarray, right_EVD: np.ndarray, *, query_views: int | None = None
) -> np.ndarray:
    """Return the cosine of each pair of pictures, the best over all their views, float64 (E,); 0 where none is above 0.

    left_EVD, right_EVD: int8. query_views: so many leading views of the left ones are enough.
    """
    views, dimension = left_EVD.shape[1:]
    asked = query_views or views
    best = np.zeros(len(left_EVD))
    step = max(1, _MAX_PRODUCTS // (asked * views + 2 * views * dimension))
    for start in range(0, len(left_EVD), step):
        rows = slice(start, start + step)
        best[rows] = _best(left_EVD[rows, :asked].astype(np.float32), right_EVD[rows].astype(np.float32))
    return best


def _best(left_EQD: np.ndarray, right_EVD: np.ndarray) -> np.ndarray:
    """Return the best cosine of each pair, float64 (E,), E at least 1; codes are float32, whose products are exact: see MAX_DIMENSION."""
    dots = np.matmul(left_EQD, right_EVD.transpose(0, 2, 1))
    left_squared, right_squared = (np.einsum("evd,evd->ev", side, side) for side in (left_EQD, right_EVD))
    about = dots / np.sqrt(np.maximum(left_squared, 1))[:, :, None]
    about /= np.sqrt(np.maximum(right_squared, 1))[:, None, :]
    tied = np.flatnonzero(about >= (about.max(axis=(1, 2)) - _TIED)[:, None, None])
    asking, view = np.divmod(tied, right_EVD.shape[1])
    pair = asking // left_EQD.shape[1]
    lengths = left_squared.ravel()[asking].astype(np.int64) * right_squared[pair, view].astype(np.int64)
    values = cosines(dots.ravel()[tied].astype(np.int64), lengths)
    best: np.ndarray = np.maximum.reduceat(values, np.searchsorted(pair, np.arange(len(left_EQD))))
    return best


def pair_cosines(
    codes_NVD: np.ndarray, first: np.ndarray, second: np.ndarray, *, query_views: int | None = None
) -> np.ndarray:
    """Return `best_cosines` of pairs of pictures by position, float64 (E,), without a copy of all their codes at once."""
    parts = [np.zeros(0)]
    for start in range(0, len(first), _PAIRS):
        pair = slice(start, start + _PAIRS)
        parts.append(best_cosines(codes_NVD[first[pair]], codes_NVD[second[pair]], query_views=query_views))
    return np.concatenate(parts)


def cosines(dot: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return dot / sqrt(lengths) as float64, 0 where dot is not above 0; lengths are products of two squared lengths.

    A quotient within rounding of a number of three digits stands on the side of it where the integers are, so that comparing
    it with such a number is exact.
    """
    values = np.maximum(dot, 0) / np.sqrt(np.maximum(lengths, 1).astype(np.float64))
    thousandths = np.rint(values * 1000).astype(np.int64)
    edge = thousandths / 1000
    near = is_near(dot, lengths, thousandths)
    values = np.where(near, np.maximum(values, edge), np.minimum(values, np.nextafter(edge, 0)))
    return np.where(dot > 0, values, 0.0)


def is_near(dot: np.ndarray, lengths: np.ndarray, thousandths: np.ndarray | np.int64) -> np.ndarray:
    """Return where cosine >= thousandths / 1000, exactly; lengths are products of two squared lengths, all are int64.

    dot^2 * 10^6 >= T^2 * L, of which neither side need fit 63 bits, is dot^2 >= the ceiling of T^2 * L / 10^6; with
    L = 10^6 q + r that ceiling is T^2 * q + ceil(T^2 * r / 10^6), and T is at most 1,000.
    """
    squared = thousandths * thousandths
    quotient, rest = np.divmod(lengths, 1_000_000)
    wanted = squared * quotient - (-squared * rest) // 1_000_000
    near: np.ndarray = (dot > 0) & (dot * dot >= wanted)
    return near
