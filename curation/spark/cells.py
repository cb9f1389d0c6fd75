"""Pictures to vectors in their cells: the table `vectors`, part of stage `neighbours`."""

# N vectors, D dimensions

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.dedup.exact import distinct_views
from curation.dedup.kinds import Kind
from curation.dedup.rows import VIEW, as_codes, split, unpacked, view_rows
from curation.dedup.search import Visiting
from curation.ids import coins
from curation.spark.batches import map_batches
from curation.spark.columns import coin

CELL_COIN = "cells"  # the purpose of the coin that draws the vectors that k-means learns from
_DESCRIBED = 4_096  # pictures whose codes are unpacked at once
_SIZES = pa.schema([pa.field("vectors", pa.int64()), pa.field("queries", pa.int64())])


def count_vectors(descriptors: DataFrame, kind: Kind) -> tuple[int, int]:
    """Return how many vectors the pictures have, and how many of them ask: those of query views."""

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        vectors = queries = 0
        for batch in split(batches, _DESCRIBED):
            keeps = distinct_views(unpacked(batch, kind.views, kind.dimension))
            vectors, queries = vectors + int(keeps.sum()), queries + int(keeps[:, : kind.query_views].sum())
        yield pa.RecordBatch.from_pylist([{"vectors": vectors, "queries": queries}], schema=_SIZES)

    sizes = map_batches(descriptors.select("codes"), counted, _SIZES)
    found = sizes.agg(*(F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in _SIZES.names)).first()
    assert found is not None
    return int(found["vectors"]), int(found["queries"])


def sample(descriptors: DataFrame, kind: Kind, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a share of the vectors, chosen by coin, in the order of image_id and view: int8 (N, D), and their coins (N,).

    Pictures are chosen first, so that few codes are unpacked, then of each its share of views.
    """
    of_pictures = min(1.0, share * kind.views)

    def drawn(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in split(batches, _DESCRIBED):
            rows, _ = view_rows(batch, kind.views, kind.dimension)
            yield rows.filter(pa.array(_view_coins(rows, seed) < share / of_pictures))

    chosen = descriptors.where(coin(F.col("image_id"), seed, CELL_COIN) < of_pictures)
    table = map_batches(chosen.select("image_id", "codes"), drawn, VIEW).toArrow()
    rows = table.sort_by([("image_id", "ascending"), ("view", "ascending")]).combine_chunks()
    codes = as_codes(
        pa.concat_arrays(rows.column("code").chunks or [pa.array([], pa.binary())]), kind.dimension
    )
    return codes, _view_coins(rows, seed)


def _view_coins(rows: pa.RecordBatch | pa.Table, seed: int) -> np.ndarray:
    keys = zip(rows.column("image_id").to_pylist(), rows.column("view").to_pylist(), strict=True)
    return coins((f"{image_id}:{view}" for image_id, view in keys), seed, CELL_COIN)


def placed(descriptors: DataFrame, kind: Kind, visiting: Visiting) -> DataFrame:
    """Return the table `vectors`: each vector with its home and, of a query view, its visits."""

    def homes(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in split(batches, _DESCRIBED):
            rows, codes = view_rows(batch, kind.views, kind.dimension)
            yield _at_home(rows, codes, kind, visiting)

    return map_batches(descriptors.select("image_id", "codes"), homes, "vectors")


def revisited(vectors: DataFrame, kind: Kind, visiting: Visiting) -> DataFrame:
    """Return the table `vectors` with the visits of another mode."""

    def homes(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            yield _at_home(rows, as_codes(rows.column("code"), kind.dimension), kind, visiting)

    return map_batches(vectors.select(*VIEW.names), homes, "vectors")


def _at_home(rows: pa.RecordBatch, codes_ND: np.ndarray, kind: Kind, visiting: Visiting) -> pa.RecordBatch:
    """Return rows (image_id, view, code) with their homes and visits."""
    visits = visiting.visits(codes_ND)
    asks = rows.column("view").to_numpy() < kind.query_views
    counts = np.diff(visits.offsets)
    offsets = np.concatenate([[0], np.cumsum(np.where(asks, counts, 0))]).astype(np.int32)
    kept = visits.cells[np.repeat(asks, counts)]
    columns = {name: rows.column(name) for name in VIEW.names}
    columns |= {
        "cell": pa.array(visits.home),
        "visits": pa.ListArray.from_arrays(pa.array(offsets), pa.array(kept)),
    }
    return pa.RecordBatch.from_pydict(columns)
