"""Unigrams and bigrams of a text and how much two words belong together. A step of `curate metadata build`.

English and all languages written with spaces have MetaCLIP's tokens (metadata/build_ngram.py): markup is cut out, text is
split at white space, every punctuation mark and every character of a script without spaces is a token of its own,
a token of punctuation is not counted and parts what stands beside it. Korean has nouns and compounds
(`metadata.korean_tokens`). Case stays.

Texts are cleaned before as alt-texts are (`curation.text.normalise`), so that an entry can be found again.
"""

import math
import re
import string
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np
import pyarrow as pa

from curation.errors import ConfigError
from curation.text import normalise
from metadata.korean_tokens import Run, korean_runs, load_kiwi

NGRAMS = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
        pa.field(
            "order", pa.int32(), nullable=False
        ),  # 1 or 2; the words of a bigram are parted by one space
        pa.field("count", pa.int64(), nullable=False),
    ]
)
MAX_CHARS = 256  # characters of a token; longer ones could be no entry (MetaCLIP 2) and are cuts
PMI_BITS = 20  # binary digits of a PMI after the point

MARKS = (
    string.punctuation
    + "\uff0c\u3002\u3001\uff1b\uff1a\uff1f\xbf\uff01\u201c\u201d\u2018\u2019"
    + ("\uff08\uff09\u3010\u3011\u300a\u300b\u3008\u3009\u300c\u300d\u300e\u300f\uff5e\u2014")
)  # what MetaCLIP calls punctuation: ASCII's and 26 marks of East Asia and of typography
# CJK ideographs and radicals, Thai and Lao, Burmese, Khmer, Tibetan: a character a token, in MetaCLIP's ranges.
_UNSPACED = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002ebef\uf900-\ufaff\u2e80-\u2fdf\u2ff0-\u2fff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff"
)
# Languages without spaces: MetaCLIP 2 has tokenizers of their own for them.
_NO_SPACES = frozenset({"bo", "dz", "ja", "km", "lo", "my", "ryu", "th", "zh", "zh_classical", "zh_yue"})
_MARK_RUN = re.compile(f"[{re.escape(MARKS)}]+")
_TOKEN = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_OPENER = re.compile("<|&lt;")
_CLOSER = {"<": ">", "&lt;": "&gt;"}


def tokens_of(lang: str) -> Callable[[str], Iterator[Run]]:
    """Return the function that yields a text's runs of tokens. Raises ConfigError for a language without one.

    Raises MissingExtraError for Korean where Kiwi is not installed.
    """
    if lang in _NO_SPACES:
        raise ConfigError(f"there is no tokenizer for {lang!r}, which is written without spaces")
    if lang == "ko":
        load_kiwi()
        return korean_runs
    return spaced_runs


def spaced_runs(text: str) -> Iterator[Run]:
    """Yield MetaCLIP's tokens of a text in runs between marks. Linear in its length."""
    for stretch in _MARK_RUN.split(cut_markup(text)):
        tokens = _TOKEN.findall(stretch) if _HAS_UNSPACED.search(stretch) else stretch.split()
        if tokens:
            yield Run(tokens, [])


