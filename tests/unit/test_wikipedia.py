import bz2
import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.sax.saxutils import escape

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ConfigError, InputError, Reason
from curation.stage import Tally
from metadata.streams import bunzip2, read_bytes
from metadata.wikipedia import DumpRange, Page, PageCutter, dump_ranges, parse_page, read_pages

HEADER = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">\n<siteinfo/>\n'
FOOTER = "</mediawiki>\n"
NAME = "kowiki-20260101-pages-articles-multistream.xml.bz2"
INDEX = "kowiki-20260101-pages-articles-multistream-index.txt.bz2"


def page_xml(number: int, text: str = "", *, ns: int = 0, redirect: str = "", title: str = "") -> str:
    text = text or f"고양이 {number} & <b>개</b>\n" * (number % 7 + 1)
    return (
        f"  <page>\n    <title>{escape(title or f'제목 {number}')}</title>\n    <ns>{ns}</ns>\n    <id>{number}</id>\n"
        f"{redirect}    <revision>\n      <id>9{number}</id>\n      <model>wikitext</model>\n"
        f'      <text xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>\n'
    )


def some_pages(count: int) -> list[str]:
    pages = []
    for number in range(1, count + 1):
        if number % 5 == 0:
            pages.append(page_xml(number, "#넘겨주기 [[개]]"))
        elif number % 7 == 0:
            pages.append(page_xml(number, ns=10))
        else:
            pages.append(page_xml(number))
    return pages


def write_multistream(folder: Path, pages: list[str], per_stream: int = 3) -> Path:
    data = bz2.compress(HEADER.encode())
    index = []
    for start in range(0, len(pages), per_stream):
        group = pages[start : start + per_stream]
        index += [f"{len(data)}:{start + n}:제목: {start + n}\n" for n in range(len(group))]
        data += bz2.compress("".join(group).encode())
    data += bz2.compress(FOOTER.encode())
    path = folder / NAME
    path.write_bytes(data)
    (folder / INDEX).write_bytes(bz2.compress("".join(index).encode()))
    return path


def read_all(parts: list[DumpRange]) -> tuple[list[Page], Tally]:
    tally = Tally()
    return [page for part in parts for page in read_pages(part, tally)], tally


def dropped(tally: Tally) -> dict[str, int]:
    tally.of("pages").close()
    return dict(tally.of("pages").as_json()["dropped"])


def write_plain(path: Path, text: str) -> list[DumpRange]:
    path.write_bytes(bz2.compress(text.encode()))
    return dump_ranges([str(path)])


@pytest.mark.parametrize("streams_per_range", [1, 2, 3, 7, 1000])
def test_any_ranges_give_the_pages_of_the_whole(tmp_path: Path, streams_per_range: int) -> None:
    path = write_multistream(tmp_path, some_pages(40))
    parts = dump_ranges([str(path)], streams_per_range=streams_per_range)
    whole = DumpRange(str(path), 0, None, NAME)
    found, tally = read_all(parts)
    expected, whole_tally = read_all([whole])
    assert found == expected
    assert tally.to_json() == whole_tally.to_json()
    assert tally.of("pages").rows_in == 40
    assert dropped(tally) == {"redirect": 8, "other_namespace": 4}
    # The ranges are all the bytes, each once.
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert parts[0].start == 0
    assert parts[-1].stop is None
    assert len(parts) == -(-14 // streams_per_range)


def test_pages_are_what_an_xml_parser_reads(tmp_path: Path) -> None:
    pages = some_pages(30)
    found, _ = read_all(dump_ranges([str(write_multistream(tmp_path, pages))], streams_per_range=2))
    root = ET.fromstring(HEADER + "".join(pages) + FOOTER)
    assert [(p.page_id, p.title, p.text) for p in found] == list(oracle(root.iter()))


def oracle(elements: Any) -> Iterator[tuple[int, str, str]]:
    """Read articles with the standard library's tree builder."""
    for element in elements:
        if element.tag.rpartition("}")[2] != "page":
            continue
        child = {item.tag.rpartition("}")[2]: item for item in element}
        text = next(i.text or "" for i in child["revision"] if i.tag.endswith("text"))
        if (
            child["ns"].text == "0"
            and "redirect" not in child
            and not text.startswith(("#RED", "#넘겨주기 [["))
        ):
            yield int(child["id"].text), child["title"].text, text
        element.clear()


@given(st.lists(st.integers(0, 4000), max_size=12), st.booleans())
def test_any_cutting_of_the_bytes_gives_the_same_pages(cuts: list[int], damaged: bool) -> None:
    text = HEADER + "".join(some_pages(9)) + FOOTER
    if damaged:
        text = (
            text.replace("<page>", "", 1)
            .replace("제목 6</title>", "제목 6</titel>")
            .replace("</page>", "", 1)
        )
    data = text.encode()
    edges = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    cutter = PageCutter(has_header=True, has_end=True)
    found = [item for start, stop in itertools.pairwise(edges) for item in cutter.feed(data[start:stop])]
    found += list(cutter.end())
    whole = PageCutter(has_header=True, has_end=True)
    assert found == [*whole.feed(data), *whole.end()]
    assert len(found) == 9 - damaged


class CountingFileSystem(AbstractFileSystem):
    protocol = "counting"
    asked: ClassVar[list[tuple[int, int]]] = []
    data = b""

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.data), "type": "file"}

    def isfile(self, path: str) -> bool:
        return True

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **options: Any) -> Any:
        return CountingFile(self, path, mode, size=len(self.data), block_size=5 << 20, **{
            key: value for key, value in options.items() if key in {"cache_type", "cache_options"}
        })  # fmt: skip


class CountingFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        CountingFileSystem.asked.append((start, end))
        return CountingFileSystem.data[start:end]


def test_a_task_asks_a_remote_store_for_its_own_bytes_only(tmp_path: Path) -> None:
    parts = dump_ranges([str(write_multistream(tmp_path, some_pages(60)))], streams_per_range=4)
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    CountingFileSystem.data = (tmp_path / NAME).read_bytes()
    CountingFileSystem.asked = []
    part = parts[2]._replace(address=f"counting://store/{NAME}")
    found, _ = read_all([part])
    assert found == read_all([parts[2]])[0]
    assert found
    assert part.stop is not None
    assert sum(end - start for start, end in CountingFileSystem.asked) == part.stop - part.start
    assert all(part.start <= start <= end <= part.stop for start, end in CountingFileSystem.asked)


def test_a_dump_in_memory_of_another_store_reads_alike(tmp_path: Path) -> None:
    path = write_multistream(tmp_path, some_pages(20))
    store = fsspec.filesystem("memory")
    for name in (NAME, INDEX):
        store.pipe(f"/dumps/{name}", (tmp_path / name).read_bytes())
    parts = dump_ranges(["memory://dumps/*.xml.bz2"], streams_per_range=2)
    assert [(p.start, p.stop) for p in parts] == [
        (p.start, p.stop) for p in dump_ranges([str(path)], streams_per_range=2)
    ]
    assert read_all(parts)[0] == read_all(dump_ranges([str(path)]))[0]


def test_one_stream_and_many_read_alike(tmp_path: Path) -> None:
    text = (HEADER + "".join(some_pages(25)) + FOOTER).encode()
    (tmp_path / "a.xml.bz2").write_bytes(bz2.compress(text))
    (tmp_path / "b.xml.bz2").write_bytes(
        b"".join(bz2.compress(text[i : i + 1000]) for i in range(0, len(text), 1000)) + bytes(64)
    )
    one, many = (read_all(dump_ranges([str(tmp_path / name)])) for name in ("a.xml.bz2", "b.xml.bz2"))
    assert one[0] == many[0]
    assert one[1].to_json() == many[1].to_json()


def test_a_damaged_stream_costs_its_pages_and_no_other(tmp_path: Path) -> None:
    path = write_multistream(tmp_path, [page_xml(n) for n in range(1, 31)])
    parts = dump_ranges([str(path)], streams_per_range=1)
    data = bytearray(path.read_bytes())
    assert parts[4].stop is not None
    middle = (parts[4].start + parts[4].stop) // 2
    data[middle : middle + 9] = b"\xff" * 9
    path.write_bytes(data)
    found, tally = read_all([DumpRange(str(path), 0, None, NAME)])
    assert [p.page_id for p in found] == [n for n in range(1, 31) if n not in {13, 14, 15}]
    assert dropped(tally) == {"damaged": 1}
    assert read_all(parts)[0] == found


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_cut_dump_keeps_what_was_whole_and_says_so(tmp_path: Path, share: float) -> None:
    path = write_multistream(tmp_path, [page_xml(n) for n in range(1, 31)])
    expected, _ = read_all(dump_ranges([str(path)]))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    found, tally = read_all([DumpRange(str(path), 0, None, NAME)])
    assert found == expected[: len(found)]
    assert dropped(tally) == {"truncated": 1}


def test_xml_that_ends_early_in_sound_bzip2_is_noticed(tmp_path: Path) -> None:
    whole = HEADER + page_xml(1) + page_xml(2)
    for number, text in enumerate((whole, whole[:-40])):
        found, tally = read_all(write_plain(tmp_path / f"{number}.xml.bz2", text))
        assert [p.page_id for p in found] == ([1, 2] if number == 0 else [1])
        assert dropped(tally) == {"truncated": 1}


