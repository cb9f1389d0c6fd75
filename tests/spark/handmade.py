"""Stages that were finished by hand: a table with its record, and a download of pictures that nobody fetched."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.ids import image_id
from curation.schemas import TABLES
from curation.stage import RECORD

Rows = list[dict[str, Any]]


def write(run: Path, stage: str, table: str, rows: Rows, parts: int = 1) -> None:
    """Write a table of a stage in some files, rows in turn and backwards for an even number of files; commit it."""
    place = run / stage / table
    place.mkdir(parents=True)
    schema = pa.schema([field.remove_metadata() for field in TABLES[table]])
    rows = rows if parts % 2 else rows[::-1]
    for part in range(parts):
        pq.write_table(pa.Table.from_pylist(rows[part::parts], schema=schema), place / f"{part}.parquet")
    file = run / stage / RECORD
    data = json.loads(file.read_text()) if file.is_file() else {}
    tables = data.get("tables", {}) | {table: {"rows": len(rows), "digest": str(len(rows))}}
    empty = {"stage": stage, "files": {}, "notes": {}, "ledgers": [], "seconds": 0.0}
    file.write_text(json.dumps(empty | data | {"tables": tables}))


def note(run: Path, stage: str, **keys: Any) -> None:
    """Set keys of a stage's record."""
    file = run / stage / RECORD
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def fetch(run: Path, files: Sequence[tuple[str, bytes]], parts: int = 1, others: Sequence[Any] = ()) -> None:
    """Make a finished download of bodies by url, in two raw shards. others: further rows of `outcomes`."""
    raw = run / "download" / "raw"
    raw.mkdir(parents=True)
    rows: Rows = []
    for shard in range(2):
        name = f"{shard:05d}.tar"
        with tarfile.open(raw / name, "w") as tar:
            for url, body in files[shard::2]:
                place = {"raw_shard": name, "raw_offset": tar.offset + tarfile.BLOCKSIZE}
                rows.append(
                    {"url": url, "status": "ok", "image_id": image_id(body), "bytes": len(body)} | place
                )
                member = tarfile.TarInfo(f"{len(rows)}.png")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    write(run, "download", "outcomes", [*rows, *others], parts)
