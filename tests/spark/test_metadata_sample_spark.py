"""The sample's configuration over the real sources, its dumps cut short: the lists are those of plain loops."""

import bz2
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.config import RunConfig, RunSection
from curation.config_metadata import MetadataSection
from curation.runfile import load
from curation.spark.metadata import run
from curation.stage import Tally
from curation.text import normalise
from metadata.entries import Entry
from metadata.merge import Rules, merge
from metadata.ngrams import NgramCounter, pmi_naive
from metadata.pageviews import read_views
from metadata.wikipedia import dump_ranges, plain_text, read_pages
from metadata.wordnet import read_wordnet
from metadata.words import read_words

CONFIG = Path(__file__).parents[2] / "configs" / "metadata-sample.toml"
PAGES = 60  # of each dump
SOURCES = {
    "en": {"number", "wordnet", "unigram", "bigram", "title"},
    "ko": {"number", "unigram", "title", "word"},
}


def cut_dump(dump: Path, folder: Path) -> str:
    """Write the first pages of a dump; return where."""
    text = bz2.decompress(dump.read_bytes()).decode()
    parts = text.split("</page>", PAGES)[:PAGES]
    place = folder / dump.name
    place.write_bytes(
        bz2.compress("".join([*(f"{part}</page>" for part in parts), "\n</mediawiki>"]).encode())
    )
    return str(place)


def section_of(shared: Path, folder: Path) -> MetadataSection:
    """Return the sample's section, its sources found where they are, its dumps cut."""
    section = load(CONFIG).metadata

    def found(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(str(shared / name.removeprefix("../shared/")) for name in names)

    def by_language(sources: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {lang: found(names) for lang, names in sources.items()}

    dumps = by_language(section.wikipedia)
    return replace(
        section,
        pageviews=found(section.pageviews),
        wordnet=by_language(section.wordnet),
        words=by_language(section.words),
        wikipedia={
            lang: tuple(cut_dump(Path(name), folder) for name in names) for lang, names in dumps.items()
        },
    )


def ngrams_plainly(section: MetadataSection, lang: str) -> dict[str, list[Entry]]:
    cuts, counter = section.cuts(lang), NgramCounter(lang)
    for part in dump_ranges(section.wikipedia[lang]):
        for page in read_pages(part, Tally()):
            counter.add(plain_text(page.text))
    ones, twos = (
        dict(zip(b["ngram"].to_pylist(), b["count"].to_pylist(), strict=True)) for b in counter.drain()
    )
    total = sum(ones.values())
    frequent = [(text, n, *text.split(" ")) for text, n in twos.items() if n >= cuts.bigram_min_count]
    scored = [(text, pmi_naive(n, ones[one], ones[two], total)) for text, n, one, two in frequent]
    return {
        "unigram": [Entry(lang, text, "unigram", n) for text, n in ones.items()],
        "bigram": [Entry(lang, text, "bigram", score) for text, score in scored],
    }


def titles_plainly(section: MetadataSection, lang: str) -> list[Entry]:
    views: Counter[str] = Counter()
    projects = section.projects(("en", "ko"))
    for file in sorted(Path(section.pageviews[0]).parent.glob(Path(section.pageviews[0]).name)):
        for of, title, number in read_views(str(file), projects, Tally()):
            if of == lang and number >= section.cuts(lang).title_min_hour_views:
                views[normalise(title)] += number
    return [Entry(lang, title, "title", number) for title, number in views.items()]


def built_plainly(section: MetadataSection, lang: str) -> list[Entry]:
    """Return a language's list by plain loops over all its sources; the merge drops what is below the cuts."""
    wordnet = [
        entry
        for name in section.wordnet.get(lang, ())
        for entry in read_wordnet(name, lang, Tally(), names=section.wordnet_names[lang])
    ]
    words = [entry for name in section.words.get(lang, ()) for entry in read_words(name, lang, Tally())]
    parts = ngrams_plainly(section, lang) | {"title": titles_plainly(section, lang)}
    return merge(parts | {"wordnet": wordnet, "word": words}, Rules.of(section, lang), Tally())


@pytest.mark.slow
def test_the_samples_lists_are_those_of_plain_loops(
    spark: Any, shared: Path, run_path: Path, tmp_path: Path
) -> None:
    section = section_of(shared, tmp_path)
    record = run(RunConfig(run=RunSection(path=run_path), metadata=section))
    rows = pq.read_table(record.path / "entries").to_pylist()
    for lang, sources in SOURCES.items():
        expected = built_plainly(section, lang)
        found = [row for row in rows if row["lang"] == lang]
        assert [(row["entry"], row["source"]) for row in found] == [(e.entry, e.source) for e in expected]
        names = [[item["source"] for item in row["sources"]] for row in found]
        assert names == [[name for name, _ in entry.sources] for entry in expected]
        scores = zip((row["score"] for row in found), (entry.score for entry in expected), strict=True)
        assert all(one == two or abs(one - two) < 1e-5 for one, two in scores)
        assert sources <= {entry.source for entry in expected}
    assert {item["path"] for item in record.data["externals"]} >= {"hunspell-ko.dic", "kiwipiepy_model"}
