"""The recall of a search: counted by band, with an interval that covers what it should."""

from itertools import pairwise

import numpy as np
import pytest

from curation.dedup.recall import bands, design_effect, measured, wilson
from curation.ids import coins


def test_pairs_are_counted_by_band() -> None:
    picture = np.array(["a", "a", "b", "c", "c"])
    cosine = np.array([0.93, 0.99, 0.95, 0.949, 1.0])
    found = np.array([True, True, False, False, True])
    rows = measured(picture, cosine, found, 0.92)
    assert [(row["low_cosine"], row["high_cosine"]) for row in rows] == [
        (0.92, None),
        (0.92, 0.95),
        (0.95, 0.98),
        (0.98, None),
    ]
    assert [(row["pictures"], row["pairs"], row["found"]) for row in rows] == [
        (3, 5, 3),
        (2, 2, 1),
        (1, 1, 0),
        (2, 2, 2),
    ]
    assert rows[0]["recall"] == 0.6
    assert all(row["low"] <= row["recall"] <= row["high"] for row in rows)


@pytest.mark.parametrize("floor", [0.5, 0.95, 0.96, 0.99, 1.0])
def test_bands_cover_every_cosine_from_the_floor_once(floor: float) -> None:
    found = bands(floor)
    assert found[0][0] == floor
    assert found[-1][1] is None
    assert all(high == low for (_, high), (low, _) in pairwise(found))


def test_nothing_to_find_has_no_recall() -> None:
    none = np.array([])
    rows = measured(none, none, none.astype(bool), 0.99)
    assert rows == [
        {"low_cosine": 0.99, "high_cosine": None, "pictures": 0, "pairs": 0, "found": 0, "recall": None, "low": None, "high": None}
    ]  # fmt: skip


def test_wilsons_interval_is_that_of_the_book() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1.0, 20)[1] == 1.0


def test_pairs_that_hang_together_widen_the_interval() -> None:
    assert design_effect([1] * 100, [1] * 90 + [0] * 10) == pytest.approx(1.0, abs=0.02)
    assert design_effect([10] * 100, [10] * 90 + [0] * 10) == pytest.approx(10.0, rel=0.02)
    assert design_effect([5, 15], [5, 15]) == 10


def test_the_interval_covers_the_recall_of_pairs_that_hang_together() -> None:
    covered = 0
    for trial in range(200):
        luck = coins((f"{trial} {i}" for i in range(300)), 0, "recall")
        pairs = 1 + (coins((f"{trial} {i}" for i in range(300)), 0, "size") * 8).astype(int)
        missed = luck < 0.1  # all pairs of a picture together: the hardest case
        rows = measured(
            np.repeat(np.arange(300), pairs), np.ones(pairs.sum()), np.repeat(~missed, pairs), 0.99
        )
        covered += rows[0]["low"] <= 0.9 <= rows[0]["high"]
    assert covered > 180
