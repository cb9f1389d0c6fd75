"""The captions of the survivors: every wanted pair whose picture was fetched and described moves to the picture that was kept.

Part of stage `dedup`: `wanted` x `outcomes` x `groups` x `matches` to `rows`. A pair is kept or merged in all its languages together.
"""

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from curation.errors import Reason
from curation.spark.stage import read_table, write_table
from curation.stage import Ledger, OpenStage


def write_rows(spark: SparkSession, stage: OpenStage, groups: DataFrame) -> None:
    """Write `rows` and close the sum of `captions`, in pairs: in = out + without a picture + equal captions."""
    wanted = read_table(spark, stage.input("balance"), "wanted")
    outcomes = read_table(spark, stage.input("download"), "outcomes")
    matches = read_table(spark, stage.input("match"), "matches")
    pictured = moved(wanted, outcomes, groups)
    kept = pictured.transform(with_split).transform(lambda pairs: one_caption_once(pairs, matches))
    rows = matches.drop("url", "detector").join(kept, "pair_id")
    written = write_table(rows, stage, "rows", sort_by=["pair_id", "lang"])
    pairs_in, pairs_pictured = int(stage.inputs["balance"].data["tables"]["wanted"]["rows"]), pictured.count()
    by_origin = {row["inherited"]: int(row["pairs"]) for row in _pairs_by_origin(written).collect()}
    pairs_out = sum(by_origin.values())
    stage.add(
        Ledger(
            unit="captions",
            rows_in=pairs_in,
            rows_out=pairs_out,
            dropped={Reason.NO_IMAGE: pairs_in - pairs_pictured},
            merged=pairs_pictured - pairs_out,
        )
    )
    stage.notes["captions"] = {"inherited": by_origin.get(True, 0)}


def _pairs_by_origin(rows: DataFrame) -> DataFrame:
    return rows.groupBy("inherited").agg(F.countDistinct("pair_id").alias("pairs"))


def moved(wanted: DataFrame, outcomes: DataFrame, groups: DataFrame) -> DataFrame:
    """Return the wanted pairs that have a picture, a row each, at the picture that was kept for it."""
    fetched = outcomes.where(F.col("status") == "ok").select(
        "url", F.col("image_id").alias("source_image_id")
    )
    places = groups.select(
        F.col("image_id").alias("source_image_id"), F.col("joined").alias("image_id"), "group_id"
    )
    return (
        wanted.join(fetched, "url")
        .join(places, "source_image_id")
        .withColumn("inherited", F.col("image_id") != F.col("source_image_id"))
        .withColumnRenamed("keep_prob", "keep_prob_wanted")
    )


def with_split(pairs: DataFrame) -> DataFrame:
    """Add `split`: heldout for every pair of a group of near pictures, chains included, of which any picture is held out.

    By the group and not by the survivor that a picture joined: one may be near two survivors, and joins one alone.
    """
    held = pairs.groupBy("group_id").agg(F.max("held_out").alias("any_held_out"))
    split = F.when(F.col("any_held_out"), "heldout").otherwise("train")
    return (
        pairs.join(held, "group_id").withColumn("split", split).drop("group_id", "any_held_out", "held_out")
    )


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
