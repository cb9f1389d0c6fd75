"""Parts of a written table, for tasks that read Parquet themselves: neighbouring row groups, and the rows of a part written as a file.

What a large table only passes through (its addresses and ids) then never leaves Arrow; Spark hands out the parts' numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from curation.digest import table_digest
from curation.schemas import ROW_GROUP_ROWS, SCHEMA_VERSION, TABLES, stable_columns
from curation.shards import replaced

PART_ROWS = 1_000_000  # about; a row group is never split, so that a part may have one of them more
BATCH_ROWS = 65_536  # read at once: what a task holds does not grow with its part


class Piece(NamedTuple):
    """Neighbouring row groups of a file."""

    file: str
    """Name of the file in the table's folder."""
    first: int
    end: int
    """One more than the last."""


Part = tuple[Piece, ...]


def parts_of(table: Path, *, least: int = 1, rows: int = PART_ROWS) -> list[Part]:
    """Return the parts of a table's folder: `rows` rows each at the most, but for whole row groups; a multiple of `least` of them.

    The order is that of file names and row groups. Reads the footers alone.
    """
    files = sorted(file for file in table.glob("*.parquet") if not file.name.startswith((".", "_")))
    sizes = {file.name: _row_groups(file) for file in files}
    total = sum(sum(groups) for groups in sizes.values())
    rounds = -(-total // (rows * least))  # in which as many tasks as cores end together
    wanted = -(-total // max(1, rounds * least))
    parts: list[Part] = []
    pieces: list[Piece] = []
    held = 0
    for name, groups in sizes.items():
        for number, size in enumerate(groups):
            if pieces and pieces[-1].file == name:
                pieces[-1] = pieces[-1]._replace(end=number + 1)
            else:
                pieces.append(Piece(name, number, number + 1))
            held += size
            if held >= wanted:
                parts.append(tuple(pieces))
                pieces, held = [], 0
    return [*parts, tuple(pieces)] if pieces else parts


def _row_groups(file: Path) -> list[int]:
    footer = pq.read_metadata(file)
    return [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]


def read_part(table: Path, part: Part, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield a part's batches, in order, with these columns alone."""
    for piece in part:
        with pq.ParquetFile(table / piece.file) as file:
            groups = list(range(piece.first, piece.end))
            yield from file.iter_batches(BATCH_ROWS, groups, columns=list(columns), use_threads=False)


class Written(NamedTuple):
    """What a part's file holds."""

    rows: int
    digest: int
    """The sum of the rows' hashes: of parts, sums of these are the table's digest."""


def write_part(batches: Iterable[pa.RecordBatch], folder: Path, number: int, table: str) -> Written:
    """Write batches of TABLES[table], in their order, as the file of a part; return its rows and their digest.

    The file has a temporary name until all is written. A part that is tried again writes the same rows under the same name.
    """
    schema = TABLES[table].with_metadata({"schema_version": str(SCHEMA_VERSION)})
    rows = digest = 0
    with (
        replaced(folder / f"part-{number:05d}.parquet") as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=_repeated(schema)) as file,
    ):
        for group in _row_groups_of(batches):
            own = table_digest(group, stable_columns(table))
            rows, digest = rows + own[0], digest + int(own[1])
            file.write_table(pa.Table.from_batches(group).select(schema.names).cast(schema))
    return Written(rows, digest)


def _repeated(schema: pa.Schema) -> list[str]:
    """Return the columns whose values repeat: all but the keys and the coin, of which a dictionary would hold every one."""
    return [name for name in schema.names if name not in ("pair_id", "url", "coin")]


def _row_groups_of(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Yield batches together as a row group: `ROW_GROUP_ROWS` at least, the last one aside."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ROW_GROUP_ROWS:
            yield held
            held = []
    if held:
        yield held
