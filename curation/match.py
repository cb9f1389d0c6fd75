"""Step "match": which metadata entries does an alt-text name? Table in: pairs. Table out: matches. `curate match`.

How each mode reads a text stands in `curation.modes`. Texts are matched many at once: `match_columns` is what the stage calls,
`match_batch` gives the same as lists, and `match` one text's, at the cost of a whole batch.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, pairwise
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.automaton import Automaton, Hits, fastest_automaton
from curation.config import MATCH_MODES
from curation.errors import ConfigError, Reason
from curation.language import LanguageIdentifier
from curation.modes import BLANKS, Batch, Reading, match_naive, space_entry, space_text
from curation.spans import MAX_ENTRIES, MAX_LENGTH, SpanTable
from curation.stage import Tally
from curation.text import clean
from metadata.entries import read_list

__all__ = [
    "Matcher",
    "PairMatcher",
    "build_matcher",
    "load_matcher",
    "match_naive",
    "space_entry",
    "space_text",
]

Engine = Literal["auto", "spans", "daachorse", "pyahocorasick"]
READ = ("pair_id", "url", "text")  # columns of table pairs that the step needs
BATCH_CHARS = 1 << 16  # matched at once: what is made of them stays in a core's cache
ID_BITS = 32  # of a text and an entry in one number


Longs = npt.NDArray[np.int64]
Asked = tuple[int, float, str]  # the row of a text, the score of the language and its detector


class Matched(NamedTuple):
    """What texts name in one language."""

    lang: str
    rows: Longs
    """Of the texts, in their batch."""
    scores: list[float]
    detectors: list[str]
    offsets: npt.NDArray[np.int32]
    """Into the ids, one more than rows."""
    ids: npt.NDArray[np.int32]


class Finder(Protocol):
    """What finds entries in a batch of texts."""

    def find(self, batch: Batch) -> Hits:
        """Return the text and the entry of every hit, in any order, repeated as often as they occur."""


class Matcher:
    """Finds the entries of one language in texts."""

    def __init__(
        self,
        reading: Reading,
        finders: Sequence[tuple[Finder, npt.NDArray[np.int32]]],
        *,
        lang: str,
        engine: str,
    ) -> None:
        """finders: each with the position in the list of every entry of its own; engine: what they are called."""
        self._reading = reading
        self._finders = finders
        self.lang = lang
        self.mode = reading.mode
        self.engine = engine

    def match(self, text: str) -> list[int]:
        """Return the sorted, unique positions of the entries that the text names; total on any str."""
        return self.match_batch([text])[0]

    def match_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Return `match` of each text."""
        offsets, ids = self.match_columns(list(texts))
        found = ids.tolist()
        return [found[start:stop] for start, stop in pairwise(offsets.tolist())]

    def match_columns(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return `match` of each text as columns: offsets (texts + 1,) into ids, where a text's stand sorted and unique."""
        counts, ids = [np.zeros(1, np.int64)], [np.empty(0, np.int32)]
        for part in _parts(texts):
            keys = self._keys(self._reading.texts(part))
            counts.append(np.bincount(keys >> ID_BITS, minlength=len(part)))
            ids.append(keys.astype(np.int32))  # the lower half
        return np.cumsum(np.concatenate(counts)), np.concatenate(ids)

    def _keys(self, batch: Batch) -> npt.NDArray[np.int64]:
        """Return text and position of all matches in one number, sorted and unique."""
        hits = [
            (text, positions[entry])
            for finder, positions in self._finders
            for text, entry in [finder.find(batch)]
        ]
        keys = np.concatenate(
            [(text << ID_BITS) | position for text, position in hits] or [np.empty(0, np.int64)]
        )
        keys.sort()
        first = np.ones(len(keys), np.bool_)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        return keys[first]


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in runs of about BATCH_CHARS characters; a longer text is a run of its own at worst."""
    run = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts))) // BATCH_CHARS
    cuts = [0, *(np.flatnonzero(run[1:] != run[:-1]) + 1).tolist(), len(texts)]
    return (texts[start:stop] for start, stop in pairwise(cuts) if stop > start)


class KoreanMatcher(Matcher):
    """Finds the words of a Korean list: `curation.korean` behind the same calls."""

    def __init__(self, entries: Sequence[str], *, lang: str, automaton: str) -> None:
        """entries: those of equal text count as the first of them. automaton: for those that hold more than Hangul."""
        from curation.korean import KoreanFinder

        super().__init__(Reading("korean"), [], lang=lang, engine=f"lattice+{automaton}")
        found, self._positions = _distinct(entries, self._reading)
        self._find_batch = KoreanFinder(found, automaton).find_batch

    def match_columns(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Return `match` of each text as columns, as `Matcher` does."""
        found = self._find_batch(texts)
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, found), np.int64, len(found)), out=offsets[1:])
        numbers = np.fromiter((one for of_text in found for one in of_text), np.int64, int(offsets[-1]))
        return offsets, self._positions[numbers]


