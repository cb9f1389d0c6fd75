"""Many fixed patterns in one pass over bytes: an Aho-Corasick automaton, by one of the engines that are installed.

pyahocorasick   always there; the oracle of the others. It reads the UTF-8 bytes as Latin-1 characters: UTF-8 is
                self-synchronising, so the hits are those of the characters themselves, and Hangul costs a third of what
                it does with thousands of children at the automaton's root.
daachorse       a double array, faster and smaller; the extra [fast] installs it.

Patterns are the papers' own, with their spaces. In mode `word` two bytes that no UTF-8 holds mark where an entry may start
and where it may end, in the text and in the patterns, so that one pass finds whole words only.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain

import ahocorasick
import numpy as np
import numpy.typing as npt

from curation.errors import ConfigError, MissingExtraError
from curation.extras import missing
from curation.modes import BREAK, Batch, Reading, boundaries, space_entry

# H hits
Hits = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # (H,) the text in its batch, (H,) the pattern
Scan = Callable[
    [bytes], npt.NDArray[np.int64]
]  # bytes -> (H, 2): the place of a hit's last byte, its pattern

AUTOMATA = ("daachorse", "pyahocorasick")  # the fastest first
START, END = b"\xfe", b"\xff"


class Automaton:
    """Finds entries in a batch of texts, by their patterns in a mode."""

    def __init__(self, entries: Sequence[str], reading: Reading, engine: str) -> None:
        """entries: one at least, none empty, all different, without BLANKS. Raises MissingExtraError for an engine that lacks."""
        self._data = _word_data if reading.mode == "word" else _spaced_data
        self._scan = scanner(engine, _patterns(entries, reading))

    def find(self, batch: Batch) -> Hits:
        """Return every hit in the batch, in no promised order; an entry that occurs twice in a text is there twice."""
        data = self._data(batch)
        found_H2 = self._scan(data)
        breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(BREAK))
        return np.searchsorted(breaks, found_H2[:, 0]), found_H2[:, 1]


def _patterns(entries: Sequence[str], reading: Reading) -> list[bytes]:
    if reading.mode != "word":
        return [encode(space_entry(entry, reading.mode)) for entry in entries]
    marked = _word_data(reading.entries(entries)).split(BREAK.encode())
    return [one[one.index(START) : one.rindex(END) + 1] for one in marked]


def _spaced_data(batch: Batch) -> bytes:
    return encode(f" {batch.joined.replace(BREAK, f' {BREAK} ')} ")


def _word_data(batch: Batch) -> bytes:
    """Return the texts in UTF-8 with END before and START after every place where an entry may end and start."""
    starts, ends = boundaries(batch.kinds)
    sizes = np.ones(len(batch.points), np.int64)  # bytes of each character
    for least in (0x80, 0x800, 0x10000):
        sizes += batch.points >= least
    places = np.concatenate([[0], np.cumsum(sizes)])
    where = [places[ends], places[starts]]
    marks = np.repeat(np.frombuffer(END + START, np.uint8), [len(found) for found in where])
    data = np.frombuffer(encode(batch.joined), np.uint8)
    return np.insert(data, np.concatenate(where), marks).tobytes()  # of equal places, ends come first


def encode(text: str) -> bytes:
    """Return the text in UTF-8; a lone surrogate gets the bytes it would have."""
    return text.encode("utf-8", "surrogatepass")


def _pyahocorasick(patterns: Sequence[bytes]) -> Scan:
    automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
    for position, pattern in enumerate(patterns):
        automaton.add_word(pattern.decode("latin-1"), position)
    automaton.make_automaton()

    def scan(data: bytes) -> npt.NDArray[np.int64]:
        hits = automaton.iter(data.decode("latin-1"))
        return np.fromiter(chain.from_iterable(hits), np.int64).reshape(-1, 2)

    return scan


def _daachorse(patterns: Sequence[bytes]) -> Scan:
    try:
        from daachorse import DoubleArrayAhoCorasick
    except ImportError as error:
        raise missing("match.engine 'daachorse'", "daachorse") from error
    find = DoubleArrayAhoCorasick(list(patterns)).find_overlapping

    def scan(data: bytes) -> npt.NDArray[np.int64]:
        found_H3 = np.fromiter(chain.from_iterable(find(data)), np.int64).reshape(
            -1, 3
        )  # start, end, pattern
        found_H3[:, 1] -= 1
        return found_H3[:, 1:]

    return scan


def scanner(engine: str, patterns: Sequence[bytes]) -> Scan:
    """Return what finds every occurrence of the patterns, of which none is empty and all differ, in bytes.

    Raises ConfigError for an unknown engine, MissingExtraError for one that is not installed.
    """
    return _engine(engine)(patterns)


def _engine(name: str) -> Callable[[Sequence[bytes]], Scan]:
    engines = {"daachorse": _daachorse, "pyahocorasick": _pyahocorasick}
    if name not in engines:
        raise ConfigError(f"automaton {name!r} is not known: {', '.join(engines)}")
    return engines[name]


@lru_cache(maxsize=1)
def fastest_automaton() -> str:
    """Return the first of AUTOMATA that is installed and finds what it must in a short hard case."""
    return next((name for name in AUTOMATA if conforms(name)), AUTOMATA[-1])


def conforms(engine: str) -> bool:
    """Whether an engine is installed and finds nested, overlapping, repeated and odd patterns, all of them and no more."""
    patterns = [
        b"a",
        b"ab",
        b"bab",
        b"aba",
        b"\0",
        b" \xea\xb0\x80 ",
        b"\xed\xa0\x80",
        b"\xfe\xff",
        b"abababx",
    ]
    data = b"abab\0aba \xea\xb0\x80 \xed\xa0\x80\xfe\xff\nab"
    wanted = sorted(
        (end - 1, number)
        for number, pattern in enumerate(patterns)
        for end in range(len(pattern), len(data) + 1)
        if data.endswith(pattern, 0, end)
    )
    try:
        found = _engine(engine)(patterns)(data)
    except (ImportError, MissingExtraError):
        return False
    return sorted(map(tuple, found.tolist())) == wanted
