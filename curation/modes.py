r"""The modes of matching: how each of them reads a text, and where in it an entry may begin and end. A step of `match`.

metaclip1   Xu et al. 2023, section 3: entry and text each wrapped in a space, marks set apart, substring.
metaclip2   the same for all languages ("MetaCLIP 2", 2025): an entry that begins or ends in a script without
            spaces, or in a mark, gets no space on that side. Hangul is written with spaces.
word        substring between word boundaries, as below; with `fold_case` letters of either case are the same.
korean      words of a Korean sentence, particles and compounds resolved: `curation.korean`.

Word boundaries. Every character is of a class: Hangul letter; word (all other letters, numbers, and connectors such as the
underscore: L, N, Pc); extending (marks and format characters: M, Cf, but for the zero-width space), which takes the class of
what it stands on, and at the start of a text is a gap; gap, all the rest: spaces, punctuation, apostrophes, hyphens, symbols,
pictographs, lone surrogates, NUL. An entry is found where it is a substring and on neither side of it two characters of one
word meet: before it there is nothing, a gap, or a change between Hangul and another script's letter (`Galaxy` in the Korean
`Galaxy를`), after it the same. An entry's own first and last character may be of any class. So this is a regular
expression's `(?<!\w)entry(?!\w)`, with marks belonging to their letters and Hangul to itself.

`fold_case` is `str.casefold` on text and entry alike, before anything else: `DOG` is `dog`, `STRASSE` is `straße`, the final
sigma is a sigma; the dotted capital I becomes i and a dot above, which is not `i`. Nothing counts positions in the text as it
was, so a fold that changes its length does no harm; no character unfolds into one with a boundary inside.

In all of them tab, newline and return in the text become a space. The text is matched as it is given otherwise: cleaning is
`curation.text`'s, before it.
"""

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from curation.errors import ConfigError
from curation.text import has_hangul

# N characters of all texts of a batch, joined by BREAK
Points = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]

MARKS = ",.;:?!`"  # the text's marks that are set apart by spaces
BLANKS = "\t\n\r"  # the text's characters that become a space: no pattern with one of them is ever found
BREAK = "\n"  # stands between the texts of a batch, and in none of them
GAP, WORD, HANGUL, EXTENDING = range(4)
ZERO_WIDTH_SPACE = 0x200B
UNICODE_SIZE = 0x110000
# First or last characters of an entry that need no space beside them (MetaCLIP 2's released ranges).
_UNSPACED = re.compile(
    "["
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ebef\uf900-\ufaff"  # CJK ideographs
    "\u2e80-\u2eff\u2f00-\u2fdf\u2ff0-\u2fff"  # CJK radicals and description characters
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff"  # Thai, Lao, Burmese, Khmer, Tibetan
    + re.escape(string.punctuation)
    + "，。、；：？！“”‘’（）【】《》〈〉「」『』～—"
    + "]"
)


def unblank(text: str) -> str:
    """Return the text with a space for each tab, newline and return."""
    for blank in BLANKS:
        if blank in text:
            text = text.replace(blank, " ")
    return text


def set_marks_apart(text: str) -> str:
    """Return the text with a space on either side of each of the seven marks."""
    for mark in MARKS:
        if mark in text:
            text = text.replace(mark, f" {mark} ")
    return text


def space_text(text: str) -> str:
    """Return the text as both papers' modes match it: wrapped in spaces, marks set apart, blanks made spaces."""
    return unblank(set_marks_apart(f" {text} "))


def space_entry(entry: str, mode: str) -> str:
    """Return the pattern that stands for an entry in a paper's mode. Raises ConfigError for an empty entry."""
    if not entry:
        raise ConfigError("an entry is empty: it would match every text")
    if mode == "metaclip1":
        return f" {entry} "
    before = "" if _UNSPACED.match(entry[0]) else " "
    after = "" if _UNSPACED.match(entry[-1]) else " "
    return f"{before}{entry}{after}"


def match_naive(text: str, entries: Sequence[str], mode: str, *, fold_case: bool = False) -> list[int]:
    """Return what a matcher must find, by the definitions' own words: the oracle of all modes but `korean`."""
    if fold_case:
        text, entries = text.casefold(), [entry.casefold() for entry in entries]
    first = {entry: position for position, entry in reversed(list(enumerate(entries)))}
    if mode == "word":
        whole = unblank(text)
        return sorted(position for entry, position in first.items() if _stands_as_word(entry, whole))
    spaced = space_text(text)
    return sorted(position for entry, position in first.items() if space_entry(entry, mode) in spaced)


def _stands_as_word(entry: str, text: str) -> bool:
    """Whether the entry is in the text between word boundaries."""
    kinds = word_classes_naive(text)
    start = text.find(entry)
    while start >= 0:
        end = start + len(entry)
        starts = start == 0 or kinds[start - 1] == GAP or GAP != kinds[start] != kinds[start - 1]
        ends = end == len(text) or kinds[end] == GAP or GAP != kinds[end - 1] != kinds[end]
        if starts and ends:
            return True
        start = text.find(entry, start + 1)
    return False