def build_matcher(
    entries: Sequence[str], *, lang: str, mode: str, engine: str = "auto", fold_case: bool = False
) -> Matcher:
    """Build the matcher of a language's entries.

    entries: the frozen list, in its order; positions in it are what `match` returns. Where two entries are equal, with
    `fold_case` where they are but for case, the first one's position is returned.
    engine: `auto` and `spans` look entries between boundaries up in a span table, and find the rest (MetaCLIP 2's patterns
    without a space, and very long entries) by the fastest automaton that is installed; the others find all by the automaton of that name.
    Raises ConfigError for an unknown mode or engine, for an empty entry, and where case is to be folded in another mode than
    `word`; MissingExtraError for an engine that is not installed.
    """
    if mode not in MATCH_MODES:
        raise ConfigError(f"matching mode {mode!r} for {lang!r} is not known: {', '.join(MATCH_MODES)}")
    if engine not in get_args(Engine):
        raise ConfigError(f"matching engine {engine!r} is not known: {', '.join(get_args(Engine))}")
    reading = Reading(mode, fold_case=fold_case)
    automaton = engine if engine not in {"auto", "spans"} else fastest_automaton()
    if mode == "korean":
        return KoreanMatcher(entries, lang=lang, automaton=automaton)
    found, positions = _distinct(entries, reading)
    by_span = engine in {"auto", "spans"} and len(found) <= MAX_ENTRIES
    whole = (len(entry) <= MAX_LENGTH and reading.is_whole(entry) for entry in found)
    is_whole = np.fromiter(whole, np.bool_, len(found)) & by_span
    finders: list[tuple[Finder, npt.NDArray[np.int32]]] = []
    if is_whole.any():
        finders.append((SpanTable(_chosen(found, is_whole), reading), positions[is_whole]))
    if not is_whole.all():
        finders.append((Automaton(_chosen(found, ~is_whole), reading, automaton), positions[~is_whole]))
    by_automaton = not is_whole.all() or not by_span
    names = ["spans"] * bool(is_whole.any() or not by_automaton) + [automaton] * by_automaton
    return Matcher(reading, finders, lang=lang, engine="+".join(names))


