"""Mode `korean` of step "match": entries found where they are words of a Korean text, particles and compounds resolved.

An entry of Hangul syllables alone is found where it is one nominal piece of a run, or several joined (`수석연구원은`: 수석, 연구원 and
수석연구원), by the lattice of `curation.korean_lattice`; the inside of a word is never found (`우스` in `마우스에`). One syllable counts
as a noun or a number alone. Any other entry (`빨대와 컵`, `KBS`, `3D 프린터`) is found where it is a substring that begins and ends at
a boundary: of the pieces, of a change between Hangul and another script, of a run of letters and digits, or of anything else.

MetaCLIP 2 wraps Korean entries in spaces, which finds one word in six (0.175 of the treebanks' words that benchmarks/korean_model.py learns from).
"""

import re
from collections.abc import Iterable, Sequence

import ahocorasick

from curation.korean_lattice import MAX_JOINED, Lattice, Piece

MAX_CACHED = 1 << 16  # runs in each of the two generations of the cache
MAX_CACHED_SYLLABLES = 16
_SYLLABLES = re.compile("[\uac00-\ud7a3]+")
_RUN = re.compile("[0-9A-Za-z]?[\uac00-\ud7a3]+")
Found = tuple[tuple[int, ...], frozenset[int]]  # ids of the entries in a run, and where its pieces begin


class KoreanFinder:
    """Finds the entries of a Korean list in texts. A run's answer depends on the run and the character before it alone."""

    def __init__(self, entries: Sequence[str]) -> None:
        """entries: not empty; of equal ones the first one's position is found."""
        self._ids: dict[str, int] = {}
        others: dict[str, int] = {}
        for position, entry in enumerate(entries):
            (self._ids if _SYLLABLES.fullmatch(entry) else others).setdefault(entry, position)
        self._lattice = Lattice(self._ids)
        self._others = _automaton(others) if others else None
        self._young: dict[str, Found] = {}
        self._old: dict[str, Found] = {}

    def find_sorted(self, text: str) -> list[int]:
        """Return the sorted, unique positions of the entries that are words of the text; total on any str."""
        found: set[int] = set()
        young = self._young
        for run in _RUN.findall(text):
            known = young.get(run)
            found.update((known or self._remember(run))[0])
            if known is None:
                young = self._young
        if self._others is not None:
            found.update(self._find_others(self._others, text))
        return sorted(found)

    def find_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Return `find_sorted` of each text."""
        return [self.find_sorted(text) for text in texts]

    def _remember(self, run: str) -> Found:
        """Return what a run holds, from the older generation of the cache or anew."""
        found = self._old.get(run) or self._look(run)
        if len(run) <= MAX_CACHED_SYLLABLES:
            if len(self._young) >= MAX_CACHED:
                self._old, self._young = self._young, {}
            self._young[run] = found
        return found

    def _look(self, run: str) -> Found:
        first = run[0]
        before = "D" if first.isdigit() else "A" if first.isascii() else "_"
        syllables = run if before == "_" else run[1:]
        pieces = self._lattice.pieces(syllables, before)
        skipped = len(run) - len(syllables)
        return tuple(sorted(set(self._joined(syllables, pieces)))), frozenset(
            p.start + skipped for p in pieces
        )

    def _joined(self, syllables: str, pieces: Sequence[Piece]) -> Iterable[int]:
        """Yield the entries that are a nominal piece or several joined."""
        ids, lattice = self._ids, self._lattice
        for n, first in enumerate(pieces):
            for piece in pieces[n : n + MAX_JOINED]:
                if not lattice.nominal[piece.tag]:
                    break
                word = syllables[first.start : piece.stop]
                if word in ids and (len(word) > 1 or lattice.alone[piece.tag]):
                    yield ids[word]
                if lattice.contracted[piece.tag]:
                    break

    def _find_others(self, others: ahocorasick.Automaton, text: str) -> Iterable[int]:
        """Yield the entries with other characters than Hangul syllables, once for each place where they stand."""
        hits = list(others.iter(text))
        if not hits:
            return
        cuts = self._cuts(text)
        for last, (position, size) in hits:
            if _is_cut(text, last + 1 - size, cuts) and _is_cut(text, last + 1, cuts):
                yield position

    def _cuts(self, text: str) -> set[int]:
        """Return where the pieces of the text's runs begin."""
        cuts: set[int] = set()
        for match in _RUN.finditer(text):
            run = match.group()
            begins = (self._young.get(run) or self._remember(run))[1]
            cuts.update(match.start() + begin for begin in begins)
        return cuts


def _automaton(entries: dict[str, int]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for entry, position in entries.items():
        automaton.add_word(entry, (position, len(entry)))
    automaton.make_automaton()
    return automaton


def _is_cut(text: str, place: int, cuts: set[int]) -> bool:
    """Whether a word may begin or end before text[place]."""
    if place in {0, len(text)} or place in cuts:
        return True
    before, after = text[place - 1], text[place]
    if _is_syllable(before) and _is_syllable(after):
        return False
    if _is_syllable(before) or _is_syllable(after):
        return True
    return not (_is_wordly(before) and _is_wordly(after))


def _is_syllable(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3"


def _is_wordly(char: str) -> bool:
    return char.isalnum() or char == "_"
