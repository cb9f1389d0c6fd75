"""Wikipedia's dumps, `*-pages-articles*.xml.bz2`, as streams of articles: namespace 0, no redirects.

A dump is XML in bzip2. A multistream dump is a row of bzip2 streams of a hundred pages each, with one before them (the header)
and one behind (the closing tag); the index beside it, `...-multistream-index.txt.bz2`, says at which byte each begins. A task
reads the streams of its range and nothing else; without an index a dump is one range. However it is split, the pages are the same.

The bytes are cut at `<page>` and `</page>`, which never stand in a text (there `<` is escaped), and each page is parsed alone by
expat, without namespaces: no version of the export schema matters, what is in memory is one page, no document type can be
declared (so no entity can grow), and damage costs the pages it touches. What is damaged is counted and what was read stays:
BAD_PAGE, a page whose XML is broken; DAMAGED, a stretch that cannot be decompressed, with all pages in it; TRUNCATED, a
dump that ends early, with the page it ends in; TOO_LONG, a page above MAX_PAGE.

Sources: https://www.mediawiki.org/wiki/Help:Export, https://meta.wikimedia.org/wiki/Data_dumps/Dump_format
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.parsers import expat

import fsspec

from curation.errors import InputError, Reason, require
from curation.stage import Tally
from metadata.namespaces import namespace_of
from metadata.streams import BZIP2_MAGIC, bunzip2, expand, read_bytes, read_lines, read_pieces
from metadata.wikitext import plain_text

__all__ = ["DumpRange", "Page", "dump_ranges", "plain_text", "read_pages"]

UNIT = "pages"
MAX_PAGE = 32 << 20  # bytes of a page's XML; MediaWiki allows 2 MiB of text
_MAX_HEADER = 1 << 20  # bytes before the first page
_MULTISTREAM = re.compile(r"-multistream(\d*)\.xml([^/]*)\.bz2$")
_INDEX = re.compile(r"-multistream-index\d*\.txt[^/]*\.bz2$")
_EDGE = re.compile(rb"<page[\s>]|</page\s*>|<mediawiki[\s>]|</mediawiki\s*>")
_LONGEST_EDGE = 32  # bytes of an edge that two pieces may share
_REDIRECT = re.compile(r"\s*#(?:redirect|넘겨주기)\s*:?\s*\[\[", re.IGNORECASE)
_MAX_DEPTH = 3  # page / revision / text
_WANTED = frozenset({"title", "ns", "id", "redirect", "revision/model", "revision/text"})


class DumpRange(NamedTuple):
    """Bytes of a dump that a task reads: whole bzip2 streams."""

    address: str
    """What fsspec opens."""
    start: int
    """The first byte, where a stream begins."""
    stop: int | None
    """The byte after the last; the end of the file where it is None."""
    origin: str
    """The file's name."""
    indexed: bool = False
    """An index says where its streams begin: the dump can be shared out."""


class Page(NamedTuple):
    """An article."""

    page_id: int
    title: str
    text: str
    """Its wikitext."""


def dump_ranges(patterns: Sequence[str], *, streams_per_range: int = 50) -> list[DumpRange]:
    """Return the ranges of the dumps that files or globs name, by address and place; together they are every byte of each.

    streams_per_range: bzip2 streams of a multistream dump, of a hundred pages each, that a range has.
    Raises InputError that names what matches nothing, an index that does not fit, or a dump that is named twice: plain and
    multistream, as the publisher's folder has both.
    """
    require(streams_per_range >= 1, "streams_per_range", streams_per_range, "1 or more")
    dumps = [address for address in expand(patterns) if not _INDEX.search(address)]
    for address in dumps:
        plain = _MULTISTREAM.sub(r"\1.xml\2.bz2", address)
        if plain != address and plain in dumps:
            raise InputError(
                f"{plain} and {address} are the same dump; name one of them, best the multistream one"
            )
    return [part for address in dumps for part in _ranges_of(address, streams_per_range)]