def spaced_tokens_naive(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the unigrams and bigrams of a text without markup, character by character: the oracle."""
    tokens, word = [], ""
    for char in [*text, " "]:
        alone = char in MARKS or _HAS_UNSPACED.match(char) is not None
        if (alone or char.isspace()) and word:
            tokens.append(word)
            word = ""
        if alone:
            tokens.append(char)
        elif not char.isspace():
            word += char
    unigrams = [token for token in tokens if token not in MARKS]
    return unigrams, [(one, two) for one, two in pairwise(tokens) if one not in MARKS and two not in MARKS]


def cut_markup(text: str) -> str:
    """Return the text without what stands between `<` and the next `>` of its line, or `&lt;` and `&gt;`. Linear."""
    if "<" not in text and "&lt;" not in text:
        return text
    return "\n".join(map(_cut_line, text.split("\n")))


def _cut_line(line: str) -> str:
    kept: list[str] = []
    at = 0
    last = {opener: line.rfind(closer) for opener, closer in _CLOSER.items()}
    for match in _OPENER.finditer(line):
        opener = match[0]
        if match.start() >= at and last[opener] >= match.end():
            kept.append(line[at : match.start()])
            at = line.find(_CLOSER[opener], match.end()) + len(_CLOSER[opener])
    return "".join(kept) + line[at:]


class NgramCounter:
    """Counts the unigrams and bigrams of texts in bounded memory; counts of all drains add up to the same sums."""

    def __init__(self, lang: str, *, max_distinct: int = 1_000_000) -> None:
        """max_distinct: distinct n-grams from which `full` asks for a drain; about 150 bytes each."""
        self.lang = lang
        self._runs = tokens_of(lang)
        self._max_distinct = max_distinct
        self._unigrams: dict[str, int] = {}
        self._bigrams: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether it is time to drain: only between texts, so a text's own n-grams come on top."""
        return len(self._unigrams) + len(self._bigrams) >= self._max_distinct

    def add(self, text: str) -> None:
        """Count a text; what it says is cleaned first, line by line."""
        for run in self._runs("\n".join(map(normalise, text.split("\n")))):
            before = None
            for token in run.tokens:
                if len(token) > MAX_CHARS:
                    before = None
                    continue
                self._unigrams[token] = self._unigrams.get(token, 0) + 1
                if before is not None:
                    pair = f"{before} {token}"
                    self._bigrams[pair] = self._bigrams.get(pair, 0) + 1
                before = token
            for token in run.inner:
                self._unigrams[token] = self._unigrams.get(token, 0) + 1

    def drain(self) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Return the counts since the last drain, unigrams and bigrams, each of schema NGRAMS, and begin anew."""
        batches = self._batch(self._unigrams, 1), self._batch(self._bigrams, 2)
        self._unigrams, self._bigrams = {}, {}
        return batches

    def _batch(self, counts: Mapping[str, int], order: int) -> pa.RecordBatch:
        columns = [
            pa.array([self.lang] * len(counts), pa.string()),
            pa.array(list(counts), pa.string()),
            pa.array(np.full(len(counts), order, np.int32)),
            pa.array(list(counts.values()), pa.int64()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=NGRAMS)


def pmi(pair: np.ndarray, first: np.ndarray, second: np.ndarray, total: int) -> np.ndarray:
    """Return the pointwise mutual information of bigrams, in bits: float64 (N,), multiples of 2^-20, rounded down.

    pair, first, second: int64 (N,), occurrences of the bigrams and of their words, 1 or more; total: those of all
    unigrams together.

    log2(pair * total / (first * second)): what MetaCLIP 1's code asks of NLTK 3 (BigramAssocMeasures.pmi, after Manning
    and Schuetze 1999, 5.4; its total is the unigrams', not the bigrams'). MetaCLIP 2's code reads a PMI that no code it
    published computes. "At least 30" is exact: pair * total >= 2^30 * first * second. Only integers decide, so that all
    machines agree.
    """
    numerators = np.asarray(pair).astype(object) * int(total)
    denominators = np.asarray(first).astype(object) * np.asarray(second).astype(object)
    parts = [_exponent(int(n), int(d)) for n, d in zip(numerators, denominators, strict=True)]
    whole = np.array([exponent for exponent, _ in parts], np.int64)
    mantissa = np.array([mantissa for _, mantissa in parts], np.uint64)
    fraction = np.zeros(len(parts), np.int64)
    for _ in range(PMI_BITS):  # a binary digit of the logarithm for each squaring
        mantissa = (mantissa * mantissa) >> np.uint64(31)
        carry = mantissa >= np.uint64(1 << 32)
        mantissa = np.where(carry, mantissa >> np.uint64(1), mantissa)
        fraction = 2 * fraction + carry
    return np.asarray(whole + fraction / (1 << PMI_BITS), np.float64)


def _exponent(numerator: int, denominator: int) -> tuple[int, int]:
    """Return e and m with m / 2^31 in [1, 2), rounded down, and numerator / denominator = 2^e * m / 2^31."""
    e = numerator.bit_length() - denominator.bit_length()
    if numerator << max(0, -e) < denominator << max(0, e):
        e -= 1
    shift = 31 - e
    return e, (numerator << max(0, shift)) // (denominator << max(0, -shift))


def pmi_naive(pair: int, first: int, second: int, total: int) -> float:
    """Return what `pmi` must be to within 2^-20, in floats: the oracle."""
    return math.log2(pair) + math.log2(total) - math.log2(first) - math.log2(second)


def largest_pmi(total: int, min_count: int) -> float:
    """Return the PMI that no bigram of at least `min_count` occurrences can exceed, in bits: log2(total / min_count).

    Below the cut-off asked for, no bigram can enter: 30 needs 2^30 tokens for a bigram that occurs once.
    """
    return math.log2(total / min_count) if total else -math.inf
