"""A digest without Spark: every value, null and position counts, the order of rows and batches does not."""

import pyarrow as pa
import pytest
import xxhash

from curation.digest import row_hashes, table_digest
from curation.schemas import TABLES

COLUMNS = ["pair_id", "lang_score", "mixed", "entry_ids"]
ROWS = [
    {"pair_id": f"p{i}", "lang_score": i / 7, "mixed": i % 2 == 0, "entry_ids": list(range(i % 5))}
    for i in range(50)
]
SCHEMA = pa.schema([TABLES["matches"].field(name).with_nullable(True) for name in COLUMNS])


def digest(rows: list[dict[str, object]], size: int = 50) -> tuple[int, str]:
    return table_digest(pa.Table.from_pylist(rows, schema=SCHEMA).to_batches(max_chunksize=size), COLUMNS)


def test_rows_and_batches_in_any_order_have_one_digest() -> None:
    assert digest(ROWS) == digest(ROWS[::-1], 7) == digest(ROWS[20:] + ROWS[:20], 1)
    assert digest([]) == (0, "0")


@pytest.mark.parametrize(
    ("column", "value"),
    [("pair_id", "P3"), ("pair_id", None), ("lang_score", 0.5), ("mixed", None), ("entry_ids", [0, 2]), ("entry_ids", None)],
)  # fmt: skip
def test_any_changed_value_changes_the_digest(column: str, value: object) -> None:
    changed = [*ROWS[:3], ROWS[3] | {column: value}, *ROWS[4:]]
    assert digest(changed) != digest(ROWS)


def test_a_null_and_an_empty_value_differ_in_either_column() -> None:
    schema = pa.schema([pa.field("a", pa.string()), pa.field("b", pa.string())])
    batches = [
        pa.RecordBatch.from_pylist([row], schema=schema)
        for row in ({"a": "x", "b": None}, {"a": None, "b": "x"}, {"a": "x", "b": ""})
    ]
    assert len({int(row_hashes(batch, ["a", "b"])[0]) for batch in batches}) == 3


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31)])
def test_a_word_is_hashed_as_the_library_hashes_its_bytes(value: int) -> None:
    for kind, size in ((pa.int32(), 4), (pa.int64(), 8)):
        batch = pa.RecordBatch.from_arrays([pa.array([value], kind)], names=["n"])
        wanted = xxhash.xxh64_intdigest(value.to_bytes(size, "little", signed=True), seed=42)
        wanted = xxhash.xxh64_intdigest(bytes(4), seed=wanted)  # it is not null
        assert int(row_hashes(batch, ["n"])[0]) == wanted


def test_a_type_that_no_table_has_is_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1.0], pa.float32())], names=["n"])
    with pytest.raises(TypeError, match="float"):
        row_hashes(batch, ["n"])
