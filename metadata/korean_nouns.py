"""Which Korean words are nouns, by two dictionaries: Kiwi's model and mecab-ko-dic.

Kiwi's model lists what its training corpora hold (Sejong and NIKL's, modern Korean) with a part of speech and a sense;
sense 0 is standard Korean, the others are dialects. mecab-ko-dic lists far more, many of them dialect or out of use, so a word
of it counts only where Kiwi lists it too.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from curation.errors import InputError
from curation.extras import missing

NOUNS = frozenset({"NNG", "NNP"})
# One syllable that is a particle, an ending or a pronoun too is found nearly everywhere, and means it nearly nowhere.
_GRAMMAR = re.compile(r"J|E|NP")
_HANGUL = re.compile(r"[가-힣]+")
_HEADER = struct.Struct(
    "<10I32s"
)  # of MeCab's sys.dic: magic, version, ..., sizes of trie, tokens and features
_TOKEN = struct.Struct("<HHHhII")  # left and right id, part of speech, cost, offset of the feature, compound
_VERSION = 102


@cache
def _listed(*, whole: bool) -> dict[str, frozenset[str]]:
    """Return the tags of each word that Kiwi lists in standard Korean. whole: with its list of Wikipedia's titles."""
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise missing("telling Korean nouns", "kiwipiepy") from error
    kiwi = Kiwi(load_default_dict=whole, load_multi_dict=False, load_typo_dict=False)
    found: dict[str, set[str]] = {}
    number = 0
    while True:
        try:
            morpheme = kiwi.morpheme(number)
        except ValueError:  # past the last one
            return {form: frozenset(tags) for form, tags in found.items()}
        if morpheme.sense == 0:
            found.setdefault(morpheme.form, set()).add(str(morpheme.tag))
        number += 1


def is_noun(word: str) -> bool:
    """Tell whether Kiwi lists a word of Hangul as a noun; one syllable must be a common noun, and no grammar."""
    if not _HANGUL.fullmatch(word):
        return False
    if len(word) > 1:
        return bool(_listed(whole=True).get(word, frozenset()) & NOUNS)
    tags = _listed(whole=False).get(word, frozenset())
    return "NNG" in tags and not any(_GRAMMAR.match(tag) for tag in tags)


def model_nouns() -> Iterator[str]:
    """Yield the nouns of two syllables or more that Kiwi's training corpora hold, as `is_noun` has them."""
    yield from (word for word, tags in _listed(whole=False).items() if tags & NOUNS and len(word) > 1)


def dictionary_nouns(path: Path) -> Iterator[str]:
    """Yield mecab-ko-dic's nouns of two syllables or more, people's names left out. Raises InputError."""
    data = path.read_bytes()
    try:
        sizes = _HEADER.unpack_from(data)
        trie, tokens, features = sizes[6:9]
        start = _HEADER.size + trie
        if sizes[1] != _VERSION or start + tokens + features != len(data):
            raise InputError(f"{path} is no dictionary of MeCab, version {_VERSION}")
        offsets = [fields[4] for fields in _TOKEN.iter_unpack(data[start : start + tokens])]
    except struct.error as error:
        raise InputError(f"{path} is no dictionary of MeCab: {error}") from error
    for offset in offsets:
        begin = start + tokens + offset
        tag, kind, _, word = data[begin : data.index(b"\0", begin)].decode().split(",")[:4]
        if tag in NOUNS and kind != "인명" and len(word) > 1:
            yield word
