"""Counts of texts that tasks make of large sources, summed by Spark: n-grams of dumps, views of titles.

A task yields partial counts in bounded memory; the sums are written once, a folder a kind, and only read from there. The tally of
a task is a row among its counts, so that a task which was tried twice counts once.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.spark.batches import map_batches, spark_schema
from curation.spark.stage import as_uri
from curation.stage import Tally

TALLY = "tally"
COUNTS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)


class Measure(NamedTuple):
    """The size of a kind's sums in a language."""

    texts: int = 0
    """Distinct ones."""
    total: int = 0
    """Their occurrences."""


TaskFunction = Callable[[int, Tally], Iterable[pa.RecordBatch]]


def sum_tasks(
    spark: SparkSession, function: TaskFunction, tasks: int, place: Path, *, partitions: int | None = None
) -> Tally:
    """Run `function` for each task's number, sum the counts by kind, language and text, write them; return the tally.

    function: takes a number below `tasks` and the tally to count into; yields batches of COUNTS, a text as often as it likes.
    place: a directory that is made. partitions: Spark tasks that share ours; one a task where it is not set.
    """

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tally = Tally()
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from function(number, tally)
        row = {"kind": TALLY, "lang": "", "text": tally.to_json(), "count": 1}
        yield pa.RecordBatch.from_pylist([row], schema=COUNTS)

    numbers = spark.range(0, tasks, 1, partitions or max(1, tasks))
    summed = (
        map_batches(numbers, counted, COUNTS)
        .groupBy("kind", "lang", "text")
        .agg(F.sum("count").alias("count"))
    )
    summed.write.mode("overwrite").partitionBy("kind").option("compression", "zstd").parquet(as_uri(place))
    tally = Tally()
    for row in read_sums(spark, place, TALLY).collect():
        for _ in range(row["count"]):  # equal tallies of two tasks are one row
            tally.add_json(row["text"])
    return tally


def read_sums(spark: SparkSession, place: Path, kind: str) -> DataFrame:
    """Return (lang, text, count) of a kind: nothing where no task had any."""
    folder = place / f"kind={kind}"
    folder.mkdir(parents=True, exist_ok=True)
    schema = spark_schema(pa.schema([field for field in COUNTS if field.name != "kind"]))
    return spark.read.schema(schema).parquet(as_uri(folder))


def measure_sums(spark: SparkSession, place: Path) -> dict[tuple[str, str], Measure]:
    """Return the size of each kind's sums by (kind, language), all in one pass; those without any text are absent."""
    sums = spark.read.schema(spark_schema(COUNTS)).parquet(as_uri(place)).where(F.col("kind") != TALLY)
    found = sums.groupBy("kind", "lang").agg(F.count(F.lit(1)).alias("texts"), F.sum("count").alias("total"))
    return {(row["kind"], row["lang"]): Measure(row["texts"], row["total"]) for row in found.collect()}


def discard(place: Path) -> None:
    """Remove what was written for one stage's own use."""
    shutil.rmtree(place, ignore_errors=True)
