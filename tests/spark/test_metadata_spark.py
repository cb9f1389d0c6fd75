"""The entry lists: the same however dumps are split and shared out, those of plain loops, and given ones without Spark."""

import bz2
import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow.parquet as pq
import pytest

from curation.config import MetadataSection, RunConfig, RunSection
from curation.errors import ConfigError, InputError, MissingExtraError, Reason, StageError
from curation.spark.metadata import build, find_sources, run
from curation.spark.ngrams import LargeSources, _ngrams, plan_tasks
from curation.spark.sums import read_sums
from curation.stage import OpenStage, Record, Tally, identity, run_stage
from metadata import plan
from metadata.entries import SPEC, Entry, write_lists
from metadata.merge import Rules, merge
from metadata.ngrams import NgramCounter, pmi_naive
from metadata.pageviews import read_views
from metadata.wikipedia import dump_ranges, plain_text, read_pages

HEADER = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="en">\n'
WORDS = ["alpha", "beta", "gamma", "delta", "Paris", "hot", "dog", "stand", "river", "bank", "red", "fox"]
KOREAN = ("서울의 한강 다리 위에서 고양이가 잔다.", "고양이는 한강을 보고 강아지를 부른다.")
LANGUAGES = ("en", "ko")


def page(number: int, text: str, *, namespace: int = 0, redirect: str = "") -> str:
    return (
        f"<page><title>T{number}</title><ns>{namespace}</ns><id>{number + 1}</id>{redirect}<revision><id>1</id>"
        f"<model>wikitext</model><format>text/x-wiki</format><text>{escape(text)}</text></revision></page>\n"
    )


def pages(lang: str) -> list[str]:
    """Sixty pages: articles, and a talk page and a redirect among them."""
    found = []
    for number in range(60):
        line = " ".join(WORDS[(number * k) % len(WORDS)] for k in range(1, 9))
        korean = " ".join(KOREAN[: 1 + number % 2])
        text = f"'''{line}''', see [[hot dog]]. {{{{box|a=1}}}}" if lang == "en" else korean
        found.append(page(number, text, namespace=int(number % 11 == 5)))
    return [*found, page(60, "#REDIRECT [[T1]]", redirect='<redirect title="T1" />')]


