"""Where the words of a Korean run are: the cheapest path through a lattice of its morphemes. A step of `match`, mode `korean`.

A run is a stretch of Hangul syllables, mostly one space-separated word (eojeol): nouns, then particles or endings. Every stretch
of it that the model knows (nouns, particles, endings, stems with what they contract with), every entry, and some stretches that
nobody knows, are edges with a tag (Sejong's, as Kiwi gives them, joined by + where a syllable holds two). A path's score is
a sum of whole numbers: of the piece itself, of the pair of tags, of the piece after a tag, and of the piece after a syllable
with or without a final consonant (`은` or `는`). Whole numbers, so that every machine finds the same path; of equal paths the
one whose first piece that differs is shorter, then comes first in the model.

The weights are learned by benchmarks/korean_model.py and lie in `curation/models/korean.json.gz`.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

MODEL = "korean.json.gz"
MAX_PIECE = 8  # syllables of the longest piece
MAX_UNKNOWN = (
    7  # syllables of the longest piece at the start of a run that nobody knows: a name; elsewhere one
)
FIRST_SYLLABLE, LAST_SYLLABLE, FINALS, RIEUL = 0xAC00, 0xD7A3, 28, 8
NOUN = 0  # the tag NNG, which takes in proper nouns
NOMINAL = frozenset(
    ("NNG", "NNP", "NNB", "NR", "NP", "XR", "XSN", "XPN", "MM", "MAG", "MAJ", "IC", "NNG+VCP", "NNB+VCP", "NP+VCP")
)  # fmt: skip
CONTRACTED = frozenset(
    ("NNG+VCP", "NNB+VCP", "NP+VCP")
)  # a noun and the copula that it swallowed: the noun ends the word
ALONE = frozenset(("NNG", "NNB", "NR", "NP"))  # tags of one syllable that are a word by themselves
NUMERALS = frozenset("한두세네")  # numbers before what they count; as determiners (MM) they are words too
FAR = -(1 << 60)
MAX_JOINED = 6  # pieces of the longest compound
LONGEST_SHAPE = 5  # syllables from which on nouns of all lengths are weighed alike


# What a stretch can be: its tag, weight, what is added after which tags, and after a syllable with which final consonant.
# Plain tuples: there are tens of thousands, and the garbage collector skips tuples of numbers.
Edge = tuple[int, int, dict[int, int] | None, tuple[int, int, int] | None]
Step = tuple[int, int, int]  # score to the end, where the piece stops, its tag
Piece = tuple[int, int, int]  # where it starts and stops, its tag


class Kind(NamedTuple):
    """What words with the same edges share."""

    edges: tuple[Edge, ...]
    """A noun's comes first."""
    is_other: bool
    """The dictionary knows such a word as something else than a noun."""


