"""Groups against their definition, on random graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.groups import (
    Rule,
    components,
    group,
    independent_set,
    independent_set_oracle,
    rank,
    representatives,
)
from curation.dedup.neighbours import Pairs, near_pairs


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Pairs, np.ndarray]:
    num = draw(st.integers(0, 24))
    all_pairs = [(a, b) for a in range(num) for b in range(a + 1, num)]
    chosen = sorted(draw(st.sets(st.sampled_from(all_pairs), max_size=60))) if all_pairs else []
    cosines = draw(
        st.lists(st.sampled_from([0.95, 0.97, 0.99, 1.0]), min_size=len(chosen), max_size=len(chosen))
    )
    ranks = np.array(draw(st.permutations(range(num))), np.int64)
    return num, as_pairs(chosen, cosines), ranks


def as_pairs(edges: list[tuple[int, int]], cosines: list[float] | None = None) -> Pairs:
    ends = np.array(edges, np.int64).reshape(-1, 2)
    values = np.array(cosines if cosines is not None else [0.96] * len(edges), np.float64)
    return Pairs(ends[:, 0], ends[:, 1], values)


@given(graphs())
@settings(deadline=None)
def test_the_set_is_that_of_the_definition(graph: tuple[int, Pairs, np.ndarray]) -> None:
    for fast, naive in zip(independent_set(*graph), independent_set_oracle(*graph), strict=True):
        np.testing.assert_array_equal(fast, naive)


@given(graphs())
@settings(deadline=None)
def test_no_two_kept_are_near_and_every_dropped_one_is_near_the_kept_one_it_joins(
    graph: tuple[int, Pairs, np.ndarray],
) -> None:
    num, pairs, ranks = graph
    kept, joined, cosine = independent_set(num, pairs, ranks)
    near = {
        frozenset(pair): value
        for *pair, value in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.cosine, strict=True)
    }
    assert not any(kept[list(pair)].all() for pair in near)
    assert kept[joined].all()
    for vertex in np.flatnonzero(~kept):
        assert cosine[vertex] == near[frozenset((vertex, joined[vertex]))]


@given(graphs())
@settings(deadline=None)
def test_components_are_those_of_a_flood(graph: tuple[int, Pairs, np.ndarray]) -> None:
    num, pairs, ranks = graph
    label = ranks.copy()
    for _ in range(num):
        for a, b in zip(pairs.first, pairs.second, strict=True):
            label[a] = label[b] = min(label[a], label[b])
    np.testing.assert_array_equal(ranks[components(num, pairs, ranks)], label)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_with_ranks_along_it_keeps_every_second(reverse: bool) -> None:
    num = 10_001
    ranks = np.arange(num)[::-1] if reverse else np.arange(num)
    pairs = as_pairs([(i, i + 1) for i in range(num - 1)])
    kept, joined, _ = independent_set(num, pairs, ranks)
    np.testing.assert_array_equal(np.flatnonzero(kept), np.arange(0, num, 2))
    assert (np.abs(joined - np.arange(num)) <= 1).all()
    assert (components(num, pairs, ranks) == (num - 1 if reverse else 0)).all()


def test_two_times_200_identical_vectors_at_cosine_097_are_one_group_at_095() -> None:
    codes = np.zeros((400, 1, 2), np.int8)
    codes[:200, 0], codes[200:, 0] = (100, 0), (97, 24)
    ranks = np.arange(400)
    for same in (np.arange(400), representatives(codes, ranks)):
        alone = np.flatnonzero(same == np.arange(400))
        found = near_pairs(codes[alone], 0.95)
        groups = group(ranks, same, Pairs(alone[found.first], alone[found.second], found.cosine))
        assert (groups.joined == 0).all()
        assert (groups.component == 0).all()


@pytest.mark.parametrize("num", [0, 1, 2])
def test_tiny_inputs_are_singles_or_one_pair(num: int) -> None:
    codes = np.full((num, 2, 3), 5, np.int8)
    codes[:, 0, 0] = np.arange(num)
    ranks = rank(np.full(num, 8), np.full(num, 8))
    groups = group(ranks, representatives(codes, ranks), near_pairs(codes, 0.95))
    assert groups.joined.tolist() == [0] * num
    assert groups.rule.tolist() == [[], [Rule.SINGLE], [Rule.SURVIVOR, Rule.NEAR]][num]


def test_members_of_equal_codes_follow_their_representative() -> None:
    codes = np.array([[[9, 1]], [[9, 1]], [[9, 0]], [[0, 9]], [[0, 0]], [[0, 0]]], np.int8)
    ranks = rank(np.array([1, 2, 3, 1, 1, 1]), np.ones(6, np.int64))
    same = representatives(codes, ranks)
    assert same.tolist() == [
        1,
        1,
        2,
        3,
        4,
        5,
    ]  # zero codes are never equal: plain pictures share nothing but plainness
    groups = group(ranks, same, as_pairs([(1, 2)], [0.99]))
    assert groups.joined.tolist() == [2, 2, 2, 3, 4, 5]
    assert [str(rule) for rule in groups.rule] == ["near_descriptor"] * 2 + ["survivor"] + ["single"] * 3


def test_rank_is_pixels_then_place() -> None:
    assert rank(np.array([2, 3, 4, 6]), np.array([2, 4, 3, 1])).tolist() == [3, 0, 1, 2]
