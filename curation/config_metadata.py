"""[metadata] of the configuration: where the entry lists come from, and both papers' cut-offs and quotas, by language.

[1] Xu et al., "Demystifying CLIP Data", 2023, table 1 and its code (metaclip1/build_metadata.py): English.
[2] "MetaCLIP 2: A Worldwide Scaling Recipe", 2025, and its code (metadata/build_metadata.py, build_title.py): all others.

A language that a table does not name has the paper's value: [1] for English, [2] for every other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from curation.canonical import later
from curation.errors import require

DEFAULT_LISTS = "default"  # among the given lists: those that the package brings
SOURCES = ("number", "wordnet", "unigram", "bigram", "title", "word", "given")  # in the order of a built list


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """What a language's list takes of each source. A maximum of 0 is no maximum."""

    numbers: int
    """How many numbers stand first, from 0: both papers have 0 to 99."""
    unigram_min_count: int
    """Fewest occurrences of a unigram."""
    unigram_top: float
    """Share of the distinct unigrams that may enter, the most frequent first."""
    unigram_max: int
    """Most unigrams that are new to the list."""
    bigram_min_count: int
    """Fewest occurrences of a bigram."""
    bigram_min_pmi: float
    """Least pointwise mutual information, bits; see metadata.ngrams.pmi."""
    bigram_share: float
    """Most bigrams that are new to the list, as a share of the unigrams that entered; 0 is no such bound."""
    bigram_max: int
    """Most bigrams that are new to the list."""
    title_min_hour_views: int
    """Fewest views that one line of an hourly file must have to be counted."""
    title_min_views: int
    """Fewest views of a title over all files."""
    title_top: float
    """Share of the distinct titles that may enter, the most viewed first."""
    title_max: int
    """Most titles that are new to the list."""
    max_entries: int
    """Where the whole list is cut."""


METACLIP1 = Cuts(
    numbers=100, unigram_min_count=100, unigram_top=1.0, unigram_max=0, bigram_min_count=1, bigram_min_pmi=30.0,
    bigram_share=0.0, bigram_max=0, title_min_hour_views=50, title_min_views=70, title_top=1.0, title_max=0,
    max_entries=500_000,
)  # fmt: skip
METACLIP2 = Cuts(
    numbers=100, unigram_min_count=1, unigram_top=0.1, unigram_max=251_465, bigram_min_count=1, bigram_min_pmi=30.0,
    bigram_share=0.0, bigram_max=100_646, title_min_hour_views=1, title_min_views=1, title_top=0.76, title_max=61_235,
    max_entries=0,
)  # fmt: skip


def paper_cuts(lang: str) -> Cuts:
    """Return the values of the paper that made a language's list first: [1] for English, [2] for all others."""
    return METACLIP1 if lang == "en" else METACLIP2


def _of_papers(name: str) -> dict[str, float]:
    return {lang: getattr(paper_cuts(lang), name) for lang in ("en", "ko")}


def _ints(name: str) -> dict[str, int]:
    return {lang: int(value) for lang, value in _of_papers(name).items()}


def _no_files() -> dict[str, tuple[str, ...]]:
    return {"en": (), "ko": ()}


