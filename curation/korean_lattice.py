"""Where the words of a Korean run are: the cheapest path through a lattice of its morphemes. A step of `match`, mode `korean`.

A run is a stretch of Hangul syllables, mostly one space-separated word (eojeol): nouns, then particles or endings. Every stretch
of it that the model knows (nouns, particles, endings, stems with what they contract with), every entry, and some stretches that
nobody knows, are edges with a tag (Sejong's, as Kiwi gives them, joined by + where a syllable holds two). A path's score is
a sum of whole numbers: of the piece itself, of the pair of tags, of the piece after a tag, and of the piece after a syllable
with or without a final consonant (`은` or `는`). Whole numbers, so that every machine finds the same path; of equal paths
the one whose pieces come first in the order of the model.

The weights are learned by benchmarks/korean_model.py and lie in `curation/models/korean.json.gz`.
"""

import gzip
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

MODEL = "korean.json.gz"
MAX_PIECE = 8  # syllables of the longest piece
MAX_UNKNOWN = 4  # syllables of the longest piece at the start of a run that nobody knows; elsewhere one
FIRST_SYLLABLE, LAST_SYLLABLE, FINALS, RIEUL = 0xAC00, 0xD7A3, 28, 8
NOUN = 0  # the tag NNG, which takes in proper nouns
NOMINAL = frozenset(
    ("NNG", "NNP", "NNB", "NR", "NP", "XR", "XSN", "XPN", "MM", "MAG", "MAJ", "IC", "NNG+VCP", "NNB+VCP", "NP+VCP")
)  # fmt: skip
CONTRACTED = frozenset(
    ("NNG+VCP", "NNB+VCP", "NP+VCP")
)  # a noun and the copula that it swallowed: the noun ends the word
ALONE = frozenset(("NNG", "NNB", "NR", "NP"))  # tags of one syllable that are a word by themselves
FAR = -(1 << 60)
MAX_JOINED = 6  # pieces of the longest compound


class Edge(NamedTuple):
    """What a stretch can be."""

    tag: int
    weight: int
    after_tag: dict[int, int] | None
    """Added after these tags."""
    after_final: list[int] | None
    """Added after a syllable without a final consonant, with one, with rieul."""


class Piece(NamedTuple):
    """A stretch of a path."""

    start: int
    stop: int
    tag: int