def _distinct(entries: Sequence[str], reading: Reading) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the entries as the mode reads them, each once with its first position; none that no text can hold."""
    read = [reading.entry(entry) for entry in entries]
    first = dict.fromkeys(read)
    if len(first) == len(read) and not any(blank in "".join(read) for blank in BLANKS):
        return read, np.arange(len(read), dtype=np.int32)
    places: dict[str, int] = {}
    for position, entry in enumerate(read):
        places.setdefault(entry, position)
    kept = {
        entry: position for entry, position in places.items() if not any(blank in entry for blank in BLANKS)
    }
    return list(kept), np.fromiter(kept.values(), np.int32, len(kept))


def _chosen(entries: list[str], chosen_E: npt.NDArray[np.bool_]) -> list[str]:
    return entries if chosen_E.all() else list(compress(entries, chosen_E))


@lru_cache(maxsize=8)
def load_matcher(
    path: Path, sha256: str, *, lang: str, mode: str, engine: str = "auto", fold_case: bool = False
) -> Matcher:
    """Return the matcher of a frozen list's file, built once a process; what it is made of is never pickled.

    sha256: of the file, checked: a worker that lives on cannot serve an old list under a new name.
    """
    return build_matcher(read_list(path, sha256), lang=lang, mode=mode, engine=engine, fold_case=fold_case)


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
        self.engines = {lang: matcher.engine for lang, matcher in matchers.items()}
        self._identifier = identifier
        self._matchers = matchers
        self._min_chars = min_chars
        self._max_chars = max_chars

    def match_pairs(self, pairs: pa.RecordBatch, schema: pa.Schema, tally: Tally) -> pa.RecordBatch:
        """Return the rows of table matches for a batch of table pairs (its columns READ), and those dropped with their `_reason`.

        A mixed text has a row in each of its languages where it names an entry; it is one pair in the tally.
        Rows come a language after the other, then those dropped.
        """
        fields = [field.with_nullable(True) for field in schema]
        wanted = pa.schema([*fields, pa.field("_reason", pa.string())])
        cleaned = [clean(text) for text in pairs.column("text").to_pylist()]
        reasons, asked = self._judge(cleaned, pairs.column("pair_id").to_pylist(), tally)
        found = {lang: self._match(lang, rows, cleaned) for lang, rows in asked.items()}
        num_named = np.zeros(len(cleaned), np.int64)
        for of_lang in found.values():
            num_named[of_lang.rows] += 1
        parts = [
            _matched(pairs, cleaned, of_lang, num_named, wanted, tally=tally) for of_lang in found.values()
        ]
        dropped = [n for n, reason in enumerate(reasons) if reason or not num_named[n]]
        why = [reasons[n] or Reason.NO_MATCH for n in dropped]
        for reason, rows in Counter(why).items():
            tally.drop("pairs", reason, rows)
        tally.keep("pairs", len(cleaned) - len(dropped))
        parts.append(
            _columns(pairs, pa.array(dropped, pa.int32()), {"_reason": pa.array(map(str, why))}, wanted)
        )
        return pa.concat_batches(parts)

    def _judge(
        self, cleaned: Sequence[str], keys: Sequence[str], tally: Tally
    ) -> tuple[list[Reason | None], dict[str, list[Asked]]]:
        """Return why texts are not matched, None for those that are, and what is asked in each language."""
        reasons = [self._why_not(text) for text in cleaned]
        fit = [n for n, reason in enumerate(reasons) if reason is None]
        verdicts = self._identifier.identify_batch([cleaned[n] for n in fit], [keys[n] for n in fit])
        asked: dict[str, list[Asked]] = {lang: [] for lang in self._matchers}
        for n, verdict in zip(fit, verdicts, strict=True):
            if verdict.lang is None:
                reasons[n] = verdict.reason or Reason.NO_LANGUAGE
                continue
            asked[verdict.lang].append((n, verdict.score, verdict.detector))
            if verdict.mixed_lang:
                asked[verdict.mixed_lang].append((n, verdict.mixed_score, verdict.detector))
        for detector, texts in Counter(verdict.detector for verdict in verdicts).items():
            tally.add(f"asked/{detector}", texts)
        return reasons, asked

    def _why_not(self, text: str) -> Reason | None:
        if not text:
            return Reason.EMPTY_TEXT
        if len(text) < self._min_chars:
            return Reason.TOO_SHORT
        return Reason.TOO_LONG if len(text) > self._max_chars else None

    def _match(self, lang: str, asked: Sequence[Asked], cleaned: Sequence[str]) -> Matched:
        """Return what the texts that are asked in a language name in it."""
        offsets, ids = self._matchers[lang].match_columns([cleaned[n] for n, _, _ in asked])
        counts = np.diff(offsets)
        named = np.flatnonzero(counts)
        kept = [asked[n] for n in named.tolist()]
        rows, scores, detectors = (
            (list(column) for column in zip(*kept, strict=True)) if kept else ([], [], [])
        )
        ends = np.concatenate([[0], np.cumsum(counts[named])]).astype(np.int32)
        return Matched(lang, np.array(rows, np.int64), scores, detectors, ends, ids)


def _matched(
    pairs: pa.RecordBatch,
    cleaned: Sequence[str],
    found: Matched,
    num_named: Longs,
    wanted: pa.Schema,
    *,
    tally: Tally,
) -> pa.RecordBatch:
    """Return the rows of table matches in one language, counted."""
    mixed = num_named[found.rows] > 1
    rows = pa.array(found.rows, pa.int32())
    for name, count in (
        *((f"detector/{detector}", count) for detector, count in Counter(found.detectors).items()),
        (f"rows/{found.lang}", int((~mixed).sum())),
        (f"rows/{found.lang}/mixed", int(mixed.sum())),
    ):
        if count:
            tally.add(name, count)
    columns = {
        "lang": pa.repeat(found.lang, len(rows)),
        "clean_text": pa.array([cleaned[n] for n in found.rows.tolist()], pa.string()),
        "lang_score": pa.array(found.scores, pa.float64()),
        "detector": pa.array(found.detectors, pa.string()),
        "mixed": pa.array(mixed),
        "entry_ids": pa.ListArray.from_arrays(found.offsets, found.ids, type=wanted.field("entry_ids").type),
    }
    return _columns(pairs, rows, columns, wanted)


def _columns(
    pairs: pa.RecordBatch, rows: pa.Array, columns: Mapping[str, pa.Array], wanted: pa.Schema
) -> pa.RecordBatch:
    """Return some rows of the pairs with columns beside theirs; null where neither has one."""
    known = {name: pairs.column(name).take(rows) for name in READ} | dict(columns)
    return pa.RecordBatch.from_arrays(
        [known.get(field.name, pa.nulls(len(rows), field.type)) for field in wanted], schema=wanted
    )
