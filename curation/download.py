"""Step download: the addresses of a shard to a tar of untouched bytes and a file of outcomes, handed to img2dataset's distributor.

A shard is `todo/shard=N/*.parquet` (column url). What comes out lies in `raw/`: `NNNNN-TOKEN.tar` and `NNNNN.parquet` (table
outcomes), which is renamed to its place last: it is the commit of the shard, and names its tar. The token is made of the
tar's contents, so that two attempts at one shard never write into each other's files. `curate download` runs it.
"""

import hashlib
import importlib.util
import os
import queue
import socket
import tarfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import DownloadSection
from curation.errors import MissingExtraError, Reason, StageError
from curation.fetch import Fetched, Fetcher
from curation.hosts import Resolver
from curation.ids import coin, image_id
from curation.imagetype import EXTENSIONS, Header, inspect
from curation.removals import NO_REMOVALS, Removals
from curation.schemas import TABLES
from curation.stage import write_atomically

TAR_BLOCK = tarfile.BLOCKSIZE  # a member's header is one block, its data starts after it
_TAR_NAME = b"raw_shard"  # key in an outcome file's metadata
_NO_HEADER = Header()
Row = tuple[int, str]  # shard, directory of its addresses


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one address, before its bytes have a place."""

    url: str
    fetched: Fetched
    header: Header = _NO_HEADER
    image_id: str | None = None


def shard_of(url: str, shards: int) -> int:
    """Return the shard of an address: a function of the address alone, so that hosts mix and no partitioning shows."""
    return int(coin(url, 0, "download") * shards)


def num_shards(num_urls: int, urls_per_shard: int) -> int:
    """Return how many shards hold about `urls_per_shard` addresses each; at least one."""
    return max(1, -(-num_urls // urls_per_shard))


def outcome_of(
    url: str, fetcher: Fetcher, section: DownloadSection, removals: Removals = NO_REMOVALS
) -> Outcome:
    """Fetch an address and look at what came. Never raises. A listed picture is dropped with its bytes."""
    fetched = fetcher.fetch(url)
    if fetched.reason is not None:
        return Outcome(url=url, fetched=fetched)
    header = inspect(fetched.body, max_pixels=section.max_pixels, min_side=section.min_side)
    if header.reason is not None:
        return Outcome(url=url, fetched=fetched, header=header)
    image = image_id(fetched.body)
    if removals.has_image(image):
        fetched.reason, fetched.detail = Reason.REMOVED, "image in the removal list"
        return Outcome(url=url, fetched=fetched)
    return Outcome(url=url, fetched=fetched, header=header, image_id=image)


def outcomes_of(
    urls: Iterable[str], section: DownloadSection, removals: Removals = NO_REMOVALS
) -> Iterator[Outcome]:
    """Fetch addresses on `section.threads` threads; yield outcomes as they come, each address once.

    At most two bodies a thread are in memory. An error of our own in a thread is raised here.
    """
    resolver = Resolver(section.allow_hosts, section.resolve)
    todo, lock, stop = iter(urls), threading.Lock(), threading.Event()
    done: queue.Queue[Outcome | BaseException | None] = queue.Queue(maxsize=section.threads)

    def work() -> None:
        fetcher = Fetcher(section, resolver, removals.rule_of_url)
        try:
            while not stop.is_set():
                with lock:
                    url = next(todo, None)
                if url is None:
                    break
                done.put(outcome_of(url, fetcher, section, removals))
        except BaseException as error:  # noqa: BLE001 - it is raised in the task's own thread
            done.put(error)
        finally:
            fetcher.close()
            done.put(None)

    for _ in range(section.threads):
        threading.Thread(target=work, daemon=True).start()
    alive = section.threads
    try:
        while alive:
            item = done.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                alive -= 1
            else:
                yield item
    finally:
        stop.set()
        while alive:  # let the threads end: one that waits at a full queue never would
            alive -= done.get() is None


@dataclass(kw_only=True)
class RawTar:
    """An uncompressed tar of bodies, each once, members named by image id; the order is that of their coming."""

    path: Path
    _places: dict[str, int] = field(default_factory=dict)
    _token: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self._tar = tarfile.open(self.path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by `close`

    def add(self, image: str, mime: str, body: bytes) -> int:
        """Store a body unless it is there; return the offset of its bytes in the tar."""
        if image not in self._places:
            member = tarfile.TarInfo(f"{image}.{EXTENSIONS[mime]}")
            member.size = len(body)
            self._places[image] = self._tar.offset + TAR_BLOCK
            self._tar.addfile(member, BytesIO(body))
            self._token.update(bytes.fromhex(image))
        return self._places[image]

    def close(self) -> str:
        """Finish the file; return the token of its contents, eight hex digits."""
        self._tar.close()
        return str(self._token.hexdigest()[:8])


@dataclass(frozen=True, kw_only=True)
class ShardDownloader:
    """The downloader that img2dataset's distributor calls with each row of `ShardReader`; it travels to the tasks."""

    section: DownloadSection
    raw: str
    """Directory of the raw shards."""
    removals: Removals = NO_REMOVALS
    """What must not be fetched."""

    def __call__(self, row: Row) -> tuple[bool, Row]:
        """Download a shard; (False, row) where it failed, for the distributor to try again, with the cause in a file."""
        try:
            self.download(row)
        except Exception:  # noqa: BLE001 - the distributor goes on with the others; `require_all` raises for this one
            write_atomically(_error_file(Path(self.raw), row[0]), traceback.format_exc())
            return False, row
        return True, row

    def download(self, row: Row) -> None:
        """Fetch all addresses of a shard, write its tar and its outcomes, commit them."""
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # on odd headers, a line each
        shard, addresses = row
        raw = Path(self.raw)
        attempt = f".{shard:05d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        temporary_tar, temporary_outcomes = raw / f"{attempt}.tar.tmp", raw / f"{attempt}.parquet.tmp"
        try:
            urls = pq.read_table(addresses, columns=["url"], partitioning=None).column("url").to_pylist()
            tar = RawTar(path=temporary_tar)
            try:
                found = outcomes_of(sorted(urls), self.section, self.removals)
                rows = [_stored(outcome, tar) for outcome in found]
            finally:
                name = f"{shard:05d}-{tar.close()}.tar"
            _write_outcomes(temporary_outcomes, rows, name)
            temporary_tar.replace(raw / name)
            temporary_outcomes.replace(_outcome_file(raw, shard))
        finally:
            temporary_tar.unlink(missing_ok=True)
            temporary_outcomes.unlink(missing_ok=True)


