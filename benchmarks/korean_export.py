"""The learned weights of benchmarks/korean_model.py as the whole numbers that `curation.korean_lattice` reads.

Features that the runtime always adds together are one number. Weights are multiplied by 64 and rounded. Two biases are added,
chosen by cross-validation: a noun straight after a noun costs 1, a noun of one syllable gains 2 (in units of the perceptron).
"""

from collections import defaultdict
from typing import Any

from korean_lexicon import END, Feature, Lexicon, Weights, cost_bucket
from korean_silver import NOUN, Piece

from curation.korean_lattice import MAX_PIECE

SCALE = 64
MIN_SEEN = 1  # analyses that a piece of one syllable, nouns aside, must be part of
STARTS = ["B_", "BD", "BA"]  # the states before a run
SIZES = range(6)
NOUN_AFTER_NOUN, NOUN_OF_ONE = -1.0, 2.0


class _Rounded:
    """Sums of weights, each scaled and rounded by itself."""

    def __init__(self, weights: Weights) -> None:
        biased = dict(weights)
        for feature, bias in ((("tags", NOUN, NOUN), NOUN_AFTER_NOUN), (("size", NOUN, 1), NOUN_OF_ONE)):
            biased[feature] = biased.get(feature, 0.0) + bias
        self.all = {
            feature: round(value * SCALE) for feature, value in biased.items() if round(value * SCALE)
        }
        self.exact = biased

    def __call__(self, *features: Feature) -> int:
        return sum(self.all.get(feature, 0) for feature in features)


def tables(weights: Weights, lexicon: Lexicon) -> dict[str, Any]:
    """Return the contents of the model file, keys as the runtime reads them."""
    rounded = _Rounded(weights)
    tags = sorted(lexicon.tags, key=_noun_first)
    states = tags + STARTS
    pieces = _pieces(rounded, lexicon, tags)
    ends = [
        rounded.exact.get(("tags", s, END), 0.0) + rounded.exact.get(("piece after", s, "", END), 0.0)
        for s in states
    ]
    buckets = sorted({cost_bucket(costs[NOUN]) for costs in lexicon.words.values() if NOUN in costs})
    other = {word for word, costs in lexicon.words.items() if any(tag != NOUN for tag in costs)}
    have = {piece[0] for piece in pieces}
    return {
        "tags": tags,
        "starts": STARTS,
        "bigram": [[rounded(("tags", before, tag)) for before in states] for tag in tags],
        "end": [round(end * SCALE) for end in ends],
        "pieces": pieces,
        **_nouns(rounded, lexicon, buckets),
        "shape": _shape(rounded, buckets),
        "first": _syllables(rounded, "first"),
        "last": _syllables(rounded, "last"),
        "ambiguous": [rounded(("ambiguous", size)) for size in SIZES],
        # Which words mecab-ko-dic knows as something else than a noun: those of `pieces` without these, and those.
        "unambiguous": " ".join(sorted(have - other)),
        "also": " ".join(sorted(word for word in other - have if len(word) <= MAX_PIECE)),
    }


def _noun_first(tag: str) -> tuple[bool, str]:
    return tag != NOUN, tag


def _pieces(rounded: _Rounded, lexicon: Lexicon, tags: list[str]) -> list[list[Any]]:
    """Return [piece, tag, weight, [[tag before, weight]...] or 0, [weight by final] or 0] of all pieces but nouns."""
    numbers = {state: number for number, state in enumerate(tags + STARTS)}
    after: dict[Piece, dict[int, int]] = defaultdict(dict)
    finals: dict[Piece, list[int]] = defaultdict(_zeros)
    for feature, value in rounded.all.items():
        if feature[0] == "piece after" and feature[3] in lexicon.tags and feature[1] in numbers:
            after[str(feature[2]), str(feature[3])][numbers[str(feature[1])]] = value
        elif feature[0] == "final":
            finals[str(feature[2]), str(feature[3])][int(str(feature[1]))] = value
    found: list[list[Any]] = []
    for piece in sorted(lexicon.pieces):
        for tag in lexicon.pieces[piece]:
            if tag == NOUN or (len(piece) == 1 and lexicon.seen.get((piece, tag), 0) < MIN_SEEN):
                continue
            cost = cost_bucket(lexicon.words.get(piece, {}).get(tag))
            weight = rounded(("piece", piece, tag), ("size", tag, min(len(piece), 5)), ("cost", tag, cost))
            before = [list(pair) for pair in sorted(after.get((piece, tag), {}).items())]
            found.append([piece, numbers[tag], weight, before or 0, finals.get((piece, tag), 0)])
    return found


def _zeros() -> list[int]:
    return [0, 0, 0]


def _nouns(rounded: _Rounded, lexicon: Lexicon, buckets: list[Any]) -> dict[str, Any]:
    """Return the nouns that mecab-ko-dic has, Kiwi named or learning weighed; a bucket is one character."""
    nouns, weights, letters = [], [], []
    for piece in sorted(piece for piece, tags in lexicon.pieces.items() if NOUN in tags):
        cost = lexicon.words.get(piece, {}).get(NOUN)
        weight = rounded(("piece", piece, NOUN))
        if cost is not None or weight or (piece, NOUN) in lexicon.seen:
            nouns.append(piece)
            weights.append(weight)
            letters.append("x" if cost is None else str(buckets.index(cost_bucket(cost))))
    return {"nouns": " ".join(nouns), "noun_weights": weights, "noun_buckets": "".join(letters)}


def _shape(rounded: _Rounded, buckets: list[Any]) -> dict[str, int]:
    """Return the weights of nouns by: entry or not (1, 0), bucket (x: not in mecab-ko-dic), syllables up to five."""
    found = {}
    for is_entry in (False, True):
        for letter, cost in [("x", "x"), *((str(number), cost) for number, cost in enumerate(buckets))]:
            for size in SIZES[1:]:
                weight = rounded(
                    ("size", NOUN, size),
                    ("noun cost", cost, is_entry),
                    ("noun known", cost != "x", is_entry, size),
                )
                if cost == "x" and not is_entry:
                    weight += rounded(("noun unknown", size))
                found[f"{int(is_entry)}{letter}{size}"] = weight
    return found


def _syllables(rounded: _Rounded, place: str) -> dict[str, int]:
    """Return the weights of nouns by their first or last syllable, followed by 1 for nouns of one."""
    return {f"{f[1]}{'1' if f[2] else ''}": value for f, value in rounded.all.items() if f[0] == place}
