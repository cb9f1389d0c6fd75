"""A table's Parquet files by columns and batches: what the report reads is never held whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
BATCH_ROWS = 65_536


def batches(table: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a table's directory, with these columns alone; nothing where the directory is not there."""
    for file in sorted(table.glob("*.parquet")):
        if not file.name.startswith((".", "_")):
            with pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


def short_ids(ids: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Return the first 16 hex digits of ids as numbers, uint64 (N,). Ids have 16 digits or more."""
    if not len(ids):
        return np.empty(0, dtype=np.uint64)
    heads = pc.utf8_slice_codeunits(ids, 0, 16).buffers()[2].to_pybytes()[: 16 * len(ids)]
    return np.frombuffer(bytes.fromhex(heads.decode("ascii")), dtype=">u8").astype(np.uint64)


def rows_of(table: Path) -> int:
    """Return a table's rows by its files' footers; 0 where the directory is not there."""
    files = (file for file in table.glob("*.parquet") if not file.name.startswith((".", "_")))
    return sum(int(pq.read_metadata(file).num_rows) for file in files)


def counts_of(table: Path, size: int, lang: str, *, column: str = "count") -> Ints:
    """Return a counts table's column for one language, int64 (size,), indexed by entry id."""
    found = np.zeros(size, dtype=np.int64)
    for batch in batches(table, ["lang", "entry_id", column]):
        own = batch.filter(pc.equal(batch.column("lang"), lang))
        found[own.column("entry_id").to_numpy()] = own.column(column).to_numpy(zero_copy_only=False)
    return found


def add_entries(total: Ints, ids: pa.ListArray) -> None:
    """Add 1 to the total of every entry that each of these rows names, in place; total: int64 (E,)."""
    flat = ids.flatten().to_numpy(zero_copy_only=False)
    total += np.bincount(flat, minlength=total.size)


def rows_by(table: Path, column: str) -> dict[str, int]:
    """Return rows by the values of a column; small by nature (languages, rules)."""
    found: dict[str, int] = {}
    for batch in batches(table, [column]):
        for item in batch.column(column).value_counts().to_pylist():
            found[str(item["values"])] = found.get(str(item["values"]), 0) + int(item["counts"])
    return found