def _stored(outcome: Outcome, tar: RawTar) -> dict[str, Any]:
    """Put the bytes of an outcome into the tar; return its row, of which `raw_shard` is filled in at the commit."""
    fetched, header = outcome.fetched, outcome.header
    row: dict[str, Any] = {
        "url": outcome.url,
        "status": "ok" if outcome.image_id else "dropped",
        "reason": fetched.reason or header.reason,
        "detail": fetched.detail or header.detail,
        "image_id": outcome.image_id,
        "bytes": len(fetched.body) if fetched.reason is None else None,
        "width": header.width,
        "height": header.height,
        "mime": header.mime,
        "http_status": fetched.http_status,
        "opt_out": fetched.opt_out,
        "fetched_at": fetched.fetched_at,
    }
    if outcome.image_id and header.mime:
        row["raw_offset"] = tar.add(outcome.image_id, header.mime, fetched.body)
    return row


def _write_outcomes(path: Path, rows: Iterable[dict[str, Any]], tar_name: str) -> None:
    columns = [column.remove_metadata() for column in TABLES["outcomes"]]
    schema = pa.schema(columns, metadata={_TAR_NAME: tar_name.encode()})
    named = [row | {"raw_shard": tar_name if row["image_id"] else None} for row in rows]
    named.sort(key=lambda row: str(row["url"]))
    pq.write_table(pa.Table.from_pylist(named, schema=schema), path, compression="zstd")


def _outcome_file(raw: Path, shard: int) -> Path:
    return raw / f"{shard:05d}.parquet"


def _error_file(raw: Path, shard: int) -> Path:
    return raw / f".{shard:05d}.error"


def is_done(raw: Path, shard: int) -> bool:
    """Say whether a shard is committed: its outcomes can be read, and the tar that they name is there."""
    try:
        notes = pq.read_metadata(_outcome_file(raw, shard)).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return False
    return _TAR_NAME in notes and (raw / notes[_TAR_NAME].decode()).is_file()


@dataclass(frozen=True, kw_only=True)
class ShardReader:
    """The reader that img2dataset's distributor iterates: a row for each shard that is not done."""

    todo: Path
    """Directory of the addresses, a subdirectory `shard=N` a shard."""
    raw: Path
    """Directory of the raw shards."""

    def __iter__(self) -> Iterator[Row]:
        for shard in self.shards():
            if not is_done(self.raw, shard):
                yield shard, str(self.todo / f"shard={shard}")

    def shards(self) -> list[int]:
        """Return the numbers of all shards that have addresses."""
        return sorted(int(place.name.partition("=")[2]) for place in self.todo.glob("shard=*"))


def distributor() -> Callable[..., None]:
    """Return img2dataset's pyspark distributor.

    Its file is loaded alone: importing the package brings in OpenCV, albumentations and wandb, four seconds that nothing
    here needs. Raises MissingExtraError where img2dataset is not installed.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    package = importlib.util.find_spec("img2dataset")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("the download needs img2dataset: pip install 'img2dataset>=1.47,<2'")
    place = Path(package.submodule_search_locations[0]) / "distributor.py"
    spec = importlib.util.spec_from_file_location("img2dataset_distributor", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., None] = module.pyspark_distributor
    return found


def require_all(reader: ShardReader) -> None:
    """Raise StageError that names the shards which failed, and why: the distributor swallows them."""
    missing = [shard for shard in reader.shards() if not is_done(reader.raw, shard)]
    if not missing:
        return
    note = _error_file(reader.raw, missing[0])
    cause = note.read_text().strip().splitlines()[-1] if note.is_file() else "its task left no word"
    shown = ", ".join(f"{shard:05d}" for shard in missing[:10]) + (", ..." if len(missing) > 10 else "")
    raise StageError(
        f"download: {len(missing)} of {len(reader.shards())} shards failed: {shown}; the first: {cause}; "
        "run it again, finished shards are kept"
    )


def sweep(raw: Path, keep: Sequence[str] | None = None) -> None:
    """Remove what attempts have left: temporary files, notes of errors and, where `keep` is given, tars not named there."""
    kept = None if keep is None else set(keep)
    for path in raw.iterdir():
        left = path.name.startswith(".") or (
            kept is not None and path.suffix == ".tar" and path.name not in kept
        )
        if left:
            path.unlink(missing_ok=True)
