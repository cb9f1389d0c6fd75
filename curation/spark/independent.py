"""The three rules of `curation.dedup.groups` over near pairs that no memory holds. Part of stage `dedup`.

Near pairs are (a, b, cosine, place_a, place_b): vertices are ranks, a < b, so a is the better; a place is one in the order of
image_id. `mis` is one pass over the pairs sorted by their better end, with a bit a vertex: when a vertex comes up, all that could
strike it out has been read, so this is the greedy set exactly. A component is never split over tasks, and components share
tasks: a large one makes one task long, and never needs more memory than these bits. `dominated` follows each one's nearest better
neighbour by pointer jumping, so that a chain of n takes log2 n rounds.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from curation.spark.batches import map_batches
from curation.spark.stage import written_once

FEW_STEPS = 10_000_000  # one task follows the ways of so many dropped vertices, at about 100 bytes each
SETTLED = "vertex long, joined long, near long, cosine double"
_VERTEX = pa.schema([pa.field("vertex", pa.int64())])
_WAY = pa.schema([pa.field("vertex", pa.int64()), pa.field("joined", pa.int64())])
_BATCH = 1 << 17  # rows an Arrow batch
_WORDS = 1 << 20  # of eight bytes, of which the struck vertices are read out at once


def mis(pairs: DataFrame, of: DataFrame, num: int, scratch: Path) -> DataFrame:
    """Return what each dropped vertex joined, as SETTLED; of: (vertex, component). num: vertices, which are below it."""
    tied = pairs.join(of.withColumnRenamed("vertex", "a"), "a").select("a", "b", "component")
    tasks = max(1, int(pairs.sparkSession.conf.get("spark.sql.shuffle.partitions") or 1))
    in_order = tied.repartition(tasks, "component").sortWithinPartitions("a", "b")

    def struck_out(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return struck(batches, num)

    dropped = written_once(map_batches(in_order, struck_out, _VERTEX), "vertex long", scratch / "struck")
    both = both_ways(pairs)
    left = both.join(dropped.withColumnRenamed("vertex", "left"), "left", "left_semi")
    right = left.join(dropped.withColumnRenamed("vertex", "right"), "right", "left_anti")
    return nearest(right).withColumn("joined", F.col("near")).select("vertex", "joined", "near", "cosine")


def struck(batches: Iterator[pa.RecordBatch], num: int) -> Iterator[pa.RecordBatch]:
    """Yield the vertices that kept ones strike out, of pairs sorted by (a, b) that hold whole components."""
    bits = bytearray(-(-num // 64) * 8)
    for batch in batches:
        for a, b in zip(batch.column("a").to_pylist(), batch.column("b").to_pylist(), strict=True):
            if not bits[a >> 3] >> (a & 7) & 1:
                bits[b >> 3] |= 1 << (b & 7)
    words = np.frombuffer(bits, np.uint64)
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS]
        held = np.flatnonzero(part)
        flags = np.unpackbits(part[held].view(np.uint8), bitorder="little").reshape(-1, 64)
        word, bit = np.nonzero(flags)
        vertices = (start + held[word]) * 64 + bit
        for begin in range(0, len(vertices), _BATCH):
            yield pa.RecordBatch.from_arrays([pa.array(vertices[begin : begin + _BATCH])], schema=_VERTEX)


def dominated(pairs: DataFrame, scratch: Path, *, few: int = FEW_STEPS) -> DataFrame:
    """Return what each dropped vertex joined, as SETTLED. few: dropped vertices whose ways one task may follow."""
    better = pairs.select(
        F.col("b").alias("left"), F.col("a").alias("right"), F.col("place_a").alias("place"), "cosine"
    )
    near = written_once(nearest(better), "vertex long, near long, cosine double", scratch / "nearest")
    ways = written_once(
        near.select("vertex", F.col("near").alias("joined")), "vertex long, joined long", scratch / "way-0"
    )
    ends = _at_the_end(ways, scratch, few)
    return near.join(ends, "vertex").select("vertex", "joined", "near", "cosine")


def _at_the_end(ways: DataFrame, scratch: Path, few: int) -> DataFrame:
    """Return (vertex, joined) with each way followed to its end, which is no vertex of the table."""
    if ways.count() <= few:
        return map_batches(ways.repartition(1), followed, _WAY)
    rounds = 0
    while True:
        rounds += 1
        ahead = ways.select(F.col("vertex").alias("joined"), F.col("joined").alias("ahead"))
        found = ways.join(ahead, "joined", "left")
        stepped = found.select(
            "vertex", F.coalesce("ahead", "joined").alias("joined"), F.col("ahead").isNotNull().alias("moved")
        )
        written = written_once(stepped, "vertex long, joined long, moved boolean", scratch / f"way-{rounds}")
        ways = written.select("vertex", "joined")
        if not written.where("moved").take(1):
            return ways


def followed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield (vertex, joined) with each way followed to its end: all of them in this one task."""
    table = pa.Table.from_batches(batches, schema=_WAY)
    vertex, joined = (table.column(name).to_numpy() for name in _WAY.names)
    names, places = np.unique(np.concatenate([vertex, joined]), return_inverse=True)
    to = np.arange(len(names))
    to[places[: len(vertex)]] = places[len(vertex) :]
    while (to[to] != to).any():
        to = to[to]
    ends = pa.table([table.column("vertex"), pa.array(names[to[places[: len(vertex)]]])], schema=_WAY)
    yield from ends.to_batches(max_chunksize=_BATCH)


def one_a_component(pairs: DataFrame, of: DataFrame) -> DataFrame:
    """Return what each vertex but the best of its component joined, as SETTLED; of: (vertex, component)."""
    near = nearest(both_ways(pairs))
    dropped = of.where("vertex != component").withColumnRenamed("component", "joined")
    return near.join(dropped, "vertex").select("vertex", "joined", "near", "cosine")


def both_ways(pairs: DataFrame) -> DataFrame:
    """Return (left, right, place, cosine): each pair from either end, with the place of the right one."""

    def turned(left: str, right: str) -> list[Column]:
        return [
            F.col(left).alias("left"), F.col(right).alias("right"), F.col(f"place_{right}").alias("place"), F.col("cosine"),
        ]  # fmt: skip

    return pairs.select(turned("a", "b")).unionByName(pairs.select(turned("b", "a")))


def nearest(sided: DataFrame) -> DataFrame:
    """Return (vertex, near, cosine): of each left end the right one of highest cosine, then of the first place."""
    best = F.min(F.struct((-F.col("cosine")).alias("less"), "place", "right"))
    found = sided.groupBy(F.col("left").alias("vertex")).agg(best.alias("best"))
    return found.select("vertex", F.col("best.right").alias("near"), (-F.col("best.less")).alias("cosine"))
