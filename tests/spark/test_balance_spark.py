"""The selection on Spark is that of `curation.balance.decide`, whatever is asked for; and no row travels by its entries."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from addresses import ADDRESSES
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation import ids
from curation.balance import COIN, Survivors, decide, entry_prob
from curation.config import BalanceSection, RunConfig, RunSection
from curation.domains import host_of
from curation.errors import Reason
from curation.missed import NO_FEWER, missed_budgets
from curation.plan import TOLERANCE
from curation.schemas import TABLES
from curation.spark import budget, columns
from curation.spark.balance import SPEC_SURVIVORS, select_rows
from curation.spark.chances import expected_sizes, pair_probs
from curation.spark.count import count_entries
from curation.spark.settle import settle
from curation.spark.stage import adopt
from curation.stage import OpenStage

NUM_PAIRS, ENTRIES, SEED = 600, 30, 5
KEYS = [ids.pair_id("http://a.test/", str(i)) for i in range(NUM_PAIRS)]
HOSTS = ["big.kr", "big.kr", "big.kr", "www.b.com:80", "b.com", "u@c.org", "[::1]:9"]
ASKED = (
    {},
    {"one_caption": True},
    {"max_per_image": 1},
    {"max_per_domain": 20},
    {"one_caption": True, "max_per_image": 1, "max_per_domain": 7},
    {"max_per_image": 2, "max_per_domain": 100},
)


def survivors() -> Survivors:
    """Pictures of one to twelve captions, hosts of very unequal size, coins below what the pairs were drawn with."""
    wanted = 0.3 + 0.7 * ids.coins(KEYS, SEED, "wanted")
    picture = (ids.coins(KEYS, SEED, "picture") ** 2 * NUM_PAIRS / 2).astype(int)
    return Survivors(
        pair_id=np.array(KEYS, dtype=object), prob=ids.coins(KEYS, SEED, "prob").round(1), keep_prob_wanted=wanted,
        coin=ids.coins(KEYS, SEED, COIN) * wanted, train=ids.coins(KEYS, SEED, "held") >= 0.1,
        image_id=np.array([f"p{i}" for i in picture], dtype=object),
        domain=np.array([host_of(url) for url in urls()], dtype=object),
    )  # fmt: skip


def urls() -> list[str]:
    hosts = (ids.coins(KEYS, SEED, "host") * len(HOSTS)).astype(int)
    return [f"http://{HOSTS[host]}/{i}" for i, host in enumerate(hosts)]


@pytest.fixture(scope="module")
def pairs(spark: SparkSession) -> DataFrame:
    rows = survivors()
    split = np.where(rows.train, "train", "heldout")
    table = pa.table({
        "pair_id": KEYS, "lang": ["ko"] * NUM_PAIRS, "prob": rows.prob, "keep_prob_wanted": rows.keep_prob_wanted,
        "coin": rows.coin, "split": split.tolist(), "image_id": rows.image_id.tolist(), "url": urls(),
    })  # fmt: skip
    return spark.createDataFrame(table).cache()


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "+".join(asked) or "nothing")
def test_a_selection_is_that_of_numpy_in_any_number_of_partitions(
    pairs: DataFrame, asked: dict[str, int]
) -> None:
    options = BalanceSection(**asked)  # type: ignore[arg-type]
    prob, reason = decide(survivors(), options, seed=SEED)
    for partitions in (1, 5):
        found = settle(pairs.repartition(partitions, "coin"), options, seed=SEED).collect()
        by_pair = {row["pair_id"]: (row["keep_prob"], row["reason"]) for row in found}
        assert len(found) == len(by_pair) == NUM_PAIRS
        assert [by_pair[key] for key in KEYS] == list(zip(prob.tolist(), reason.tolist(), strict=True))
    wanted = {Reason.HELD_OUT, Reason.BALANCED_OUT, None}
    wanted |= {Reason.NOT_CHOSEN} if "one_caption" in asked else set()
    assert wanted <= set(reason)


def test_a_host_is_the_same_in_spark_and_python(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(url,) for url in ADDRESSES], "url string")
    found = {
        row["url"]: row["host"]
        for row in frame.select("url", columns.host(F.col("url")).alias("host")).collect()
    }
    assert found == ADDRESSES


def matches(spark: SparkSession, *, drawn: bool = False) -> DataFrame:
    """Rows of 600 pairs: entry 0 in a third of them; every fifth is mixed, Korean being the surer in half of these."""
    found = []
    for position, key in enumerate(KEYS):
        langs = ["en", "ko"] if position % 5 == 0 else ["en"] if position % 2 else ["ko"]
        for lang in langs:
            entries = {int(ENTRIES * ids.coin(f"{key}{k}", 0, lang) ** 2) for k in range(3)}
            entries |= {0} if position % 3 == 0 else set()
            found.append({
                "pair_id": key, "lang": lang, "lang_score": 0.5 if lang == "en" else 0.4 + 0.2 * (position % 2),
                "mixed": len(langs) > 1, "entry_ids": sorted(entries), "keep_prob_wanted": 0.5 + 0.5 * (position % 4 == 0),
                "coin": ids.coin(key, 0, COIN) * (0.5 + 0.5 * (position % 4 == 0)), "split": "train",
                "image_id": f"p{position // 2}", "url": f"http://h{position % 3}.kr/{position}",
            })  # fmt: skip
    entry_ids = TABLES["matches"].field("entry_ids").remove_metadata()
    table = pa.Table.from_pylist(found)
    place = table.schema.get_field_index("entry_ids")
    table = table.set_column(place, entry_ids, table["entry_ids"].cast(entry_ids.type))
    frame = spark.createDataFrame(table)
    return frame if drawn else frame.drop("keep_prob_wanted", "coin", "split", "image_id")


def counts_of(rows: DataFrame) -> dict[str, np.ndarray]:
    found = {lang: np.zeros(ENTRIES) for lang in ("en", "ko")}
    for row in count_entries(rows.withColumn("keep_prob", F.lit(1.0))).collect():
        found[row["lang"]][row["entry_id"]] = row["count"]
    return found


@pytest.mark.parametrize("sample", [10_000, 400])
def test_a_budget_is_met_in_each_language_from_all_rows_and_from_a_sample(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    monkeypatch.setattr(budget, "SAMPLE_ROWS", sample)
    rows = matches(spark).cache()
    counts = counts_of(rows)
    section = BalanceSection(budget={"en": 90.0, "ko": 60.0})
    found = budget.within_budget(rows, counts, section, ("en", "ko"), seed=0, margin=1.5)
    assert (found.sampled == 1) == (sample > 720)
    probs = {lang: entry_prob(counts[lang], 1.5 * found.solved[lang].t) for lang in counts}
    exact = expected_sizes(rows, probs)
    for lang, pairs in section.budget.items():
        assert found.solved[lang].how == "within"
        assert exact[lang] == pytest.approx(1.5 * pairs, rel=TOLERANCE)
        assert found.solved[lang].size == pytest.approx(exact[lang], rel=1e-6)
    over = budget.within_budget(
        rows, counts, BalanceSection(budget={"ko": 1e6}), ("en", "ko"), seed=0, margin=1.5
    )
    assert over.solved["ko"].how == "largest"
    assert over.as_json()["languages"]["ko"]["t"] == "inf"  # type: ignore[index]


def test_a_budget_is_of_the_runs_own_pairs_where_it_extends_earlier_runs(spark: SparkSession) -> None:
    """The counts are those of all crawls, the size is that of this one: each crawl gets its budget."""
    rows = matches(spark).cache()
    own = rows.where(F.pmod(F.xxhash64("pair_id"), F.lit(2)) == 0)
    section = BalanceSection(budget={"en": 40.0, "ko": 30.0})
    both = counts_of(rows)
    found = budget.within_budget(own, both, section, ("en", "ko"), seed=0, margin=1.0)
    ts = {lang: item.t for lang, item in found.solved.items()}
    probs = {lang: entry_prob(both[lang], ts[lang]) for lang in both}
    for lang, pairs in section.budget.items():
        assert expected_sizes(own, probs)[lang] == pytest.approx(pairs, rel=TOLERANCE)
        assert expected_sizes(rows, probs)[lang] > 1.5 * pairs  # those of the earlier crawl come on top
    alone = budget.within_budget(own, counts_of(own), section, ("en", "ko"), seed=0, margin=1.0)
    assert all(ts[lang] > alone.solved[lang].t for lang in ts)
    assert "this run's own pairs" in " ".join(inspect.getsource(BalanceSection).split())


def test_a_budget_that_no_t_meets_is_in_the_record_and_is_said(spark: SparkSession, tmp_path: Path) -> None:
    rows = matches(spark, drawn=True).cache()
    section = BalanceSection(budget={"en": 400.0, "ko": 1.0})
    config = RunConfig(run=RunSection(path=tmp_path), balance=section)
    stage = OpenStage(config, SPEC_SURVIVORS, tmp_path, {})
    select_rows(stage, rows, counts_of(rows), section, seed=0)
    assert missed_budgets(stage.notes)["ko"].endswith(NO_FEWER)


def test_a_selection_within_a_budget_says_what_it_expects_and_why_the_others_are_not_in_it(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = matches(spark, drawn=True).cache()
    section = BalanceSection(budget={"en": 70.0, "ko": 50.0}, one_caption=True, max_per_domain=30)
    config = RunConfig(run=RunSection(path=tmp_path), balance=section)
    stage = OpenStage(config, SPEC_SURVIVORS, tmp_path, {})
    select_rows(stage, rows, counts_of(rows), section, seed=0)
    written = adopt(stage, "selection", spark)
    assert written.count() == NUM_PAIRS
    notes, ledgers = stage.notes, {ledger.unit: ledger for ledger in stage.ledgers}
    for lang, pairs in section.budget.items():
        assert notes["budget"]["languages"][lang]["how"] == "within"
        assert notes["expected_by_language"][lang] == pytest.approx(pairs, rel=TOLERANCE)
    assert ledgers["pairs"].rows_out == NUM_PAIRS
    assert ledgers["selected"].rows_out == written.where("selected").count() == notes["selected_pairs"]
    assert notes["not_selected"][Reason.NOT_CHOSEN] == NUM_PAIRS // 2
    assert notes["not_selected"][Reason.BALANCED_OUT] > 0
    assert notes["selected_pairs"] <= 90


@contextmanager
def not_adaptive(spark: SparkSession) -> Iterator[None]:
    """Let a plan be shown as it would run."""
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    try:
        yield
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "true")


def plan_of(frame: DataFrame) -> str:
    shown = StringIO()
    with redirect_stdout(shown):
        frame.explain("simple")
    return shown.getvalue()


def shuffles(plan: str) -> list[str]:
    return re.findall(r"Exchange (?!SinglePartition)\S*?\(?(.*)", plan)


def test_no_row_travels_by_its_entries_in_a_balance(spark: SparkSession) -> None:
    """An entry that a third of the pairs name would be a third of the rows in one task."""
    rows = matches(spark, drawn=True)
    probs = {lang: np.full(ENTRIES, 0.5) for lang in ("en", "ko")}
    carried = ("keep_prob_wanted", "coin", "split", "image_id", "url")
    capped = BalanceSection(one_caption=True, max_per_image=1, max_per_domain=5)
    with not_adaptive(spark):
        plans = [
            plan_of(settle(pair_probs(rows, probs, carried), options, seed=0))
            for options in (BalanceSection(), capped)
        ]
        counted = plan_of(count_entries(rows.withColumn("keep_prob", F.lit(1.0))))
    assert [len(shuffles(plan)) for plan in plans] == [
        1,
        1 + 2 * 3,
    ]  # of mixed pairs; two for each draw or cap
    assert not [line for plan in plans for line in shuffles(plan) if "entry_id" in line]
    # Counting does shuffle by entry: what each task has added up already, at most a row an entry of each.
    above, _, below = counted.partition("Exchange hashpartitioning(lang")
    assert "entry_id" in below.splitlines()[0]
    assert "MapInArrow" in below
    assert "MapInArrow" not in above
    assert "Generate explode" not in counted  # no match is a row


def test_a_host_of_most_rows_meets_in_parts(pairs: DataFrame, spark: SparkSession) -> None:
    options = BalanceSection(max_per_domain=5)
    with not_adaptive(spark):
        plan = plan_of(settle(pairs, options, seed=SEED))
    assert all("_part" in line for line in shuffles(plan))
    assert len(shuffles(plan)) == 2