def _ranges_of(address: str, streams_per_range: int) -> list[DumpRange]:
    origin = address.rpartition("/")[2]
    index = _MULTISTREAM.sub(r"-multistream-index\1.txt\2.bz2", address)
    files, path = fsspec.core.url_to_fs(address)
    if index == address or not files.exists(fsspec.core.url_to_fs(index)[1]):
        return [DumpRange(address, 0, None, origin)]
    offsets = _read_index(index)
    size = files.size(path)
    if size is not None and offsets[-1] >= size:
        raise InputError(
            f"{index} is of another dump: it speaks of byte {offsets[-1]}, {origin} has {size} bytes"
        )
    # The first range has the header, the last one what comes after the last page.
    starts = [0, *offsets[streams_per_range::streams_per_range]]
    stops: list[int | None] = [*starts[1:], None]
    bounds = zip(starts, stops, strict=True)
    return [DumpRange(address, start, stop, origin, indexed=True) for start, stop in bounds]


def _read_index(index: str) -> list[int]:
    """Return the offsets at which the streams with pages begin. A line is `offset:page id:title`."""
    offsets: list[int] = []
    for number, line in enumerate(read_lines(read_pieces(index)), 1):
        digits = line.partition(b":")[0] if isinstance(line, bytes) else b""
        offset = int(digits) if digits.isdigit() and len(digits) < 20 else -1
        if offset < 0 or (offsets and offset < offsets[-1]):
            said = f"is {line.value}" if isinstance(line, Reason) else f"reads {line[:60]!r}"
            raise InputError(
                f"{index} is no index of a multistream dump: line {number} {said}, not a rising 'offset:page id:title'; "
                f"get it again, or take it away to read the dump as one range"
            )
        if not offsets or offset > offsets[-1]:
            offsets.append(offset)
    if not offsets:
        raise InputError(f"{index} is empty; get it again, or take it away to read the dump as one range")
    return offsets


def read_pages(part: DumpRange, tally: Tally) -> Iterator[Page]:
    """Yield the articles of a range in the dump's order, and count every page in the tally, unit "pages".

    Raises InputError that names the file where it is no dump in bzip2, or where the range does not begin at a stream.
    """
    for item in _cut_pages(part):
        page = item if isinstance(item, Reason) else parse_page(item)
        if isinstance(page, Reason):
            tally.drop(UNIT, page)
        else:
            tally.keep(UNIT)
            yield page


def _cut_pages(part: DumpRange) -> Iterator[bytes | Reason]:
    raw = read_bytes(part.address, part.start, part.stop)
    first = next(raw, b"")
    if not first.startswith(BZIP2_MAGIC):
        where = f" at byte {part.start}, where its index says a stream begins" if part.start else ""
        raise InputError(f"{part.address} is not bzip2{where}: give a *-pages-articles*.xml.bz2 as published")
    cutter = PageCutter(has_header=part.start == 0, has_end=part.stop is None)
    for piece in bunzip2(_with_first(first, raw)):
        items = list(cutter.lose(piece) if isinstance(piece, Reason) else cutter.feed(piece))
        _check_header(part, cutter)
        yield from items
    _check_header(part, cutter, ended=True)
    yield from cutter.end()


def _check_header(part: DumpRange, cutter: "PageCutter", *, ended: bool = False) -> None:
    if cutter.is_foreign(ended=ended):
        raise InputError(
            f"{part.address} is bzip2, but no export of MediaWiki: it lacks <mediawiki> before its pages"
        )


