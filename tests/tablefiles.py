"""Tables as a stage of Spark leaves them, written without Spark."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.digest import table_digest
from curation.schemas import TABLES, stable_columns
from curation.stage import OpenStage


def write(stage: OpenStage, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table as a stage does, here in two files, and note its digest."""
    schema = TABLES[table]
    whole = pa.Table.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema
    )
    (stage.path / table).mkdir()
    half = len(rows) // 2
    for index, part in enumerate((whole.slice(0, half), whole.slice(half))):
        pq.write_table(part, stage.path / table / f"part-{index}.parquet")
    note(stage, table, whole)


def note(stage: OpenStage, table: str, rows: pa.Table) -> None:
    number, digest = table_digest(rows.to_batches(), stable_columns(table))
    stage.add_table(table, rows=number, digest=digest)


def write_checksums(path: Path) -> None:
    """Write the sums that Spark's file system lays beside a file: 512 bytes a CRC-32."""
    data = path.read_bytes()
    sums = [zlib.crc32(data[start : start + 512]) for start in range(0, len(data), 512)]
    path.with_name(f".{path.name}.crc").write_bytes(b"crc\0" + struct.pack(f">i{len(sums)}I", 512, *sums))
