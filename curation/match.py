"""Step "match": which metadata entries does an alt-text name? Table in: pairs. Table out: matches. `curate match`.

metaclip1   Xu et al. 2023, section 3: entry and text each wrapped in a space, marks set apart, substring.
metaclip2   the same for all languages ("MetaCLIP 2", 2025): an entry that begins or ends in a script without
            spaces, or in a mark, gets no space on that side. Hangul is written with spaces.

The text is matched as it is given: cleaning is `curation.text`'s, before it.
"""

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import pyarrow as pa

from curation.automaton import Automaton
from curation.errors import ConfigError, Reason
from curation.language import LanguageIdentifier, Verdict
from curation.stage import Tally
from curation.text import clean
from metadata.entries import read_list

Mode = Literal["metaclip1", "metaclip2"]
Engine = Literal["auto", "pyahocorasick"]

MARKS = ",.;:?!`"  # the text's marks that are set apart by spaces
BLANKS = "\t\n\r"  # the text's characters that become a space
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


def space_text(text: str) -> str:
    """Return the text as both papers' modes match it: wrapped in spaces, marks set apart, blanks made spaces."""
    spaced = f" {text} "
    for mark in MARKS:
        if mark in spaced:
            spaced = spaced.replace(mark, f" {mark} ")
    for blank in BLANKS:
        if blank in spaced:
            spaced = spaced.replace(blank, " ")
    return spaced


def space_entry(entry: str, mode: Mode) -> str:
    """Return the pattern that stands for an entry. Raises ConfigError for an empty entry."""
    if not entry:
        raise ConfigError("an entry is empty: it would match every text")
    if mode == "metaclip1":
        return f" {entry} "
    before = "" if _UNSPACED.match(entry[0]) else " "
    after = "" if _UNSPACED.match(entry[-1]) else " "
    return f"{before}{entry}{after}"


def match_naive(text: str, entries: Sequence[str], mode: Mode) -> list[int]:
    """Return what a matcher must find, by the papers' own words: the oracle."""
    spaced = space_text(text)
    first = {entry: position for position, entry in reversed(list(enumerate(entries)))}
    return sorted(position for entry, position in first.items() if space_entry(entry, mode) in spaced)


class Matcher:
    """Finds the entries of one language in texts."""

    def __init__(self, find: Callable[[str], list[int]], *, lang: str, mode: str, engine: str) -> None:
        self._find = find
        self.lang = lang
        self.mode = mode
        self.engine = engine

    def match(self, text: str) -> list[int]:
        """Return the sorted, unique positions of the entries that the text names; total on any str."""
        return self._find(space_text(text))

    def match_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Return `match` of each text."""
        find = self._find
        return [find(space_text(text)) for text in texts]


def build_matcher(entries: Sequence[str], *, lang: str, mode: str, engine: str = "auto") -> Matcher:
    """Build the matcher of a language's entries.

    entries: the frozen list, in its order; positions in it are what `match` returns. Where two entries are equal, the
    first one's position is returned. Raises ConfigError for an unknown mode or engine and for an empty entry.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"matching mode {mode!r} for {lang!r} is not known: {', '.join(get_args(Mode))}")
    if engine not in get_args(Engine):
        raise ConfigError(f"matching engine {engine!r} is not known: {', '.join(get_args(Engine))}")
    patterns = [space_entry(entry, cast("Mode", mode)) for entry in entries]
    return Matcher(Automaton(patterns).find_sorted, lang=lang, mode=mode, engine="pyahocorasick")


@lru_cache(maxsize=8)
def load_matcher(path: Path, sha256: str, *, lang: str, mode: str) -> Matcher:
    """Return the matcher of a frozen list's file, built once a process; automata are never pickled.

    sha256: of the file, checked: a worker that lives on cannot serve an old list under a new name.
    """
    return build_matcher(read_list(path, sha256), lang=lang, mode=mode)


class PairMatcher:
    """The step on a batch of pairs: clean the text, tell its language, match it, count what leaves and why."""

    def __init__(
        self,
        identifier: LanguageIdentifier,
        matchers: Mapping[str, Matcher],
        *,
        min_chars: int,
        max_chars: int,
    ) -> None:
        """matchers: by language, one for each language of the run."""
        self._identifier = identifier
        self._matchers = matchers
        self._min_chars = min_chars
        self._max_chars = max_chars

    def match_pairs(self, pairs: pa.RecordBatch, schema: pa.Schema, tally: Tally) -> pa.RecordBatch:
        """Return the rows of table matches for a batch of table pairs, and those dropped with their `_reason`.

        A mixed text has a row in each of its languages where it names an entry; it is one pair in the tally.
        """
        keys, urls, texts = (pairs.column(name).to_pylist() for name in ("pair_id", "url", "text"))
        rows: list[dict[str, Any]] = []
        for key, url, text, found in zip(keys, urls, texts, self._found(keys, texts, tally), strict=True):
            known = {"pair_id": key, "url": url, "text": text}
            if isinstance(found, Reason):
                tally.drop("pairs", found)
                rows.append(known | {"_reason": str(found)})
                continue
            tally.keep("pairs")
            for row in found:
                tally.add(f"detector/{row['detector']}", 1)
                tally.add(f"rows/{row['lang']}{'/mixed' if row['mixed'] else ''}", 1)
                rows.append(known | row)
        fields = [field.with_nullable(True) for field in schema]
        return pa.RecordBatch.from_pylist(rows, schema=pa.schema([*fields, pa.field("_reason", pa.string())]))

    def _found(
        self, keys: list[str], texts: list[str], tally: Tally
    ) -> Iterator[list[dict[str, Any]] | Reason]:
        """Yield each text's rows, a language each, or why it has none."""
        cleaned = [clean(text) for text in texts]
        unfit = [self._why_not(text) for text in cleaned]
        fit = [n for n, reason in enumerate(unfit) if reason is None]
        verdicts = self._identifier.identify_batch([cleaned[n] for n in fit], [keys[n] for n in fit])
        verdict_of = dict(zip(fit, verdicts, strict=True))
        for n, reason in enumerate(unfit):
            yield reason or self._rows_of(cleaned[n], verdict_of[n], tally)

    def _why_not(self, text: str) -> Reason | None:
        if not text:
            return Reason.EMPTY_TEXT
        if len(text) < self._min_chars:
            return Reason.TOO_SHORT
        return Reason.TOO_LONG if len(text) > self._max_chars else None

    def _rows_of(self, text: str, verdict: Verdict, tally: Tally) -> list[dict[str, Any]] | Reason:
        tally.add(f"asked/{verdict.detector}", 1)
        if verdict.lang is None:
            return verdict.reason or Reason.NO_LANGUAGE
        scores = {verdict.lang: verdict.score}
        if verdict.mixed_lang:
            scores[verdict.mixed_lang] = verdict.mixed_score
        matched = {lang: self._matchers[lang].match(text) for lang in scores}
        named = {lang: ids for lang, ids in matched.items() if ids}
        if not named:
            return Reason.NO_MATCH
        return [
            {
                "lang": lang, "clean_text": text, "lang_score": scores[lang], "detector": verdict.detector,
                "mixed": len(named) > 1, "entry_ids": ids,
            }
            for lang, ids in named.items()
        ]  # fmt: skip
