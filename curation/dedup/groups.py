"""Near pairs to groups: which pictures are kept, and which kept one each of the others joins.

Rule `mis`, a maximal independent set: in the order of their rank, a picture is kept unless it is near one that is kept already.
So no two kept pictures are near, and every dropped one is near a kept one: it joins the one of highest cosine, of these the
first by image_id. Pictures of equal codes are one vertex here. Rank: the most pixels first, then the smaller image_id.
"""

# N pictures, E pairs

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from curation.dedup.neighbours import Pairs


class Rule(StrEnum):
    """Why a picture is where it is."""

    SINGLE = "single"
    """Near to none."""
    SURVIVOR = "survivor"
    """Kept, with others near it."""
    IDENTICAL = "identical_descriptor"
    """Its codes are those of the picture it joined."""
    NEAR = "near_descriptor"
    """Its codes are near those of the picture it joined."""


@dataclass(frozen=True)
class Groups:
    """What became of each picture; all arrays (N,), pictures by position."""

    joined: np.ndarray
    """int64, the kept picture; itself for a survivor."""
    component: np.ndarray
    """int64, the best-ranked picture of all that are tied to it by a chain of pairs: a survivor."""
    cosine: np.ndarray
    """float64, to the joined one; 1 for a survivor."""
    rule: np.ndarray
    """object, values of Rule."""


def rank(width: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return the rank of pictures that are sorted by image_id, int64 (N,), 0 the best: more pixels, then smaller id."""
    pixels = width.astype(np.int64) * height.astype(np.int64)
    place = np.empty(len(pixels), np.int64)
    place[np.lexsort((np.arange(len(pixels)), -pixels))] = np.arange(len(pixels))
    return place


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


def group(ranks: np.ndarray, same: np.ndarray, pairs: Pairs) -> Groups:
    """Return the groups under rule `mis`.

    ranks: int64 (N,), as `rank` gives; pictures are sorted by image_id, so that a position stands for an id.
    same: int64 (N,), as `representatives` gives. pairs: near pairs among the representatives, by position.
    """
    num = len(ranks)
    kept, joined, cosine = independent_set(num, pairs, ranks)
    joined, cosine = joined[same], cosine[same]
    component = components(num, pairs, ranks)[same]
    members = np.bincount(component, minlength=num)
    own = np.arange(num)
    rule = np.full(num, Rule.NEAR, dtype=object)
    rule[joined == same] = Rule.IDENTICAL
    rule[joined == own] = Rule.SURVIVOR
    rule[(joined == own) & (members[component] == 1)] = Rule.SINGLE
    assert kept[joined].all()
    return Groups(joined, component, cosine, rule)


def independent_set_oracle(
    num: int, pairs: Pairs, ranks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `independent_set` does, as its definition reads."""
    near: list[dict[int, float]] = [{} for _ in range(num)]
    for a, b, value in zip(pairs.first, pairs.second, pairs.cosine, strict=True):
        near[a][int(b)] = near[b][int(a)] = float(value)
    kept, joined, cosine = np.zeros(num, bool), np.arange(num), np.ones(num)
    for vertex in np.argsort(ranks):
        kept[vertex] = not any(kept[other] for other in near[vertex])
    for vertex in np.flatnonzero(~kept):
        best = min((-value, other) for other, value in near[vertex].items() if kept[other])
        cosine[vertex], joined[vertex] = -best[0], best[1]
    return kept, joined, cosine


def independent_set(num: int, pairs: Pairs, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the greedy maximal independent set in order of rank: kept bool (N,), joined int64 (N,), cosine float64 (N,).

    Linear in pictures and pairs. A pair of a picture with itself is not allowed.
    """
    left = np.concatenate([pairs.first, pairs.second])
    right = np.concatenate([pairs.second, pairs.first])
    order = np.argsort(left, kind="stable")
    neighbours = right[order]
    bounds = np.searchsorted(left[order], np.arange(num + 1))
    kept = np.ones(num, bool)
    tied = np.flatnonzero(np.diff(bounds))
    for vertex in tied[np.argsort(ranks[tied])]:
        if kept[vertex]:  # none of its better-ranked neighbours was kept, or it would have been struck out
            kept[neighbours[bounds[vertex] : bounds[vertex + 1]]] = False
    return kept, *_join(num, left, right, np.concatenate([pairs.cosine, pairs.cosine]), kept)


def _join(
    num: int, left: np.ndarray, right: np.ndarray, values: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each dropped picture's kept neighbour of highest cosine, then of smallest position, and that cosine."""
    ties = ~kept[left] & kept[right]
    left, right, values = left[ties], right[ties], values[ties]
    order = np.lexsort((right, -values, left))
    left, right, values = left[order], right[order], values[order]
    new = np.ones(len(left), bool)
    new[1:] = left[1:] != left[:-1]
    joined, cosine = np.arange(num), np.ones(num)
    joined[left[new]], cosine[left[new]] = right[new], values[new]
    return joined, cosine


def components(num: int, pairs: Pairs, ranks: np.ndarray) -> np.ndarray:
    """Return the best-ranked picture of each one's connected component, int64 (N,).

    Labels are ranks; each round hooks a root to the least label beside it and halves all paths, so that a chain takes few rounds.
    """
    parent = np.arange(num)  # by rank
    left, right = ranks[pairs.first], ranks[pairs.second]
    while True:
        a, b = parent[left], parent[right]
        low, high = np.minimum(a, b), np.maximum(a, b)
        open_ = low != high
        if not open_.any():
            break
        left, right = left[open_], right[open_]
        np.minimum.at(parent, high[open_], low[open_])
        while (parent[parent] != parent).any():
            parent = parent[parent]
    best: np.ndarray = np.argsort(ranks)[parent[ranks]]
    return best
