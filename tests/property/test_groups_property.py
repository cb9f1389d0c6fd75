"""Groups against their definition, on random graphs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.groups import (
    ORACLES,
    RULES,
    Graph,
    Rule,
    components,
    components_oracle,
    group,
    mis,
    rank,
    representatives,
)
from curation.dedup.neighbours import Pairs, near_pairs


@st.composite
def graphs(draw: st.DrawFn, epochs: int = 1) -> Graph:
    num = draw(st.integers(0, 24))
    all_pairs = [(a, b) for a in range(num) for b in range(a + 1, num)]
    chosen = sorted(draw(st.sets(st.sampled_from(all_pairs), max_size=60))) if all_pairs else []
    cosines = draw(
        st.lists(st.sampled_from([0.95, 0.97, 0.99, 1.0]), min_size=len(chosen), max_size=len(chosen))
    )
    keys = np.array(draw(st.lists(st.integers(0, 3), min_size=num, max_size=num)), np.int64)
    epoch = np.array(draw(st.lists(st.integers(0, epochs - 1), min_size=num, max_size=num)), np.int64)
    return Graph(as_pairs(chosen, cosines), rank(keys, epochs=epoch), epoch)


def as_pairs(edges: list[tuple[int, int]], cosines: list[float] | None = None) -> Pairs:
    ends = np.array(edges, np.int64).reshape(-1, 2)
    values = np.array(cosines if cosines is not None else [0.96] * len(edges), np.float64)
    return Pairs(ends[:, 0], ends[:, 1], values)


def near_of(graph: Graph) -> dict[frozenset[int], float]:
    ends = zip(graph.pairs.first.tolist(), graph.pairs.second.tolist(), strict=True)
    return dict(zip(map(frozenset, ends), graph.pairs.cosine.tolist(), strict=True))


@pytest.mark.parametrize("rule", list(RULES))
@given(st.data())
@settings(deadline=None)
def test_what_becomes_of_each_is_what_the_definition_says(rule: str, data: st.DataObject) -> None:
    graph = data.draw(graphs(epochs=1 if rule == "components" else 3))
    fast, naive = RULES[rule](graph), ORACLES[rule](graph)
    for name in ("joined", "near", "cosine", "component"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(naive, name))


@given(graphs(epochs=3))
@settings(deadline=None)
def test_under_mis_no_two_kept_are_near_and_every_dropped_one_is_near_the_kept_one_it_joins(
    graph: Graph,
) -> None:
    settled, near = mis(graph), near_of(graph)
    assert not any(settled.kept[list(pair)].all() for pair in near)
    assert settled.kept[settled.joined].all()
    for vertex in np.flatnonzero(~settled.kept):
        assert settled.cosine[vertex] == near[frozenset((vertex, settled.joined[vertex]))]


@pytest.mark.parametrize("rule", list(RULES))
@given(st.data())
@settings(deadline=None)
def test_every_rule_drops_for_a_near_one_joins_a_survivor_of_its_component_and_keeps_the_best(
    rule: str, data: st.DataObject
) -> None:
    graph = data.draw(graphs())
    settled, near = RULES[rule](graph), near_of(graph)
    assert settled.kept[settled.joined].all()
    assert settled.kept[settled.component].all()
    np.testing.assert_array_equal(settled.component[settled.joined], settled.component)
    assert (graph.ranks[settled.component] <= graph.ranks).all()
    for vertex in np.flatnonzero(~settled.kept):
        assert settled.cosine[vertex] == near[frozenset((vertex, int(settled.near[vertex])))]
    kept = {name: RULES[name](graph).kept for name in RULES}
    assert (kept["mis"] >= kept["components"]).all()
    assert (kept["mis"] >= kept["dominated"]).all()


@given(graphs(epochs=3))
@settings(deadline=None)
def test_nothing_joins_a_later_epoch(graph: Graph) -> None:
    assert graph.epochs is not None
    for rule in ("mis", "dominated"):
        settled = RULES[rule](graph)
        for other in (settled.joined, settled.near):
            assert (graph.epochs[other] <= graph.epochs).all()


@given(graphs())
@settings(deadline=None)
def test_components_are_those_of_a_flood(graph: Graph) -> None:
    np.testing.assert_array_equal(components(graph), components_oracle(graph))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_with_ranks_along_it_keeps_every_second(reverse: bool) -> None:
    num = 100_001
    ranks = np.arange(num)[::-1] if reverse else np.arange(num)
    graph = Graph(as_pairs([(i, i + 1) for i in range(num - 1)]), ranks)
    settled = mis(graph)
    np.testing.assert_array_equal(np.flatnonzero(settled.kept), np.arange(0, num, 2))
    assert (np.abs(settled.joined - np.arange(num)) <= 1).all()
    best = num - 1 if reverse else 0
    assert (settled.component == best).all()
    for rule in ("dominated", "components"):
        assert np.flatnonzero(RULES[rule](graph).kept).tolist() == [best]
        assert (RULES[rule](graph).joined == best).all()


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
    ranks = rank(np.full(num, 64))
    groups = group(ranks, representatives(codes, ranks), near_pairs(codes, 0.95))
    assert groups.joined.tolist() == [0] * num
    assert groups.rule.tolist() == [[], [Rule.SINGLE], [Rule.SURVIVOR, Rule.NEAR]][num]


def test_members_of_equal_codes_follow_their_representative() -> None:
    codes = np.array([[[9, 1]], [[9, 1]], [[9, 0]], [[0, 9]], [[0, 0]], [[0, 0]]], np.int8)
    ranks = rank(np.array([1, 2, 3, 1, 1, 1]))
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


def test_rank_is_epoch_then_the_keys_most_first_then_place() -> None:
    pixels, captions = np.array([4, 12, 12, 6]), np.array([1, 1, 2, 9])
    assert rank(pixels).tolist() == [3, 0, 1, 2]
    assert rank(pixels, captions).tolist() == [3, 1, 0, 2]
    assert rank(captions, pixels).tolist() == [3, 2, 1, 0]
    assert rank(pixels, captions, epochs=np.array([0, 1, 1, 0])).tolist() == [1, 3, 2, 0]
