"""One language's list from what its sources offer: the order, the quotas, and why what is left out is. A step of
`curate metadata build`.

The order is MetaCLIP's: numbers, WordNet, unigrams, bigrams, titles; then word lists and given lists, which are ours. In a
source the higher score comes first, none comes last, ties go by the text; word lists and given lists keep their own order,
which is a person's. An entry stands where its first source has it, and keeps all sources that offer it. A quota counts the
entries that are new to the list (MetaCLIP 2); once it is full, what the source offers further is over it, whatever it is.

Texts become what alt-texts are when they are matched (`curation.text.normalise`: NFC, no invisible characters, single
spaces). In MetaCLIP 2 entries of punctuation alone and of more than 256 characters are left out; version 1 leaves out single
ASCII marks alone. Here both rules hold for every language.
"""

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from curation.config_metadata import SOURCES, Cuts, MetadataSection
from curation.errors import InputError, Reason
from curation.stage import Tally
from curation.text import normalise
from metadata.entries import Entry, why_not
from metadata.ngrams import MARKS

UNITS = {
    "number": "numbers", "wordnet": "wordnet", "unigram": "unigrams", "bigram": "bigrams", "title": "titles",
    "word": "word_entries", "given": "given_entries",
}  # fmt: skip
_IN_THEIR_ORDER = frozenset({"number", "word", "given"})
_Sources = tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a language's list takes of its sources."""

    lang: str
    cuts: Cuts
    max_chars: int = 256

    @classmethod
    def of(cls, section: MetadataSection, lang: str) -> "Rules":
        """Return a language's rules as they are configured."""
        return cls(lang=lang, cuts=section.cuts(lang), max_chars=section.max_chars)

    def least(self, source: str) -> float:
        """Return the least score that a source's offers must have, where they have one."""
        least = {
            "unigram": self.cuts.unigram_min_count,
            "bigram": self.cuts.bigram_min_pmi,
            "title": self.cuts.title_min_views,
        }
        return least.get(source, -math.inf)

    def most(self, source: str, new_unigrams: int) -> float:
        """Return how many new entries a source may bring. new_unigrams: how many the unigrams brought."""
        most = {
            "unigram": self.cuts.unigram_max,
            "bigram": self.cuts.bigram_max,
            "title": self.cuts.title_max,
        }
        bounds = [most.get(source) or math.inf]
        if source == "bigram" and self.cuts.bigram_share:
            bounds.append(share_of(new_unigrams, self.cuts.bigram_share))
        return min(bounds)


def share_of(number: int, share: float) -> int:
    """Return how many of `number` a share is, rounded down as MetaCLIP 2 does; 0.3 of 10 is 3 in spite of floats."""
    return math.floor(round(number * share, 6))


def numbers(lang: str, count: int) -> list[Entry]:
    """Return the numbers that both papers' lists begin with: 0 to 99."""
    return [Entry(lang, str(n), "number") for n in range(count)]


def unfit(text: str, max_chars: int = 256) -> Reason | None:
    """Return why a text can be no entry, or None."""
    reason = why_not(text)
    if reason:
        return reason
    if len(text) > max_chars:
        return Reason.TOO_LONG
    return Reason.PUNCTUATION if all(map(_is_punctuation, text)) else None


def _is_punctuation(char: str) -> bool:
    return char in MARKS or char.isspace() or unicodedata.category(char).startswith("P")


def merge(parts: Mapping[str, Iterable[Entry]], rules: Rules, tally: Tally) -> list[Entry]:
    """Return a language's list. Every offer is counted: kept, merged with an entry of the list, or dropped for a reason.

    parts: by source (`curation.config_metadata.SOURCES`), in any order; of word and given lists, in theirs. Numbers are of
    the rules where they are not among the parts. Where shares are asked for (`unigram_top`), the parts hold no more.
    tally: gets the ledgers `UNITS`, a source each. Raises InputError for a source or a language that is not of the list.
    """
    unknown = sorted(set(parts) - set(SOURCES))
    if unknown:
        raise InputError(f"no part of a list is called {unknown[0]!r}; there are {', '.join(SOURCES)}")
    given = {"number": numbers(rules.lang, rules.cuts.numbers)} | dict(parts)
    growing = _Growing(rules, tally)
    for source in SOURCES:
        growing.add(source, given.get(source, ()))
    return growing.entries()


@dataclass
class _Growing:
    """A list as it grows, source by source."""

    rules: Rules
    tally: Tally
    found: dict[str, tuple[Entry, dict[str, float | None]]] = field(default_factory=dict)
    """By text: the entry as it was first offered, and its sources with their scores in the order met."""
    brought: dict[str, int] = field(default_factory=dict)
    """New entries by source."""

    def add(self, source: str, offers: Iterable[Entry]) -> None:
        """Walk through a source's offers, best first."""
        unit = UNITS[source]
        ledger = self.tally.of(unit)
        most = self.rules.most(source, self.brought.get("unigram", 0))
        self.brought[source] = 0
        for offer in self._fit(source, offers):
            if self.brought[source] >= most:
                self.tally.drop(unit, Reason.OVER_QUOTA)
            elif offer.entry in self.found:
                ledger.rows_in += 1
                ledger.merged += 1
                self._note(offer)
            elif self.rules.cuts.max_entries and len(self.found) >= self.rules.cuts.max_entries:
                self.tally.drop(unit, Reason.OVER_QUOTA)
            else:
                self.tally.keep(unit)
                self.brought[source] += 1
                self.found[offer.entry] = (offer, {})
                self._note(offer)

    def _note(self, offer: Entry) -> None:
        for name, score in offer.all_sources:
            self.found[offer.entry][1].setdefault(name, score)

    def _fit(self, source: str, offers: Iterable[Entry]) -> list[Entry]:
        """Return what may be entries at all, normalised, in the order of the walk; count the others."""
        fit = []
        for offer in offers:
            if offer.lang != self.rules.lang:
                raise InputError(f"an entry of {offer.lang!r} is offered to the list of {self.rules.lang!r}")
            reason, text = self._judged(offer)
            below = offer.score is not None and offer.score < self.rules.least(source)
            if reason or below:
                self.tally.drop(UNITS[source], reason or Reason.BELOW_CUT)
            else:
                fit.append(Entry(offer.lang, text, offer.source, offer.score, offer.sources))
        return fit if source in _IN_THEIR_ORDER else sorted(fit, key=_rank)

    def _judged(self, offer: Entry) -> tuple[Reason | None, str]:
        reason = unfit(
            offer.entry, max(self.rules.max_chars, len(offer.entry))
        )  # before, since cleaning hides
        text = offer.entry if reason else normalise(offer.entry)
        return reason or unfit(text, self.rules.max_chars), text

    def entries(self) -> list[Entry]:
        """Return the list, each entry with all its sources."""
        return [
            Entry(first.lang, text, first.source, first.score, tuple(sources.items()))
            for text, (first, sources) in self.found.items()
        ]


def _rank(entry: Entry) -> tuple[bool, float, str, str, _Sources]:
    """Return what sorts a source's offers: the score, none last, then the text, and what else could differ."""
    score = entry.score
    others = tuple((name, -math.inf if value is None else value) for name, value in entry.sources)
    return score is None, -(score or 0.0), entry.entry, entry.source, others
