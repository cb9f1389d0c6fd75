"""The papers' two modes agree with MetaCLIP's own code, row by row, and with the definition on any text."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.automaton import conforms, fastest_automaton
from curation.config import MatchSection
from curation.errors import ConfigError, InputError, MissingExtraError, Reason
from curation.match import build_matcher, load_matcher, match_naive
from curation.stage import Tally
from metadata.entries import Entry, freeze, read_given, read_list, save_list

ALPHABET = "ab가나각ㄱ中ไ.,;:?!`'\"-_ \t\n\r\0é\u0301\ud800\U0001f600。～"
TEXT = st.text(st.sampled_from(ALPHABET), max_size=24)
ENTRIES = st.lists(st.text(st.sampled_from(ALPHABET), min_size=1, max_size=5), max_size=12)


@pytest.mark.parametrize(
    ("lang", "mode", "rows"),
    [("en", "metaclip1", 2325), ("en", "metaclip2", 2325), ("ko", "metaclip2", 1411)],
)
def test_every_reference_row_is_matched_as_metaclips_code_does(
    shared: Path, lang: str, mode: str, rows: int
) -> None:
    entries = pq.read_table(shared / "metadata" / "entries.parquet").to_pylist()
    reference = pq.read_table(shared / "metadata" / "reference_matches.parquet").to_pylist()
    asked = [row for row in reference if row["lang"] == lang and row[mode] is not None]
    matcher = build_matcher([row["entry"] for row in entries if row["lang"] == lang], lang=lang, mode=mode)
    assert len(asked) == rows
    found = matcher.match_batch(row["text"] for row in asked)
    assert found == [row[mode] for row in asked]


@settings(max_examples=300)
@given(ENTRIES, TEXT, st.sampled_from(["metaclip1", "metaclip2"]))
def test_the_automaton_finds_what_the_definition_says(entries: list[str], text: str, mode: str) -> None:
    matcher = build_matcher(entries, lang="en", mode=mode)
    assert matcher.match(text) == match_naive(text, entries, mode)
    assert matcher.match_batch([text, text]) == [matcher.match(text)] * 2


def test_metaclip1_knows_words_by_spaces_alone() -> None:
    matcher = build_matcher(["dog", "brown dog", "강아지"], lang="en", mode="metaclip1")
    assert matcher.match("A brown dog.") == [0, 1]
    assert matcher.match("(dog) DOG dogs dog's") == []
    assert matcher.match("강아지가") == []
    assert matcher.match("귀여운 강아지!") == [2]


def test_metaclip2_needs_no_space_beside_scripts_without_spaces() -> None:
    matcher = build_matcher(["中", "แมว", "(dog", "한국"], lang="zh", mode="metaclip2")
    assert matcher.match("x中x แมวx ((dog) 한국어") == [0, 1]
    assert matcher.match("x(dog 한국 ") == [2, 3]


def test_of_equal_entries_the_first_is_reported() -> None:
    assert build_matcher(["cat", "dog", "cat"], lang="en", mode="metaclip1").match("cat") == [0]


def test_word_finds_words_in_quotes_brackets_and_before_an_apostrophe() -> None:
    matcher = build_matcher(["dog", "hot dog", "강아지", "don't", "C++"], lang="en", mode="word")
    for text in ("(dog)", '"dog"', "dog's", "‘dog’", "a dog, a cat", "dog-friendly", "강dog지"):
        assert matcher.match(text) == [0], text
    for text in ("DOG", "dogs", "hotdog", "dog2", "hot_dog", "do\u200dg", "dog\u0301", "강아지가"):
        assert matcher.match(text) == [], text
    assert matcher.match("A hot dog!") == [0, 1]
    assert matcher.match("hot\tdog") == [0, 1]
    assert matcher.match("hot  dog") == [0]
    assert matcher.match("I don't write C++, 강아지!") == [2, 3, 4]


def test_case_is_folded_where_it_is_asked_for() -> None:
    entries = ["dog", "US", "us", "Straße", "ΣΑΣ", "istanbul"]
    matcher = build_matcher(entries, lang="en", mode="word", fold_case=True)
    assert matcher.match("DOG dog's STRASSE straße σας") == [0, 3, 4]
    assert matcher.match("us") == [1]  # of entries that are equal but for case, the first
    assert matcher.match("ISTANBUL İstanbul") == [5]
    assert matcher.match("İstanbul") == []  # its capital I has a dot
    assert build_matcher(entries, lang="en", mode="word").match("us DOG") == [2]


def test_columns_are_the_lists_one_after_the_other() -> None:
    matcher = build_matcher(["a", "b", "c"], lang="en", mode="metaclip1")
    offsets, ids = matcher.match_columns(["a c", "", "x", "c b a b"])
    assert offsets.tolist() == [0, 2, 2, 2, 5]
    assert ids.tolist() == [0, 2, 0, 1, 2]
    offsets, ids = matcher.match_columns([])
    assert (offsets.tolist(), ids.tolist()) == ([0], [])
    assert (offsets.dtype, ids.dtype) == ("int64", "int32")


def test_an_empty_list_finds_nothing() -> None:
    for mode in ("metaclip1", "metaclip2", "word", "korean"):
        assert build_matcher([], lang="en", mode=mode).match_batch(["a", ""]) == [[], []]


def test_a_batch_is_matched_as_its_texts_are_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["hot dog", "", "dog " * 50, "cat", "x", "a hot dog, a cat"] * 20
    matcher = build_matcher(["dog", "hot dog", "cat", "dog dog"], lang="en", mode="word")
    whole = matcher.match_batch(texts)
    for chars in (1, 7, 100):
        monkeypatch.setattr("curation.match.BATCH_CHARS", chars)
        assert matcher.match_batch(texts) == whole


def test_a_korean_matcher_gives_the_first_position_of_equal_entries() -> None:
    matcher = build_matcher(["강아지", "고양이", "강아지"], lang="ko", mode="korean")
    assert matcher.match("강아지와 고양이가") == [0, 1]
    assert matcher.match_columns(["고양이가", "", "강아지"])[0].tolist() == [0, 1, 1, 2]


def test_the_engine_that_is_told_is_the_one_that_is_used() -> None:
    fast = fastest_automaton()
    names = {
        ("metaclip1", "auto"): "spans",
        ("metaclip2", "auto"): f"spans+{fast}",
        ("word", "spans"): "spans",
        ("metaclip2", "pyahocorasick"): "pyahocorasick",
    }
    for (mode, engine), name in names.items():
        assert build_matcher(["dog", "中"], lang="en", mode=mode, engine=engine).engine == name
    assert build_matcher(["中"], lang="zh", mode="metaclip2").engine == fast


def test_auto_takes_an_engine_that_conforms_and_a_missing_one_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert conforms("pyahocorasick")
    monkeypatch.setitem(sys.modules, "daachorse", None)  # as if it were not installed
    assert not conforms("daachorse")
    with pytest.raises(MissingExtraError, match=r"bicurate\[fast\]"):
        build_matcher(["a"], lang="en", mode="metaclip1", engine="daachorse")


def test_an_engine_that_finds_too_little_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("daachorse")
    fake.DoubleArrayAhoCorasick = lambda _patterns: SimpleNamespace(
        find_overlapping=lambda _data: [(0, 1, 0)]
    )  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "daachorse", fake)
    assert not conforms("daachorse")


def test_mistakes_are_errors_that_say_what_there_is() -> None:
    with pytest.raises(ConfigError, match="metaclip1, metaclip2"):
        build_matcher(["a"], lang="en", mode="paper")
    with pytest.raises(ConfigError, match="metaclip2, word, korean"):
        build_matcher(["a"], lang="en", mode="words")
    with pytest.raises(ConfigError, match="'word' alone"):
        build_matcher(["a"], lang="en", mode="metaclip1", fold_case=True)
    with pytest.raises(ConfigError, match=r"fold_case\.en.* must be word"):
        MatchSection(fold_case={"en": True})
    with pytest.raises(ConfigError, match=r"match\.mode\.en.* one of metaclip1, metaclip2, word, korean"):
        MatchSection(mode={"en": "words"})
    assert MatchSection(mode={"en": "word"}, fold_case={"en": True}).fold_case == {"en": True}
    with pytest.raises(ConfigError, match="pyahocorasick"):
        build_matcher(["a"], lang="en", mode="metaclip1", engine="re2")
    with pytest.raises(ConfigError, match="empty"):
        build_matcher(["a", ""], lang="en", mode="metaclip1")


def test_a_list_is_frozen_in_the_order_given_without_doubles_and_unfit_lines() -> None:
    tally = Tally()
    given_entries = [
        Entry("en", "dog", "wordnet"),
        Entry("en", "dog", "title"),
        Entry("en", " ", "title"),
        Entry("en", "two\nlines", "title"),
        Entry("fr", "chien", "wordnet"),
        Entry("ko", "\u1100\u1161", "unigram"),  # NFD
    ]
    found = freeze(given_entries, ["en", "ko"], tally)
    assert [item.entry for item in found["en"]] == ["dog"]
    assert found["en"][0].source == "wordnet"
    assert [item.entry for item in found["ko"]] == ["가"]
    ledger = tally.of("entries")
    ledger.close()
    assert (ledger.merged, ledger.dropped) == (
        1, {Reason.EMPTY_TEXT: 1, Reason.BAD_TEXT: 1, Reason.OTHER_LANGUAGE: 1},
    )  # fmt: skip


def test_a_worker_refuses_a_list_that_is_not_the_frozen_one(tmp_path: Path) -> None:
    frozen = save_list([Entry("en", "dog", "given")], tmp_path, "en")
    assert read_list(frozen.path, frozen.sha256) == ["dog"]
    assert load_matcher(frozen.path, frozen.sha256, lang="en", mode="metaclip1").match("dog") == [0]
    frozen.path.write_text("cat\n")
    with pytest.raises(InputError, match="sha256"):
        read_list(frozen.path, frozen.sha256)


def test_a_given_list_that_is_not_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        list(read_given(tmp_path / "bad.parquet"))
    with pytest.raises(InputError, match=r"none\.parquet"):
        list(read_given(tmp_path / "none.parquet"))
    (tmp_path / "ko.txt").write_text("가\n\n나\n")
    assert [entry.entry for entry in read_given(tmp_path / "ko.txt")] == ["가", "나"]
