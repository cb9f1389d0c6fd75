"""Candidates to `edges`: the cosine of two pictures over all their views, and what a second look at them finds.

Computed from the two pictures' descriptors alone, so that an edge's values do not depend on the cells in which the two met.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.dedup.exact import best_cosines
from curation.dedup.kinds import Agreement, Kind, second_look
from curation.dedup.rows import as_codes, split
from curation.spark.batches import map_batches

_PAIRS = 8_192  # pairs of pictures at once
_SIDES = ("a", "b")


def valued(
    candidates: DataFrame, descriptors: DataFrame, kind: Kind, *, tasks: int | None = None
) -> DataFrame:
    """Return the table `edges` of pairs (image_id_a, image_id_b); descriptors hold (image_id, codes, detail) of all of them.

    tasks: that work at it; Spark's choice, by bytes, where it is None.
    """
    look = second_look(kind)
    columns = ["codes"] if look is None else ["codes", "detail"]
    joined = candidates
    for side in _SIDES:
        renamed = [F.col(name).alias(f"{name}_{side}") for name in ("image_id", *columns)]
        described = descriptors.select(*renamed)
        if tasks and side == _SIDES[-1]:  # both, so that the join needs no other shuffle
            joined, described = (
                frame.repartition(tasks, f"image_id_{side}") for frame in (joined, described)
            )
        joined = joined.join(described, f"image_id_{side}")

    def values(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in split(batches, _PAIRS):
            yield edges_of(batch, kind, look)

    return map_batches(joined, values, "edges")


def edges_of(batch: pa.RecordBatch, kind: Kind, look: Agreement | None) -> pa.RecordBatch:
    """Return the edges of a batch of pairs with the codes, and where there is a second look the details, of both."""
    width = kind.views * kind.dimension
    codes = [
        as_codes(batch.column(f"codes_{side}"), width).reshape(-1, kind.views, kind.dimension)
        for side in _SIDES
    ]
    agreement = pa.nulls(batch.num_rows, pa.float64())
    if look is not None:
        details = [
            as_codes(batch.column(f"detail_{side}"), kind.detail_bytes).view(np.uint8) for side in _SIDES
        ]
        agreement = pa.array(look(*details), pa.float64())
    return pa.RecordBatch.from_pydict(
        {
            "image_id_a": batch.column("image_id_a"),
            "image_id_b": batch.column("image_id_b"),
            "cosine": pa.array(best_cosines(*codes, query_views=kind.query_views)),
            "agreement": agreement,
        }
    )
