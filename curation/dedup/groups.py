"""Near pairs to groups: which pictures are kept, and which kept one each of the others joins. In the memory of one process.

A vertex is a class of pictures of equal descriptors, numbered by its place in the order of image_id. Three rules:

- `mis`, a greedy maximal independent set: in the order of rank, a vertex is kept unless it is near one that is kept already. So no
  two kept ones are near, and every dropped one joins a kept one that it is near to.
- `dominated`: a vertex is dropped if any better-ranked one is near, even one that is dropped itself (SemDeDup's rule). It joins the
  survivor at the end of the way from each one to the nearest of its better-ranked neighbours.
- `components`: one vertex, the best-ranked, of all that a chain of near pairs ties together (DINOv2's rule).

The nearest is the one of highest cosine, of these the first by image_id. Rank: the earlier epoch first (an index of an earlier crawl
always wins), then the configured keys, most first, then the smaller image_id. Nothing joins a picture of a later epoch.
`curation.spark.independent` and `curation.spark.components` do the same over edges that no memory holds.
"""

# N vertices, E pairs

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from curation.dedup.forest import least_labels
from curation.dedup.neighbours import Pairs

_AT_ONCE = 1 << 17  # pairs that are numbers of Python's at once: a hundred bytes each


class Rule(StrEnum):
    """Why a picture is where it is."""

    SINGLE = "single"
    """Near to none."""
    SURVIVOR = "survivor"
    """Kept, with others near it."""
    IDENTICAL = "identical_descriptor"
    """Its codes are those of the picture it joined."""
    NEAR = "near_descriptor"
    """Its codes are near those of another, for which it was dropped."""
    HOLDOUT = "holdout"
    """It is near a picture of an evaluation set, and joined none."""
    EARLIER = "earlier"
    """An earlier crawl has the same bytes; it joined what they joined then."""


@dataclass(frozen=True)
class Graph:
    """Near pairs among vertices, which are numbered in the order of image_id."""

    pairs: Pairs
    """No vertex is paired with itself, and no two more than once."""
    ranks: np.ndarray
    """int64 (N,), all different, the smallest the best; as `rank` gives."""
    epochs: np.ndarray | None = None
    """int64 (N,), the crawl of each, 0 the oldest, no later one better-ranked; one crawl where it is None."""
    ties: tuple[np.ndarray, np.ndarray] | None = None
    """Vertices of one component that are not near, int64 both: what an index says of its groups."""

    @property
    def num(self) -> int:
        """N."""
        return len(self.ranks)


@dataclass(frozen=True)
class Settled:
    """What became of each vertex; all arrays (N,), vertices by number."""

    joined: np.ndarray
    """int64, the survivor it joined; itself for a survivor."""
    near: np.ndarray
    """int64, the near one that it was dropped for; itself for a survivor."""
    cosine: np.ndarray
    """float64, to `near`; 1 for a survivor."""
    component: np.ndarray
    """int64, the best-ranked vertex of all that are tied to it by a chain of pairs: a survivor under any rule."""

    @property
    def kept(self) -> np.ndarray:
        """Which ones are survivors, bool (N,)."""
        return np.asarray(self.joined == np.arange(len(self.joined)))


@dataclass(frozen=True)
class Groups:
    """What became of each picture; all arrays (N,), pictures by position in the order of image_id."""

    joined: np.ndarray
    """int64, the kept picture; itself for a survivor."""
    near: np.ndarray
    """int64, the picture that it was dropped for; itself for a survivor."""
    component: np.ndarray
    """int64, the best-ranked picture of all that are tied to it by a chain of pairs: a survivor."""
    cosine: np.ndarray
    """float64, to `near`; 1 for a survivor."""
    rule: np.ndarray
    """object, values of Rule."""


def rank(*keys: np.ndarray, epochs: np.ndarray | None = None) -> np.ndarray:
    """Return the rank of pictures that are sorted by image_id, int64 (N,), 0 the best.

    keys: integers (N,), the first the weightiest, most first. epochs: int64 (N,), before all keys, the oldest first.
    """
    num = len(keys[0])
    order = np.lexsort(
        (np.arange(num), *(-key.astype(np.int64) for key in reversed(keys)), _epochs(epochs, num))
    )
    place = np.empty(num, np.int64)
    place[order] = np.arange(num)
    return place