class Lattice:
    """Finds the pieces of runs; `entries` are nouns to it."""

    def __init__(self, entries: Iterable[str]) -> None:
        """entries: of Hangul syllables alone. Reads the model."""
        data = _read_model()
        self.tags: list[str] = data["tags"]
        states = self.tags + data["starts"]
        self._starts = {name[1:]: states.index(name) for name in data["starts"]}
        self._bigram: list[list[int]] = data["bigram"]
        self._end: list[int] = data["end"]
        self._shape: dict[str, int] = data["shape"]
        self._first: dict[str, int] = data["first"]
        self._last: dict[str, int] = data["last"]
        self._ambiguous: list[int] = data["ambiguous"]
        self.nominal = [tag in NOMINAL for tag in self.tags]
        self.contracted = [tag in CONTRACTED for tag in self.tags]
        self.alone = [tag in ALONE for tag in self.tags]
        self._other = {piece[0] for piece in data["pieces"]} - set(data["unambiguous"].split())
        self._other |= set(data["also"].split())
        self._edges = self._collect(data, frozenset(entries))

    def _collect(self, data: dict[str, Any], entries: frozenset[str]) -> dict[str, tuple[Edge, ...]]:
        known = zip(data["nouns"].split(), data["noun_weights"], data["noun_buckets"], strict=True)
        seen: dict[int, tuple[Edge, ...]] = {}  # most nouns share their weight, and so their edges
        edges: dict[str, tuple[Edge, ...]] = {}
        for word, weight, bucket in known:
            score = weight + self._noun(word, bucket, is_entry=word in entries)
            edges[word] = seen.setdefault(score, (Edge(NOUN, score, None, None),))
        for word in entries:
            if word not in edges and word:
                score = self._noun(word, "x", is_entry=True)
                edges[word] = seen.setdefault(score, (Edge(NOUN, score, None, None),))
        for word, tag, weight, after_tag, after_final in data["pieces"]:
            edge = Edge(tag, weight, dict(after_tag or ()) or None, after_final or None)
            edges[word] = (*edges.get(word, ()), edge)
        return edges

    def _noun(self, word: str, bucket: str, *, is_entry: bool) -> int:
        size = min(len(word), 5)
        one = "1" if len(word) == 1 else ""
        score = self._shape[f"{int(is_entry)}{bucket}{size}"]
        score += self._first.get(word[0] + one, 0) + self._last.get(word[-1] + one, 0)
        return score + self._ambiguous[size] if word in self._other else score

    def pieces(self, run: str, before: str) -> list[Piece]:
        """Return the pieces of a run in their order. before: D after a digit, A after a Latin letter, else _.

        Time and memory are linear in the run.
        """
        known, bigram = self._edges, self._bigram
        size = len(run)
        # Of each position: by the tag that ends there, the score and where it came from.
        chart: list[dict[int, tuple[int, int, int]]] = [{} for _ in range(size + 1)]
        chart[0][self._starts[before]] = (0, -1, -1)
        for start in range(size):
            states = chart[start]
            if not states:
                continue
            final = _final(run[start - 1]) if start else -1
            plain: dict[
                int, tuple[int, int]
            ] = {}  # the best way to each tag, for pieces that do not look at the tag before
            for stop in range(start + 1, min(size, start + MAX_PIECE) + 1):
                word = run[start:stop]
                edges = known.get(word, ())
                if (stop - start == 1 or (start == 0 and stop <= MAX_UNKNOWN)) and (
                    not edges or edges[0][0] != NOUN
                ):
                    edges = (self._unknown(word), *edges)
                arrived = chart[stop]
                for tag, weight, after_tag, after_final in edges:
                    if after_tag:
                        best, source = _best_after(states, bigram[tag], after_tag)
                    elif tag in plain:
                        best, source = plain[tag]
                    else:
                        best, source = plain[tag] = _best(states, bigram[tag])
                    best += weight
                    if after_final and start:
                        best += after_final[final]
                    if tag not in arrived or best > arrived[tag][0]:
                        arrived[tag] = (best, start, source)
        return self._walk_back(chart, size)

    def _unknown(self, word: str) -> Edge:
        return Edge(NOUN, self._noun(word, "x", is_entry=False), None, None)

    def _walk_back(self, chart: list[dict[int, tuple[int, int, int]]], size: int) -> list[Piece]:
        end = self._end
        tag = max(chart[size], key=lambda known: (chart[size][known][0] + end[known], -known))
        found = []
        stop = size
        while stop:
            _, start, source = chart[stop][tag]
            found.append(Piece(start, stop, tag))
            stop, tag = start, source
        return found[::-1]


def _best(states: dict[int, tuple[int, int, int]], row: list[int]) -> tuple[int, int]:
    """Return the best score of a tag after those that end at a position, and which of them it follows."""
    best, source = FAR, -1
    for tag, found in states.items():
        score = found[0] + row[tag]
        if score > best:
            best, source = score, tag
    return best, source


def _best_after(
    states: dict[int, tuple[int, int, int]], row: list[int], after_tag: dict[int, int]
) -> tuple[int, int]:
    """Return the same for a piece that has a weight of its own after some tags."""
    best, source = FAR, -1
    for tag, found in states.items():
        score = found[0] + row[tag] + after_tag.get(tag, 0)
        if score > best:
            best, source = score, tag
    return best, source


def _final(syllable: str) -> int:
    """Return 0 for a syllable without a final consonant, 2 for one with rieul, 1 for another."""
    final = (ord(syllable) - FIRST_SYLLABLE) % FINALS
    return 0 if final == 0 else 2 if final == RIEUL else 1


@lru_cache(maxsize=1)
def _read_model() -> dict[str, Any]:
    data = (resources.files("curation.models") / MODEL).read_bytes()
    return dict(json.loads(gzip.decompress(data)))
