"""What becomes of each survivor in a selection: `curation.balance.decide` as column expressions. Part of stage balance-survivors.

Rows of a picture or of a host must meet for its cap. A host may hold a third of the web, so that its rows first meet in `PARTS`
parts by pair_id, and then only those that are first in their part meet all. In the first pass a part of a host has all of its rows
that fall there, about one in `PARTS`; in the second no more than `PARTS` times the cap meet.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from curation.balance import DRAW
from curation.config_balance import BalanceSection
from curation.errors import Reason
from curation.spark import columns

PARTS = 64  # into which a picture's or a host's rows are dealt; the answer does not depend on it
_KEPT = ("pair_id", "lang", "keep_prob_wanted", "prob", "keep_prob", "reason")


def settle(pairs: DataFrame, options: BalanceSection, *, seed: int) -> DataFrame:
    """Return (pair_id, lang, keep_prob_wanted, prob, keep_prob, reason): reason is null where the pair is selected.

    pairs: a row a pair, with pair_id, lang, prob, keep_prob_wanted, coin, split and, for what the options ask, image_id and url.
    Without draw and caps nothing is shuffled.
    """
    held = F.when(F.col("split") != "train", F.lit(str(Reason.HELD_OUT)))
    found = pairs.withColumn("keep_prob", F.least("keep_prob_wanted", "prob")).withColumn("reason", held)
    if options.one_caption:
        draw = columns.coin(F.col("pair_id"), seed, DRAW)
        found = _first_of(found, F.col("image_id"), draw, 1, Reason.NOT_CHOSEN)
    found = _for(found, F.col("coin") >= F.col("keep_prob"), Reason.BALANCED_OUT)
    rank = F.try_divide("coin", "keep_prob")
    if options.max_per_image is not None:
        found = _first_of(found, F.col("image_id"), rank, options.max_per_image, Reason.OVER_IMAGE_CAP)
    if options.max_per_domain is not None:
        domain = columns.host(F.col("url"))
        found = _first_of(found, domain, rank, options.max_per_domain, Reason.OVER_DOMAIN_CAP)
    return found.select(*_KEPT)


def drawn(rows: DataFrame, options: BalanceSection, *, seed: int) -> DataFrame:
    """Return the rows of the pairs that are tossed for: all, or with `one_caption` those of the captions that are drawn.

    rows: none held out, a row a language; pair_id and image_id among the columns.
    """
    if not options.one_caption:
        return rows
    draw = columns.coin(F.col("pair_id"), seed, DRAW)
    standing = rows.withColumn("reason", F.lit(None).cast("string"))
    found = _first_of(standing, F.col("image_id"), draw, 1, Reason.NOT_CHOSEN)
    return found.where(F.col("reason").isNull()).drop("reason")


def _for(frame: DataFrame, out: Column, reason: Reason) -> DataFrame:
    """Give the rows that stand and are out a reason."""
    given = F.when(F.col("reason").isNull() & out, F.lit(str(reason))).otherwise(F.col("reason"))
    return frame.withColumn("reason", given)


def _first_of(frame: DataFrame, group: Column, rank: Column, number: int, reason: Reason) -> DataFrame:
    """Let stand the first `number` pairs of each group, by rank, then pair_id: `curation.balance.first_of`."""
    standing = F.col("reason").isNull()
    part = F.pmod(F.xxhash64("pair_id"), F.lit(PARTS))
    placed = frame.withColumns({"_group": group, "_part": part, "_rank": F.when(standing, rank)})
    order = (F.col("_rank").asc_nulls_last(), F.col("pair_id"))
    in_part = F.dense_rank().over(Window.partitionBy("_group", "_part").orderBy(*order))
    first = placed.withColumn("_first", standing & (in_part <= number))
    # All that are first somewhere meet in one part; the others stay where they are.
    met = first.withColumn("_part", F.when(F.col("_first"), F.lit(-1)).otherwise(F.col("_part")))
    place = F.dense_rank().over(Window.partitionBy("_group", "_part").orderBy(*order))
    beyond = ~F.col("_first") | (place > number)
    return _for(met.withColumn("_beyond", beyond), F.col("_beyond"), reason).drop(
        "_group", "_part", "_rank", "_first", "_beyond"
    )
