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
from typing import Any

MODEL = "korean.json.gz"
MAX_PIECE = 8  # syllables of the longest piece
MAX_UNKNOWN = 7  # syllables of the longest piece at the start of a run that nobody knows: a name; elsewhere one
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
MAX_REMEMBERED = 6  # syllables of the longest suffix that is remembered
MAX_SUFFIXES = 1 << 14  # in each of two generations
FINAL_MARKS = "_CR"  # of a syllable without a final consonant, with one, with rieul
MARKS = {
    FIRST_SYLLABLE + n: FINAL_MARKS[0 if n % FINALS == 0 else 2 if n % FINALS == RIEUL else 1]
    for n in range(LAST_SYLLABLE - FIRST_SYLLABLE + 1)
}


# What a stretch can be: its tag, weight, what is added after which tags, and after a syllable with which final consonant.
# Plain tuples, here and below: there are hundreds of thousands, and the garbage collector skips tuples of numbers.
Edge = tuple[int, int, dict[int, int] | None, tuple[int, int, int] | None]
Choice = tuple[int, dict[int, int], int, int]  # tag, weights after tags, score to the end, syllables
Step = tuple[int, int, int]  # score to the end, syllables, tag
Piece = tuple[int, int, int]  # where it starts and stops, tag
NOTHING: dict[int, int] = {}


class Suffix:
    """The end of a run from a position on, with what follows the tags that were asked for."""

    __slots__ = ("best", "choices")

    def __init__(self, choices: list[Choice]) -> None:
        self.choices = choices
        self.best: dict[int, Step] = {}


class Lattice:
    """Finds the pieces of runs; `entries` are nouns to it."""

    def __init__(self, entries: Iterable[str]) -> None:
        """entries: of Hangul syllables alone. Reads the model."""
        data = _read_model()
        self.tags: list[str] = data["tags"]
        states = self.tags + data["starts"]
        self._starts = {name[1:]: states.index(name) for name in data["starts"]}
        self._following = [list(row) for row in zip(*data["bigram"], strict=True)]  # of each tag before
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
        self._nothing = Suffix([])
        self._young: dict[str, Suffix] = {}
        self._old: dict[str, Suffix] = {}

    def _collect(self, data: dict[str, Any], entries: frozenset[str]) -> dict[str, tuple[Edge, ...]]:
        known = zip(data["nouns"].split(), data["noun_weights"], data["noun_buckets"], strict=True)
        seen: dict[int, tuple[Edge, ...]] = {}  # most nouns share their weight, and so their edges
        edges: dict[str, tuple[Edge, ...]] = {}
        for word, weight, bucket in known:
            score = weight + self._noun(word, bucket, is_entry=word in entries)
            edges[word] = seen.setdefault(score, ((NOUN, score, None, None),))
        for word in entries:
            if word not in edges and word:
                score = self._noun(word, "x", is_entry=True)
                edges[word] = seen.setdefault(score, ((NOUN, score, None, None),))
        for word, tag, weight, after_tag, after_final in data["pieces"]:
            edge = (tag, weight, dict(after_tag) if after_tag else None, tuple(after_final or ()) or None)
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
        size = len(run)
        marks = run.translate(MARKS)
        rest: list[Suffix] = [self._nothing] * (size + 1)  # of each position, what follows
        for start in range(size - 1, 0, -1):
            if size - start > MAX_REMEMBERED:
                rest[start] = Suffix(self._choices(run, start, marks, rest))
                continue
            key = marks[start - 1] + run[start:]
            rest[start] = self._young.get(key) or self._remember(key, run, start, marks, rest)
        step = self._step(Suffix(self._choices(run, 0, marks, rest)), self._starts[before])
        found = []
        start = 0
        while True:
            _, taken, tag = step
            found.append((start, start + taken, tag))
            start += taken
            if start == size:
                return found
            step = rest[start].best.get(tag) or self._step(rest[start], tag)

    def _remember(self, key: str, run: str, start: int, marks: str, rest: list[Suffix]) -> Suffix:
        """Return what follows a position after the first: short endings are the same in many runs."""
        found = self._old.get(key) or Suffix(self._choices(run, start, marks, rest))
        if len(self._young) >= MAX_SUFFIXES:
            self._old, self._young = self._young, {}
        self._young[key] = found
        return found

    def _choices(self, run: str, start: int, marks: str, rest: list[Suffix]) -> list[Choice]:
        """Return the pieces that may begin at a position, each with the score of the best path from it to the end.

        Of those that do not look at the tag before them, the best of each tag is enough.
        """
        known, step = self._edges, self._step
        final = FINAL_MARKS.index(marks[start - 1])
        free = start + 1 if start else MAX_UNKNOWN  # up to where a noun may end that nobody knows
        plain: dict[int, Choice] = {}
        found: list[Choice] = []
        for stop in range(start + 1, min(len(run), start + MAX_PIECE) + 1):
            word = run[start:stop]
            edges = known.get(word, ())
            if stop <= free and (not edges or edges[0][0] != NOUN):
                edges = ((NOUN, self._noun(word, "x", is_entry=False), None, None), *edges)
            if not edges:
                continue
            follows = rest[stop]
            for tag, weight, after_tag, after_final in edges:
                score = weight + (follows.best.get(tag) or step(follows, tag))[0]
                if after_final and start:
                    score += after_final[final]
                if after_tag:
                    found.append((tag, after_tag, score, stop - start))
                elif tag not in plain or score > plain[tag][2]:
                    plain[tag] = (tag, NOTHING, score, stop - start)
        return [*plain.values(), *found]

    def _step(self, suffix: Suffix, before: int) -> Step:
        """Return the best first step into what follows, after a tag or a start; it is remembered."""
        best: Step = (FAR, 0, -1) if suffix.choices else (self._end[before], 0, -1)
        most = best[0]
        row = self._following[before]
        for tag, after_tag, score, size in suffix.choices:
            total = score + row[tag]
            if before in after_tag:
                total += after_tag[before]
            if total > most:
                most, best = total, (total, size, tag)
        suffix.best[before] = best
        return best


@lru_cache(maxsize=1)
def _read_model() -> dict[str, Any]:
    data = (resources.files("curation.models") / MODEL).read_bytes()
    return dict(json.loads(gzip.decompress(data)))
