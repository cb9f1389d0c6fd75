import bz2
import gzip
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import InputError
from curation.stage import Tally
from metadata.entries import freeze
from metadata.streams import read_lines
from metadata.words import read_words


def read(path: Path, data: bytes | str) -> tuple[list[tuple[str, float | None]], dict[str, int]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    tally = Tally()
    words = [(e.entry, e.score) for e in read_words(str(path), "ko", tally)]
    tally.of("words").close()
    return words, tally.of("words").as_json()["dropped"]


DICTIONARY = r"""9
고양이/25
새
and\/or/AB
a\/b
/slash/A
hello/AB po:noun st:hel
work	po:verb
10:30
New York/A
"""


def test_a_dictionary_is_read_as_hunspell_reads_it(tmp_path: Path) -> None:
    words, reasons = read(tmp_path / "a.dic", DICTIONARY + "\n/\n")
    assert [w for w, _ in words] == [
        "고양이", "새", "and/or", "a/b", "/slash", "hello", "work", "10:30", "New York", "/",
    ]  # fmt: skip
    assert reasons == {"empty_text": 1}


def test_the_affix_file_names_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.aff").write_text("# comment\nSET EUC-KR\nTRY abc\n")
    words, reasons = read(tmp_path / "a.dic", "2\n고양이/1\n".encode("euc-kr") + b"\xff\xff\n")
    assert words == [("고양이", None)]
    assert reasons == {"undecodable_bytes": 1}
    (tmp_path / "a.aff").write_text("SET KLINGON\n")
    with pytest.raises(InputError, match=r"a\.aff.*KLINGON"):
        read(tmp_path / "a.dic", "1\na\n")


def test_a_dictionary_without_its_count_is_none(tmp_path: Path) -> None:
    for data in ("고양이/25\n새\n", "", "\n"):
        with pytest.raises(InputError, match=r"a\.dic"):
            read(tmp_path / "a.dic", data)


def test_counts_stand_after_a_tab_or_a_space(tmp_path: Path) -> None:
    tabs = "고양이\t120\nNew York\t7\n개\t1.5\nx y\t2e3\n\n개\n개\tmany\n" + "a\t1\n" * 30
    words, reasons = read(tmp_path / "a.tsv", tabs)
    assert words[:4] == [("고양이", 120.0), ("New York", 7.0), ("개", 1.5), ("x y", 2000.0)]
    assert reasons == {"empty_text": 1, "malformed_line": 2}
    assert read(tmp_path / "a.txt", tabs.replace("\t", " "))[0] == words
    assert read(tmp_path / "a.txt", "a\t1e999\nb\t-3\nc\tnan\n" + "d\t1\n" * 40)[1] == {"malformed_line": 3}


def test_a_plain_list_keeps_its_numbers(tmp_path: Path) -> None:
    words, _ = read(tmp_path / "a.txt", "\ufeffApollo 11\n고양이 \nhot dog\n#1\n고양이\n")
    assert words == [("Apollo 11", None), ("고양이", None), ("hot dog", None), ("#1", None), ("고양이", None)]


def test_compressed_and_remote_lists_read_alike(tmp_path: Path) -> None:
    data = "".join(f"단어{n}\t{n}\n" for n in range(3000)).encode()
    expected = read(tmp_path / "a.tsv", data)
    assert len(expected[0]) == 3000
    assert read(tmp_path / "a.tsv.gz", gzip.compress(data)) == expected
    assert read(tmp_path / "a.tsv.bz2", bz2.compress(data)) == expected
    assert read(tmp_path / "b.dic.gz", gzip.compress(DICTIONARY.encode())) == read(
        tmp_path / "b.dic", DICTIONARY
    )
    fsspec.filesystem("memory").pipe("/lists/a.tsv.gz", gzip.compress(data))
    assert len(list(read_words("memory://lists/a.tsv.gz", "ko", Tally()))) == 3000


def test_a_cut_list_keeps_what_was_whole(tmp_path: Path) -> None:
    data = gzip.compress("".join(f"단어{n * n}\t{n}\n" for n in range(30_000)).encode())
    words, reasons = read(tmp_path / "a.tsv.gz", data[: len(data) // 2])
    assert reasons == {"truncated": 1}
    assert words == [(f"단어{n * n}", float(n)) for n in range(len(words))]
    assert len(words) > 1000


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\x89PNG\r\n\x1a\n\0\0", "가나다\n".encode("utf-16"), b"\xb0\xed\xbe\xe7\n"]
)
def test_what_is_no_list_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"list\.txt"):
        read(tmp_path / "list.txt", data)
    with pytest.raises(InputError, match=r"missing\.txt"):
        list(read_words(str(tmp_path / "missing.txt"), "ko", Tally()))


@given(st.binary(max_size=200), st.integers(1, 9))
def test_lines_are_the_same_in_any_pieces(data: bytes, size: int) -> None:
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    expected = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    if not data or data.endswith(b"\n"):
        expected.pop()
    assert list(read_lines(pieces)) == expected


def test_a_line_without_end_is_bounded_and_counted_once() -> None:
    pieces = [b"a\n", b"x" * 50, b"x" * 50, b"x\nb\n", b"y" * 60 + b"\nc"]
    assert [str(item) for item in read_lines(pieces, max_line=40)] == [
        "b'a'", "too_long", "b'b'", "too_long", "b'c'",
    ]  # fmt: skip


def test_the_real_korean_dictionary_holds_what_grep_finds(shared: Path) -> None:
    path = shared / "sources" / "hunspell-ko.dic"
    tally = Tally()
    entries = list(read_words(str(path), "ko", tally))
    lines = path.read_text(encoding="utf-8").split("\n")[1:]
    assert [e.entry for e in entries] == [line.partition("/")[0] for line in lines if line]
    assert tally.of("words").rows_in == len(entries) == int(path.open().readline())
    frozen = freeze(entries, ["ko"], Tally())["ko"]
    assert "고양이" in {e.entry for e in frozen}
    assert all(unicodedata.is_normalized("NFC", e.entry) for e in frozen)