def write_dump(folder: Path, lang: str, *, streams: int) -> Path:
    """Write a dump: one bzip2 stream, or a multistream one with its index."""
    parts = pages(lang)
    if streams == 1:
        path = folder / f"{lang}wiki-pages-articles.xml.bz2"
        path.write_bytes(bz2.compress((HEADER + "".join(parts) + "</mediawiki>\n").encode()))
        return path
    path = folder / f"{lang}wiki-pages-articles-multistream.xml.bz2"
    body, index = bz2.compress(HEADER.encode()), []
    size = -(-len(parts) // streams)
    for begin in range(0, len(parts), size):
        index += [f"{len(body)}:{n + 1}:T{n}\n" for n in range(begin, min(begin + size, len(parts)))]
        body += bz2.compress("".join(parts[begin : begin + size]).encode())
    path.write_bytes(body + bz2.compress(b"</mediawiki>\n"))
    index_path = folder / f"{lang}wiki-pages-articles-multistream-index.txt.bz2"
    index_path.write_bytes(bz2.compress("".join(index).encode()))
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for lang in LANGUAGES:
        for streams in (1, 7):
            write_dump(root, lang, streams=streams)
    for hour in range(3):
        lines = [f"en Title_{n} {n + hour} 0\nko.m %ED%95%9C%EA%B0%95_{n % 5} 2 0\n" for n in range(20)]
        noise = [
            "en Special:Search 900 0\n",
            "fr Paris 9 0\n",
            "garbage\n",
            "en.m Title_3 4 0\n",
            "en ?! 50 0\n",
        ]
        (root / f"pageviews-{hour}.gz").write_bytes(gzip.compress("".join(lines + noise).encode()))
    (root / "ko.txt").write_text("고양이\n구름\n", encoding="utf-8")
    return root


def section_of(sources: Path, *, multistream: bool, **options: Any) -> MetadataSection:
    kind = "pages-articles-multistream" if multistream else "pages-articles"
    cuts: dict[str, Any] = {
        "unigram_min_count": {"en": 5, "ko": 2}, "unigram_top": {"en": 1.0, "ko": 0.9}, "unigram_max": {"en": 8, "ko": 0},
        "bigram_min_count": {"en": 2, "ko": 2}, "bigram_min_pmi": {"en": 3.0, "ko": 1.0}, "bigram_max": {"en": 4, "ko": 0},
        "title_min_hour_views": {"en": 2, "ko": 1}, "title_min_views": {"en": 6, "ko": 1},
        "title_top": {"en": 0.8, "ko": 1.0}, "title_max": {"en": 9, "ko": 0}, "numbers": {"en": 3, "ko": 3},
    }  # fmt: skip
    return MetadataSection(
        wikipedia={lang: (str(sources / f"{lang}wiki-{kind}.xml.bz2"),) for lang in LANGUAGES},
        pageviews=(str(sources / "pageviews-*.gz"),),
        words={"ko": (str(sources / "ko.txt"),)},
        **(cuts | options),
    )


def build_run(path: Path, section: MetadataSection, **split: int) -> Record:
    config = RunConfig(run=RunSection(path=path), metadata=section)
    files = list(find_sources(section, LANGUAGES))
    return run_stage(config, SPEC, lambda stage: build(stage, files, **split))


def built_plainly(section: MetadataSection, lang: str) -> list[Entry]:
    """Return the list of a language by plain loops over everything: the oracle."""
    cuts, tally = section.cuts(lang), Tally()
    counter = NgramCounter(lang)
    for part in dump_ranges(section.wikipedia[lang]):
        for article in read_pages(part, tally):
            counter.add(plain_text(article.text))
    ones, twos = (
        dict(zip(b["ngram"].to_pylist(), b["count"].to_pylist(), strict=True)) for b in counter.drain()
    )
    total = sum(ones.values())
    unigrams = sorted((-c, t) for t, c in ones.items() if c >= cuts.unigram_min_count)
    pairs = [
        (text, count, *text.split(" ")) for text, count in twos.items() if count >= cuts.bigram_min_count
    ]
    bigrams = [(t, pmi_naive(c, ones[one], ones[two], total)) for t, c, one, two in pairs]
    views: Counter[str] = Counter()
    for file in sorted(Path(section.pageviews[0]).parent.glob("pageviews-*.gz")):
        for of, title, number in read_views(str(file), section.projects(LANGUAGES), Tally()):
            views[title] += number if of == lang and number >= cuts.title_min_hour_views else 0
    seen = [(-number, title) for title, number in views.items() if number]
    titles = sorted((n, title) for n, title in seen if -n >= cuts.title_min_views and title != "?!")
    parts = {
        "unigram": [Entry(lang, t, "unigram", -c) for c, t in unigrams[: int(len(ones) * cuts.unigram_top)]],
        "bigram": [Entry(lang, t, "bigram", score) for t, score in bigrams],
        "title": [Entry(lang, t, "title", -c) for c, t in titles[: int(len(seen) * cuts.title_top)]],
        "word": [Entry(lang, t, "word") for t in (["고양이", "구름"] if lang == "ko" else [])],
    }
    return merge(parts, Rules.of(section, lang), Tally())


def rows_of(record: Record, lang: str) -> list[dict[str, Any]]:
    table = pq.read_table(record.path / "entries").to_pylist()
    return [row for row in table if row["lang"] == lang]


@pytest.fixture(scope="module")
def plain(spark: Any, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    return build_run(tmp_path_factory.mktemp("plain") / "run", section_of(sources, multistream=False))


@pytest.mark.slow
def test_the_lists_are_those_of_plain_loops(plain: Record, sources: Path) -> None:
    section = section_of(sources, multistream=False)
    for lang in LANGUAGES:
        expected = built_plainly(section, lang)
        found = rows_of(plain, lang)
        assert [row["entry"] for row in found] == [entry.entry for entry in expected]
        assert [row["source"] for row in found] == [entry.source for entry in expected]
        for row, entry in zip(found, expected, strict=True):
            names = [item["source"] for item in row["sources"]]
            assert names == [name for name, _ in entry.sources]
            assert row["score"] == pytest.approx(entry.score, abs=1e-5)
    texts = {lang: {row["entry"] for row in rows_of(plain, lang)} for lang in LANGUAGES}
    assert {"고양이", "한강", "구름"} <= texts["ko"]
    assert not {"고양이가", "고양이는", "한강을"} & texts["ko"]


@pytest.mark.slow
def test_the_lists_are_the_same_for_any_split(
    plain: Record, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section = section_of(sources, multistream=True)
    assert len(dump_ranges(section.wikipedia["en"], streams_per_range=2)) == 4
    other = build_run(tmp_path / "run", section, partitions=5, streams_per_range=2)
    assert "no index" not in capsys.readouterr().err
    assert other.data["files"] == plain.data["files"]
    assert other.ledgers == plain.ledgers
    assert other.notes["built"] == plain.notes["built"]
    assert rows_of(other, "en") == rows_of(plain, "en")
    assert not (other.path / "_staged").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("partitions", "streams"), [(1, 1), (2, 3), (9, 7)])
def test_the_sums_that_lists_are_made_of_are_those_of_a_plain_count(
    spark: Any, sources: Path, tmp_path: Path, partitions: int, streams: int
) -> None:
    section = section_of(sources, multistream=True)
    tasks = plan_tasks(section, LANGUAGES, [], streams_per_range=streams)
    large = LargeSources(spark, tmp_path, section)
    large.read(tasks, LANGUAGES, partitions=partitions)
    for lang in LANGUAGES:
        counter, tally = NgramCounter(lang), Tally()
        for part in dump_ranges(section_of(sources, multistream=False).wikipedia[lang]):
            for article in read_pages(part, tally):
                counter.add(plain_text(article.text))
        for kind, batch in zip(("unigram", "bigram"), counter.drain(), strict=True):
            rows = read_sums(spark, tmp_path / "sums", kind).where(f"lang = '{lang}'").collect()
            expected = dict(zip(batch["ngram"].to_pylist(), batch["count"].to_pylist(), strict=True))
            assert {row["text"]: row["count"] for row in rows} == expected
            assert large.sizes[kind, lang] == (len(rows), sum(expected.values()))


@pytest.mark.slow
def test_the_record_says_what_each_source_gave_and_lost(plain: Record) -> None:
    ledgers = {item["unit"]: item for item in plain.ledgers}
    assert ledgers["pages"]["out"] == 2 * (60 - 5)
    assert ledgers["pages"]["in"] == 2 * 61
    assert ledgers["lines"]["dropped"]["malformed_line"] == 3
    assert ledgers["unigrams"]["dropped"][Reason.OVER_QUOTA] > 0
    assert ledgers["titles"]["dropped"][Reason.PUNCTUATION] == 1
    assert ledgers["bigrams"]["dropped"][Reason.BELOW_CUT] > 0
    english = plain.notes["built"]["en"]
    assert english["sources"]["unigram"]["kept"] == 8
    assert english["cuts"]["bigram_min_pmi"] == 3.0
    assert {"kiwipiepy", "mwparserfromhell"} <= set(plain.notes["libraries"])


@pytest.mark.slow
def test_quotas_count_what_is_new_though_spark_hands_over_only_the_best(
    sources: Path, tmp_path: Path, spark: Any
) -> None:
    (tmp_path / "en.txt").write_text("last of all\n")
    section = section_of(
        sources, multistream=False, entries=(str(tmp_path / "en.txt"),), unigram_max={"en": 2, "ko": 1}
    )
    config = RunConfig(run=RunSection(path=tmp_path / "run", languages=("en",)), metadata=section)
    record = run(config)
    rows = rows_of(record, "en")
    assert [row["source"] for row in rows].count("unigram") == 2
    assert (rows[-1]["entry"], rows[-1]["source"]) == ("last of all", "given")
    *files, parser, given = record.data["externals"]
    assert [(item["source"], item["lang"]) for item in files] == [
        ("wikipedia", "en"),
        *[("pageviews", "")] * 3,
    ]
    assert all(len(item["sha256"]) == 64 for item in (*files, given))
    assert parser == {"path": "mwparserfromhell", "version": version("mwparserfromhell")}
    assert run(config).skipped


def test_another_version_of_kiwi_or_of_its_model_is_another_list(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def build_nothing(stage: OpenStage, *_: Any) -> None:
        made.append(stage)
        write_lists(stage, {lang: [Entry(lang, "고양이", "given")] for lang in LANGUAGES})

    monkeypatch.setattr("curation.spark.metadata.build", build_nothing)
    section = section_of(sources, multistream=False)
    config = RunConfig(run=RunSection(path=tmp_path / "run"), metadata=section)
    installed = {name: version(name) for name in ("kiwipiepy", "kiwipiepy_model", "mwparserfromhell")}
    known = {item["path"]: item.get("version") for item in run(config).data["externals"]}
    assert installed.items() <= known.items()
    assert run(config).skipped
    for name in installed:
        with monkeypatch.context() as patch:
            patch.setattr(
                plan, "versions_of", lambda names, new=name: dict.fromkeys(names, "9") | {new: "10"}
            )
            with pytest.raises(StageError, match=r"another externals\.\w+\.version \(.* then, .* now\)"):
                run(config)
    again = replace(config, run=replace(config.run, on_existing="overwrite"))
    monkeypatch.setattr(plan, "versions_of", lambda names: installed | {"kiwipiepy_model": "9.9"})
    assert not run(again).skipped
    assert run(config).skipped
    assert len(made) == 2


def test_dumps_that_one_task_reads_alone_are_named_once(
    sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(plan_tasks(section_of(sources, multistream=False), LANGUAGES, [])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: no index lies beside enwiki-pages-articles.xml.bz2, kowiki-")
    assert "give *-pages-articles-multistream.xml.bz2 instead" in line
    plan_tasks(
        section_of(sources, multistream=True), LANGUAGES, []
    )  # one range each, and yet they can be shared out
    assert not capsys.readouterr().err


def test_given_lists_start_no_spark_and_older_records_still_match(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en.txt").write_text("dog\ncat\n")
    monkeypatch.setattr("curation.spark.session.get_session", None)
    section = MetadataSection(entries=(str(tmp_path / "en.txt"),))
    config = RunConfig(run=RunSection(path=tmp_path / "run", languages=("en",)), metadata=section)
    record = run(config)
    assert record.data["version"] == 1
    assert record.data["config"] == {"entries": [str(tmp_path / "en.txt")], "run.languages": ["en"]}
    assert identity(config, SPEC, {}, record.data["externals"]) == {key: record.data[key] for key in (
        "version", "schema_version", "config", "inputs", "externals")}  # fmt: skip


def test_a_language_without_any_source_is_refused_before_any_work(tmp_path: Path) -> None:
    section = MetadataSection(words={"en": (str(tmp_path / "words.txt"),)})
    with pytest.raises(ConfigError, match=r"metadata\.wikipedia\.ko"):
        run(RunConfig(run=RunSection(path=tmp_path / "run"), metadata=section))


def test_a_source_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    section = MetadataSection(words={"en": (str(tmp_path / "none.dic"),)})
    with pytest.raises(InputError, match=r"none\.dic"):
        run(RunConfig(run=RunSection(path=tmp_path / "run", languages=("en",)), metadata=section))
    assert not (tmp_path / "run" / "metadata").exists()


def test_a_missing_library_is_named_before_any_work(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    monkeypatch.setattr(plan, "sys", type("NoModules", (), {"modules": {}}))
    section = section_of(sources, multistream=False)
    with pytest.raises(MissingExtraError, match=r"mwparserfromhell.*bicurate\[metadata\]"):
        run(RunConfig(run=RunSection(path=tmp_path / "run"), metadata=section))
    assert plan.needed(section, ("ko",)) == dict.fromkeys(
        ("mwparserfromhell", "kiwipiepy"), "metadata.wikipedia.ko"
    )


@pytest.mark.parametrize(
    ("name", "lang", "expected"),
    [
        ("wordfreq==3.1.1/wordfreq/data/large_en.msgpack.gz", "en", ["msgpack"]),
        ("wordfreq==3.1.1/wordfreq/data/small_ko.msgpack.gz", "ko", ["msgpack", "kiwipiepy"]),
        ("python-mecab-ko-dic==2.1.1.post2/mecab_ko_dic/dictionary/sys.dic", "ko", ["kiwipiepy"]),
        ("kiwipiepy_model==0.24.0/kiwipiepy_model/cong.mdl", "ko", ["kiwipiepy"]),
        ("Babel==2.18.0/babel/locale-data/ko.dat", "ko", []),
        ("emoji==2.16.0/emoji/unicode_codes/emoji.unknown", "ko", []),
    ],
)
def test_what_a_packaged_source_needs_is_named_before_any_work(
    name: str, lang: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = MetadataSection(words={lang: (f"package:{name}",)}, entries=(str(tmp_path / "en.txt"),))
    assert plan.needed(section, (lang,)) == dict.fromkeys(expected, f"metadata.words.{lang}")
    monkeypatch.setattr(plan, "find_spec", lambda name: None)
    monkeypatch.setattr(plan, "sys", type("NoModules", (), {"modules": {}}))
    if expected:
        with pytest.raises(MissingExtraError, match=rf"metadata\.words\.{lang} needs '{expected[0]}'"):
            run(RunConfig(run=RunSection(path=tmp_path / "run"), metadata=section))
        assert not (tmp_path / "run").exists()


def test_all_kinds_of_small_sources_need_no_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.spark.session.get_session", None)
    (tmp_path / "words.txt").write_text("dog 5\ncat 9\n7 1\n")
    section = MetadataSection(words={"en": (str(tmp_path / "words.txt"),)})
    config = RunConfig(run=RunSection(path=tmp_path / "run", languages=("en",)), metadata=section)
    record = run(config)
    rows = rows_of(record, "en")
    assert [row["entry"] for row in rows[:100]] == [str(number) for number in range(100)]
    assert {row["entry"] for row in rows[100:]} == {"dog", "cat"}
    assert {item["source"] for item in rows[7]["sources"]} >= {"number"}


@pytest.mark.slow
def test_the_real_sample_as_a_multistream_dump_gives_the_same_counts(shared: Path, tmp_path: Path) -> None:
    """The sample's own pages, fifteen to a stream, read in ranges: the counts add up to those of the whole."""
    sample = shared / "sources/enwiki-sample-pages-articles.xml.bz2"
    text = bz2.decompress(sample.read_bytes()).decode()
    begin, end = text.index("<page>"), text.rindex("</page>") + len("</page>")
    parts = [f"{part}</page>\n" for part in text[begin:end].split("</page>")[:45]]
    plain = tmp_path / "enwiki-pages-articles.xml.bz2"
    plain.write_bytes(bz2.compress((text[:begin] + "".join(parts) + "</mediawiki>").encode()))
    path = tmp_path / "enwiki-pages-articles-multistream.xml.bz2"
    body, index = bz2.compress(text[:begin].encode()), ""
    for first in range(0, len(parts), 15):
        index += "".join(f"{len(body)}:{n}:T\n" for n in range(first, first + 15))
        body += bz2.compress("".join(parts[first : first + 15]).encode())
    path.write_bytes(body + bz2.compress(b"</mediawiki>"))
    index_path = tmp_path / "enwiki-pages-articles-multistream-index.txt.bz2"
    index_path.write_bytes(bz2.compress(index.encode()))
    found = []
    for dump in (plain, path):
        sums: Counter[tuple[str, str]] = Counter()
        tally = Tally()
        ranges = dump_ranges([str(dump)], streams_per_range=1)
        for part in ranges:
            for batch in _ngrams("en", part, tally):
                for row in batch.to_pylist():
                    sums[row["kind"], row["text"]] += row["count"]
        found.append((sums, tally.to_json()))
    assert len(ranges) == 3
    assert found[0] == found[1]
    assert sum(found[0][0].values()) > 1_000
