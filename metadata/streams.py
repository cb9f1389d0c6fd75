"""The publishers' files as streams: opened through fsspec, decompressed in bounded pieces, cut into bounded lines.

What is wrong with the bytes comes out among them as a `Reason`: TRUNCATED where a file ends inside a compressed stream, DAMAGED
where a stretch cannot be decompressed. What is wrong with the place they come from (no such file, a broken network) raises
InputError that names it, so that a task is tried again and never takes half a file for a whole one.
"""

import bz2
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import fsspec

from curation.errors import InputError, Reason

PIECE = 1 << 20  # bytes read, and bytes handed out, at a time
MAX_LINE = 1 << 20  # bytes of a line
GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
# A bzip2 stream begins with its magic, a level and the mark of its first block, or of its end where it is empty.
_BZIP2_STREAM = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_MAX_BLOCK = (
    900_000  # bytes of a block, runs aside; its checksum follows it: what is not yet known to be sound
)
_KEPT = 2 << 20  # compressed bytes that are kept to look back for the next stream in: more than a block

_OPENING = (OSError, ValueError, ImportError)
Pieces = Iterable[bytes | Reason]


def expand(patterns: Sequence[str]) -> list[str]:
    """Return the addresses that files or globs name, sorted, each once. Raises InputError for one that matches nothing."""
    found: set[str] = set()
    for pattern in patterns:
        try:
            files, path = fsspec.core.url_to_fs(pattern)
            paths = files.glob(path) if any(mark in path for mark in "*?[") else [path]
            present = [name for name in paths if files.isfile(name)]
        except _OPENING as error:
            raise InputError(_unopened(pattern, error)) from error
        if not present:
            raise InputError(f"no file matches {pattern}; give files or globs that fsspec can open")
        found |= {str(files.unstrip_protocol(name)) for name in present}
    return sorted(found)


@contextmanager
def open_source(address: str, **options: Any) -> Iterator[BinaryIO]:
    """Open a file for reading bytes. Raises InputError that names it.

    options: what the file system's own `open` takes.
    """
    try:
        files, path = fsspec.core.url_to_fs(address)
        stream = files.open(path, "rb", **options)
    except _OPENING as error:
        raise InputError(_unopened(address, error)) from error
    with stream:
        yield stream


