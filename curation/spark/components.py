"""Connected components over edges that no memory holds. Part of stage `dedup`.

Where one task can hold a parent for every vertex, it reads all edges once, and that is all (`curation.dedup.forest`). Above that each
task first contracts its own edges to a forest of stars, so that what travels is at most an edge a vertex and task; then large-star
and small-star in turn (Kiveris et al., "Connected Components in MapReduce and Beyond", 2014). After each round the stars that touch
no other are whole components and are put aside, so that a round has only what is still open; when one task can hold that, it
finishes it. Each round is written down and read back: plans stay short, and a lost task costs a round. The label of a component is
its least vertex, so the answer hangs on no order and no partitioning.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from curation.dedup.forest import Forest, least_labels, parent_type
from curation.spark.batches import map_batches
from curation.spark.stage import written_once

ROOM = 1 << 30  # bytes that one task may hold: the parents of 268 million vertices
_EDGE_BYTES = 100  # of an edge that is contracted
_COLUMNS = "a long, b long"
_EDGES = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64())])
_LABEL = pa.schema([pa.field("vertex", pa.int64()), pa.field("component", pa.int64())])
_BATCH = 1 << 17  # edges an Arrow batch


def components(
    edges: DataFrame, num: int, scratch: Path, *, room: int = ROOM
) -> tuple[DataFrame, list[dict[str, int]]]:
    """Return (vertex, component) of every vertex that has an edge, and the rounds it took: edges still open after each.

    edges: columns a and b, int64, in any order and repeated or not. num: vertices, all below it. scratch: a directory of the
    caller's, for the rounds. room: bytes that one task may hold. No rounds: one task had room for all vertices.
    """
    if num * np.dtype(parent_type(num)).itemsize <= room:
        whole = map_batches(edges.select("a", "b").coalesce(1), functools.partial(labelled, num), _LABEL)
        return written_once(whole, "vertex long, component long", scratch / "labels"), []
    return _in_rounds(edges, scratch, room // _EDGE_BYTES)


def labelled(num: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield (vertex, component) of all vertices below `num`, of edges (a, b)."""
    forest = Forest(num)
    for batch in batches:
        forest.tie(batch.column("a").to_numpy(), batch.column("b").to_numpy())
    start = 0
    for labels in forest.labels():
        ends = [pa.array(np.arange(start, start + len(labels))), pa.array(labels.astype(np.int64))]
        yield from pa.table(ends, schema=_LABEL).to_batches(max_chunksize=_BATCH)
        start += len(labels)


def _in_rounds(edges: DataFrame, scratch: Path, few: int) -> tuple[DataFrame, list[dict[str, int]]]:
    """Do what `components` does with no memory that grows with the graph; few: edges that one task may finish."""
    left = written_once(
        map_batches(edges.select("a", "b"), contracted, _EDGES), _COLUMNS, scratch / "round-0"
    )
    rounds = [{"edges": left.count()}]
    whole: list[DataFrame] = []
    while rounds[-1]["edges"] > few:
        place = scratch / f"round-{len(rounds)}"
        stars = written_once(left.transform(large_star).transform(small_star), _COLUMNS, place / "stars")
        sifted = written_once(stars.transform(with_open), f"{_COLUMNS}, open boolean", place / "sifted")
        whole.append(sifted.where("not open").select("a", "b"))
        left = sifted.where("open").select("a", "b")
        rounds.append({"edges": left.count()})
    if rounds[-1]["edges"] or not whole:
        one = map_batches(left.repartition(1), contracted, _EDGES)
        whole.append(written_once(one, _COLUMNS, scratch / "last"))
        rounds.append({"edges": 0})
    stars = functools.reduce(DataFrame.unionByName, whole)
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


def with_open(stars: DataFrame) -> DataFrame:
    """Return (a, b, open): whether the star of centre a shares a vertex with another one, so that it is no whole component."""
    leaves = stars.select(F.col("b").alias("vertex"), F.col("a").alias("centre"))
    ends = leaves.unionByName(stars.select(F.col("a").alias("vertex"), F.col("a").alias("centre")))
    shared = ends.groupBy("vertex").agg(F.min("centre").alias("least"), F.max("centre").alias("most"))
    torn = shared.where("least < most").select("vertex")
    centres = ends.join(torn, "vertex", "left_semi").select(
        F.col("centre").alias("a"), F.lit(True).alias("open")
    )
    return stars.join(centres.distinct(), "a", "left").select(
        "a", "b", F.coalesce("open", F.lit(False)).alias("open")
    )
