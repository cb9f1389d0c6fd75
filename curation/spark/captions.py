"""The captions of the survivors: every wanted pair whose picture was fetched and described moves to the picture that was kept.

Part of stage `dedup`: `wanted` x `outcomes` x `groups` x `matches` to `rows`. A pair is kept or merged in all its languages together.
A pair whose picture joined one of an earlier crawl goes to `rows_earlier`: its survivor lies in that crawl's shards, so this run's
manifest cannot have it, and who seals that crawl again can.
"""

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from curation.errors import Reason
from curation.spark.stage import read_table, write_table
from curation.stage import Ledger, OpenStage

ROWS, EARLIER = "rows", "rows_earlier"


def write_rows(
    spark: SparkSession, stage: OpenStage, groups: DataFrame, held_in_index: DataFrame | None
) -> DataFrame:
    """Write `rows` and close the sum of `captions`, in pairs; return (group_id) of the groups that are held out.

    in = out + without a picture + near an evaluation set + with an earlier crawl's picture + equal captions.
    held_in_index: (group_id) of the groups that an earlier crawl held out; None without an index, and then without `rows_earlier`.
    """
    wanted = read_table(spark, stage.input("balance"), "wanted")
    outcomes = read_table(spark, stage.input("download"), "outcomes")
    matches = read_table(spark, stage.input("match"), "matches")
    pictured = moved(wanted, outcomes, groups)
    pairs = pictured.where("rule != 'holdout'")
    held = held_groups(pairs, held_in_index)
    kept = with_split(pairs, held).transform(lambda split: one_caption_once(split, matches))
    rows = matches.drop("url", "detector").join(kept, "pair_id")
    key = ["pair_id", "lang"]
    written = write_table(rows.where("NOT coalesce(in_index, false)"), stage, ROWS, sort_by=key)
    earlier = 0
    if held_in_index is not None:
        there = write_table(rows.where("in_index"), stage, ROWS, sort_by=key, name=EARLIER)
        earlier = there.select("pair_id").distinct().count()
    _close(stage, pictured, written, earlier)
    return held


def _close(stage: OpenStage, pictured: DataFrame, written: DataFrame, earlier: int) -> None:
    """Close the sum of `captions`."""
    by_rule = {row["held"]: int(row["count"]) for row in _pairs_by_rule(pictured).collect()}
    by_origin = {row["inherited"]: int(row["pairs"]) for row in _pairs_by_origin(written).collect()}
    pairs_in = int(stage.inputs["balance"].data["tables"]["wanted"]["rows"])
    pairs_out, standing = sum(by_origin.values()), by_rule.get(False, 0)
    dropped: dict[str, int] = {
        Reason.NO_IMAGE: pairs_in - sum(by_rule.values()),
        Reason.HOLDOUT: by_rule.get(True, 0),
        Reason.EARLIER_PICTURE: earlier,
    }
    merged = standing - earlier - pairs_out
    stage.add(Ledger(unit="captions", rows_in=pairs_in, rows_out=pairs_out, dropped=dropped, merged=merged))
    stage.notes["captions"] = {"inherited": by_origin.get(True, 0)}


def _pairs_by_rule(pictured: DataFrame) -> DataFrame:
    return pictured.groupBy((F.col("rule") == "holdout").alias("held")).count()


def _pairs_by_origin(rows: DataFrame) -> DataFrame:
    return rows.groupBy("inherited").agg(F.countDistinct("pair_id").alias("pairs"))


def moved(wanted: DataFrame, outcomes: DataFrame, groups: DataFrame) -> DataFrame:
    """Return the wanted pairs that have a picture, a row each, at the picture that was kept for it."""
    fetched = outcomes.where(F.col("status") == "ok").select(
        "url", F.col("image_id").alias("source_image_id")
    )
    places = groups.select(
        F.col("image_id").alias("source_image_id"), F.col("joined").alias("image_id"), "group_id", "rule", "in_index"
    )  # fmt: skip
    return (
        wanted.join(fetched, "url")
        .join(places, "source_image_id")
        .withColumn("inherited", F.col("image_id") != F.col("source_image_id"))
        .withColumnRenamed("keep_prob", "keep_prob_wanted")
    )


def held_groups(pairs: DataFrame, held_in_index: DataFrame | None = None) -> DataFrame:
    """Return (group_id) of the groups of near pictures, chains included, of which any picture is held out, by any crawl.

    By the group and not by the survivor that a picture joined: one may be near two survivors, and joins one alone.
    """
    held = pairs.where("held_out").select("group_id")
    return (held if held_in_index is None else held.unionByName(held_in_index)).distinct()


def with_split(pairs: DataFrame, held: DataFrame) -> DataFrame:
    """Add `split`: heldout for every pair of a held-out group. held: (group_id), each once."""
    marked = pairs.join(held.withColumn("any_held_out", F.lit(True)), "group_id", "left")
    split = F.when(F.col("any_held_out"), "heldout").otherwise("train")
    return marked.withColumn("split", split).drop("group_id", "any_held_out", "held_out", "rule")


def one_caption_once(pairs: DataFrame, matches: DataFrame) -> DataFrame:
    """Keep one pair of those of one survivor with one clean text: the survivor's own first, then the smallest pair_id."""
    captions = matches.groupBy("pair_id").agg(F.min("clean_text").alias("caption"))
    order = Window.partitionBy("image_id", "caption").orderBy("inherited", "pair_id")
    return (
        pairs.join(captions, "pair_id")
        .withColumn("place", F.row_number().over(order))
        .where("place = 1")
        .drop("place", "caption")
    )
