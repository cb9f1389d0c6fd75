"""A forest's labels are scipy's components, each by its least vertex, however the edges are cut up and ordered."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.dedup import forest
from curation.dedup.forest import Forest, least_labels, parent_type
from curation.ids import coins

NUM = 3_000


def scipys(first: np.ndarray, second: np.ndarray, num: int) -> np.ndarray:
    """The least vertex of each one's component."""
    _, label = connected_components(coo_array((np.ones(len(first)), (first, second)), (num, num)), False)
    least = np.full(label.max() + 1, num)
    np.minimum.at(least, label, np.arange(num))
    return least[label]


def drawn(number: int, kind: str) -> np.ndarray:
    return coins((str(n) for n in range(number)), 5, kind)


def shuffled(number: int) -> np.ndarray:
    return np.argsort(drawn(number, "order"))


def edges(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Chains whose vertices are numbered along them, against them or at random, stars, and random graphs of components of all sizes."""
    line = {"along": np.arange(NUM), "against": np.arange(NUM)[::-1], "by coin": shuffled(NUM)}
    if kind in line:
        return line[kind][:-1], line[kind][1:]
    if kind == "stars":
        centre = shuffled(NUM)
        return centre[np.arange(NUM) // 50 * 50], centre
    number = {"sparse": NUM // 3, "critical": NUM // 2, "dense": 2 * NUM}[kind]
    first, second = ((drawn(number, end) * NUM).astype(np.int64) for end in ("first", "second"))
    return first, second


@pytest.mark.parametrize("kind", ["along", "against", "by coin", "stars", "sparse", "critical", "dense"])
@pytest.mark.parametrize("size", [1, 37, NUM * 3])
def test_labels_are_scipys_for_any_parts_in_any_order(kind: str, size: int) -> None:
    first, second = edges(kind)
    wanted = scipys(first, second, NUM)
    for order in (np.arange(len(first)), shuffled(len(first))):
        one, other = first[order], second[order]
        found = Forest(NUM)
        for start in range(0, len(one), size):
            found.tie(one[start : start + size], other[start : start + size])
        np.testing.assert_array_equal(np.concatenate(list(found.labels())), wanted)


def test_more_than_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "_AT_ONCE", 100)
    first, second = edges("critical")
    np.testing.assert_array_equal(least_labels(first, second, NUM), scipys(first, second, NUM))
    assert max(len(part) for part in Forest(NUM).labels()) == 100


def test_the_components_are_right_between_the_parts_too() -> None:
    first, second = edges("by coin")
    found = Forest(NUM)
    for start in range(0, NUM - 1, 500):
        found.tie(first[start : start + 500], second[start : start + 500])
        until = min(start + 500, NUM - 1)
        np.testing.assert_array_equal(
            np.concatenate(list(found.labels())), scipys(first[:until], second[:until], NUM)
        )


def test_no_vertex_and_no_edge() -> None:
    nothing = np.empty(0, np.int64)
    assert least_labels(nothing, nothing, 0).tolist() == []
    assert least_labels(nothing, nothing, 3).tolist() == [0, 1, 2]
    assert least_labels(np.array([2, 2]), np.array([2, 1]), 3).dtype == np.int64


def test_parents_take_four_bytes_where_that_is_enough() -> None:
    assert parent_type(2**31 - 1) is np.int32
    assert parent_type(2**31) is np.int64
