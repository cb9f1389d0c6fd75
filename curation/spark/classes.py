"""From near pairs of pictures to a graph of numbers: classes of equal descriptors, their best-ranked picture, and dense ranks.

Part of stage `dedup`. The search knows no rank: of a class it compares the picture of the smallest image_id. Here the best-ranked
stands for all of the class, and only classes with a near pair become vertices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from curation.spark.stage import written_once
from curation.spark.vertices import numbered

KEYS = ("pixels", "captions", "bytes")  # what dedup.rank may ask for
GRAPH, PAIRS = "graph", "pairs"  # directories of the scratch, for who reads them past Spark
_VERTEX = ("vertex", "place", "end", "image_id", "in_index")


@dataclass(frozen=True)
class Vertices:
    """The graph of near pairs in numbers."""

    table: DataFrame
    """(vertex, place, end, image_id, in_index): rank, place in the order of image_id, the id that the search knows it by, and the
    best-ranked picture of its class.
    """
    pairs: DataFrame
    """(a, b, cosine, place_a, place_b): near pairs, a the better."""
    ties: DataFrame
    """(a, b): vertices of one group in an index."""
    num: int
    """Vertices."""
    num_pairs: int
    """Near pairs."""


def late(edges: DataFrame, threshold: float, bound: float | None) -> DataFrame:
    """Return the edges that count: the cosine is at the threshold or above, the agreement at the kind's bound or above.

    Cosines are written so that this comparison decides as the integers do (`curation.dedup.exact`).
    """
    near = edges.where(F.col("cosine") >= F.lit(round(threshold * 1000) / 1000))
    return near if bound is None else near.where(F.col("agreement") >= F.lit(bound))


def without(edges: DataFrame, gone: DataFrame) -> DataFrame:
    """Return the edges of which neither end is a representative of pictures that are gone."""
    ends = gone.select("representative").distinct()
    for name in ("image_id_a", "image_id_b"):
        edges = edges.join(ends.withColumnRenamed("representative", name), name, "left_anti")
    return edges


def ranked(
    descriptors: DataFrame, identical: DataFrame, outcomes: DataFrame, wanted: DataFrame, keys: Sequence[str]
) -> DataFrame:
    """Return (image_id, representative, pixels, captions, bytes): every described picture; keys that are not asked for are null."""
    pixels = (F.col("width").cast("long") * F.col("height")).alias("pixels")
    pictures = descriptors.select("image_id", pixels).join(identical, "image_id", "left")
    shown = outcomes.where(F.col("status") == "ok").select("url", "image_id", "bytes")
    if "bytes" in keys:
        pictures = pictures.join(
            shown.groupBy("image_id").agg(F.max("bytes").alias("bytes")), "image_id", "left"
        )
    if "captions" in keys:
        pairs = wanted.select("url").join(shown.select("url", "image_id"), "url").groupBy("image_id")
        pictures = pictures.join(pairs.agg(F.count(F.lit(1)).alias("captions")), "image_id", "left")
    values = [
        F.coalesce(key, F.lit(0).cast("long")).alias(key)
        if key in keys
        else F.lit(None).cast("long").alias(key)
        for key in KEYS
    ]
    return pictures.select(
        "image_id", F.coalesce("representative", "image_id").alias("representative"), *values
    )


def order(keys: Sequence[str]) -> list[Column]:
    """Return the columns by which pictures are ranked, the first the weightiest: each sorted upwards."""
    return [*(-F.col(key) for key in keys), F.col("image_id")]


def best_of_class(pictures: DataFrame, keys: Sequence[str]) -> DataFrame:
    """Return (representative, image_id, pixels, captions, bytes, pictures): the best-ranked picture of each class, and their number."""
    ranks = [column.alias(f"rank_{n}") for n, column in enumerate(order(keys))]
    best = F.min(F.struct(*ranks, F.struct("image_id", *KEYS).alias("own"))).alias("best")
    found = pictures.groupBy("representative").agg(best, F.count(F.lit(1)).alias("pictures"))
    return found.select("representative", "best.own.*", "pictures")


def vertices(
    edges: DataFrame, classes: DataFrame, members: DataFrame | None, keys: Sequence[str], scratch: Path
) -> Vertices:
    """Return the graph of the near pairs, of which both ends stand.

    edges: (image_id_a, image_id_b, cosine), of representatives and of pictures of the indexes. classes: as `best_of_class` gives,
    of the pictures that stand. members: of the indexes, with their epochs; None without an index.
    """
    ends = edges.select(F.col("image_id_a").alias("end")).union(edges.select("image_id_b")).distinct()
    table = ends.join(classes.withColumnRenamed("representative", "end"), "end")
    table = table.select(
        "end",
        "image_id",
        *KEYS,
        F.lit(None).cast("string").alias("root"),
        F.lit(None).cast("int").alias("epoch"),
    )
    if members is not None:
        table = table.unionByName(_touched(ends, members))
    places = numbered(table, [F.col("image_id")], "place", scratch / "places")
    by_rank = [F.col("epoch").asc_nulls_last(), *order(keys)]
    ranks = numbered(places, by_rank, "vertex", scratch / "vertices")
    graph = ranks.select(
        "vertex", "place", "end", "image_id", "root", F.col("epoch").isNotNull().alias("in_index")
    )
    known = written_once(
        graph,
        "vertex long, place long, end string, image_id string, root string, in_index boolean",
        scratch / GRAPH,
    )
    sides = [
        known.select(*(F.col(name).alias(f"{name}_{side}") for name in ("end", "vertex", "place")))
        for side in "ab"
    ]
    tied = edges.select(F.col("image_id_a").alias("end_a"), F.col("image_id_b").alias("end_b"), "cosine")
    both = tied.join(sides[0], "end_a").join(sides[1], "end_b")
    a_first = F.col("vertex_a") < F.col("vertex_b")
    pairs = both.select(
        F.least("vertex_a", "vertex_b").alias("a"), F.greatest("vertex_a", "vertex_b").alias("b"), "cosine",
        F.when(a_first, F.col("place_a")).otherwise(F.col("place_b")).alias("place_a"),
        F.when(a_first, F.col("place_b")).otherwise(F.col("place_a")).alias("place_b"),
    )  # fmt: skip
    schema = "a long, b long, cosine double, place_a long, place_b long"
    pairs = written_once(pairs, schema, scratch / PAIRS)
    roots = known.select(F.col("vertex").alias("a"), F.col("image_id").alias("root"))
    ties = known.where("root != image_id").select(F.col("vertex").alias("b"), "root").join(roots, "root")
    return Vertices(known.select(*_VERTEX), pairs, ties.select("a", "b"), known.count(), pairs.count())


def _touched(ends: DataFrame, members: DataFrame) -> DataFrame:
    """Return the pictures of the indexes that a near pair reaches, and the best of each one's group there, as vertices."""
    reached = members.join(ends.withColumnRenamed("end", "image_id"), "image_id")
    roots = members.join(reached.select(F.col("group_id").alias("image_id")).distinct(), "image_id")
    both = reached.unionByName(roots).select(
        F.col("image_id").alias("end"),
        "image_id",
        *KEYS,
        F.col("group_id").alias("root"),
        F.col("epoch").cast("int").alias("epoch"),
    )
    return both.distinct()