def _with_first(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


class PageCutter:
    """Cuts decompressed pieces of a dump, of any sizes, into the bytes of one page each."""

    def __init__(self, *, has_header: bool, has_end: bool) -> None:
        """has_header, has_end: the pieces begin with the dump's header, and end with its closing tag."""
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer in which no edge is left
        self._inside = False  # the buffer begins with a page
        self._too_long = False
        self._header_due = has_header
        self._foreign = False  # a page came before the header
        self._end_due = has_end
        self._passed = 0  # bytes before the first page

    def feed(self, data: bytes) -> Iterator[bytes | Reason]:
        """Take a piece; yield the pages that it completes, and a reason for each that is lost."""
        self._buffer += data
        while edge := _EDGE.search(self._buffer, self._scanned):
            yield from self._take(edge.group(), edge.start(), edge.end())
        self._scanned = max(self._scanned, len(self._buffer) - _LONGEST_EDGE)
        if not self._inside:
            self._passed += self._scanned
            self._forget(self._scanned)
        elif len(self._buffer) > MAX_PAGE:
            yield Reason.TOO_LONG
            self._too_long, self._inside = True, False
            self._forget(self._scanned)

    def _take(self, edge: bytes, start: int, end: int) -> Iterator[bytes | Reason]:
        self._scanned = end
        if edge.startswith(b"<page"):
            if self._inside:
                yield Reason.BAD_PAGE  # it never ended
            self._foreign = self._foreign or self._header_due
            self._forget(start)
            self._inside, self._too_long = True, False
        elif edge.startswith(b"</page"):
            if self._inside:
                yield bytes(self._buffer[:end])
            elif not self._too_long:
                yield Reason.BAD_PAGE  # it never began
            self._inside = self._too_long = False
            self._forget(end)
        elif edge.startswith(b"</"):
            self._end_due = False
        else:
            self._header_due = False

    def _forget(self, size: int) -> None:
        del self._buffer[:size]
        self._scanned -= size

    def is_foreign(self, *, ended: bool = False) -> bool:
        """Tell whether the header, which should have come, has not."""
        return self._foreign or (self._header_due and (ended or self._passed > _MAX_HEADER))

    def lose(self, reason: Reason) -> Iterator[Reason]:
        """Count a stretch that is lost, with the page that it cuts."""
        yield reason
        self._buffer.clear()
        self._scanned = 0
        self._inside, self._too_long = False, reason is Reason.DAMAGED  # a page may end after it
        self._header_due = False
        self._end_due = self._end_due and reason is not Reason.TRUNCATED

    def end(self) -> Iterator[Reason]:
        """Count what the end cuts: a page, or those that should have come before the closing tag."""
        if self._inside or self._end_due:
            yield Reason.TRUNCATED


def parse_page(raw: bytes) -> Page | Reason:
    """Return the article in the bytes from `<page>` to `</page>`, or why it is none. Of several revisions the last counts."""
    try:
        found = _fields(raw)
    except (expat.ExpatError, UnicodeDecodeError):
        return Reason.BAD_PAGE
    title, page_id, text = found.get("title", ""), found.get("id", ""), found.get("revision/text", "")
    if not title.strip() or not (page_id.isdecimal() and len(page_id) < 19):
        return Reason.BAD_PAGE
    # Exports before schema 0.6 name no namespace: the title does.
    if found["ns"].strip() != "0" if "ns" in found else namespace_of(title):
        return Reason.OTHER_NAMESPACE
    if "redirect" in found or _REDIRECT.match(text):
        return Reason.REDIRECT
    if found.get("revision/model", "wikitext") != "wikitext":
        return Reason.NOT_WIKITEXT
    return Page(int(page_id), title, text) if text.strip() else Reason.EMPTY_TEXT


def _fields(raw: bytes) -> dict[str, str]:
    """Return the texts of the elements that are wanted, by their path below the page."""
    found: dict[str, str] = {}
    path: list[str] = []
    parts: list[str] = []

    def start(name: str, _: object) -> None:
        path.append(name.rpartition(":")[2])
        parts.clear()

    def end(_: str) -> None:
        where = "/".join(path[1:]) if len(path) <= _MAX_DEPTH else ""
        if where in _WANTED:
            found[where] = "".join(parts)
        path.pop()
        parts.clear()

    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = parts.append
    parser.Parse(raw, True)
    return found
