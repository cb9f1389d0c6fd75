"""Retrieval by recall at k between pictures and captions of one language, with chance for exactly that set.

Definitions. Text to image: each caption asks for its picture among all pictures; right is every picture that has that very caption text.
Image to text: each picture asks among the *distinct* caption texts; right is every text that is equal to one of its own. A query counts
as found at k where a right answer is among the best k; answers of equal score count against it, so a collapsed model scores 0.
"""

# Q queries, A answers, N captions, D shared space

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RANKS = (1, 5, 10)
BLOCK = 1_024  # queries at once: bounds the memory of the products


@dataclass(frozen=True)
class Gallery:
    """Pictures and captions of one language, and which belong together."""

    image_AD: np.ndarray
    """float32, unit vectors of the pictures."""
    text_AD: np.ndarray
    """float32, unit vectors of the distinct texts."""
    image_N: np.ndarray
    """int64, each caption's picture."""
    text_N: np.ndarray
    """int64, each caption's text."""


def evaluate_gallery(gallery: Gallery) -> dict[str, object]:
    """Return items (captions), texts (distinct), images, and recall and chance in both directions."""
    texts_of = _right_answers(gallery.image_N, gallery.text_N, len(gallery.image_AD))
    images_of = _right_answers(gallery.text_N, gallery.image_N, len(gallery.text_AD))
    once = np.ones(len(gallery.image_AD))
    asked = np.bincount(gallery.text_N, minlength=len(gallery.text_AD)).astype(np.float64)
    image_ranks = ranks(gallery.image_AD, gallery.text_AD, texts_of)
    text_ranks = ranks(gallery.text_AD, gallery.image_AD, images_of)
    return {
        "items": len(gallery.image_N),
        "texts": len(gallery.text_AD),
        "images": len(gallery.image_AD),
        "image_to_text": recall(image_ranks, once),
        "text_to_image": recall(text_ranks, asked),
        "chance": {
            "image_to_text": chance(texts_of, once, len(gallery.text_AD)),
            "text_to_image": chance(images_of, asked, len(gallery.image_AD)),
        },
    }


def _right_answers(query_N: np.ndarray, answer_N: np.ndarray, num_queries: int) -> list[np.ndarray]:
    """Return each query's distinct right answers."""
    pairs = np.unique(np.stack([query_N, answer_N], axis=1), axis=0)
    ends = np.searchsorted(pairs[:, 0], np.arange(1, num_queries))
    return np.split(pairs[:, 1], ends)


def ranks(query_QD: np.ndarray, answer_AD: np.ndarray, right: Sequence[np.ndarray]) -> np.ndarray:
    """Return, for each query, how many wrong answers score at least as high as its best right one: int64 (Q,)."""
    found = np.empty(len(query_QD), dtype=np.int64)
    for start in range(0, len(query_QD), BLOCK):
        scores = query_QD[start : start + BLOCK] @ answer_AD.T
        for row, answers in enumerate(right[start : start + BLOCK]):
            best = scores[row, answers].max()
            found[start + row] = (scores[row] >= best).sum() - (scores[row, answers] >= best).sum()
    return found


def ranks_oracle(query_QD: np.ndarray, answer_AD: np.ndarray, right: Sequence[np.ndarray]) -> list[int]:
    """Return the same by sorting: the definition. Among equal scores the wrong ones come first."""
    found = []
    for query, answers in zip(query_QD, right, strict=True):
        scores = [float(np.float32(query @ answer)) for answer in answer_AD]
        order = sorted(range(len(scores)), key=lambda index: (-scores[index], index in answers))
        found.append(next(place for place, index in enumerate(order) if index in answers))
    return found


def recall(ranks_Q: np.ndarray, weight_Q: np.ndarray) -> dict[str, float]:
    """Return R@1, R@5 and R@10: the share of queries, by weight, with fewer than k wrong answers before a right one."""
    return {f"R@{k}": round(float(weight_Q[ranks_Q < k].sum() / weight_Q.sum()), 6) for k in RANKS}


def chance(right: Sequence[np.ndarray], weight_Q: np.ndarray, answers: int) -> dict[str, float]:
    """Return the expected recall of a random order: 1 - C(A - r, k) / C(A, k) for r right among A answers, averaged."""
    numbers = np.array([len(found) for found in right])
    found: dict[str, float] = {}
    for k in RANKS:
        missed = np.array([_all_missed(answers, int(r), k) for r in range(int(numbers.max()) + 1)])
        found[f"R@{k}"] = round(float((weight_Q * (1 - missed[numbers])).sum() / weight_Q.sum()), 6)
    return found


def _all_missed(answers: int, right: int, k: int) -> float:
    k = min(k, answers)
    return math.comb(answers - right, k) / math.comb(answers, k)


def difference(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """Return recall of one language minus the other's, in both directions."""
    found: dict[str, dict[str, float]] = {}
    for way in ("image_to_text", "text_to_image"):
        first, second = one[way], other[way]
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        found[way] = {key: round(first[key] - second[key], 6) for key in first}
    return found