def read_bytes(address: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` to `stop`, and read no other. Raises InputError that names it."""
    # Without a cache of its own a remote file is asked for these bytes and no further ones.
    with open_source(address, **({"cache_type": "none"} if start or stop is not None else {})) as stream:
        try:
            if start:
                stream.seek(start)
            left = stop - start if stop is not None else None
            while data := stream.read(PIECE if left is None else min(PIECE, left)):
                yield data
                left = None if left is None else left - len(data)
                if left == 0:
                    return
        except OSError as error:
            raise InputError(f"reading {address} failed: {error or type(error).__name__}") from error


def read_pieces(source: str | BinaryIO) -> Iterator[bytes | Reason]:
    """Yield a file's content, decompressed where it is gzip or bzip2 by its first bytes.

    source: an address, or a stream of bytes at its beginning.
    """
    pieces = read_bytes(source) if isinstance(source, str) else iter(lambda: source.read(PIECE), b"")
    first = next(pieces, b"")
    whole = _chain(first, pieces)
    if first.startswith(GZIP_MAGIC):
        return gunzip(whole)
    return bunzip2(whole) if first.startswith(BZIP2_MAGIC) else whole


def _chain(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others


def gunzip(pieces: Iterable[bytes]) -> Iterator[bytes | Reason]:
    """Yield what gzip members hold; DAMAGED or TRUNCATED is the last that comes."""
    member = zlib.decompressobj(wbits=31)
    begun = False
    for piece in pieces:
        data = piece
        while data:
            try:
                out = member.decompress(data, PIECE)
            except zlib.error:
                yield Reason.DAMAGED
                return
            begun = True
            if out:
                yield out
            data = member.unconsumed_tail
            if member.eof:
                data = member.unused_data.lstrip(b"\0")  # padding, as tape archives have it
                member, begun = zlib.decompressobj(wbits=31), False
    if begun:
        yield Reason.TRUNCATED


def bunzip2(pieces: Iterable[bytes]) -> Iterator[bytes | Reason]:
    """Yield what bzip2 streams hold, one after another.

    A damaged stream ends in DAMAGED, and the next one that begins is read on. A block is handed out only when its checksum
    has been reached, so nothing that DAMAGED speaks of comes before it. TRUNCATED is the last that comes.
    """
    streams = _Streams()
    for piece in pieces:
        yield from streams.feed(piece)
    yield from streams.end()


class _Streams:
    """The state of `bunzip2` between pieces."""

    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()
        self._begun = False  # the stream has had bytes
        self._lost = False  # between a damaged stream and the next
        self._held = bytearray()  # decompressed, its checksum perhaps not reached
        self._seen = bytearray()  # the compressed bytes of the stream, the last of them

    def feed(self, piece: bytes) -> Iterator[bytes | Reason]:
        data = piece
        while data:
            if self._lost:
                data = self._resume(data)
                continue
            if not self._begun and not data.lstrip(b"\0"):
                return  # padding
            self._begun = True
            self._seen += data
            try:
                yield from self._decompress(data)
            except _DamagedError:
                yield Reason.DAMAGED
                data = bytes(self._seen[1:])
                self._start(lost=True)
                continue
            data = self._stream.unused_data if self._stream.eof else b""
            if self._stream.eof:
                yield from self._hand_out(0)
                self._start(lost=False)
            else:
                del self._seen[:-_KEPT]

    def end(self) -> Iterator[bytes | Reason]:
        yield from self._hand_out(0)
        if self._begun:
            yield Reason.TRUNCATED

    def _start(self, *, lost: bool) -> None:
        self._stream = bz2.BZ2Decompressor()
        self._begun, self._lost = False, lost
        self._held.clear()
        self._seen.clear()

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        given = data
        while True:
            try:
                self._held += self._stream.decompress(given, PIECE)
            except (OSError, ValueError) as error:
                raise _DamagedError from error
            yield from self._hand_out(_MAX_BLOCK)
            if self._stream.eof or self._stream.needs_input:
                return
            given = b""

    def _hand_out(self, keep: int) -> Iterator[bytes]:
        size = len(self._held) - keep
        if size > 0:
            yield bytes(self._held[:size])
            del self._held[:size]

    def _resume(self, data: bytes) -> bytes:
        """Return the bytes from the next stream's beginning on; keep what may be half of one."""
        self._seen += data
        found = _BZIP2_STREAM.search(self._seen)
        if found is None:
            del self._seen[:-9]
            return b""
        rest = bytes(self._seen[found.start() :])
        self._start(lost=False)
        return rest


class _DamagedError(Exception):
    """The decompressor gives up."""


def read_lines(pieces: Pieces, *, max_line: int = MAX_LINE) -> Iterator[bytes | Reason]:
    """Yield each line without its end (LF or CR LF), and every `Reason` among the pieces.

    A line of more than `max_line` bytes comes out as TOO_LONG. A line that a `Reason` cuts is part of what that speaks of.
    """
    rest = b""
    skipping = False
    for piece in pieces:
        if isinstance(piece, Reason):
            rest, skipping = b"", False
            yield piece
            continue
        *lines, last = piece.split(b"\n")
        if lines:
            lines[0] = rest + lines[0]
            if skipping:
                del lines[0]
            for line in lines:
                yield Reason.TOO_LONG if len(line) > max_line else line.removesuffix(b"\r")
            rest, skipping = last, False
        elif not skipping:
            rest += last
        if len(rest) > max_line:
            yield Reason.TOO_LONG
            rest, skipping = b"", True
    if rest:
        yield rest.removesuffix(b"\r")


def _unopened(address: str, error: BaseException) -> str:
    return (
        f"cannot open {address}: {error or type(error).__name__}; give a file or a glob that fsspec can open"
    )
