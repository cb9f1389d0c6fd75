"""A dense number for every row: its place in a total order, the same in any partitioning. Part of stage `dedup`.

Vertices of the graph of near pairs are such numbers, 0 the best-ranked: int64 takes any crawl, where 64 bits of a hash would meet.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from curation.spark.batches import map_batches, spark_schema
from curation.spark.stage import as_uri

_PART, _PLACE = "_part", "_place"


def numbered(frame: DataFrame, order: Sequence[Column], name: str, place: Path) -> DataFrame:
    """Return the rows with their places in the order, from 0, as column `name`, int64.

    order: must tell any two rows apart, so it ends in an id. place: a directory of the caller's, written once and read back,
    so that all see one partitioning: rows are sorted in ranges, numbered in each, and each range begins where the last one ended.
    """
    in_order = frame.repartitionByRange(*order).sortWithinPartitions(*order)
    given = to_arrow_schema(frame.schema)
    schema = given.append(pa.field(_PART, pa.int64())).append(pa.field(_PLACE, pa.int64()))

    def placed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        part, start = context.partitionId(), 0
        for batch in batches:
            places = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            parts = pa.array(np.full(batch.num_rows, part))
            yield pa.RecordBatch.from_arrays([*batch.columns, parts, pa.array(places)], names=schema.names)

    map_batches(in_order, placed, schema).write.mode("overwrite").parquet(as_uri(place))
    spark = frame.sparkSession
    written = spark.read.schema(spark_schema(schema)).parquet(as_uri(place))
    starts = _starts(written)
    numbers = F.col(_PLACE) + F.col("_start")
    return written.join(F.broadcast(starts), _PART).withColumn(name, numbers).drop(_PART, _PLACE, "_start")


def _starts(written: DataFrame) -> DataFrame:
    """Return where each range begins: the sum of those before it. A row a task, so few."""
    sizes = {int(row[_PART]): int(row["count"]) for row in written.groupBy(_PART).count().collect()}
    starts, start = [], 0
    for part in sorted(sizes):
        starts.append((part, start))
        start += sizes[part]
    return written.sparkSession.createDataFrame(starts, f"{_PART} long, _start long")
