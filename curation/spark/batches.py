"""The adaptor between Spark and functions on Arrow batches: the only caller of `mapInArrow`.

`mapInArrow` matches columns by position and checks nothing by default; here every batch is checked by name and type.
"""

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
from pyspark.resource import ResourceProfile
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from curation.errors import StageError
from curation.schemas import TABLES

BatchFunction = Callable[[Iterator[pa.RecordBatch]], Iterable[pa.RecordBatch]]


def spark_schema(table: str | pa.Schema) -> StructType:
    """Return Spark's schema of a table of ours, or of an Arrow schema."""
    return from_arrow_schema(plain(TABLES[table] if isinstance(table, str) else table))


def plain(schema: pa.Schema) -> pa.Schema:
    """Return the schema without its documentation."""
    return pa.schema([field.remove_metadata() for field in schema])


def map_batches(
    frame: DataFrame,
    function: BatchFunction,
    schema: str | pa.Schema,
    *,
    profile: ResourceProfile | None = None,
) -> DataFrame:
    """Map a lazy function over the Arrow batches of each partition.

    function: takes the iterator of a partition's batches, yields batches of `schema`, columns in any order. It must not
    depend on where one batch ends and the next begins, nor on the order of rows.
    profile: what each task needs beside a core, `curation.spark.devices.gpu_profile`; the shuffle before it is not part of it.
    Raises StageError, from the task, where a batch lacks a column or has one of another type.
    """
    wanted = plain(TABLES[schema] if isinstance(schema, str) else schema)

    def checked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in function(batches):
            yield conform(batch, wanted)

    return frame.mapInArrow(checked, spark_schema(wanted), profile=profile)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch with exactly the schema's columns in its order; nothing is cast, nulls are checked."""
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0:
            raise StageError(f"a batch lacks column {field.name!r}; it has {batch.schema.names}")
        column = batch.column(index)
        if not _same_type(column.type, field.type):
            raise StageError(f"column {field.name!r} is {column.type}, the table wants {field.type}")
        if column.null_count and not field.nullable:
            raise StageError(f"column {field.name!r} has {column.null_count} nulls, the table allows none")
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _same_type(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Lists may differ in the name of their element and in its nullability: nothing else may."""
    if pa.types.is_list(given) and pa.types.is_list(wanted):
        return bool(given.value_type == wanted.value_type)
    return bool(given == wanted)


def batches_of(
    rows: Iterable[dict[str, object]], table: str | pa.Schema, size: int
) -> Iterator[pa.RecordBatch]:
    """Pack rows into batches of at most `size`, lazily."""
    schema = plain(TABLES[table] if isinstance(table, str) else table)
    held: list[dict[str, object]] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield pa.RecordBatch.from_pylist(held, schema=schema)
            held = []
    if held:
        yield pa.RecordBatch.from_pylist(held, schema=schema)


def digest_column(columns: Iterable[str]) -> Column:
    """Return the hash of a row, int64, in which a null and an absent value differ (xxhash64 skips nulls)."""
    parts = [part for name in columns for part in (F.col(name), F.col(name).isNull())]
    return F.xxhash64(*parts)
