"""A table's parts are all of it, each row once; a part that is written twice is there once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.digest import table_digest
from curation.parts import parts_of, read_part, write_part
from curation.schemas import ROW_GROUP_ROWS, TABLES, stable_columns

ROWS, FILES = 1000, 3


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for number in range(FILES):
        numbers = pa.table(
            {"n": list(range(number, ROWS, FILES)), "other": [0] * len(range(number, ROWS, FILES))}
        )
        pq.write_table(numbers, tmp_path / f"part-{number}.parquet", row_group_size=70)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".part-9.parquet.tmp").write_bytes(b"of an attempt that was killed")
    (tmp_path / ".hidden.parquet").write_bytes(b"no Parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("least", "rows"), [(1, 10**6), (2, 10**6), (7, 10**6), (1, 100), (2, 300), (1000, 1)]
)
def test_every_row_is_in_one_part(table: Path, least: int, rows: int) -> None:
    parts = parts_of(table, least=least, rows=rows)
    read = [
        [n for batch in read_part(table, part, ["n"]) for n in batch.column("n").to_pylist()]
        for part in parts
    ]
    assert [n for part in read for n in part] == [
        n for number in range(FILES) for n in range(number, ROWS, FILES)
    ]
    assert all(read)
    assert max(map(len, read)) <= max(min(rows, -(-ROWS // least)) + 69, 70)
    assert len(parts) >= min(least, 3) - 1


def test_a_folder_without_rows_has_no_parts(tmp_path: Path) -> None:
    assert parts_of(tmp_path) == []
    pq.write_table(pa.table({"n": pa.array([], pa.int64())}), tmp_path / "part-0.parquet")
    assert [list(read_part(tmp_path, part, ["n"])) for part in parts_of(tmp_path)] in ([], [[]])


def wanted(number: int, rows: int) -> pa.RecordBatch:
    keys = [f"{number:016x}{i:016x}" for i in range(rows)]
    columns = {
        "url": keys,
        "pair_id": keys,
        "keep_prob": [0.5] * rows,
        "coin": [0.25] * rows,
        "held_out": [False] * rows,
    }
    return pa.RecordBatch.from_pydict(
        columns, schema=pa.schema([TABLES["wanted"].field(name) for name in columns])
    )


def test_a_parts_file_is_the_tables_whatever_its_batches_and_is_replaced_by_another_try(
    tmp_path: Path,
) -> None:
    batches = [wanted(0, ROW_GROUP_ROWS // 2), wanted(1, 0), wanted(2, ROW_GROUP_ROWS), wanted(3, 5)]
    first = write_part(batches, tmp_path, 4, "wanted")
    assert write_part(iter(batches), tmp_path, 4, "wanted") == first
    assert [file.name for file in tmp_path.iterdir()] == ["part-00004.parquet"]
    file = pq.ParquetFile(tmp_path / "part-00004.parquet")
    assert file.schema_arrow.equals(pa.schema([f.remove_metadata() for f in TABLES["wanted"]]))
    assert file.metadata.num_row_groups == 2
    rows, digest = table_digest(file.iter_batches(), stable_columns("wanted"))
    assert first == (rows, int(digest))


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def batches() -> object:
        yield wanted(0, ROW_GROUP_ROWS)
        raise RuntimeError("a machine is lost")

    with pytest.raises(RuntimeError, match="lost"):
        write_part(batches(), tmp_path, 0, "wanted")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
