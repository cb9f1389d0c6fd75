"""WAT records into pairs: every image link with each of its texts, resolved against its page.

Step `extract`: WAT files in, table `pairs` out (before equal pairs are merged). Two sums are kept: "records" (pages used, and
records dropped) and "candidates" (a link with one of its texts; a link without any is one candidate, NO_TEXT).
Run: `curate extract`, or `spark-submit jobs/extract.py`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import orjson
import pyarrow as pa

from curation.addresses import Base, resolve_absolute
from curation.errors import Reason
from curation.ids import pair_ids
from curation.schemas import TABLES
from curation.stage import Tally
from curation.wat import Source, WatRecord, read_records

IMAGE_PATH = "IMG@/src"
BATCH_ROWS = 8_192
BATCH_BYTES = 64 << 20  # of records read, so that few but long texts do not fill the memory
RECORDS, CANDIDATES = "records", "candidates"  # the units
REASON_COLUMN = "_reason"
PAIRS = pa.schema([field.remove_metadata() for field in TABLES["pairs"]])
_DROPPED = pa.schema([*(field.with_nullable(True) for field in PAIRS), pa.field(REASON_COLUMN, pa.string())])
_TEXT_SOURCE = re.compile(r"alt|title|data-[a-z0-9_.-]{1,64}-title")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Page(NamedTuple):
    """What a record says of one page."""

    url: str
    base: object
    """What the page's base element says."""
    links: list[Any]
    is_hostile: bool = False
    """The record holds escaped surrogates, so that a text may hold a lone one."""


class Candidates:
    """Pairs and drops on their way into Arrow batches, counted as they come. Columns, not rows: they make no work for the collector."""

    def __init__(self, tally: Tally, *, origin: str, crawl: str | None, keep_dropped: bool = False) -> None:
        """origin: the input's name, relative to the input's root. keep_dropped: drops are handed on too, with their reason."""
        self._tally = tally
        self._origin, self._crawl = origin, crawl
        self.keep_dropped = keep_dropped
        self.urls: list[str] = []
        """Addresses of pairs, canonical; append to these three together."""
        self.texts: list[str] = []
        """Their texts, without a `text_fault`."""
        self.text_sources: list[str] = []
        """The attributes or columns of these."""
        self._page_urls: list[str] = []
        self._drops: list[tuple[str | None, ...]] = []
        self._counts: Counter[tuple[str, Reason | None]] = Counter()
        for unit in (RECORDS, CANDIDATES):
            tally.of(unit)

    def end_page(self, page_url: str) -> None:
        """Give the pairs since the last page's end their page."""
        self._page_urls += [page_url] * (len(self.urls) - len(self._page_urls))

    def drop(
        self,
        reason: Reason,
        url: object = None,
        text: object = None,
        text_source: str = "",
        page_url: str = "",
    ) -> None:
        """Count a candidate out."""
        self._counts[CANDIDATES, reason] += 1
        if self.keep_dropped:
            self._drops.append((_printable(url), _printable(text), text_source, page_url, reason))

    def keep_record(self, rows: int = 1) -> None:
        """Count a record in whose candidates were taken."""
        self._counts[RECORDS, None] += rows

    def drop_record(self, reason: Reason, page_url: object = None, rows: int = 1) -> None:
        """Count records out; those that speak of no page are not handed on, for they are most of a crawl."""
        self._counts[RECORDS, reason] += rows
        if self.keep_dropped and reason is not Reason.NOT_A_PAGE:
            self._drops += [(None, None, None, _printable(page_url), reason)] * rows

    def is_full(self) -> bool:
        """Tell whether it is time to `flush`."""
        return len(self.urls) >= BATCH_ROWS or len(self._drops) >= BATCH_ROWS

    def flush(self) -> Iterator[pa.RecordBatch]:
        """Yield what was taken, as batches of `pairs` (drops: with `_reason`), and write the counts to the tally."""
        self._counts[CANDIDATES, None] += len(self.urls)
        for (unit, reason), rows in self._counts.items():
            if reason is None:
                self._tally.keep(unit, rows)
            else:
                self._tally.drop(unit, reason, rows)
        self._counts.clear()
        if self.urls:
            columns = [self.urls, self.texts, self.text_sources, self._page_urls]
            urls, *others = (pa.array(column, pa.string()) for column in columns)
            yield self._batch([pair_ids(urls, self.texts), urls, *others], PAIRS)
            for column in columns:
                column.clear()
        if self._drops:
            *shown, reasons = (pa.array(column, pa.string()) for column in zip(*self._drops, strict=True))
            yield self._batch([pa.nulls(len(reasons), pa.string()), *shown], _DROPPED, reasons)
            self._drops.clear()

    def _batch(self, columns: Sequence[pa.Array], schema: pa.Schema, *more: pa.Array) -> pa.RecordBatch:
        rows = len(columns[0])
        constant = (pa.repeat(pa.scalar(name, pa.string()), rows) for name in (self._origin, self._crawl))
        return pa.RecordBatch.from_arrays([*columns, *constant, *more], schema=schema)


