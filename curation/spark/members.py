"""What becomes of each picture, from what becomes of each vertex: the table `groups`. Part of stage `dedup`."""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from curation.dedup.groups import Rule
from curation.spark.classes import Vertices

COLUMNS = ("image_id", "group_id", "survivor", "joined", "cosine", "rule", "near", "holdout", "in_index")


def fates(graph: Vertices, settled: DataFrame, members: DataFrame | None) -> DataFrame:
    """Return (representative, kept, joined, near, cosine, group_id, in_index) of this crawl's classes that are vertices, in ids.

    settled: as `curation.spark.groups.settle` gives. members: of the indexes; a way that ends at a picture that an earlier crawl
    dropped goes on to what that one joined then.
    """
    ids = graph.table.select("vertex", "image_id", "in_index")
    if members is not None:
        then = members.select("image_id", F.col("joined").alias("then"))
        ids = ids.join(then, "image_id", "left")
    else:
        ids = ids.withColumn("then", F.lit(None).cast("string"))
    new = graph.table.where("NOT in_index").select("vertex", F.col("end").alias("representative"))
    ends = ids.select(
        F.col("vertex").alias("joined"), F.coalesce("then", "image_id").alias("joined_id"), "in_index"
    )
    near = ids.select(F.col("vertex").alias("near"), F.col("image_id").alias("near_id"))
    label = ids.select(F.col("vertex").alias("component"), F.col("image_id").alias("group_id"))
    found = settled.join(new, "vertex").join(ends, "joined").join(near, "near").join(label, "component")
    return found.select(
        "representative", (F.col("joined") == F.col("vertex")).alias("kept"), F.col("joined_id").alias("joined"),
        F.col("near_id").alias("near"), "cosine", "group_id", "in_index",
    )  # fmt: skip


def standing(pictures: DataFrame, classes: DataFrame, found: DataFrame) -> DataFrame:
    """Return `groups` of the pictures that no evaluation set and no earlier crawl has. found: as `fates` gives."""
    best = classes.select("representative", F.col("image_id").alias("best"), "pictures")
    whole = pictures.select("image_id", "representative").join(best, "representative")
    whole = whole.join(found, "representative", "left").withColumn("tied", F.col("kept").isNotNull())
    kept, own = F.coalesce("kept", F.lit(True)), F.col("image_id") == F.col("best")
    survivor = kept & own
    rule = (
        F.when(survivor & ~F.col("tied") & (F.col("pictures") == 1), str(Rule.SINGLE))
        .when(survivor, str(Rule.SURVIVOR))
        .when(kept, str(Rule.IDENTICAL))
        .otherwise(str(Rule.NEAR))
    )
    near = F.when(~survivor, F.when(kept, F.col("best")).otherwise(F.col("near")))
    return whole.select(
        "image_id", F.coalesce("group_id", "best").alias("group_id"), survivor.alias("survivor"),
        F.coalesce("joined", "best").alias("joined"), F.coalesce("cosine", F.lit(1.0)).alias("cosine"),
        rule.alias("rule"), near.alias("near"), _none().alias("holdout"),
        F.coalesce("in_index", F.lit(False)).alias("in_index"),
    )  # fmt: skip


def near_evaluation(pictures: DataFrame) -> DataFrame:
    """Return `groups` of the pictures near an evaluation set's; each is alone and joins none.

    pictures: (image_id, holdout, holdout_near, holdout_cosine).
    """
    return pictures.select(
        "image_id", F.col("image_id").alias("group_id"), F.lit(False).alias("survivor"),
        F.col("image_id").alias("joined"), F.col("holdout_cosine").alias("cosine"),
        F.lit(str(Rule.HOLDOUT)).alias("rule"), F.col("holdout_near").alias("near"), "holdout",
        F.lit(False).alias("in_index"),
    )  # fmt: skip


def seen_before(described: DataFrame, members: DataFrame) -> DataFrame:
    """Return `groups` of the pictures whose bytes an earlier crawl had: they join what those joined then."""
    again = described.select("image_id").join(members, "image_id")
    return again.select(
        "image_id", "group_id", F.lit(False).alias("survivor"), "joined", F.lit(1.0).alias("cosine"),
        F.lit(str(Rule.EARLIER)).alias("rule"), F.col("image_id").alias("near"), _none().alias("holdout"),
        F.lit(True).alias("in_index"),
    )  # fmt: skip


def _none() -> Column:
    return F.lit(None).cast("string")


def held_in_index(graph: Vertices, settled: DataFrame, members: DataFrame, seen: DataFrame) -> DataFrame:
    """Return (group_id) of the groups, as they are called now, of which an earlier crawl held a picture out."""
    held = members.where("held_out").select("image_id", F.col("group_id").alias("then"))
    label = graph.table.select(F.col("vertex").alias("component"), F.col("image_id").alias("group_id"))
    tied = graph.table.where("in_index").select("vertex", "image_id").join(held.drop("then"), "image_id")
    now = (
        tied.join(settled.select("vertex", "component"), "vertex").join(label, "component").select("group_id")
    )
    again = seen.select("image_id").join(held, "image_id").select(F.col("then").alias("group_id"))
    return now.unionByName(again).distinct()


def sizes(groups: DataFrame) -> dict[str, Any]:
    """Return how many survivors have duplicates, and the largest of these families. groups: the written table."""
    own = groups.where("NOT in_index").where(F.col("rule") != str(Rule.HOLDOUT))
    families = own.groupBy("joined").count().where("count > 1")
    largest = [int(row["count"]) for row in families.orderBy(F.desc("count")).limit(10).collect()]
    return {"with_duplicates": families.count(), "largest": largest}
