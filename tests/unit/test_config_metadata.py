"""Both papers' values by language, from TOML and from the command line, and what is wrong named."""

from dataclasses import replace
from pathlib import Path

import pytest

from curation.canonical import as_record, canonical_json
from curation.cli import parse
from curation.config import RunConfig
from curation.config_metadata import METACLIP1, METACLIP2, MetadataSection
from curation.errors import ConfigError
from curation.runfile import load


def read(path: Path, text: str) -> MetadataSection:
    (path / "a.toml").write_text(text, encoding="utf-8")
    return load(path / "a.toml").metadata


def test_nothing_set_means_the_papers_and_the_default_lists() -> None:
    section = MetadataSection()
    assert section.cuts("en") == METACLIP1
    assert section.cuts("ko") == section.cuts("fi") == METACLIP2
    assert section.given() == ("default",)
    assert section.sources("en") == {}
    assert as_record(section) == {"entries": []}  # as runs before this section had more


def test_what_is_set_is_set_for_its_language_alone(tmp_path: Path) -> None:
    section = read(
        tmp_path,
        """[metadata]
        wikipedia = { ko = ["a.xml.bz2", "b*.bz2"] }
        pageviews = ["pageviews-*.gz"]
        unigram_min_count = { ko = 7, fi = 3 }
        bigram_min_pmi = { en = 10 }
        wordnet_names = { en = "lemmas" }
        """,
    )
    assert section.cuts("ko") == replace(METACLIP2, unigram_min_count=7)
    assert section.cuts("fi") == replace(METACLIP2, unigram_min_count=3)
    assert section.cuts("en") == replace(METACLIP1, bigram_min_pmi=10.0)
    assert section.sources("ko") == {"wikipedia": ("a.xml.bz2", "b*.bz2"), "pageviews": ("pageviews-*.gz",)}
    assert section.sources("en") == {"pageviews": ("pageviews-*.gz",)}
    assert section.given() == ()
    assert section.projects(["ko", "fi"]) == {"ko": "ko", "ko.m": "ko", "fi": "fi", "fi.m": "fi"}
    assert '"wikipedia":{"ko":["a.xml.bz2","b*.bz2"]}' in canonical_json(as_record(section))


def test_given_lists_and_sources_go_together() -> None:
    section = MetadataSection(entries=("default", "mine.txt"), words={"ko": ("ko.dic",)})
    assert section.given() == ("default", "mine.txt")
    assert section.sources("ko") == {"words": ("ko.dic",)}


def test_options_are_made_for_each_language() -> None:
    args = "--wordnet.en a b --wikipedia.ko c --title-top.ko 0.5 --max-entries.en 9 --pageviews p q"
    _, config, _ = parse("metadata", args.split(), sections=["metadata"], flat=True)
    section = config.metadata
    assert section.sources("en") == {"wordnet": ("a", "b"), "pageviews": ("p", "q")}
    assert section.cuts("ko").title_top == 0.5
    assert section.cuts("en") == replace(METACLIP1, max_entries=9)
    assert RunConfig().metadata.cuts("en").max_entries == 500_000


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("unigram_top = { ko = 0.0 }", "metadata.unigram_top.ko"),
        ("unigram_top = { ko = 1.5 }", "metadata.unigram_top.ko"),
        ("title_max = { en = -1 }", "metadata.title_max.en"),
        ("title_max = { en = 1.5 }", "metadata.title_max.en"),
        ("title_max = 5", "metadata.title_max"),
        ("bigram_min_pmi = { en = inf }", "metadata.bigram_min_pmi.en"),
        ("bigram_share = { en = nan }", "metadata.bigram_share.en"),
        ("max_chars = 0", "metadata.max_chars"),
        ("wordnet = { en = 'a' }", "metadata.wordnet.en"),
        ("wordnet_names = { en = 'names' }", "metadata.wordnet_names.en"),
        ("pageview_projects = { en = ['en'], ko = ['en'] }", "metadata.pageview_projects.ko"),
        ("pageview = []", "'pageview'"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read(tmp_path, f"[metadata]\n{text}\n")
