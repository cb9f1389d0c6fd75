"""`curate verify`, second part: every file and table that a record names is what it was, byte for byte or row for row."""

import hashlib
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.audit.files import BATCH_ROWS, RunFiles, directory_of, form_of, open_table, scan
from curation.audit.findings import Findings
from curation.digest import table_digest
from curation.ids import image_id
from curation.schemas import TABLES, stable_columns
from curation.shards import RawReader, Sample
from curation.stage import RECORD, Record
from metadata.entries import read_list

CHUNK = 1 << 22  # bytes read at once
_CRC_MAGIC = (
    b"crc\0"  # Hadoop's ChecksumFileSystem: this, the bytes a sum as a big-endian int32, then a CRC-32 each
)


def work_of(files: RunFiles) -> int:
    """Return the bytes that `check_hashes` is going to read."""
    return sum(path.stat().st_size for record in files.records.values() for path in named_files(record))


def named_files(record: Record) -> list[Path]:
    """Return the files that a record names, by themselves or as part of a table, and a download's raw shards."""
    named = [record.path / name for name in record.data["files"]]
    for table in record.data["tables"]:
        named += parquet_files(directory_of(record.path, table))
    named += sorted((record.path / "raw").glob("*.tar"))
    return sorted({path for path in named if path.is_file()})


def parquet_files(place: Path) -> list[Path]:
    """Return the files of a table's directory."""
    return [path for path in sorted(place.glob("*.parquet")) if not path.name.startswith((".", "_"))]


def check_hashes(files: RunFiles, found: Findings) -> None:
    """Hash every file and table again. A damaged shard is named, and left to `curation.audit.sealed` to say where."""
    for record in files.records.values():
        for name, sha256 in record.data["files"].items():
            with found.guarded(f"{record.path.name}/{name}"):
                _check_file(record, name, sha256, found)
        for table in record.data["tables"]:
            with found.guarded(f"{record.path.name}/{directory_of(record.path, table).name}"):
                _check_table(record, table, found)
    if files.has("metadata"):
        with found.guarded("metadata/entries"):
            _check_entries(files, found)
    if files.has("manifest"):
        with found.guarded("manifest/shards/sizes.json"):
            _check_sizes(files.records["manifest"], found)
    if files.has("download"):
        _check_raw(files, found)
    _tell_of_others(files, found)


def _check_file(record: Record, name: str, sha256: str, found: Findings) -> None:
    path = record.path / name
    if not path.is_file():
        found.fault(f"{record.path.name}/{name}", "the record names it, and it is not there")
        return
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            state.update(block)
            found.tell(len(block))
    found.checked["files"] += 1
    if state.hexdigest() != sha256:
        found.fault(
            f"{record.path.name}/{name}",
            f"its SHA-256 is {state.hexdigest()[:16]}..., recorded {sha256[:16]}...",
        )


def _check_table(record: Record, table: str, found: Findings) -> None:
    """Check a table's files by Spark's own checksums, where they lie beside them, and its rows by their digest."""
    place, noted = directory_of(record.path, table), record.data["tables"][table]
    where = f"{record.path.name}/{place.name}"
    if form_of(table) not in TABLES:
        found.remark(f"{where} is a table this version does not know")
        return
    files = parquet_files(place)
    broken = [path for path in files if not _is_whole(path, where, found)]
    if any(not _has_hash(record, path) for path in files):
        found.remark(
            f"{where}: held by its rows' digest alone, for no hash of its files and no sums of Spark's stand there"
        )
    columns = stable_columns(form_of(table))
    batches = scan(open_table(place, table), columns) if place.is_dir() else iter(())
    rows, digest = table_digest(batches, columns)
    found.tell(
        sum(
            path.stat().st_size
            for path in files
            if str(path.relative_to(record.path)) not in record.data["files"]
        )
    )
    found.checked["tables"] += 1
    found.checked["rows"] += rows
    if (rows, digest) != (noted["rows"], noted["digest"]) and not broken:
        what = f"{rows} rows, recorded {noted['rows']}" if rows != noted["rows"] else "a row was changed"
        found.fault(where, f"its digest is {digest}, recorded {noted['digest']}: {what}")


def _is_whole(path: Path, where: str, found: Findings) -> bool:
    """Whether a file of a table agrees with its checksums, and can be read; a fault, naming the file, where not."""
    name = f"{where}/{path.name}"
    changed = changed_blocks(path)
    if changed:
        found.fault(name, f"bytes {changed[0][0]:,} to {changed[0][1]:,} were changed")
        return False
    try:
        with pq.ParquetFile(path) as parquet:
            for _ in parquet.iter_batches(batch_size=BATCH_ROWS):
                pass
    except (OSError, ValueError, pa.ArrowException) as error:
        found.fault(name, f"cannot be read: {str(error).splitlines()[0][:200]}")
        return False
    return True


