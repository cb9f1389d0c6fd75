"""The Spark side of a stage: write a table once, count and digest what was written, read tables by name."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyspark.resource import ResourceProfile
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from curation.schemas import TABLES, stable_columns
from curation.spark.batches import digest_column, map_batches, plain, spark_schema
from curation.stage import OpenStage, Tally

KIND, REASON, TALLY = "_kind", "_reason", "_tally"  # columns of a staged table, beside the table's own
ROW, DROPPED = "row", "dropped"
CountedFunction = Callable[[Iterator[pa.RecordBatch], Tally], Iterable[pa.RecordBatch]]


def write_table(
    frame: DataFrame, stage: OpenStage, table: str, *, sort_by: Sequence[str], name: str | None = None
) -> DataFrame:
    """Write a table of the stage, sorted by key inside its files; note its rows and digest; return it as read back.

    sort_by: the table's key. Rows are what is promised, not the files: those of a published table are `curation.manifest`'s.
    """
    name = name or table
    place = stage.path / name
    columns = [field.name for field in TABLES[table]]
    ordered = frame.select(*columns).sortWithinPartitions(*sort_by)
    ordered.write.mode("errorifexists").option("compression", "zstd").parquet(as_uri(place))
    written = read_table(frame.sparkSession, stage.path, table, name=name)
    rows, digest = measure(written, stable_columns(table))
    stage.add_table(name, rows=rows, digest=digest)
    return written


def as_uri(place: Path) -> str:
    """Return a place of the run as Spark must be told it: a mounted file, whatever the cluster's own file system is."""
    return f"file://{place.resolve()}"  # not quoted: Spark takes the characters as they are


def written_once(frame: DataFrame, schema: str | StructType, place: Path) -> DataFrame:
    """Write rows to a directory of the stage's own and read them back, so that they are computed once and plans stay short."""
    frame.write.mode("overwrite").parquet(as_uri(place))
    return frame.sparkSession.read.schema(schema).parquet(as_uri(place))


def measure(frame: DataFrame, columns: Sequence[str]) -> tuple[int, str]:
    """Return the number of rows and an order-free digest: the sum of the rows' hashes, in decimal."""
    total = F.sum(digest_column(columns).cast("decimal(38,0)")).cast("string")
    found = frame.agg(F.count(F.lit(1)).alias("rows"), F.coalesce(total, F.lit("0")).alias("digest")).first()
    assert found is not None
    return int(found["rows"]), str(found["digest"])


def read_table(spark: SparkSession, stage_path: Path, table: str, *, name: str | None = None) -> DataFrame:
    """Read a table of a stage by our schema: columns that an older version lacks come as nulls."""
    return spark.read.schema(spark_schema(table)).parquet(as_uri(stage_path / (name or table)))


def count_by(frame: DataFrame, column: str) -> dict[str, int]:
    """Return rows by the values of a column; small by nature (reasons, languages)."""
    return {str(row[column]): int(row["count"]) for row in frame.groupBy(column).count().collect()}


def write_counted(
    frame: DataFrame,
    function: CountedFunction,
    stage: OpenStage,
    table: str,
    *,
    sort_by: Sequence[str],
    keep_dropped: bool = False,
    profile: ResourceProfile | None = None,
) -> tuple[DataFrame, Tally]:
    """Map a counting function over a frame and write its rows in one pass; return them as read back, with the tally.

    function: takes a partition's batches and a `Tally` to count into; yields batches of the table's columns, where a row
    that was dropped may be yielded too, with its reason in a column `_reason`: such rows go to the table `dropped` if
    `keep_dropped`, else nowhere. The tally is a row of each task's own output, so that a retried task counts once.
    The rows lie under `_staged` until `adopt` makes them the stage's table, or a further step has read them.
    """
    columns = [field.with_nullable(True) for field in plain(TABLES[table])]
    staged = pa.schema([*columns, *(pa.field(name, pa.string()) for name in (KIND, REASON, TALLY))])

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tally = Tally()
        for batch in function(batches, tally):
            yield from _staged_batches(batch, staged, keep_dropped=keep_dropped)
        nulls = dict.fromkeys(staged.names)
        yield pa.RecordBatch.from_pylist([nulls | {KIND: "tally", TALLY: tally.to_json()}], schema=staged)

    place = stage.path / "_staged"
    rows = map_batches(frame, counted, staged, profile=profile).sortWithinPartitions(KIND, *sort_by)
    rows.write.mode("overwrite").partitionBy(KIND).option("compression", "zstd").parquet(as_uri(place))
    tally = Tally()
    spark = frame.sparkSession
    for row in (
        spark.read.schema(spark_schema(staged))
        .parquet(as_uri(place / f"{KIND}=tally"))
        .select(TALLY)
        .collect()
    ):
        tally.add_json(row[TALLY])
    kept = spark.read.schema(spark_schema(pa.schema(columns)))
    return kept.parquet(as_uri(_made(place / f"{KIND}={ROW}"))), tally


def adopt(stage: OpenStage, table: str, spark: SparkSession) -> DataFrame:
    """Make the staged rows the stage's table as they lie; note its rows and digest; return it as read back."""
    _made(stage.path / "_staged" / f"{KIND}={ROW}").rename(stage.path / table)
    discard_staged(stage)
    written = read_table(spark, stage.path, table)
    rows, digest = measure(written, stable_columns(table))
    stage.add_table(table, rows=rows, digest=digest)
    return written


def discard_staged(stage: OpenStage) -> None:
    """Remove what was staged; rows that were dropped become the table `dropped`, where they were kept."""
    dropped = stage.path / "_staged" / f"{KIND}={DROPPED}"
    if dropped.is_dir():
        dropped.rename(stage.path / DROPPED)
    shutil.rmtree(stage.path / "_staged")


def _staged_batches(
    batch: pa.RecordBatch, staged: pa.Schema, *, keep_dropped: bool
) -> Iterator[pa.RecordBatch]:
    """Add the columns of a staged table to a batch, and split off the rows with a reason."""
    reason = batch.column(REASON) if REASON in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
    kept = reason.is_null()
    kinds = ((ROW, kept), (DROPPED, reason.is_valid())) if keep_dropped else ((ROW, kept),)
    for kind, mask in kinds:
        part = batch.filter(mask)
        if part.num_rows:
            extra = {KIND: pa.repeat(kind, part.num_rows), TALLY: pa.nulls(part.num_rows, pa.string())}
            extra[REASON] = reason.filter(mask)
            columns = [extra[n] if n in extra else part.column(n) for n in staged.names]
            yield pa.RecordBatch.from_arrays(columns, schema=staged)


def _made(place: Path) -> Path:
    """Return the directory, made where no task had a row for it."""
    place.mkdir(parents=True, exist_ok=True)
    return place
