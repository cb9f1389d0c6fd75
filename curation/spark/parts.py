"""Tasks that read and write Parquet themselves: Spark hands out the numbers of a table's parts and gathers what the tasks tell.

For tables whose rows only pass through: a row that goes to the JVM and from there to Python and back costs ten times what
`curation.parts` takes for it. The run's directory is a place that every executor sees.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from curation.parts import PART_ROWS, Part, parts_of, read_part
from curation.spark.batches import map_batches

PartFunction = Callable[[int, Iterator[pa.RecordBatch]], Iterable[pa.RecordBatch]]


def split(spark: SparkSession, table: Path, rows: int = PART_ROWS) -> list[Part]:
    """Return a table's parts of about so many rows, smaller ones where some cores would have none."""
    return parts_of(table, least=spark.sparkContext.defaultParallelism, rows=rows)


def map_parts(
    spark: SparkSession,
    table: Path,
    columns: Sequence[str],
    function: PartFunction,
    schema: pa.Schema,
    *,
    parts: Sequence[Part] | None = None,
) -> DataFrame:
    """Return what a function makes of the parts of a table's folder, a task a part. parts: those of `split` where not set.

    function: takes a part's number, from 0, and its batches with these columns alone; yields batches of `schema`. A task may be
    tried again: what it yields counts once, what it writes must be the same each time.
    """
    read = split(spark, table) if parts is None else parts

    def mapped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from function(number, read_part(table, read[number], columns))

    numbers = spark.range(0, len(read), 1, max(1, len(read)))
    return map_batches(numbers, mapped, schema)
