r"""Word lists as their publishers give them: hunspell dictionaries, words with counts, plain lists; gzip or bzip2 too.

hunspell   NAME.dic or NAME.dic.gz: the first line is about how many words follow; a line is `word/FLAGS` and may go on with
           morphological fields (`po:noun`); `\/` is a slash of the word, and so is one at the beginning. Where NAME.aff
           lies beside it, its line `SET` names the encoding; else it is UTF-8. Read as hunspell itself reads it (hashmgr.cxx).
counted    `word<TAB>count`, or `word count` with a space. The first 1,000 lines decide: nine in ten of them have that form.
plain      a word a line, spaces inside are the word's.

Nothing is normalised here: a list in NFD comes out in NFD, and what freezes the lists composes it.
"""

import codecs
import math
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from curation.errors import InputError, Reason
from curation.stage import Tally
from metadata.entries import Entry
from metadata.streams import read_lines, read_pieces

UNIT = "words"
SOURCE = "word"
MAX_LINE = 1 << 16  # bytes
SAMPLE = 1_000  # lines that decide a list's form
_SHARE = 0.9  # of them that must have it
_COMPRESSED = (".gz", ".bz2")
_BOM = codecs.BOM_UTF8
_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_TABBED = re.compile(rf"(.*\S.*?)\t\s*{_NUMBER}\s*")
_SPACED = re.compile(rf"(.*\S) +{_NUMBER}\s*")
# A field of two letters and a colon after a space or tab begins the morphological description, as does any tab.
_MORPHOLOGY = re.compile(r"\t|(?<=\S)[ \t]+(?=\S{2}:)")

Word = tuple[str, float | None]
Form = Callable[[str], Word | Reason]


def read_words(path: str, lang: str, tally: Tally) -> Iterator[Entry]:
    """Yield a list's words as entries of source "word" in the file's order; score: the count, where there is one.

    path: an address that fsspec opens. Every line but a dictionary's first is counted in the tally, unit "words"; a word that
    stands there twice is yielded twice. Raises InputError that names the file where it is not a list of words.
    """
    name = _bare(path)
    is_dictionary = name.endswith(".dic")
    encoding = _dictionary_encoding(name) if is_dictionary else "utf-8"
    lines = _decoded(path, encoding)
    if is_dictionary:
        _check_count(path, next(lines, ""))
        form: Form = _dictionary_word
    else:
        sample = list(islice(lines, SAMPLE))
        form, lines = _form_of(sample), chain(sample, lines)
    kept = 0
    for line in lines:
        word = line if isinstance(line, Reason) else form(line)
        if isinstance(word, Reason):
            tally.drop(UNIT, word)
            continue
        kept += 1
        tally.keep(UNIT)
        yield Entry(lang, word[0], SOURCE, word[1])
    if not kept:
        raise InputError(
            f"{path} holds no word: give a hunspell .dic, lines of 'word<TAB>count', or a word a line"
        )


def _bare(path: str) -> str:
    for suffix in _COMPRESSED:
        path = path.removesuffix(suffix)
    return path


def _decoded(path: str, encoding: str) -> Iterator[str | Reason]:
    is_first = True
    for line in read_lines(read_pieces(path), max_line=MAX_LINE):
        if isinstance(line, Reason):
            yield line
            continue
        if b"\0" in line:
            raise InputError(f"{path} is not a text: it holds NUL; give a list of words in {encoding}")
        raw, is_first = line.removeprefix(_BOM) if is_first else line, False
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            yield Reason.UNDECODABLE_BYTES


def _dictionary_encoding(name: str) -> str:
    """Return the encoding that the affix file beside a dictionary names; UTF-8 where there is none."""
    affixes = name.removesuffix(".dic") + ".aff"
    try:
        lines = list(_affix_lines(affixes))
    except InputError:
        return "utf-8"
    for line in lines:
        if line.startswith(b"SET "):
            given = line.split()[1].decode("ascii", "replace") if len(line.split()) > 1 else ""
            try:
                return codecs.lookup(_HUNSPELL_NAMES.get(given.lower(), given)).name
            except LookupError:
                raise InputError(f"{affixes} says 'SET {given}', which is no encoding known here") from None
    return "utf-8"


_HUNSPELL_NAMES = {"microsoft-cp1251": "cp1251", "tis620-2533": "tis-620"}


def _affix_lines(affixes: str) -> Iterable[bytes]:
    return (line for line in read_lines(read_pieces(affixes)) if isinstance(line, bytes))


def _check_count(path: str, line: str | Reason) -> None:
    if isinstance(line, Reason) or not re.fullmatch(r"\s*\d+\b.*", line):
        raise InputError(
            f"{path} is not a hunspell dictionary: its first line is {str(line)[:40]!r}, not a number of words"
        )


def _dictionary_word(line: str) -> Word | Reason:
    text = _MORPHOLOGY.split(line, maxsplit=1)[0] if ":" in line or "\t" in line else line
    slash = text.find("/", 1)
    while slash > 0 and text[slash - 1] == "\\":
        text = text[: slash - 1] + text[slash:]
        slash = text.find("/", slash)
    word = (text if slash < 0 else text[:slash]).strip()
    return (word, None) if word else Reason.EMPTY_TEXT


def _form_of(sample: list[str | Reason]) -> Form:
    """Return how the lines of a list are to be read, by the first of them."""
    texts = [line for line in sample if isinstance(line, str) and line.strip()]
    for pattern in (_TABBED, _SPACED):
        if texts and sum(pattern.fullmatch(text) is not None for text in texts) >= _SHARE * len(texts):
            return lambda line, pattern=pattern: _counted_word(line, pattern)  # type: ignore[misc]
    return _plain_word


def _counted_word(line: str, pattern: re.Pattern[str]) -> Word | Reason:
    found = pattern.fullmatch(line)
    if not found:
        return Reason.MALFORMED_LINE if line.strip() else Reason.EMPTY_TEXT
    count = float(found[2])
    return (found[1].strip(), count) if math.isfinite(count) else Reason.MALFORMED_LINE


def _plain_word(line: str) -> Word | Reason:
    word = line.strip()
    return (word, None) if word else Reason.EMPTY_TEXT