def _has_hash(record: Record, path: Path) -> bool:
    """Whether every byte of a table's file is held: by the record, or by Spark's sums beside it."""
    return str(path.relative_to(record.path)) in record.data["files"] or _sums_of(path).is_file()


def _sums_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.crc")


def changed_blocks(path: Path) -> list[tuple[int, int]]:
    """Return the ranges of bytes, first and last, whose sum is not the one in the file beside it that Spark wrote.

    None where there is no such file.
    """
    sums = _sums_of(path)
    if not sums.is_file():
        return []
    data = sums.read_bytes()
    if data[:4] != _CRC_MAGIC or len(data) % 4 or len(data) < 8:
        return [(0, 0)]
    (size,) = struct.unpack(">i", data[4:8])
    recorded = struct.unpack(f">{len(data) // 4 - 2}I", data[8:])
    found = [zlib.crc32(block) for block in _blocks(path, size)]
    if len(found) != len(recorded):
        return [(min(len(found), len(recorded)) * size, path.stat().st_size)]
    return [
        (n * size, (n + 1) * size - 1) for n, (a, b) in enumerate(zip(found, recorded, strict=True)) if a != b
    ]


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(size * 8192):
            yield from (data[start : start + size] for start in range(0, len(data), size))


def _check_entries(files: RunFiles, found: Findings) -> None:
    """Compare the table `entries` with the frozen lists; its scores are held by its file's hash alone."""
    record = files.records["metadata"]
    if any(not _has_hash(record, path) for path in parquet_files(record.path / "entries")):
        found.remark(
            "metadata/entries: an older record has no hash of it; its sources and scores were not checked"
        )
    for lang, note in record.notes["lists"].items():
        wanted = read_list(record.path / note["file"], note["sha256"])
        table = open_table(record.path / "entries", "entries").to_table(
            columns=["entry_id", "entry"], filter=pc.field("lang") == lang
        )
        texts = table.sort_by("entry_id")["entry"].to_pylist()
        if texts != wanted:
            line = next(
                (n for n, pair in enumerate(zip(texts, wanted, strict=False)) if pair[0] != pair[1]),
                len(texts),
            )
            found.fault("metadata/entries", f"entry {line} of {lang} is not line {line} of {note['file']}")
        found.checked["entries"] += len(wanted)


def _check_sizes(record: Record, found: Findings) -> None:
    """Compare `sizes.json` with the shards' members."""
    place = record.path / "shards" / "sizes.json"
    wanted = {}
    for name in sorted(name for name in record.data["files"] if name.endswith(".tar")):
        with tarfile.open(record.path / name, "r:") as tar:
            wanted[Path(name).name] = sum(member.name.endswith(".json") for member in tar)
    if place.read_text(encoding="utf-8") != json.dumps(wanted, indent=1) + "\n":
        found.fault("manifest/shards/sizes.json", "it does not say how many pictures the shards hold")


def _check_raw(files: RunFiles, found: Findings) -> None:
    """Hash every fetched picture in the raw shards: it is named by its hash."""
    record = files.records["download"]
    raw, table = record.path / "raw", files.table("download", "outcomes")
    if table is None or not raw.is_dir():
        found.remark("the raw shards are not there any more: the manifest's hold what was kept of them")
        return
    reader = RawReader(raw)
    names = ["image_id", "raw_shard", "raw_offset", "bytes"]
    for batch in scan(table, names, pc.field("status") == "ok"):
        for row in batch.to_pylist():
            where = f"download/raw/{row['raw_shard']}"
            with found.guarded(where):
                body = reader(
                    Sample(row["image_id"], "", row["raw_shard"], row["raw_offset"], row["bytes"], (), 0, 0)
                )
                if image_id(body) != row["image_id"]:
                    found.fault(
                        where, f"the bytes at {row['raw_offset']:,} are not picture {row['image_id']}"
                    )
            found.tell(row["bytes"])
            found.checked["raw pictures"] += 1
    reader.close()


def _tell_of_others(files: RunFiles, found: Findings) -> None:
    """Say which files of the stages no record names."""
    for record in files.records.values():
        known = {*named_files(record), record.path / RECORD, record.path / "shards" / "sizes.json"}
        known |= {_sums_of(path) for path in known}
        if record.name == "metadata":
            known |= set(parquet_files(record.path / "entries"))
        others = [
            path for path in sorted(record.path.rglob("*"))
            if path.is_file() and path not in known and "_SUCCESS" not in path.name
        ]  # fmt: skip
        if others:
            shown = ", ".join(str(path.relative_to(record.path)) for path in others[:3])
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            found.remark(f"{record.path.name}: no record names {shown}{more}")
