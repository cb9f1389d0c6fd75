"""Tar shards that are the same bytes whenever they hold the same pictures. Used by step "manifest".

Members are sorted and named by image_id: the picture's bytes untouched, then `.json`, then `.txt` (one caption), as
webdataset's and open_clip's readers expect. Times and owners are fixed. The JSON's `uid` is the pair_id of that one caption: what
DataComp's resharder knows a sample by.
"""

import hashlib
import json
import tarfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

EXTENSIONS = {
    "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif", "image/bmp": "bmp",
    "image/tiff": "tiff", "image/x-icon": "ico", "image/avif": "avif",
}  # fmt: skip
UID_SINCE = 2  # version of step "manifest" from which on a sample's JSON has a uid
BLOCK = 512  # bytes; a member's header, and what its data is padded to


@dataclass(frozen=True)
class Sample:
    """A picture to seal: where its bytes lie, and what is written beside them."""

    image_id: str
    mime: str
    raw_shard: str
    raw_offset: int
    size: int
    captions: tuple[dict[str, object], ...]
    """Its captions, sorted by pair_id: pair_id, lang, text."""
    width: int
    height: int


@dataclass(frozen=True)
class Place:
    """Where a sealed picture's bytes lie."""

    image_id: str
    offset: int
    size: int


def extension(mime: str) -> str:
    """Return the ending of a member's name; `bin` for a type that has none of its own."""
    return EXTENSIONS.get(mime, "bin")


def write_shard(
    path: Path, samples: Iterable[Sample], read: Callable[[Sample], bytes]
) -> tuple[list[Place], str]:
    """Write a tar of samples, sorted by image_id, under a temporary name, and rename it.

    read: gives a sample's bytes; their hash must be its image_id. Returns the pictures' places and the tar's SHA-256.
    Two attempts write equal bytes, so the last rename wins without harm.
    """
    with replaced(path) as temporary, temporary.open("wb") as file:
        places = []
        hashing = _Hashing(file)
        for sample in sorted(samples, key=lambda sample: sample.image_id):
            body = read(sample)
            if hashlib.sha256(body).hexdigest() != sample.image_id:
                raise ValueError(f"{sample.raw_shard} at {sample.raw_offset} does not hold {sample.image_id}")
            places.append(Place(sample.image_id, hashing.size + BLOCK, len(body)))
            hashing.write(sealed(sample, body))
        hashing.write(bytes(2 * BLOCK))
    return places, hashing.state.hexdigest()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary name of this attempt alone; rename it to `path` at the end, or remove it after an error."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Hashing:
    """Counts and hashes what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.state = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.state.update(data)
        self.size += len(data)


def sealed(sample: Sample, body: bytes, *, version: int = UID_SINCE) -> bytes:
    """Return what a shard holds of a sample: its members one after the other, the first one's header first.

    version: of step "manifest", as which the shard was sealed.
    """
    return b"".join(_member(name, data) for name, data in _members(sample, body, version))


def _members(sample: Sample, body: bytes, version: int) -> Iterator[tuple[str, bytes]]:
    first = sample.captions[0]["text"] if sample.captions else ""
    described: dict[str, object] = {
        "image_id": sample.image_id, "width": sample.width, "height": sample.height, "captions": list(sample.captions),
    }  # fmt: skip
    if version >= UID_SINCE and sample.captions:
        described["uid"] = sample.captions[0]["pair_id"]
    yield f"{sample.image_id}.{extension(sample.mime)}", body
    yield f"{sample.image_id}.json", json.dumps(described, ensure_ascii=False, sort_keys=True).encode()
    yield f"{sample.image_id}.txt", str(first).encode()


def _member(name: str, data: bytes) -> bytes:
    """Return a member's header, data and padding: mode 0644, owner 0, time 0."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    assert len(header) == BLOCK
    return header + data + bytes(-len(data) % BLOCK)


class RawReader:
    """Reads bytes out of raw shards by their place; keeps the last `MAX_OPEN` shards open."""

    MAX_OPEN = 64

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}

    def __call__(self, sample: Sample) -> bytes:
        """Return the bytes of a sample. Raises OSError where the shard is not there."""
        file = self._files.pop(sample.raw_shard, None) or (self._folder / sample.raw_shard).open("rb")
        self._files[sample.raw_shard] = file  # the newest stands last
        if len(self._files) > self.MAX_OPEN:
            self._files.pop(next(iter(self._files))).close()
        file.seek(sample.raw_offset)
        return file.read(sample.size)

    def close(self) -> None:
        """Close the open shards."""
        while self._files:
            self._files.popitem()[1].close()
