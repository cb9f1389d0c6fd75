"""The removal list on Spark: which rows of a manifest leave, the same as `curation.removals.Removals.rules_of_table` says."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from curation.removals import Removals
from curation.spark.batches import map_batches

REMOVED = "removed"  # the column: null where a row stays, else the rule that removes it


def split_removed(rows: DataFrame, removals: Removals) -> DataFrame:
    """Return the rows with a column `removed`, text: url, domain, image or picture; null where the row stays.

    rows: all rows of a manifest, a row a pair, with pair_id, url, image_id and source_image_id. One shuffle by picture, and none
    where the list is empty.
    """
    if not removals:
        return rows.withColumn(REMOVED, F.lit(None).cast("string"))
    marked = _marked(rows, removals)
    own = marked.where(F.col(REMOVED).isNull() & (F.col("image_id") == F.col("source_image_id")))
    alive = own.select("image_id").distinct().withColumn("_alive", F.lit(True))
    rule = F.coalesce(REMOVED, F.when(F.col("_alive").isNull(), F.lit("picture")))
    return marked.join(alive, "image_id", "left").withColumn(REMOVED, rule).drop("_alive")


def _marked(rows: DataFrame, removals: Removals) -> DataFrame:
    """Return the rows with the rule that the row alone gives."""
    schema = to_arrow_schema(rows.schema).append(pa.field(REMOVED, pa.string()))

    def mark(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            asked = (batch.column(name).to_pylist() for name in ("url", "image_id", "source_image_id"))
            rules = pa.array(removals.rules_of(*asked), pa.string())
            yield pa.RecordBatch.from_arrays([*batch.columns, rules], schema=schema)

    return map_batches(rows, mark, schema)
