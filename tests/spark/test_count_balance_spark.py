"""Counts and balance on Spark are those of plain numpy, in any number of partitions, and the coins are the same bits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation import ids
from curation.balance import COIN, entry_prob, keep_prob
from curation.spark import columns
from curation.spark.balance import pair_probs
from curation.spark.batches import spark_schema
from curation.spark.count import count_entries, dense
from curation.spark.stage import measure
from curation.stage import Tally
from curation.wanted import Toss

NUM_PAIRS = 400
KEYS = [ids.pair_id("http://a.test/", str(i)) for i in range(NUM_PAIRS)]


def entry_ids_of(key: str, lang: str) -> list[int]:
    """Up to four of twenty entries, heads first."""
    return sorted(
        {int(20 * ids.coin(f"{key}{k}", 0, lang) ** 3) for k in range(1 + int(4 * ids.coin(key, 0, lang)))}
    )


def rows() -> list[dict[str, object]]:
    found = []
    for position, key in enumerate(KEYS):
        langs = ["en", "ko"] if position % 7 == 0 else ["en"] if position % 2 else ["ko"]
        found += [
            {
                "pair_id": key, "lang": lang, "url": f"http://a.test/{position}", "text": "x", "clean_text": "x",
                "lang_score": 1.0, "detector": "script", "mixed": len(langs) > 1, "entry_ids": entry_ids_of(key, lang),
            }
            for lang in langs
        ]  # fmt: skip
    return found


@pytest.fixture(scope="module")
def matches(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([tuple(row.values()) for row in rows()], spark_schema("matches"))


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_counts_are_those_of_a_plain_loop(matches: DataFrame, partitions: int) -> None:
    probs = F.when(F.col("lang") == "en", F.lit(0.5)).otherwise(F.lit(1.0))
    found = dense(
        count_entries(matches.repartition(partitions).withColumn("keep_prob", probs)).toArrow(),
        {"en": 22, "ko": 20},
    )
    for lang, weight, size in (("en", 2**21, 22), ("ko", 2**20, 20)):
        flat = [entry for row in rows() if row["lang"] == lang for entry in row["entry_ids"]]  # type: ignore[attr-defined]
        wanted = np.bincount(flat, minlength=size)
        part = found.filter(np.array(found["lang"].to_pylist()) == lang)
        assert part["entry_id"].to_pylist() == list(range(size))
        assert part["count"].to_pylist() == wanted.tolist()
        assert part["weight"].to_pylist() == (wanted * weight).tolist()


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_a_pairs_chance_is_that_of_numpy_over_all_its_languages(matches: DataFrame, partitions: int) -> None:
    probs = {lang: entry_prob(np.arange(1, 21) ** 2, 9.0) for lang in ("en", "ko")}
    found = pair_probs(matches.repartition(partitions), probs, ("url",)).collect()
    by_pair = {row["pair_id"]: row["prob"] for row in found}
    assert len(found) == len(by_pair) == NUM_PAIRS
    for key in KEYS:
        mine = [row for row in rows() if row["pair_id"] == key]
        miss = 1.0
        for row in sorted(mine, key=lambda row: str(row["lang"])):
            miss *= 1.0 - keep_prob(probs[str(row["lang"])], row["entry_ids"])  # type: ignore[arg-type]
        assert by_pair[key] == pytest.approx(1.0 - miss, abs=1e-15)


def test_a_mixed_pairs_chance_is_the_union_over_both_lists(matches: DataFrame) -> None:
    probs = {"en": np.full(20, 0.5), "ko": np.full(20, 0.25)}
    found = pair_probs(matches.where("mixed"), probs, ("url",)).first()
    assert found is not None
    english, korean = (len(entry_ids_of(found["pair_id"], lang)) for lang in ("en", "ko"))
    assert found["prob"] == pytest.approx(1 - 0.5**english * 0.75**korean)


def test_coins_and_buckets_are_the_same_bits_in_spark_and_python(spark: SparkSession) -> None:
    keys = [f"한국어 {i} é\U0001f600" for i in range(100)] + ["", " ", "a\0b", "x" * 1000]
    frame = spark.createDataFrame(
        [(key, ids.image_id(key.encode())) for key in keys], "key string, image_id string"
    )
    found = frame.select(
        "key", "image_id", columns.coin(F.col("key"), 7, "balance").alias("coin"),
        columns.bucket(F.col("image_id"), 13).alias("bucket"),
    ).collect()  # fmt: skip
    assert [row["coin"] for row in found] == [ids.coin(row["key"], 7, "balance") for row in found]
    assert [row["bucket"] for row in found] == [ids.bucket(row["image_id"], 13) for row in found]


def test_a_digest_does_not_see_the_order_but_every_value_and_null(
    matches: DataFrame, spark: SparkSession
) -> None:
    names = matches.columns
    digest = measure(matches, names)
    assert measure(matches.orderBy(F.desc("pair_id")).repartition(5), names) == digest
    assert measure(matches.limit(NUM_PAIRS), names) != digest
    changed = matches.withColumn("lang_score", F.when(F.col("pair_id") == KEYS[0], 0.5).otherwise(1.0))
    assert measure(changed, names) != digest
    left = spark.createDataFrame([("a", None)], "x string, y string")
    right = spark.createDataFrame([(None, "a")], "x string, y string")
    assert measure(left, ["x", "y"]) != measure(right, ["x", "y"])


def test_the_schema_of_every_table_is_sparks_too(tmp_path: Path) -> None:
    from curation.schemas import TABLES, doc_of

    for name, schema in TABLES.items():
        assert spark_schema(name).names == schema.names
        assert all(doc_of(name, column) for column in schema.names)


def test_the_toss_over_parts_has_the_chances_of_the_frame(matches: DataFrame) -> None:
    probs = {lang: entry_prob(np.arange(1, 21) ** 2, 9.0) for lang in ("en", "ko")}
    toss, alone = Toss(probs, seed=0, heldout_share=0.0), list[pa.RecordBatch]()
    rows = matches.orderBy("pair_id", "lang").toArrow().to_batches(max_chunksize=7)
    parts = [*toss.wanted(rows, Tally(), alone), toss.rest(alone, Tally())]
    found = {row["pair_id"]: (row["keep_prob"], row["coin"]) for part in parts for row in part.to_pylist()}
    coin = columns.coin(F.col("pair_id"), 0, COIN)
    pairs = pair_probs(matches, probs, ("url",)).withColumn("coin", coin).where("coin < prob").collect()
    assert found == {row["pair_id"]: (row["prob"], row["coin"]) for row in pairs}
    assert alone
