"""Many fixed patterns in one pass: an Aho-Corasick automaton (pyahocorasick) over UTF-8 bytes.

The automaton reads the UTF-8 bytes as Latin-1 characters. UTF-8 is self-synchronising, so the hits are those of the
characters themselves, and Hangul costs a third of what it does with thousands of children at the automaton's root.
"""

from collections.abc import Iterable, Sequence

import ahocorasick


class Automaton:
    """Finds which of the patterns occur in a text."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """patterns: not empty; where two are equal, the first one's position is reported."""
        automaton = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        for position in range(len(patterns) - 1, -1, -1):
            automaton.add_word(as_latin1(patterns[position]), position)
        automaton.make_automaton()
        self._iter = automaton.iter if patterns else None

    def find(self, text: str) -> Iterable[int]:
        """Yield the position of the pattern at each of its occurrences, in no promised order."""
        if self._iter is None:
            return ()
        return (position for _, position in self._iter(as_latin1(text)))

    def find_sorted(self, text: str) -> list[int]:
        """Return the sorted, unique positions of the patterns that occur."""
        if self._iter is None:
            return []
        return sorted({position for _, position in self._iter(as_latin1(text))})


def as_latin1(text: str) -> str:
    """Return the text's UTF-8 bytes, each as one character; a lone surrogate gets the bytes it would have."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")
