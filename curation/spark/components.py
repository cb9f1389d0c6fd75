"""Connected components over edges that no memory holds. Part of stage `dedup`.

Each task first contracts its own edges to a forest of stars, by union-find, so that what travels is at most an edge a vertex and
task; then large-star and small-star in turn (Kiveris et al., "Connected Components in MapReduce and Beyond", 2014) until nothing
changes, or until one task can hold the rest and finishes it. Each round is written down and read back: plans stay short, and a
lost task costs a round. The label of a component is its least vertex, so the answer hangs on no order and no partitioning.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from curation.dedup.groups import least_labels
from curation.spark.batches import map_batches
from curation.spark.stage import measure, written_once

FEW_EDGES = 10_000_000  # one task finishes so many, at about 100 bytes each
_EDGES = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64())])
_BATCH = 1 << 17  # edges an Arrow batch


def components(
    edges: DataFrame, scratch: Path, *, few: int = FEW_EDGES
) -> tuple[DataFrame, list[dict[str, int]]]:
    """Return (vertex, component) of every vertex that has an edge, and the rounds it took: stars left after each.

    edges: columns a and b, int64, in any order and repeated or not. scratch: a directory of the caller's, for the rounds.
    few: edges that one task may finish.
    """
    stars, size, digest = _written(
        map_batches(edges.select("a", "b"), contracted, _EDGES), scratch / "round-0"
    )
    rounds = [{"edges": size}]
    while size > few:
        before = digest
        place = scratch / f"round-{len(rounds)}"
        stars, size, digest = _written(stars.transform(large_star).transform(small_star), place)
        rounds.append({"edges": size})
        if digest == before:
            break
    else:
        one = stars.repartition(1)
        stars, size, _ = _written(map_batches(one, contracted, _EDGES), scratch / "last")
        rounds.append({"edges": size})
    members = stars.select(F.col("b").alias("vertex"), F.col("a").alias("component"))
    roots = stars.select(F.col("a").alias("vertex"), F.col("a").alias("component")).distinct()
    return members.unionByName(roots), rounds


def contracted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield a task's edges (a, b) as stars: each of its vertices beside the least one that these edges tie it to."""
    held = [(batch.column("a").to_numpy(), batch.column("b").to_numpy()) for batch in batches]
    if not held:
        return
    first, second = (np.concatenate([pair[end] for pair in held]) for end in (0, 1))
    vertices, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    label = least_labels(places[: len(first)], places[len(first) :], len(vertices))
    leaf = np.flatnonzero(label != np.arange(len(vertices)))
    for start in range(0, len(leaf), _BATCH):
        part = leaf[start : start + _BATCH]
        ends = [pa.array(vertices[label[part]]), pa.array(vertices[part])]
        yield pa.RecordBatch.from_arrays(ends, schema=_EDGES)


def large_star(edges: DataFrame) -> DataFrame:
    """Tie each vertex's larger neighbours to the least of itself and its neighbours. Edges (a < b), each once."""
    there = edges.select(F.col("a").alias("u"), F.col("b").alias("v"))
    both = there.unionByName(edges.select(F.col("b").alias("u"), F.col("a").alias("v")))
    least = F.least("u", F.min("v").over(Window.partitionBy("u")))
    return (
        both.select("u", "v", least.alias("a")).where("v > u").select("a", F.col("v").alias("b")).distinct()
    )


def small_star(edges: DataFrame) -> DataFrame:
    """Tie each vertex and its smaller neighbours to the least of them. Edges (a < b), each once."""
    least = F.min("a").over(Window.partitionBy("b"))
    found = edges.select("a", "b", least.alias("m"))
    centre = found.select(F.col("m").alias("a"), "b")
    others = found.where("a > m").select(F.col("m").alias("a"), F.col("a").alias("b"))
    return centre.unionByName(others).distinct()


def _written(edges: DataFrame, place: Path) -> tuple[DataFrame, int, str]:
    """Write edges and read them back; return them with their number and an order-free digest."""
    written = written_once(edges, "a long, b long", place)
    return written, *measure(written, ("a", "b"))
