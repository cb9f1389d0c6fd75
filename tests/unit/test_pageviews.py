import gzip
import io
import unicodedata
import urllib.parse
from collections import Counter
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import InputError, Reason
from curation.stage import Tally
from metadata.namespaces import namespace_of
from metadata.pageviews import MAX_LINE, read_title, read_views

PROJECTS = {"en": "en", "en.m": "en", "ko": "ko", "ko.m": "ko"}


def read(data: bytes, *, colon_titles: bool = False) -> tuple[list[tuple[str, str, int]], dict[str, int]]:
    tally = Tally()
    rows = list(read_views(io.BytesIO(data), PROJECTS, tally, colon_titles=colon_titles))
    ledger = tally.of("lines")
    ledger.close()
    return rows, ledger.as_json()["dropped"]


def one(line: str) -> tuple[str, str, int] | str:
    rows, reasons = read(f"ko 개 1 0\n{line}\n".encode())
    return rows[1] if len(rows) == 2 else next(iter(reasons))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("en 14_july 5 0", ("en", "14 july", 5)),
        ("en.m Cat 7 0", ("en", "Cat", 7)),
        ("ko %EA%B3%A0%EC%96%91%EC%9D%B4 3 0", ("ko", "고양이", 3)),
        ("ko 고양이_(동물) 3 0", ("ko", "고양이 (동물)", 3)),
        (f"ko {unicodedata.normalize('NFD', '고양이')} 3 0", ("ko", "고양이", 3)),
        ("en 100%25_Design 3 0", ("en", "100% Design", 3)),
        ("en 100%_Design 3 0", ("en", "100% Design", 3)),
        ("en %2541 3 0", ("en", "%41", 3)),  # decoded once
        ("en A+B 3 0", ("en", "A+B", 3)),
        ("en __a__b_ 3 0", ("en", "a b", 3)),
        ("en Caf%C3%A9 3 0", ("en", "Café", 3)),
        ("en Caf%E9 3 0", "undecodable_bytes"),
        ("en Cat 0 0", "no_views"),
        ("en  3 0", "bad_title"),
        ("en - 3 0", "bad_title"),
        ("en _ 3 0", "bad_title"),
        ("en a%00b 3 0", "bad_title"),
        ("en a%0Ab 3 0", "bad_title"),
        ("en a%7Cb 3 0", "bad_title"),
        ("en Cat#Tail 3 0", "bad_title"),
        (f"en {'x' * 256} 3 0", "bad_title"),
        ("en Main_Page 400000 0", "main_page"),
        ("ko Main_Page 400000 0", "main_page"),
        ("en Special:Search 9 0", "other_namespace"),
        ("en special:search 9 0", "other_namespace"),
        ("en Special%3ASearch 9 0", "other_namespace"),
        ("en User_talk:A 9 0", "other_namespace"),
        ("ko 특수:검색 9 0", "other_namespace"),
        ("ko 사용자토론:가 9 0", "other_namespace"),
        ("ko 사용자_토론:가 9 0", "other_namespace"),
        ("ko 위키백과:대문 9 0", "other_namespace"),
        ("en Star_Wars:_Episode_IV 9 0", "colon_title"),
        ("de Berlin 900 0", "other_project"),
        ("en.d word 4 0", "other_project"),
        ('"" - 12 0', "other_project"),
        ("malformed line", "malformed_line"),
        ("", "malformed_line"),
        ("en Cat 3", "malformed_line"),
        ("en Cat 3 0 1", "malformed_line"),
        ("en Cat -3 0", "malformed_line"),
        ("en Cat three 0", "malformed_line"),
        ("en Cat 3 x", "malformed_line"),
        ("en Cat 9999999999999999 0", "malformed_line"),
        ("en\tCat\t3\t0", "malformed_line"),
        ("en " + "x" * MAX_LINE + " 3 0", "too_long"),
    ],
)
def test_what_a_line_says(line: str, expected: tuple[str, str, int] | str) -> None:
    assert one(line) == expected


