"""Step "manifest": the published form. Tables in: rows, selection, outcomes. Out: `manifest.parquet/`, `shards/`, `sizes.json`.

How many files there are follows from how many rows and pictures there are, and which file one lies in from its id: the same
names and the same bytes on any machine.
"""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.ids import bucket
from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES
from curation.shards import replaced

MANIFEST = "manifest.parquet"  # a folder of Parquet files, a range of pair ids each
SHARDS = "shards"


def num_files(items: int, per_file: int) -> int:
    """Return into how many files items go: at least one."""
    return max(1, -(-items // per_file))


def shard_format(split: str) -> str:
    """Return the names of a split's shards, relative to the manifest's folder, with `%05d` for the number."""
    return f"{SHARDS}/{split}-%05d.tar"


def shard_name(split: str, image_id: str, num_shards: int) -> str:
    """Return the shard of a picture; held-out pictures have shards of their own."""
    return shard_format(split) % bucket(image_id, num_shards)


def write_manifest_file(folder: Path, index: int, rows: pa.Table) -> str:
    """Write one file of the manifest, sorted by pair_id, under a temporary name, and rename it; return its SHA-256.

    rows: columns of TABLES["manifest"], in any order.
    """
    return write_sorted_file(folder, index, rows, "manifest")


def write_sorted_file(folder: Path, index: int, rows: pa.Table, name: str) -> str:
    """Write one file of a table that has a row a pair and is published: the same bytes for the same rows; return its SHA-256.

    rows: columns of TABLES[name], in any order, of one range of pair ids.
    """
    schema = TABLES[name].with_metadata({"schema_version": str(SCHEMA_VERSION)})
    table = rows.select(schema.names).sort_by("pair_id").cast(schema)
    path = folder / f"{index:05d}.parquet"
    with replaced(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            row_group_size=ROW_GROUP_ROWS,
            sorting_columns=_sorting(schema),
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sorting(schema: pa.Schema) -> list[pq.SortingColumn]:
    return [pq.SortingColumn(schema.get_field_index("pair_id"))]


def read_manifest(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a manifest's rows, by name, in order of pair_id."""
    files = sorted((folder / MANIFEST).glob("*.parquet"))
    tables = [pq.read_table(file, columns=columns) for file in files]
    return pa.concat_tables(tables)