def extract_wat(
    source: Source, tally: Tally, *, origin: str, crawl: str | None = None, keep_dropped: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield batches of `pairs` from one WAT file; dropped rows, if asked for, in batches of their own with `_reason`.

    Nothing that the file holds raises: it is counted in `tally`, units "records" and "candidates".
    """
    candidates = Candidates(tally, origin=origin, crawl=crawl, keep_dropped=keep_dropped)
    pending = 0
    for record in read_records(source):
        if isinstance(record, WatRecord):
            _add_record(record, candidates)
            pending += len(record.body)
        else:
            candidates.drop_record(record)
        if candidates.is_full() or pending >= BATCH_BYTES:
            yield from candidates.flush()
            pending = 0
    yield from candidates.flush()


def _add_record(record: WatRecord, candidates: Candidates) -> None:
    page = read_page(record)
    if not isinstance(page, Page):
        candidates.drop_record(page, record.target_uri() if candidates.keep_dropped else None)
    elif add_links(page, candidates):
        candidates.keep_record()
    else:
        candidates.drop_record(Reason.NO_LINKS, page.url)


def read_page(record: WatRecord) -> Page | Reason:
    """Return the page that a record speaks of, or why there is none."""
    if not record.is_metadata:
        return Reason.NOT_A_PAGE
    if not record.body.strip():
        return Reason.EMPTY_RECORD
    is_hostile = False
    try:
        root = orjson.loads(record.body)
    except orjson.JSONDecodeError:
        root, is_hostile = read_surrogates(record.body), True
        if isinstance(root, Reason):
            return root
    try:
        envelope = root["Envelope"]
        html = envelope["Payload-Metadata"].get("HTTP-Response-Metadata", {}).get("HTML-Metadata")
        if html is None:
            return Reason.NOT_A_PAGE
        links = html.get("Links") or []
        url = envelope.get("WARC-Header-Metadata", {}).get("WARC-Target-URI") or record.target_uri()
        base = (html.get("Head") or {}).get("Base")
    except (KeyError, TypeError, AttributeError):  # JSON, but not a WAT's
        return Reason.BAD_JSON
    if not isinstance(links, list):
        return Reason.BAD_JSON
    if not isinstance(url, str) or isinstance(resolve_absolute(url), Reason):
        return Reason.BAD_PAGE_URL
    return Page(url, base, links, is_hostile)


def read_surrogates(body: bytes) -> Any:
    """Parse JSON that orjson refuses: a lone surrogate costs its candidate, not the page. Return a Reason for the rest."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Reason.UNDECODABLE_BYTES
    if not _ESCAPED_SURROGATE.search(body):
        return Reason.BAD_JSON
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Reason.BAD_JSON


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, as JSON does."""
    raise ValueError(constant)


def add_links(page: Page, candidates: Candidates) -> int:
    """Take a page's image links, each with each of its texts; return how many links were images' or null."""
    found = 0
    resolve = Base(page.url, page.base).resolve
    take_url, take_text = candidates.urls.append, candidates.texts.append
    take_source = candidates.text_sources.append
    for link in page.links:
        try:
            path = link["path"]
        except (TypeError, KeyError):
            path = None
        if path != IMAGE_PATH:
            if type(path) is not str:
                found += 1
                candidates.drop(Reason.NULL_LINK, page_url=page.url)
            continue
        found += 1
        sources = text_sources(tuple(link))
        if not sources:
            candidates.drop(Reason.NO_TEXT, link.get("url"), page_url=page.url)
        url: str | Reason | None = None  # resolved once, and only where there is a text
        for source in sources:
            text = link[source]
            # the first line is `text_fault` without the call, for the many texts that have none
            sound = (
                type(text) is str and text and "\0" not in text and not text.isspace() and not page.is_hostile
            )
            fault: str | Reason | None = None if sound else text_fault(text)
            if fault is None:
                url = fault = url or resolve(link.get("url"))
                if type(url) is str:  # a Reason is a str too, but not of that very type
                    take_url(url)
                    take_text(text)
                    take_source(source)
                    continue
            candidates.drop(Reason(fault), link.get("url"), text, source, page.url)
    candidates.end_page(page.url)
    return found


@lru_cache(maxsize=4_096)
def text_sources(attributes: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of a link's attributes hold a text: alt, title, data-*-title. Links have few shapes."""
    return tuple(name for name in attributes if _TEXT_SOURCE.fullmatch(name))


def text_fault(text: object) -> Reason | None:
    """Return why a text is no candidate's: NO_TEXT (missing, blank) or BAD_TEXT (of another type, NUL, lone surrogate)."""
    if type(text) is not str:
        return Reason.NO_TEXT if text is None else Reason.BAD_TEXT
    if not text or text.isspace():
        return Reason.NO_TEXT
    return Reason.BAD_TEXT if "\0" in text or _SURROGATE.search(text) else None


def _printable(value: object) -> str | None:
    """Return what a table of drops can show of a value: lone surrogates and NULs escaped, other types as Python's repr."""
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)[:200]
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