def test_colon_titles_can_be_kept_but_no_namespace() -> None:
    data = "en Star_Wars:_Episode_IV 9 0\nen Special:A 1 0\nko 분류:개 1 0\nko 문자: 2 0\n".encode()
    rows, reasons = read(data, colon_titles=True)
    assert rows == [("en", "Star Wars: Episode IV", 9), ("ko", "문자:", 2)]
    assert reasons == {"other_namespace": 2}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("File:A.jpg", "File"), ("파일:A.jpg", "파일"), ("그림:A", "그림"), ("Wikipedia talk:A", "Wikipedia talk"),
        ("TALK:a", "TALK"), ("틀토론:a", "틀토론"), ("백:a", "백"), ("WP:a", "WP"), ("들머리:a", "들머리"),
        ("2001: A Space Odyssey", None), ("반지의 제왕: 왕의 귀환", None), ("Files: a", None), ("File", None), (":a", None),
        ("User", None), ("Help!: a", None), ("한국위키백과:x", None),
    ],
)  # fmt: skip
def test_namespaces_are_known_by_their_names(title: str, expected: str | None) -> None:
    assert namespace_of(title) == expected


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Mn"]), min_size=1, max_size=20))
def test_a_title_comes_back_however_it_is_encoded(title: str) -> None:
    plain = title.replace("%", "%25").encode()
    quoted = urllib.parse.quote(title).encode()
    escaped = "".join(f"%{byte:02x}" for byte in title.encode()).encode()
    assert read_title(plain) == read_title(quoted) == read_title(escaped)


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 7))
def test_every_line_is_counted_whatever_it_holds(lines: list[bytes], size: int) -> None:
    data = b"\n".join([b"en Cat 1 0", *lines, b""])
    tally = Tally()
    rows = list(read_views(io.BytesIO(data), PROJECTS, tally))
    tally.of("lines").close()
    assert tally.of("lines").rows_in == data.count(b"\n")
    assert rows[0] == ("en", "Cat", 1)


def test_plain_gzip_members_and_remote_files_read_alike(tmp_path: Path) -> None:
    data = b"".join(f"en Title_{n} {n + 1} 0\r\n".encode() for n in range(2000))
    path = tmp_path / "pageviews.gz"
    path.write_bytes(
        b"".join(gzip.compress(data[i : i + 999]) for i in range(0, len(data), 999)) + bytes(512)
    )
    fsspec.filesystem("memory").pipe("/views/pageviews.gz", path.read_bytes())
    expected = read(data)
    assert len(expected[0]) == 2000
    for address in (str(path), "memory://views/pageviews.gz"):
        assert list(read_views(address, PROJECTS, Tally())) == expected[0]


def test_a_cut_or_damaged_file_keeps_what_was_whole() -> None:
    data = b"".join(f"en Title_{n}_{n * n} {n + 1} 0\n".encode() for n in range(20_000))
    whole = gzip.compress(data)
    rows, reasons = read(whole[: len(whole) // 2])
    assert reasons == {"truncated": 1}
    assert rows == read(data)[0][: len(rows)]
    assert len(rows) > 1000
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 8] = b"\xff" * 8
    rows, reasons = read(bytes(broken))
    assert reasons["damaged"] == 1


def test_what_is_no_file_of_page_views_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("It was the best of times\nit was\n")
    with pytest.raises(InputError, match=r"book\.txt"):
        list(read_views(str(tmp_path / "book.txt"), PROJECTS, Tally()))
    with pytest.raises(InputError, match="missing"):
        list(read_views(str(tmp_path / "missing.gz"), PROJECTS, Tally()))
    (tmp_path / "empty.gz").write_bytes(b"")  # an hour in which nothing was asked for
    assert not list(read_views(str(tmp_path / "empty.gz"), PROJECTS, Tally()))


@pytest.mark.parametrize("hour", ["000000", "010000"])
def test_the_real_files_add_up_as_a_plain_loop_counts_them(shared: Path, hour: str) -> None:
    path = shared / "sources" / f"pageviews-20261101-{hour}.gz"
    tally = Tally()
    found: Counter[tuple[str, str]] = Counter()
    for lang, title, views in read_views(str(path), PROJECTS, tally):
        found[lang, title] += views
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    expected: Counter[tuple[str, str]] = Counter()
    for line in lines:
        fields = line.split(" ")
        if len(fields) == 4 and fields[0] in PROJECTS and int(fields[2]):
            title = urllib.parse.unquote(fields[1]).replace("_", " ")
            if ":" not in title and title not in {"Main Page", ""}:
                expected[fields[0][:2], title] += int(fields[2])
    assert found == expected
    ledger = tally.of("lines")
    assert ledger.rows_in == len(lines)
    assert ledger.dropped[Reason.MALFORMED_LINE] == 1
    assert ledger.dropped[Reason.OTHER_PROJECT] == sum(
        not line.startswith(("en ", "en.m ", "ko ", "ko.m ", "malf")) for line in lines
    )
    assert (
        ledger.dropped[Reason.MAIN_PAGE]
        == ledger.dropped[Reason.OTHER_NAMESPACE]
        == ledger.dropped[Reason.BAD_TITLE]
        == 2
    )
    assert "사" in {title for lang, title in found if lang == "en"}