@dataclass(frozen=True, kw_only=True)
class MetadataSection:
    """Given entry lists, or lists built from sources, into the frozen form."""

    entries: tuple[str, ...] = ()
    """Given lists: Parquet files with columns lang, entry and, where there are, source, score and sources; text files
    named LANG.txt, an entry a line; or `default`, the lists that the package brings, which also serve where nothing is
    given and no source is named. Where sources are named, what is given comes after them."""
    wordnet: dict[str, tuple[str, ...]] = later(factory=_no_files)
    """WordNets a language: a `dict` folder, a .tar.gz of one, or WN-LMF as .xml or .xml.gz."""
    wordnet_names: dict[str, Literal["lemmas", "synsets"]] = later(
        factory=lambda: {"en": "synsets", "ko": "lemmas"}
    )
    """What of a WordNet enters: the names of its synsets as [1] takes them, or all lemmas [2], also where a language is
    not named."""
    wikipedia: dict[str, tuple[str, ...]] = later(factory=_no_files)
    """Wikipedia dumps a language, files or globs: `*-pages-articles*.xml.bz2`; multistream ones are split by their index."""
    words: dict[str, tuple[str, ...]] = later(factory=_no_files)
    """Word lists a language: hunspell's .dic, or a word a line, with its count after a tab or space where there is one."""
    pageviews: tuple[str, ...] = later(())
    """Hourly page views, files or globs: `pageviews-*.gz`; one file holds all languages."""
    pageview_projects: dict[str, tuple[str, ...]] = later(
        factory=lambda: {"en": ("en", "en.m"), "ko": ("ko", "ko.m")}
    )
    """Project codes in the page views that are summed for a language: desktop and mobile [2]; `en` alone in [1]."""
    numbers: dict[str, int] = later(factory=lambda: _ints("numbers"))
    """How many numbers stand first, from 0: 0 to 99 [1, 2]."""
    unigram_min_count: dict[str, int] = later(factory=lambda: _ints("unigram_min_count"))
    """Fewest occurrences of a unigram: 100 [1], none asked for [2]."""
    unigram_top: dict[str, float] = later(factory=lambda: _of_papers("unigram_top"))
    """Share of the distinct unigrams that may enter, the most frequent first: 0.1 [2]; all in [1]."""
    unigram_max: dict[str, int] = later(factory=lambda: _ints("unigram_max"))
    """Most unigrams that are new to the list, 0 for no bound: 251,465 [2], the number that came out in [1]."""
    bigram_min_count: dict[str, int] = later(factory=lambda: _ints("bigram_min_count"))
    """Fewest occurrences of a bigram: none asked for [1, 2]. PMI alone favours what occurs once: 5 is wiser (ours)."""
    bigram_min_pmi: dict[str, float] = later(factory=lambda: _of_papers("bigram_min_pmi"))
    """Least pointwise mutual information, log2, inclusive: 30 [1]; above 30 [2]. A bigram whose words occur c times
    reaches at most log2(tokens / c): 30 asks for 2^30 tokens, small corpora want 8 to 12 (ours)."""
    bigram_share: dict[str, float] = later(factory=lambda: _of_papers("bigram_share"))
    """Most new bigrams as a share of the unigrams that entered, 0 for no bound: the text of [2] says 0.4, its code does
    not ask."""
    bigram_max: dict[str, int] = later(factory=lambda: _ints("bigram_max"))
    """Most bigrams that are new to the list, 0 for no bound: 100,646 [2], the number that came out in [1]."""
    title_min_hour_views: dict[str, int] = later(factory=lambda: _ints("title_min_hour_views"))
    """Fewest views of one line of an hourly file that is counted: 50 [1, its code], 1 [2]."""
    title_min_views: dict[str, int] = later(factory=lambda: _ints("title_min_views"))
    """Fewest views of a title over all files: 70 [1], over 26 days; none asked for [2], over 37 days."""
    title_top: dict[str, float] = later(factory=lambda: _of_papers("title_top"))
    """Share of the distinct titles that may enter, the most viewed first: 0.76 [2]; all in [1]."""
    title_max: dict[str, int] = later(factory=lambda: _ints("title_max"))
    """Most titles that are new to the list, 0 for no bound: 61,235 [2], the number that came out in [1]."""
    max_entries: dict[str, int] = later(factory=lambda: _ints("max_entries"))
    """Where a built list is cut, 0 for no bound: 500,000 [1]; none [2]."""
    max_chars: int = later(256)
    """Longest entry of a built list, characters [2]."""

    def __post_init__(self) -> None:
        for name in _CUTS:
            for lang, value in getattr(self, name).items():
                allowed, held = _ALLOWED[name]
                require(held(value), f"metadata.{name}.{lang}", value, allowed)
        for lang, names in self.wordnet_names.items():
            require(
                names in {"lemmas", "synsets"}, f"metadata.wordnet_names.{lang}", names, "lemmas or synsets"
            )
        require(self.max_chars >= 1, "metadata.max_chars", self.max_chars, "1 or more")
        _check_projects(self.pageview_projects)

    def cuts(self, lang: str) -> Cuts:
        """Return the cut-offs and quotas of a language: what is set, and the paper's value where nothing is."""
        paper = paper_cuts(lang)
        return Cuts(**{name: getattr(self, name).get(lang, getattr(paper, name)) for name in _CUTS})

    def sources(self, lang: str) -> dict[str, tuple[str, ...]]:
        """Return a language's sources that are named, by field: wordnet, wikipedia, words, pageviews."""
        named = {name: getattr(self, name).get(lang, ()) for name in ("wordnet", "wikipedia", "words")}
        return {name: files for name, files in (named | {"pageviews": self.pageviews}).items() if files}

    def projects(self, languages: Sequence[str]) -> dict[str, str]:
        """Return the language of each project code in the page views."""
        codes = {lang: self.pageview_projects.get(lang, (lang, f"{lang}.m")) for lang in languages}
        return {code: lang for lang in languages for code in codes[lang]}

    def given(self) -> tuple[str, ...]:
        """Return the given lists; `default` where neither a list nor a source is named for any language."""
        files = (*self.wordnet.values(), *self.wikipedia.values(), *self.words.values(), self.pageviews)
        return self.entries or (() if any(files) else (DEFAULT_LISTS,))


def _check_projects(projects: Mapping[str, Sequence[str]]) -> None:
    seen: dict[str, str] = {}
    for lang, codes in projects.items():
        for code in codes:
            other = seen.setdefault(code, lang)
            require(other == lang, f"metadata.pageview_projects.{lang}", code, f"it is counted for {other!r}")


_Rule = tuple[str, Callable[[float], bool]]
_COUNT: _Rule = ("0 or more", lambda value: value >= 0)
_SHARE: _Rule = ("a share in (0, 1]", lambda value: 0 < value <= 1)
_CUTS = tuple(f.name for f in fields(Cuts))
_ALLOWED: dict[str, _Rule] = dict.fromkeys(_CUTS, _COUNT) | {
    "unigram_top": _SHARE,
    "title_top": _SHARE,
    "bigram_min_pmi": ("a number of bits", math.isfinite),
    "bigram_share": ("a share, 0 or more", lambda value: value >= 0 and math.isfinite(value)),
}