def test_damaged_xml_costs_its_page() -> None:
    cutter = PageCutter(has_header=True, has_end=True)
    text = (
        HEADER
        + page_xml(1)
        + page_xml(2).replace("</title>", "")
        + page_xml(3).replace("</page>", "")
        + page_xml(4)
    )
    items = [*cutter.feed((text + "</page>" + page_xml(5) + FOOTER).encode()), *cutter.end()]
    pages = [item if isinstance(item, Reason) else parse_page(item) for item in items]
    bad = Reason.BAD_PAGE
    assert [p if isinstance(p, Reason) else p.page_id for p in pages] == [1, bad, bad, 4, bad, 5]


def test_a_page_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metadata.wikipedia.MAX_PAGE", 10_000)
    cutter = PageCutter(has_header=True, has_end=True)
    data = (HEADER + page_xml(1) + page_xml(2, "x" * 50_000) + page_xml(3) + FOOTER).encode()
    items = [item for start in range(0, len(data), 700) for item in cutter.feed(data[start : start + 700])]
    kinds = [item if isinstance(item, Reason) else parse_page(item) for item in [*items, *cutter.end()]]
    assert [k if isinstance(k, Reason) else k.page_id for k in kinds] == [1, Reason.TOO_LONG, 3]


def one(body: str) -> Page | Reason:
    return parse_page(f"<page>{body}</page>".encode())


REVISION = "<revision><text>개</text></revision>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"<title>개</title><ns>0</ns><id>3</id>{REVISION}", Page(3, "개", "개")),
        (
            f"<title>개</title><ns> 0 </ns><id>3</id><restrictions>x</restrictions>{REVISION}",
            Page(3, "개", "개"),
        ),
        (f"<title>개</title><id>3</id>{REVISION}", Page(3, "개", "개")),  # before schema 0.6
        (f"<title>틀:개</title><id>3</id>{REVISION}", Reason.OTHER_NAMESPACE),
        (f"<title>User talk:A</title><id>3</id>{REVISION}", Reason.OTHER_NAMESPACE),
        (f"<title>Star Wars: Episode IV</title><id>3</id>{REVISION}", Page(3, "Star Wars: Episode IV", "개")),
        (f"<title>개</title><ns>1</ns><id>3</id>{REVISION}", Reason.OTHER_NAMESPACE),
        (f"<title>개</title><ns>0</ns><id>3</id><redirect title='b'/>{REVISION}", Reason.REDIRECT),
        (f"<title>개</title><ns>0</ns><id>3</id><redirect />{REVISION}", Reason.REDIRECT),
        (
            "<title>a</title><ns>0</ns><id>3</id><revision><text>#redirect:[[B]]</text></revision>",
            Reason.REDIRECT,
        ),
        (
            "<title>a</title><ns>0</ns><id>3</id><revision><text> #넘겨주기 [[B]]</text></revision>",
            Reason.REDIRECT,
        ),
        (
            "<title>a</title><ns>0</ns><id>3</id><revision><text># redirect the flow</text></revision>",
            Page(3, "a", "# redirect the flow"),
        ),
        (
            "<title>a</title><ns>0</ns><id>3</id><revision><model>css</model><text>b {}</text></revision>",
            Reason.NOT_WIKITEXT,
        ),
        ("<title>a</title><ns>0</ns><id>3</id><revision><text/></revision>", Reason.EMPTY_TEXT),
        ("<title>a</title><ns>0</ns><id>3</id>", Reason.EMPTY_TEXT),
        (
            (
                "<title>a</title><ns>0</ns><id>3</id><revision><text>old</text></revision><revision><id>9</id>"
                "<contributor><id>8</id></contributor><text>new</text>"
                "<content><model>json</model><text>slot</text></content></revision>"
            ),
            Page(3, "a", "new"),
        ),
        (f"<title>a</title><ns>0</ns><id>x</id>{REVISION}", Reason.BAD_PAGE),
        (f"<title> </title><ns>0</ns><id>1</id>{REVISION}", Reason.BAD_PAGE),
        (f"<title>&lol;</title><ns>0</ns><id>1</id>{REVISION}", Reason.BAD_PAGE),
        ("<!DOCTYPE p [<!ENTITY a 'b'>]><title>&a;</title>", Reason.BAD_PAGE),
    ],
)
def test_what_a_page_is(body: str, expected: Page | Reason) -> None:
    assert one(body) == expected


def test_bytes_that_are_no_utf8_cost_their_page() -> None:
    assert parse_page(b"<page><title>\xff</title><id>1</id></page>") is Reason.BAD_PAGE


def test_a_deep_page_is_read_in_linear_time() -> None:
    assert parse_page(b"<page>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</page>") is Reason.BAD_PAGE