class Lattice:
    """Finds the pieces of a run; `entries` are nouns to it."""

    def __init__(self, entries: Iterable[str]) -> None:
        """entries: of Hangul syllables alone. Reads the model."""
        data = _read_model()
        self.tags: list[str] = data["tags"]
        states = self.tags + data["starts"]
        self.starts = {name[1:]: states.index(name) for name in data["starts"]}
        self.bigram: list[list[int]] = data["bigram"]
        """Of each tag, what is added after each state: the tags, then the starts."""
        self.end: list[int] = data["end"]
        """Of each state."""
        self.shape: dict[str, int] = data["shape"]
        self.first: dict[str, int] = data["first"]
        self.last: dict[str, int] = data["last"]
        self.ambiguous: list[int] = data["ambiguous"]
        self.nominal = [tag in NOMINAL for tag in self.tags]
        self.contracted = [tag in CONTRACTED for tag in self.tags]
        self.alone = [tag in ALONE for tag in self.tags]
        other = {piece[0] for piece in data["pieces"]} - set(data["unambiguous"].split())
        other |= set(data["also"].split())
        self.kinds = [Kind((), is_other=False), Kind((), is_other=True)]
        self.kind_of: dict[str, int] = dict.fromkeys(other, 1)
        """Of each known stretch, its number in `kinds`; 0 of every other."""
        self._number(self._nouns(data, frozenset(entries), other), data["pieces"], other)

    def _nouns(self, data: dict[str, Any], entries: frozenset[str], other: set[str]) -> dict[str, int]:
        """Return the weight of every noun: the model's and the entries."""
        known = zip(data["nouns"].split(), data["noun_weights"], data["noun_buckets"], strict=True)
        weights = {
            word: weight + self._noun(word, bucket, is_entry=word in entries, is_other=word in other)
            for word, weight, bucket in known
        }
        for word in entries:
            if word and word not in weights:
                weights[word] = self._noun(word, "x", is_entry=True, is_other=word in other)
        return weights

    def _number(self, nouns: dict[str, int], pieces: Iterable[list[Any]], other: set[str]) -> None:
        """Give every word the number of its kind; most nouns share theirs."""
        edges: dict[str, list[Edge]] = {}
        for word, tag, weight, after_tag, after_final in pieces:
            edge = (tag, weight, dict(after_tag) if after_tag else None, tuple(after_final or ()) or None)
            edges.setdefault(word, []).append(edge)
        numbers: dict[int, int] = {}
        for word, weight in nouns.items():
            number = numbers.get(weight)
            if number is None:
                number = numbers[weight] = self._add(Kind((_noun_edge(weight),), is_other=False))
            self.kind_of[word] = number
        for word, of_word in edges.items():
            noun = [_noun_edge(nouns[word])] if word in nouns else []
            self.kind_of[word] = self._add(Kind((*noun, *of_word), word in other))

    def _add(self, kind: Kind) -> int:
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def _noun(self, word: str, bucket: str, *, is_entry: bool, is_other: bool) -> int:
        size = min(len(word), LONGEST_SHAPE)
        one = "1" if len(word) == 1 else ""
        score = self.shape[f"{int(is_entry)}{bucket}{size}"]
        score += self.first.get(word[0] + one, 0) + self.last.get(word[-1] + one, 0)
        return score + self.ambiguous[size] if is_other else score

    def pieces(self, run: str, before: str) -> list[Piece]:
        """Return the pieces of a run in their order. before: D after a digit, A after a Latin letter, else _.

        The plain way, for one run; `curation.korean_batch` finds the same for many. Time and memory are linear in the run.
        """
        size = len(run)
        best: list[dict[int, Step]] = [{} for _ in range(size + 1)]  # of each place, after a state
        edges = [self._edges(run, start) for start in range(size)]

        def score_after(start: int, state: int) -> int:
            if start == size:
                return self.end[state]
            if state not in best[start]:
                best[start][state] = self._step(edges[start], state, score_after)
            return best[start][state][0]

        for start in range(size - 1, 0, -1):  # from the end, so that no call goes deeper than one piece
            for state in {tag for at in edges[max(0, start - MAX_PIECE) : start] for _, tag, _, _ in at}:
                score_after(start, state)
        state = self.starts[before]
        found: list[Piece] = []
        start = 0
        while start < size:
            score_after(start, state)
            _, stop, state = best[start][state]
            found.append((found[-1][1] if found else 0, stop, state))
            start = stop
        return found

    def _edges(self, run: str, start: int) -> list[tuple[int, int, int, dict[int, int] | None]]:
        """Return (where it stops, tag, weight, weights after tags) of the pieces that may begin at a place, in their order."""
        found: list[tuple[int, int, int, dict[int, int] | None]] = []
        free = start + 1 if start else MAX_UNKNOWN  # up to where a noun may end that nobody knows
        for stop in range(start + 1, min(len(run), start + MAX_PIECE) + 1):
            word = run[start:stop]
            edges, is_other = self.kinds[self.kind_of.get(word, 0)]
            if stop <= free and (not edges or edges[0][0] != NOUN):
                found.append((stop, NOUN, self._noun(word, "x", is_entry=False, is_other=is_other), None))
            for tag, weight, after_tag, after_final in edges:
                final = after_final[final_of(run[start - 1])] if after_final and start else 0
                found.append((stop, tag, weight + final, after_tag))
        return found

    def _step(
        self,
        edges: Sequence[tuple[int, int, int, dict[int, int] | None]],
        state: int,
        score_after: Callable[[int, int], int],
    ) -> Step:
        """Return the best first piece after a state; of equal ones the first."""
        best: Step = (FAR, 0, -1)
        for stop, tag, weight, after_tag in edges:
            total = weight + self.bigram[tag][state] + score_after(stop, tag)
            if after_tag:
                total += after_tag.get(state, 0)
            if total > best[0]:
                best = (total, stop, tag)
        return best


def _noun_edge(weight: int) -> Edge:
    return NOUN, weight, None, None


def final_of(syllable: str) -> int:
    """Return 0 for a syllable without a final consonant, 2 for one with rieul, 1 for another."""
    final = (ord(syllable) - FIRST_SYLLABLE) % FINALS
    return 0 if final == 0 else 2 if final == RIEUL else 1


@lru_cache(maxsize=1)
def _read_model() -> dict[str, Any]:
    data = (resources.files("curation.models") / MODEL).read_bytes()
    return dict(json.loads(gzip.decompress(data)))
