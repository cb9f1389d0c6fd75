"""The papers' two modes agree with MetaCLIP's own code, row by row, and with the definition on any text."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import ConfigError, InputError, Reason
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
    assert matcher.match(text) == match_naive(text, entries, mode)  # type: ignore[arg-type]
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


def test_mistakes_are_errors_that_say_what_there_is() -> None:
    with pytest.raises(ConfigError, match="metaclip1, metaclip2"):
        build_matcher(["a"], lang="en", mode="paper")
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
