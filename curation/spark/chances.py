"""The chance of every pair, by the entry probabilities of all its languages. Part of step "balance".

An entry of a third of the pairs slows nothing: probabilities travel to the pairs, indexed by entry id, and no row travels by entry.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.balance import EXPECTED_UNIT, miss_prob
from curation.spark.batches import map_batches

Reals = npt.NDArray[np.float64]


def pair_probs(rows: DataFrame, probs: Mapping[str, Reals], carried: tuple[str, ...]) -> DataFrame:
    """Return (pair_id, carried..., lang, prob): a row a pair, the chance over the entries of all its languages.

    rows: pair_id, lang, lang_score, mixed, entry_ids and the carried columns, which are equal in a pair's rows. lang: of a
    mixed pair the surer, then the first by name. probs: entry probability by language, float64 (E,); it goes to the tasks as
    it is, indexed by entry id, with no shuffle by entry (PySpark broadcasts what is over 1 MiB). Only mixed pairs are shuffled.
    """
    kept = [rows.schema[name] for name in ("pair_id", "lang", "lang_score", "mixed", *carried)]
    schema = pa.schema(
        [*(_arrow_field(field) for field in kept), pa.field("miss", pa.float64(), nullable=False)]
    )

    def misses(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            columns = [batch.column(name) for name in schema.names[:-1]]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(_miss_of(batch, probs))], schema=schema)

    # Split before the map: Spark runs it anew for each of its uses, and pushes no filter through it.
    read = rows.select(*schema.names[:-1], "entry_ids")  # a map takes all columns it is given to Python
    single = map_batches(read.where(~F.col("mixed")), misses, schema)
    double = map_batches(read.where("mixed"), misses, schema)
    # Two factors commute exactly; more are multiplied in order of language.
    ordered = F.transform(F.array_sort(F.collect_list(F.struct("lang", "miss"))), lambda item: item["miss"])
    product = F.aggregate(ordered, F.lit(1.0), lambda total, miss: total * miss)
    surer = F.min(F.struct((-F.col("lang_score")).alias("order"), "lang"))["lang"]
    first = [F.min(name).alias(name) for name in carried]
    mixed = double.groupBy("pair_id").agg(*first, surer.alias("lang"), product.alias("miss"))
    return (
        single.select(*mixed.columns).unionByName(mixed).withColumn("prob", 1.0 - F.col("miss")).drop("miss")
    )


def _arrow_field(field: object) -> pa.Field:
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructField, StructType

    assert isinstance(field, StructField)
    return to_arrow_schema(StructType([field])).field(0)


def _miss_of(batch: pa.RecordBatch, probs: Mapping[str, Reals]) -> Reals:
    """Return the miss probability of each row of a batch, by the entry probabilities of its language."""
    miss_N = np.ones(batch.num_rows)
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    for lang in sorted(set(langs)):
        rows = np.flatnonzero(langs == lang)
        ids = batch.column("entry_ids").take(pa.array(rows))
        offsets = ids.offsets.to_numpy()
        flat = ids.values.to_numpy()
        miss_N[rows] = miss_prob(probs[lang], flat, offsets)
    return miss_N


def expected_sizes(rows: DataFrame, probs: Mapping[str, Reals]) -> dict[str, float]:
    """Return how many pairs a language are expected to be kept, of all rows; a mixed pair counts for its surer language.

    rows: as for `pair_probs`; where they have keep_prob_wanted they were drawn before, each is kept with the lesser of both
    chances, given that it is there.
    """
    carried = ("keep_prob_wanted",) if "keep_prob_wanted" in rows.columns else ()
    drawn = F.col("keep_prob_wanted") if carried else F.lit(1.0)
    whole = F.rint(F.least(F.col("prob"), drawn) / drawn / F.lit(EXPECTED_UNIT)).cast("long")
    sums = pair_probs(rows, probs, carried).groupBy("lang").agg(F.sum(whole).alias("total")).collect()
    return dict.fromkeys(probs, 0.0) | {row["lang"]: row["total"] * EXPECTED_UNIT for row in sums}
