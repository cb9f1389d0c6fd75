"""The recall of a search, measured: a sample of pictures is compared with all others, and of their near pairs those found are counted.

Pairs of one picture are found or missed together, so the interval does not take them for independent: Wilson's score interval with
the sample's number of pairs divided by its design effect, the variance of the share over pictures relative to that over pairs.
"""

# S sampled pictures with near ones

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

EDGES = (0.95, 0.98)  # cosines at which the bands part
Z = 1.959964  # normal quantile of an interval of 95 %


@dataclass(frozen=True)
class Recall:
    """Of the near pairs of the sampled pictures in a band of cosines, how many the search found."""

    low_cosine: float
    """The band's least cosine."""
    high_cosine: float | None
    """Below this; None for no bound."""
    pictures: int
    """Sampled pictures that have a near one in the band."""
    pairs: int
    """Their near pairs; one of two sampled pictures counts for each."""
    found: int
    """Of these, those that the search found."""
    recall: float | None
    """found / pairs; None without pairs."""
    low: float | None
    """Lower end of the interval of 95 %."""
    high: float | None
    """Upper end."""


def bands(floor: float) -> list[tuple[float, float | None]]:
    """Return the bands of cosine from the floor up, each with its upper end."""
    starts = [floor, *(edge for edge in EDGES if edge > floor)]
    return list(zip(starts, [*starts[1:], None], strict=True))


def measured(
    picture: np.ndarray, cosine: np.ndarray, found: np.ndarray, floor: float
) -> list[dict[str, Any]]:
    """Return the recall of all pairs and then of each band, as they stand in a record.

    picture: which sampled picture each of its near pairs is of. cosine: float64. found: bool. All of one length.
    """
    wanted = [(floor, None), *bands(floor)] if len(bands(floor)) > 1 else bands(floor)
    rows = []
    for low, high in wanted:
        inside = (cosine >= low) & (cosine < high if high is not None else True)
        _, place = np.unique(picture[inside], return_inverse=True)
        pairs = np.bincount(place)
        rows.append(
            asdict(_recall(low, high, pairs, np.bincount(place, weights=found[inside]).astype(np.int64)))
        )
    return rows


def _recall(low: float, high: float | None, pairs_S: np.ndarray, found_S: np.ndarray) -> Recall:
    pairs, found = int(pairs_S.sum()), int(found_S.sum())
    if not pairs:
        return Recall(low, high, 0, 0, 0, None, None, None)
    ends = wilson(found / pairs, pairs / design_effect(pairs_S, found_S))
    return Recall(low, high, len(pairs_S), pairs, found, *(round(x, 6) for x in (found / pairs, *ends)))


def design_effect(pairs_S: Sequence[int] | np.ndarray, found_S: Sequence[int] | np.ndarray) -> float:
    """Return by how much the variance of the share exceeds that of as many independent pairs, at least 1.

    The ratio's variance by linearisation (Cochran, Sampling Techniques, 1977, section 6.5). Where all pairs were found, or none,
    nothing can be seen of it: then pairs of a picture count as one.
    """
    pairs, found = np.asarray(pairs_S, np.float64), np.asarray(found_S, np.float64)
    total, share = pairs.sum(), found.sum() / pairs.sum()
    if share in {0.0, 1.0} or len(pairs) < 2:
        return float(total / len(pairs))
    spread = np.square(found - share * pairs).sum() * len(pairs) / (len(pairs) - 1)
    return max(1.0, float(spread / total**2 / (share * (1 - share) / total)))


def wilson(share: float, number: float) -> tuple[float, float]:
    """Return Wilson's score interval of 95 % for a share of so many independent ones (Wilson, 1927)."""
    middle = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    half = Z * np.sqrt(share * (1 - share) / number + Z**2 / (4 * number**2)) / (1 + Z**2 / number)
    return max(0.0, middle - half), min(1.0, middle + half)