def test_entities_that_a_header_declares_are_never_expanded(tmp_path: Path) -> None:
    bomb = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "lol"}">' for n in range(12))
    text = (
        f"<!DOCTYPE mediawiki [{bomb}]>"
        + HEADER
        + page_xml(1).replace("제목", "&a11;")
        + page_xml(2)
        + FOOTER
    )
    found, tally = read_all(write_plain(tmp_path / "a.xml.bz2", text))
    assert [p.page_id for p in found] == [2]
    assert dropped(tally) == {"bad_page": 1}


def test_what_is_no_dump_is_refused_by_name(tmp_path: Path) -> None:
    for name, data in {
        "plain.xml.bz2": HEADER.encode(),
        "empty.xml.bz2": b"",
        "other.xml.bz2": bz2.compress(b"<html><page><title>x</title></page></html>"),
        "tiny.xml.bz2": bz2.compress(b"hello"),
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            read_all(dump_ranges([str(tmp_path / name)]))
    with pytest.raises(InputError, match="nothing-here"):
        dump_ranges([str(tmp_path / "nothing-here*.bz2")])
    with pytest.raises(ConfigError, match="streams_per_range"):
        dump_ranges([str(tmp_path / "*.bz2")], streams_per_range=0)


@pytest.mark.parametrize(
    "index", [b"", b"12:1:a\n5:2:b\n", b"no offsets\n", b"-3:1:a\n", b"99999999:1:a\n", b"\xff\n"]
)
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, index: bytes) -> None:
    path = write_multistream(tmp_path, some_pages(9))
    (tmp_path / INDEX).write_bytes(bz2.compress(index))
    with pytest.raises(InputError, match="multistream-index"):
        dump_ranges([str(path)])


def test_a_cut_index_and_offsets_between_streams_are_refused(tmp_path: Path) -> None:
    path = write_multistream(tmp_path, some_pages(30))
    whole = (tmp_path / INDEX).read_bytes()
    (tmp_path / INDEX).write_bytes(whole[:-9])
    with pytest.raises(InputError, match="truncated"):
        dump_ranges([str(path)])
    (tmp_path / INDEX).write_bytes(bz2.compress(b"60:1:a\n333:2:b\n"))
    with pytest.raises(InputError, match="byte 333"):
        read_all(dump_ranges([str(path)], streams_per_range=1))


def test_a_dump_named_twice_is_refused(tmp_path: Path) -> None:
    path = write_multistream(tmp_path, some_pages(9))
    (tmp_path / NAME.replace("-multistream", "")).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="same dump"):
        dump_ranges([str(tmp_path / "*-pages-articles*.xml.bz2")])
    assert len(dump_ranges([str(tmp_path / "*multistream*")])) == 1  # the index beside it is no dump


def test_parts_of_a_large_dump_find_their_indexes(tmp_path: Path) -> None:
    path = write_multistream(tmp_path, some_pages(9))
    path.rename(tmp_path / "enwiki-1-pages-articles-multistream2.xml-p9p20.bz2")
    (tmp_path / INDEX).rename(tmp_path / "enwiki-1-pages-articles-multistream-index2.txt-p9p20.bz2")
    assert len(dump_ranges([str(tmp_path / "*.bz2")], streams_per_range=1)) == 3


@given(st.binary(max_size=300), st.integers(1, 50))
def test_bzip2_in_any_pieces_gives_the_same_bytes(data: bytes, size: int) -> None:
    packed = bz2.compress(data) + bz2.compress(data[::-1])
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    assert b"".join(p for p in bunzip2(pieces) if isinstance(p, bytes)) == data + data[::-1]


def test_nothing_of_a_damaged_block_is_handed_out() -> None:
    data = bytes(range(256)) * 1000
    packed = bytearray(bz2.compress(data))
    packed[10] ^= 1  # the block's checksum
    assert list(bunzip2([bytes(packed), bz2.compress(b"next")])) == [Reason.DAMAGED, b"next"]


@pytest.mark.parametrize("wiki", ["enwiki", "kowiki"])
def test_the_real_dumps_are_read_as_a_tree_builder_reads_them(shared: Path, wiki: str) -> None:
    path = shared / "sources" / f"{wiki}-sample-pages-articles.xml.bz2"
    found, tally = read_all(dump_ranges([str(path)]))
    raw = b"".join(read_bytes(str(path)))
    text = bz2.decompress(raw).decode()
    assert tally.of("pages").rows_in == text.count("<page>") == {"enwiki": 206, "kowiki": 1104}[wiki]
    redirects = [
        part for part in text.split("<page>")[1:] if "<redirect" in part and re.search(r"<ns>0</ns>", part)
    ]
    assert dropped(tally)["redirect"] == len(redirects)
    with bz2.open(path) as file:
        expected = list(oracle(element for _, element in ET.iterparse(file)))
    assert [(p.page_id, p.title, p.text) for p in found] == expected
    assert found