def _epochs(epochs: np.ndarray | None, num: int) -> np.ndarray:
    return np.zeros(num, np.int64) if epochs is None else epochs


def representatives(codes_NVD: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return for each picture the best-ranked one of the same codes, int64 (N,); itself where the codes are all zero."""
    num = len(codes_NVD)
    own = np.arange(num)
    if not num:
        return own
    rows = np.ascontiguousarray(codes_NVD).reshape(num, -1)
    texts = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    _, same = np.unique(texts, return_inverse=True)
    by_rank = np.argsort(ranks)
    best = np.empty(int(same.max()) + 1, np.int64)
    best[same[by_rank][::-1]] = by_rank[::-1]  # the last one written, the best-ranked, stays
    return np.where(rows.any(axis=1), best[same], own)


def group(
    ranks: np.ndarray, same: np.ndarray, pairs: Pairs, rule: str = "mis", epochs: np.ndarray | None = None
) -> Groups:
    """Return the groups of pictures.

    ranks: int64 (N,), as `rank` gives; pictures are sorted by image_id, so that a position stands for an id.
    same: int64 (N,), as `representatives` gives. pairs: near pairs among the representatives, by position.
    rule: one of RULES. epochs: as in Graph; pictures of one class are of one epoch.
    """
    num = len(ranks)
    settled = RULES[rule](Graph(pairs, ranks, epochs))
    joined, near, component = (part[same] for part in (settled.joined, settled.near, settled.component))
    members = np.bincount(component, minlength=num)
    own = np.arange(num)
    why = np.full(num, Rule.NEAR, dtype=object)
    why[joined == same] = Rule.IDENTICAL
    why[joined == own] = Rule.SURVIVOR
    why[(joined == own) & (members[component] == 1)] = Rule.SINGLE
    assert settled.kept[joined].all()
    return Groups(joined, near, component, settled.cosine[same], why)


# mis


def mis(graph: Graph) -> Settled:
    """Return the greedy maximal independent set in order of rank. Linear in vertices and pairs, but for one sort."""
    kept = ~struck(*oriented(graph), graph.num)[graph.ranks]
    near, cosine = nearest(graph, ~kept, kept)
    return Settled(near, near, cosine, components(graph))


def oriented(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs as ranks, int64 (E,) both: from the better end to the worse, sorted by the better, then the worse."""
    ends = graph.ranks[graph.pairs.first], graph.ranks[graph.pairs.second]
    better, worse = np.minimum(*ends), np.maximum(*ends)
    order = np.lexsort((worse, better))
    return better[order], worse[order]


def struck(better: np.ndarray, worse: np.ndarray, num: int) -> np.ndarray:
    """Return what the kept ones strike out, bool (N,) by rank, of pairs as `oriented` gives them: the greedy set in one pass.

    When a vertex is reached as the better end, all pairs in which it is the worse have been read.
    """
    out = bytearray(num)
    for start in range(0, len(better), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for a, b in zip(better[part].tolist(), worse[part].tolist(), strict=True):
            if not out[a]:
                out[b] = 1
    return np.frombuffer(out, np.uint8).astype(bool)


def mis_oracle(graph: Graph) -> Settled:
    """Return what `mis` does, as its definition reads."""
    around = _around(graph)
    kept, near, cosine = np.zeros(graph.num, bool), np.arange(graph.num), np.ones(graph.num)
    for vertex in np.argsort(graph.ranks):
        kept[vertex] = not any(kept[other] for other in around[vertex])
    epochs = _epochs(graph.epochs, graph.num)
    for vertex in np.flatnonzero(~kept):
        others = around[vertex].items()
        best = min(
            (-value, other) for other, value in others if kept[other] and epochs[other] <= epochs[vertex]
        )
        cosine[vertex], near[vertex] = -best[0], best[1]
    return Settled(near, near, cosine, components_oracle(graph))


# dominated


def dominated(graph: Graph) -> Settled:
    """Return what is left when every vertex with a better-ranked neighbour is dropped."""
    everything = np.ones(graph.num, bool)
    near, cosine = nearest(graph, everything, everything, better_only=True)
    joined = near
    while (joined[joined] != joined).any():  # each jump doubles the way
        joined = joined[joined]
    return Settled(joined, near, cosine, components(graph))


def dominated_oracle(graph: Graph) -> Settled:
    """Return what `dominated` does, as its definition reads."""
    joined, near, cosine = np.arange(graph.num), np.arange(graph.num), np.ones(graph.num)
    around = _around(graph)
    for vertex in np.argsort(graph.ranks):
        better = [
            (-value, other)
            for other, value in around[vertex].items()
            if graph.ranks[other] < graph.ranks[vertex]
        ]
        if better:
            cosine[vertex], near[vertex] = -min(better)[0], min(better)[1]
            joined[vertex] = joined[near[vertex]]
    return Settled(joined, near, cosine, components_oracle(graph))


# components


def one_a_component(graph: Graph) -> Settled:
    """Return what is left when the best-ranked of each component stays; `near` is each one's nearest neighbour of all."""
    component = components(graph)
    kept = component == np.arange(graph.num)
    near, cosine = nearest(graph, ~kept, np.ones(graph.num, bool))
    return Settled(component, near, cosine, component)


def one_a_component_oracle(graph: Graph) -> Settled:
    """Return what `one_a_component` does, as its definition reads."""
    component = components_oracle(graph)
    near, cosine = np.arange(graph.num), np.ones(graph.num)
    for vertex, others in enumerate(_around(graph)):
        if component[vertex] != vertex:
            best = min((-value, other) for other, value in others.items())
            cosine[vertex], near[vertex] = -best[0], best[1]
    return Settled(component, near, cosine, component)


def components(graph: Graph) -> np.ndarray:
    """Return the best-ranked vertex of each one's connected component, int64 (N,)."""
    first, second = graph.pairs.first, graph.pairs.second
    if graph.ties is not None:
        first, second = np.concatenate([first, graph.ties[0]]), np.concatenate([second, graph.ties[1]])
    label = least_labels(graph.ranks[first], graph.ranks[second], graph.num)
    best: np.ndarray = np.argsort(graph.ranks)[label[graph.ranks]]
    return best


def components_oracle(graph: Graph) -> np.ndarray:
    """Return what `components` does, by a flood from each vertex in order of rank."""
    around, label = _around(graph), np.full(graph.num, -1)
    for start in np.argsort(graph.ranks):
        reached = [start] if label[start] < 0 else []
        while reached:
            vertex = reached.pop()
            label[vertex] = start
            reached += [other for other in around[vertex] if label[other] < 0]
    return label


# shared


def nearest(
    graph: Graph, of: np.ndarray, among: np.ndarray, *, better_only: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest neighbour and its cosine, int64 and float64 (N,), of some vertices among others; itself and 1 where none is.

    of, among: bool (N,). better_only: among the better-ranked ones.
    """
    left = np.concatenate([graph.pairs.first, graph.pairs.second])
    right = np.concatenate([graph.pairs.second, graph.pairs.first])
    cosine = np.concatenate([graph.pairs.cosine, graph.pairs.cosine])
    epochs = _epochs(graph.epochs, graph.num)
    fits = of[left] & among[right] & (epochs[right] <= epochs[left])
    if better_only:
        fits &= graph.ranks[right] < graph.ranks[left]
    left, right, cosine = left[fits], right[fits], cosine[fits]
    order = np.lexsort((right, -cosine, left))
    left, right, cosine = left[order], right[order], cosine[order]
    new = np.ones(len(left), bool)
    new[1:] = left[1:] != left[:-1]
    near, value = np.arange(graph.num), np.ones(graph.num)
    near[left[new]], value[left[new]] = right[new], cosine[new]
    return near, value


def _around(graph: Graph) -> list[dict[int, float]]:
    """Return each vertex's neighbours with their cosines."""
    around: list[dict[int, float]] = [{} for _ in range(graph.num)]
    for a, b, value in zip(
        graph.pairs.first.tolist(), graph.pairs.second.tolist(), graph.pairs.cosine.tolist(), strict=True
    ):
        around[a][b] = around[b][a] = value
    return around


RULES: dict[str, Callable[[Graph], Settled]] = {
    "mis": mis,
    "dominated": dominated,
    "components": one_a_component,
}
ORACLES: dict[str, Callable[[Graph], Settled]] = {
    "mis": mis_oracle, "dominated": dominated_oracle, "components": one_a_component_oracle,
}  # fmt: skip
