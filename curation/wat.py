"""WAT files as streams of records: fastwarc reads them, and what it gives up on costs a member, not the file.

Step `extract`. A WAT file is WARC in gzip, a member a record. A record is handed out once the next one has begun, so that one
whose member turns out damaged or cut never is. Sources: WARC 1.1 (ISO 28500), RFC 1952 for gzip members.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from curation.errors import Reason

MAX_RECORD_BYTES = 256 << 20  # a page's links; the largest in Common Crawl are some tens of MiB
GZIP_MAGIC = b"\x1f\x8b\x08"
CHUNK = 1 << 20  # bytes read at a time when looking for a member
_PEEK = 1 << 16  # compressed bytes that must show that a member holds a record


class WatRecord(NamedTuple):
    """One record of a WAT file."""

    is_metadata: bool
    """Of type metadata; the others, such as warcinfo, speak of no page."""
    body: bytes
    """The content block: JSON, where it is metadata."""
    warc: WarcRecord | None = None
    """The record itself, for its headers: they are slow to read, and seldom needed."""

    def target_uri(self) -> str | None:
        """Return WARC-Target-URI of the record's own headers."""
        return self.warc.headers.get("WARC-Target-URI") if self.warc else None


_OTHER = WatRecord(is_metadata=False, body=b"")


class _Held(NamedTuple):
    """A record that waits until its member is known to be sound."""

    record: WatRecord | Reason
    start: int
    length: int
    is_whole: bool


@dataclass(frozen=True)
class _Member:
    """One gzip member, inflated."""

    data: bytes
    end: int
    """Where the next one begins."""


class Source:
    """A binary stream that remembers its own failures, so that a broken network is never taken for a broken file."""

    def __init__(self, stream: BinaryIO) -> None:
        """stream: readable and seekable, at its beginning."""
        self._stream = stream
        self.failure: BaseException | None = None
        self.closed = False  # pyarrow asks

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes."""
        try:
            return self._stream.read(size)
        except BaseException as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; return the new position."""
        try:
            return self._stream.seek(offset, whence)
        except BaseException as error:
            self.failure = error
            raise

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def close(self) -> None:
        """Leave the stream to its owner."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False


def read_records(source: Source) -> Iterator[WatRecord | Reason]:
    """Yield each record, or the reason for which one cannot be read; BAD_RECORD stands for a damaged stretch of the file.

    TRUNCATED: the file ends inside a member. Only failures of the stream itself are raised.
    """
    start: int | None = 0
    while start is not None:
        held: _Held | None = None
        fault = False
        try:
            for following in _segment(source, start):
                if held is not None:
                    yield held.record
                held = following
        except (OSError, ValueError):
            if source.failure is not None:
                raise
            fault = True
        last, start = _settle(source, start, held, fault=fault)
        yield from last


def _segment(source: Source, start: int) -> Iterator[_Held]:
    """Yield the records from a member's beginning on, as long as fastwarc reads them."""
    source.seek(start)
    for record in ArchiveIterator(source, parse_http=False):
        length = record.content_length
        at = record.stream_pos
        if length > MAX_RECORD_BYTES:
            yield _Held(Reason.BAD_RECORD, at, length, is_whole=False)
            continue
        if record.record_type == WarcRecordType.metadata:
            body = record.reader.read()
            yield _Held(WatRecord(True, body, record), at, length, len(body) == length)
        else:
            yield _Held(_OTHER, at, length, is_whole=True)


def _settle(
    source: Source, start: int, held: _Held | None, *, fault: bool
) -> tuple[list[WatRecord | Reason], int | None]:
    """Decide about a segment's last record and what follows it; return both, and where to read on.

    fault: fastwarc raised. It is silent where a file merely ends, inside a member or not.
    """
    if held is None:
        reason, resume = _lost(source, start + 1, fault=fault)
        return [reason], resume
    member = _member(source, held.start)
    if member == "foreign":  # one member for all records, or none at all: nothing to resynchronise by
        if held.is_whole:
            return [held.record, *([Reason.BAD_RECORD] if fault else [])], None
        return [Reason.BAD_RECORD if fault else Reason.TRUNCATED], None
    if isinstance(member, str):
        reason, resume = _lost(source, held.start + 1, fault=fault or member == "damaged")
        return [reason], resume
    more = not _ends(source, member.end)
    if not _fits(member.data, held.length):  # its Content-Length is not true
        return [Reason.BAD_RECORD], member.end if more else None
    if not more:
        return [held.record], None
    reason, resume = _lost(source, member.end + 1, fault=fault)
    return [held.record, reason], resume


def _lost(source: Source, position: int, *, fault: bool) -> tuple[Reason, int | None]:
    """Name what was lost before the next sound member, and say where that begins."""
    resume = _next_member(source, position)
    return Reason.BAD_RECORD if fault or resume is not None else Reason.TRUNCATED, resume


def _member(source: Source, start: int) -> _Member | str:
    """Inflate the member at `start`, or say that it is "damaged", "cut" by the end of the file, or "foreign": not gzip."""
    source.seek(start)
    data = source.read(CHUNK)
    if not data.startswith(GZIP_MAGIC[: len(data)]) or not data:
        return "foreign"
    inflate = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    size, end = 0, start
    while data:
        end += len(data)
        try:
            parts.append(inflate.decompress(data, 2 * MAX_RECORD_BYTES - size))
        except zlib.error:
            return "damaged"
        size += len(parts[-1])
        if inflate.eof:
            return _Member(b"".join(parts), end - len(inflate.unused_data))
        if inflate.unconsumed_tail:
            return "foreign"
        data = source.read(CHUNK)
    return "cut"


def _fits(data: bytes, length: int) -> bool:
    """Tell whether a member holds one record's headers, `length` bytes and line ends."""
    headers = data.find(b"\r\n\r\n") + 4
    return headers >= 4 and len(data) >= headers + length and not data[headers + length :].strip(b"\r\n")


def _ends(source: Source, position: int) -> bool:
    """Tell whether nothing but padding follows."""
    source.seek(position)
    while data := source.read(CHUNK):
        if data.strip(b"\0"):
            return False
    return True


def _next_member(source: Source, position: int) -> int | None:
    """Return where the first gzip member at or after `position` begins that starts with a WARC record."""
    while True:
        source.seek(position)
        data = source.read(CHUNK)
        found = data.find(GZIP_MAGIC)
        while found >= 0:
            if _begins_record(source, position + found):
                return position + found
            found = data.find(GZIP_MAGIC, found + 1)
        if len(data) < len(GZIP_MAGIC):
            return None
        position += len(data) - len(GZIP_MAGIC) + 1  # a magic number may lie across two chunks


def _begins_record(source: Source, position: int) -> bool:
    source.seek(position)
    try:
        return zlib.decompressobj(wbits=31).decompress(source.read(_PEEK), 64).startswith(b"WARC/1.")
    except zlib.error:
        return False
