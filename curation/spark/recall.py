"""The recall audit of stage `neighbours`: a sample of pictures is compared with all, and what the search found of it is counted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.dedup.exact import best_cosines
from curation.dedup.faiss_package import load_faiss
from curation.dedup.kinds import Kind
from curation.dedup.neighbours import Database
from curation.dedup.recall import measured
from curation.dedup.rows import split, unpacked
from curation.spark.batches import map_batches
from curation.spark.columns import coin
from curation.spark.edges import valued
from curation.spark.stage import written_once

_PAIR = ["image_id_a", "image_id_b"]
AUDIT_COIN = "audit"  # the purpose of the coin that draws the sample
_COMPARED = 8_192  # pictures that are compared with the sample at once
_NEAR = pa.schema(
    [pa.field("sampled", pa.string()), pa.field("other", pa.string()), pa.field("cosine", pa.float64())]
)


def audited(
    searched: DataFrame,
    others: DataFrame,
    edges: DataFrame,
    kind: Kind,
    scratch: Path,
    *,
    pictures: int,
    seed: int,
    floor: float,
) -> dict[str, Any]:
    """Compare so many of the searched pictures, chosen by coin, with all others; return the note `audit`.

    searched, others: (image_id, codes, detail), the pictures of this crawl, and these with those of earlier indexes. Where the kind
    has a second look, only pairs that agree by its bound count: the others are near to nobody. Of pairs that the search found, `edges`
    knows it. scratch: a directory of the caller's.
    """
    by_coin = searched.select("image_id", "codes").orderBy(
        coin(F.col("image_id"), seed, AUDIT_COIN), "image_id"
    )
    sample = by_coin.limit(pictures).toArrow().sort_by("image_id")
    near = map_batches(others.select("image_id", "codes"), _Comparing(sample, kind, floor), _NEAR)
    pair = [F.least("sampled", "other").alias(_PAIR[0]), F.greatest("sampled", "other").alias(_PAIR[1])]
    known = edges.select(*_PAIR, "agreement", F.lit(True).alias("found"))
    counted = near.select("sampled", "cosine", *pair).join(known, _PAIR, "left")
    if kind.agreement_bound is not None:
        counted = written_once(counted, counted.schema, scratch)
        missed = counted.where(F.col("found").isNull()).select(*_PAIR).distinct()
        looked = valued(missed, others, kind).select(*_PAIR, F.col("agreement").alias("looked"))
        counted = counted.join(looked, _PAIR, "left").where(
            F.coalesce("agreement", "looked") >= kind.agreement_bound
        )
    table = counted.select("sampled", "cosine", F.coalesce("found", F.lit(False)).alias("found")).toArrow()
    cosine, found = (table.column(name).to_numpy() for name in ("cosine", "found"))
    bands = measured(np.array(table.column("sampled").to_pylist(), str), cosine, found, floor)
    return {"pictures": sample.num_rows, "seed": seed, "floor": floor, "bands": bands}


class _Comparing:
    """Compares batches of pictures with a sample that every task holds."""

    def __init__(self, sample: pa.Table, kind: Kind, floor: float) -> None:
        self.ids = sample.column("image_id").to_pylist()
        self.codes = b"".join(sample.column("codes").to_pylist())
        self.kind, self.floor = kind, floor

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        load_faiss().omp_set_num_threads(1)  # the cores are Spark's to share out
        kind, views = self.kind, self.kind.views
        sampled = np.frombuffer(self.codes, np.int8).reshape(-1, views, kind.dimension)
        queries = np.ascontiguousarray(sampled[:, : kind.query_views]).reshape(-1, kind.dimension)
        ids = pa.array(self.ids, pa.string())
        for batch in split(batches, _COMPARED):
            codes = unpacked(batch, views, kind.dimension)
            database = Database(codes.reshape(-1, kind.dimension))
            for query, hit in database.met(queries, self.floor):
                met = np.unique(query // kind.query_views * len(codes) + hit // views)
                one, other = np.divmod(met, len(codes))
                columns = {
                    "sampled": ids.take(pa.array(one)),
                    "other": batch.column("image_id").take(pa.array(other)),
                    "cosine": pa.array(
                        best_cosines(sampled[one], codes[other], query_views=kind.query_views)
                    ),
                }
                rows = pa.RecordBatch.from_pydict(columns, schema=_NEAR)
                yield rows.filter(pa.compute.not_equal(rows.column("sampled"), rows.column("other")))