def word_classes_naive(text: str) -> list[int]:
    """Return GAP, WORD or HANGUL for each character, one after the other."""
    kinds: list[int] = []
    for char in text:
        kind = class_of(char)
        kinds.append(kind if kind != EXTENDING else kinds[-1] if kinds else GAP)
    return kinds


def class_of(char: str) -> int:
    """Return the class of a character alone."""
    kind = unicodedata.category(char)
    if kind[0] in "LN" or kind == "Pc":
        return HANGUL if kind == "Lo" and has_hangul(char) else WORD
    extends = kind[0] == "M" or (kind == "Cf" and ord(char) != ZERO_WIDTH_SPACE)
    return EXTENDING if extends else GAP


@lru_cache(maxsize=1)
def class_table() -> npt.NDArray[np.uint8]:
    """Return the class of every code point: uint8 array (0x110000,), 1.1 MB, made once a process."""
    return np.fromiter(map(class_of, map(chr, range(UNICODE_SIZE))), np.uint8, UNICODE_SIZE)


def word_classes(points_N: Points) -> npt.NDArray[np.uint8]:
    """Return GAP, WORD or HANGUL for each character of joined texts: uint8 array (N,)."""
    kinds_N = class_table()[points_N]
    extending_N = kinds_N == EXTENDING
    if extending_N.any():
        base_N = np.where(extending_N, 0, np.arange(len(kinds_N)))
        kinds_N = kinds_N[np.maximum.accumulate(base_N)]
        if kinds_N[:1] == EXTENDING:
            kinds_N[kinds_N == EXTENDING] = GAP  # only what stands before the first character
    return kinds_N


def space_classes(points_N: Points) -> npt.NDArray[np.uint8]:
    """Return GAP for a space or BREAK and WORD for all else, as the papers' modes see it: uint8 array (N,)."""
    word_N: npt.NDArray[np.bool_] = (points_N != ord(" ")) & (points_N != ord(BREAK))
    return word_N.view(np.uint8)


class Reading:
    """How a mode reads texts and entries, many at once."""

    def __init__(self, mode: str, *, fold_case: bool = False) -> None:
        """Raise ConfigError where case is to be folded in another mode than `word`: the papers' are exact."""
        if fold_case and mode != "word":
            raise ConfigError(f"case is folded in mode 'word' alone, and the mode is {mode!r}")
        self.mode = mode
        self._fold_case = fold_case

    def entry(self, entry: str) -> str:
        """Return an entry as the mode reads it. Raises ConfigError for an empty one."""
        if not entry:
            raise ConfigError("an entry is empty: it would match every text")
        return entry.casefold() if self._fold_case else entry

    def is_whole(self, entry: str) -> bool:
        """Whether the entry needs a boundary on both its sides."""
        return self.mode != "metaclip2" or not (_UNSPACED.match(entry[0]) or _UNSPACED.match(entry[-1]))

    def entries(self, entries: Sequence[str]) -> "Batch":
        """Return a batch of entries, one at least and each from `entry`, without BLANKS."""
        return Batch(BREAK.join(entries), self)

    def texts(self, texts: Sequence[str]) -> "Batch":
        """Return a batch of texts, one at least, as the mode reads them."""
        joined = BREAK.join(texts)
        if joined.count(BREAK) != len(texts) - 1:
            joined = BREAK.join([text.replace(BREAK, " ") for text in texts])
        for blank in BLANKS:
            if blank != BREAK and blank in joined:
                joined = joined.replace(blank, " ")
        if self.mode != "word":
            return Batch(set_marks_apart(joined), self)
        return Batch(joined.casefold() if self._fold_case else joined, self)

    def classes(self, points_N: Points) -> npt.NDArray[np.uint8]:
        """Return GAP for what an entry may begin after and end before, else WORD or HANGUL: uint8 array (N,)."""
        return word_classes(points_N) if self.mode == "word" else space_classes(points_N)


class Batch:
    """Some texts, or entries, as a mode reads them: one string, and its characters as numbers."""

    def __init__(self, joined: str, reading: "Reading") -> None:
        """joined: with BREAK between each text and the next."""
        self.joined = joined
        self._reading = reading

    @cached_property
    def points(self) -> Points:
        """The code points: uint8 array (N,) where all are ASCII, else uint32; not to be written to."""
        if self.joined.isascii():
            return np.frombuffer(self.joined.encode("ascii"), np.uint8)
        return np.frombuffer(self.joined.encode("utf-32-le", "surrogatepass"), np.uint32)

    @cached_property
    def kinds(self) -> npt.NDArray[np.uint8]:
        """The classes of the characters: uint8 array (N,)."""
        return self._reading.classes(self.points)


def boundaries(kinds_N: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return where an entry may start and where it may end: bool arrays (N + 1,), before each character and after the last.

    kinds_N: uint8 array (N,), GAP, WORD or HANGUL.
    """
    gap_N = kinds_N == GAP
    starts, ends = np.ones((2, len(kinds_N) + 1), np.bool_)
    starts[1:] = gap_N
    ends[:-1] = gap_N
    if (kinds_N == HANGUL).any():
        changes = (kinds_N[1:] != kinds_N[:-1]) & ~gap_N[1:] & ~gap_N[:-1]
        starts[1:-1] |= changes
        ends[1:-1] |= changes
    return starts, ends
