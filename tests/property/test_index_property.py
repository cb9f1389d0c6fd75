"""Crawl after crawl against an index gives what all crawls at once give, on random graphs with random epochs."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.groups import RULES, Graph, Settled, rank
from curation.dedup.index import CENTROIDS, DESCRIPTORS, MEMBERS, RECORD, VECTORS, check_same, open_chain
from curation.dedup.neighbours import Pairs
from curation.errors import ConfigError, InputError

EPOCHS = 3
PARTS = (CENTROIDS, MEMBERS, VECTORS, DESCRIPTORS)


@st.composite
def crawls(draw: st.DrawFn) -> Graph:
    num = draw(st.integers(0, 20))
    all_pairs = [(a, b) for a in range(num) for b in range(a + 1, num)]
    chosen = sorted(draw(st.sets(st.sampled_from(all_pairs), max_size=50))) if all_pairs else []
    cosines = draw(st.lists(st.sampled_from([0.95, 0.97, 1.0]), min_size=len(chosen), max_size=len(chosen)))
    ends = np.array(chosen, np.int64).reshape(-1, 2)
    epochs = np.array(draw(st.lists(st.integers(0, EPOCHS - 1), min_size=num, max_size=num)), np.int64)
    keys = np.array(draw(st.lists(st.integers(0, 2), min_size=num, max_size=num)), np.int64)
    pairs = Pairs(ends[:, 0], ends[:, 1], np.array(cosines, np.float64))
    return Graph(pairs, rank(keys, epochs=epochs), epochs)


def crawl_after_crawl(rule: str, graph: Graph) -> Settled:
    """Settle each epoch as the stage does: against the survivors of the earlier ones or, where the rule asks, against all of them."""
    assert graph.epochs is not None
    joined, near, cosine = np.arange(graph.num), np.arange(graph.num), np.ones(graph.num)
    group = np.arange(graph.num)
    for epoch in range(EPOCHS):
        old = graph.epochs < epoch
        index = old & (joined == np.arange(graph.num)) if rule == "mis" else old
        new = graph.epochs == epoch
        there = np.flatnonzero(index | new)
        at = np.full(graph.num, -1)
        at[there] = np.arange(len(there))
        first, second = graph.pairs.first, graph.pairs.second
        searched = (new[first] & (index | new)[second]) | (new[second] & (index | new)[first])
        pairs = Pairs(at[first[searched]], at[second[searched]], graph.pairs.cosine[searched])
        olds = np.flatnonzero(index)
        ties = (at[olds], at[group[olds]])
        part = RULES[rule](
            Graph(pairs, np.argsort(np.argsort(graph.ranks[there])), new[there].astype(np.int64), ties)
        )
        own = np.flatnonzero(new)
        for target, found in ((joined, part.joined), (near, part.near), (group, part.component)):
            target[own] = there[found[at[own]]]
        cosine[own] = part.cosine[at[own]]
        joined[own] = joined[joined[own]]  # a way that ends at one that an earlier crawl dropped goes on
    return Settled(joined, near, cosine, group)


@pytest.mark.parametrize("rule", ["mis", "dominated"])
@given(st.data())
@settings(deadline=None, max_examples=200)
def test_crawl_after_crawl_gives_what_all_at_once_give(rule: str, data: st.DataObject) -> None:
    graph = data.draw(crawls())
    whole, step = RULES[rule](graph), crawl_after_crawl(rule, graph)
    for name in ("joined", "near", "cosine"):
        np.testing.assert_array_equal(getattr(step, name), getattr(whole, name))


def test_components_cannot_go_on_from_an_index() -> None:
    """A chain through a new picture ties two old groups: why that rule is refused."""
    pairs = Pairs(np.array([0, 1]), np.array([2, 2]), np.array([0.96, 0.96]))
    epochs = np.array([0, 0, 1])
    bridge = Graph(pairs, rank(np.zeros(3, np.int64), epochs=epochs), epochs)
    assert RULES["components"](bridge).kept.sum() == 1
    before = Graph(Pairs(*(np.zeros(0, np.int64),) * 2, np.zeros(0)), np.arange(2))
    assert RULES["components"](before).kept.sum() == 2


def write(path: Path, **data: object) -> Path:
    path.mkdir(parents=True)
    whole = {
        "version": 1,
        "earlier": [],
        "kind_sha256": "aa",
        "centroids_sha256": "cc",
        "settings": {},
    } | data
    (path / RECORD).write_text(json.dumps(whole))
    for name in PARTS:
        (path / name).mkdir()
    return path


def test_a_chain_names_all_its_indexes_oldest_first(tmp_path: Path) -> None:
    first = write(tmp_path / "first")
    key = open_chain([first])[0].sha256
    second = write(tmp_path / "run" / "dedup" / "index", earlier=[key])
    assert [index.path for index in open_chain([first, tmp_path / "run"])] == [first, second]
    for wrong in ([second], [second, first], [first, first]):
        with pytest.raises(ConfigError, match="oldest first"):
            open_chain(wrong)
    with pytest.raises(ConfigError, match=r"kind_sha256 aa, this run bb"):
        check_same(open_chain([first]), {"kind_sha256": "bb", "centroids_sha256": "cc"})
    with pytest.raises(ConfigError, match=r"centroids_sha256 cc, this run dd"):
        check_same(open_chain([first]), {"kind_sha256": "aa", "centroids_sha256": "dd"})


@pytest.mark.parametrize("text", ["", "[]", "{}", '"x"', '{"version": 1}', '{"version": 9}', "\x00"])
def test_what_is_no_index_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(InputError, match=r"index\.json is"):
        open_chain([tmp_path])


@pytest.mark.parametrize("part", PARTS)
def test_an_index_that_was_not_copied_whole_is_told(tmp_path: Path, part: str) -> None:
    (write(tmp_path / "index") / part).rmdir()
    with pytest.raises(InputError, match=rf"lacks {part}: it was not copied whole"):
        open_chain([tmp_path / "index"])
