"""Mode `korean` of step "match": entries found where they are words of a Korean text, particles and compounds resolved.

An entry of Hangul syllables alone is found where it is one nominal piece of a run, or several joined (`수석연구원은`: 수석, 연구원 and
수석연구원), by the lattice of `curation.korean_lattice`; the inside of a word is never found (`우스` in `마우스에`). An entry
of two syllables or more is also found where it is the whole run, noun or not (`빨간` in `빨간 별`). One syllable counts
as a noun or a number alone (`한` in `한 명`, not in `출발한`). Any other entry (`빨대와 컵`, `KBS`, `3D 프린터`) is found where it is a substring that begins and ends at
a boundary: of the pieces, of a change between Hangul and another script, of a run of letters and digits, or of anything else.

MetaCLIP 2 wraps Korean entries in spaces, which finds one word in six (0.175 of the treebanks' words that benchmarks/korean_model.py learns from).
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain

from curation.automaton import Scan, encode, fastest_automaton, scanner
from curation.korean_batch import LatticeTables
from curation.korean_lattice import MAX_JOINED, NUMERALS, Lattice, Piece

MAX_CACHED = 1 << 16  # runs in each of the two generations of the cache
MAX_CACHED_SYLLABLES = 16
BATCH_CHARS = 1 << 16  # looked through at once for the entries that are not syllables alone
BETWEEN = b"\xff"  # two texts of a batch; no UTF-8 holds it
_SYLLABLES = re.compile("[\uac00-\ud7a3]+")
_RUN = re.compile("[0-9A-Za-z]?[\uac00-\ud7a3]+")
Found = tuple[tuple[int, ...], tuple[int, ...]]  # ids of the entries in a run, and where its pieces begin
Hit = tuple[int, int]  # the place in a text's bytes of an entry's last one, the entry's number


class KoreanFinder:
    """Finds the entries of a Korean list in texts. A run's answer depends on the run and the character before it alone."""

    def __init__(self, entries: Sequence[str], automaton: str | None = None) -> None:
        """entries: none empty; of equal ones the first one's position is found. automaton: the fastest where it is None."""
        self._ids: dict[str, int] = {}
        others: dict[str, int] = {}
        for position, entry in enumerate(entries):
            (self._ids if _SYLLABLES.fullmatch(entry) else others).setdefault(entry, position)
        self._tables = LatticeTables(Lattice(self._ids))
        self._others = [(position, len(entry)) for entry, position in others.items()]
        patterns = [encode(entry) for entry in others]
        self._scan = scanner(automaton or fastest_automaton(), patterns) if others else None
        self._young: dict[str, Found] = {}
        self._old: dict[str, Found] = {}

    def find_sorted(self, text: str) -> list[int]:
        """Return the sorted, unique positions of the entries that are words of the text; total on any str."""
        return self.find_batch([text])[0]

    def find_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Return `find_sorted` of each text."""
        return [found for part in _parts(texts) for found in self._find_part(part)]

    def _find_part(self, texts: list[str]) -> list[list[int]]:
        runs_of = [_RUN.findall(text) for text in texts]
        known = self._look_up(chain.from_iterable(runs_of))
        found: list[set[int]] = [set().union(*[known[run][0] for run in runs]) for runs in runs_of]
        if self._scan is not None:
            for number, hits in _scan_texts(self._scan, texts).items():
                found[number].update(self._find_others(texts[number], hits, known))
        return [sorted(of_text) for of_text in found]

    def _look_up(self, runs: Iterable[str]) -> dict[str, Found]:
        """Return what runs hold, from the cache or anew, all new ones together; the cache changes only here."""
        if len(self._young) >= MAX_CACHED:
            self._old, self._young = self._young, {}
        young, old = self._young, self._old
        wanted = dict.fromkeys(runs)
        new = [run for run in wanted if run not in young]
        if not new:
            return young
        anew = [run for run in new if run not in old]
        found = {run: old[run] for run in new if run in old} | dict(zip(anew, self._look(anew), strict=True))
        for run in new:
            if len(run) <= MAX_CACHED_SYLLABLES and len(young) < MAX_CACHED:
                young[run] = found[run]
        return {run: found.get(run) or young[run] for run in wanted}

    def _look(self, runs: Sequence[str]) -> Iterator[Found]:
        """Yield what runs hold."""
        split = [_split(run) for run in runs]
        for run, (syllables, _), pieces in zip(runs, split, self._tables.pieces(split), strict=True):
            skipped = len(run) - len(syllables)
            ids = set(self._joined(syllables, pieces))
            if len(run) > 1 and run in self._ids:
                ids.add(self._ids[run])
            yield tuple(ids), tuple(start + skipped for start, _, _ in pieces)

    def _joined(self, syllables: str, pieces: Sequence[Piece]) -> Iterator[int]:
        """Yield the entries that are a nominal piece or several joined."""
        ids, lattice = self._ids, self._tables.lattice
        nominal, contracted, alone = lattice.nominal, lattice.contracted, lattice.alone
        for n, (start, _, first_tag) in enumerate(pieces):
            if not nominal[first_tag]:
                continue
            for _, stop, tag in pieces[n : n + MAX_JOINED]:
                if not nominal[tag]:
                    break
                word = syllables[start:stop]
                if word in ids and (len(word) > 1 or alone[tag] or word in NUMERALS):
                    yield ids[word]
                if contracted[tag]:
                    break

    def _find_others(self, text: str, hits: Sequence[Hit], known: Mapping[str, Found]) -> Iterator[int]:
        """Yield the entries with other characters than Hangul syllables, once for each place where they stand."""
        cuts = {run.start() + begin for run in _RUN.finditer(text) for begin in known[run.group()][1]}
        ends = list(accumulate(len(encode(char)) for char in text))  # in bytes, of each character
        for last, number in hits:
            position, size = self._others[number]
            stop = bisect_left(ends, last + 1) + 1
            if _is_cut(text, stop - size, cuts) and _is_cut(text, stop, cuts):
                yield position


def _split(run: str) -> tuple[str, str]:
    """Return a run's syllables, and what stands before them: D for a digit, A for a Latin letter, else _."""
    first = run[0]
    return (run[1:], "D" if first.isdigit() else "A") if first.isascii() else (run, "_")


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in runs of at least BATCH_CHARS characters, the last one of fewer."""
    part: list[str] = []
    chars = 0
    for text in texts:
        part.append(text)
        chars += len(text)
        if chars >= BATCH_CHARS:
            yield part
            part, chars = [], 0
    if part:
        yield part


def _scan_texts(scan: Scan, texts: Sequence[str]) -> dict[int, list[Hit]]:
    """Return the hits of the texts that have any, by their number."""
    data = [encode(text) for text in texts]
    starts = [0, *accumulate(len(of_text) + 1 for of_text in data)]
    found: dict[int, list[Hit]] = defaultdict(list)
    for place, entry in scan(BETWEEN.join(data)).tolist():
        number = bisect_right(starts, place) - 1
        found[number].append((place - starts[number], entry))
    return found


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
