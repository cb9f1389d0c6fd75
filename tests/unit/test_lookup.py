"""What two lists differ in, and what is near a text: against plain definitions, on random and hostile lists."""

import unicodedata
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import InputError
from metadata.lookup import (
    Listed,
    Lists,
    _increasing,
    diff_lists,
    find_entry,
    find_near,
    read_lists,
)


def lists_of(**texts: str) -> Lists:
    """Lists by language from words in their order; "word:source+source" names sources, scores are their positions."""
    found: Lists = {}
    for lang, line in texts.items():
        for n, item in enumerate(line.split("|")):
            entry, _, names = item.partition(":")
            sources = tuple((name, float(n)) for name in names.split("+")) if names else ()
            found.setdefault(lang, {})[entry] = Listed(lang, n, entry, sources)
    return found


@given(st.permutations(range(7)))
def test_what_stays_is_a_longest_increasing_subsequence(numbers: list[int]) -> None:
    stays = sorted(_increasing(numbers))
    kept = [numbers[n] for n in stays]
    assert kept == sorted(kept)
    longest = max(
        size
        for size in range(1, 8)
        for chosen in combinations(numbers, size)
        if list(chosen) == sorted(chosen)
    )
    assert len(kept) == longest


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_a_difference_accounts_for_every_entry_and_is_mirrored(left: list[str], right: list[str]) -> None:
    def made(texts: list[str]) -> Lists:
        return {"en": {text: Listed("en", n, text, (("title", 1.0),)) for n, text in enumerate(texts)}}

    (there,) = diff_lists(made(left), made(right))
    (back,) = diff_lists(made(right), made(left))
    assert {item.entry for item in there.only_a} == set(left) - set(right)
    assert {item.entry for item in there.only_b} == set(right) - set(left)
    assert [item.entry for item in there.only_a] == [item.entry for item in back.only_b]
    assert len(there.moved) == len(back.moved)
    shared = set(left) & set(right)
    moved = {mine.entry for mine, _ in there.moved}
    rest = [[text for text in texts if text in shared - moved] for texts in (left, right)]
    assert rest[0] == rest[1]
    assert there.same == (left == right)


def test_an_entry_that_comes_first_shifts_the_others_but_moves_none() -> None:
    (found,) = diff_lists(lists_of(en="a|b|c"), lists_of(en="x|a|b|c"))
    assert [item.entry for item in found.only_b] == ["x"]
    assert (found.moved, found.shifted) == ([], 3)


def test_sources_are_compared_where_both_lists_name_them() -> None:
    a = lists_of(en="one:number|two:unigram+title|three")
    b = lists_of(en="one:number+wordnet|two:title+unigram|three:title")
    (found,) = diff_lists(a, b)
    assert [mine.entry for mine, _ in found.resourced] == ["one"]
    assert found.rescored == []


def test_a_language_of_one_side_is_all_difference() -> None:
    found = diff_lists(lists_of(en="a", ko="가|나"), lists_of(en="a"))
    assert [(item.lang, len(item.only_a), item.same) for item in found] == [("en", 0, True), ("ko", 2, False)]


def test_an_entry_is_found_however_it_is_composed() -> None:
    lists = lists_of(en="caf\u00e9:title", ko="고양이:unigram")
    for text in ("caf\u00e9", "고양이"):
        (item,) = find_entry(lists, unicodedata.normalize("NFD", text))
        assert item.entry == text
    assert find_entry(lists, "cafe") == []


def test_near_entries_say_how_they_are_near() -> None:
    lists = lists_of(
        en="Golden Gate|golden gate bridge|gold|goldengate|golden-gate|ＧＯＬＤＥＮ ＧＡＴＥ", ko="골든게이트"
    )
    found = [(near.how, near.listed.entry) for near in find_near(lists, "golden gate", 9)]
    assert found == [
        ("case", "Golden Gate"),
        ("spacing", "goldengate"),
        ("spelling", "golden-gate"),
        ("spelling", "ＧＯＬＤＥＮ ＧＡＴＥ"),
        ("contains", "golden gate bridge"),
    ]
    assert [near.listed.entry for near in find_near(lists, "ＧＯＬＤ", 2)] == ["gold", "goldengate"]
    assert [near.listed.entry for near in find_near(lists, "게이트", 9)] == ["골든게이트"]


def test_of_entries_that_contain_a_text_whole_words_come_first() -> None:
    lists = lists_of(en="dogma|hot dog stand|dogs")
    assert [near.listed.entry for near in find_near(lists, "dog", 2)] == ["hot dog stand", "dogs"]
    assert find_near(lists, "dog", 0) == []


@pytest.mark.parametrize("text", ["", " ", "\t-"])
def test_a_text_of_nothing_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="empty"):
        find_near(lists_of(en="a"), text, 3)


@given(st.text())
def test_any_text_can_be_looked_for(text: str) -> None:
    lists = lists_of(en="a|b c|\u1112\u1161|\u200d|[red]")
    assert len(find_entry(lists, text)) <= 1
    try:
        assert len(find_near(lists, text, 3)) <= 3
    except InputError:
        assert not text.strip("-_\u00b7\u2010\u2011\u2013") or not "".join(text.split())


def test_lists_are_read_from_text_and_parquet_alike(tmp_path: Path) -> None:
    (tmp_path / "en.0123456789abcdef.txt").write_text("dog\ncat\ndog\n")
    (tmp_path / "en.txt").write_text("dog\ncat\n")
    table = pa.table(
        {"lang": ["ko", "en", "en", None], "entry": ["개", "dog", "cat", "x"], "source": ["title", None, "unigram", "y"]}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "given.parquet")
    expected = {"dog": 0, "cat": 1}
    for name in ("en.0123456789abcdef.txt", "en.txt", "given.parquet"):
        lists = read_lists(tmp_path / name)
        assert {text: item.entry_id for text, item in lists["en"].items()} == expected
    assert lists["en"]["cat"].sources == (("unigram", None),)
    assert lists["en"]["dog"].sources == ()
    assert lists["ko"]["개"].source == "title"


@pytest.mark.parametrize("name", ["none", "none.parquet", "broken.parquet", "ids.parquet", "latin.txt"])
def test_what_is_no_list_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    pq.write_table(pa.table({"lang": ["en"], "text": ["x"]}), tmp_path / "ids.parquet")
    with pytest.raises(InputError, match=name):
        read_lists(tmp_path / name)
