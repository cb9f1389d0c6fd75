"""Crawls add up: two runs, the second extending the first, count and want what one run over both crawls does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from curation import pipeline
from curation.config import (
    BalanceSection,
    ExtractSection,
    MatchSection,
    MetadataSection,
    RunConfig,
    RunSection,
    SparkSection,
)
from curation.errors import ConfigError, StageError
from curation.ids import coin
from curation.stage import Record, read_record

ENGLISH = ("dog", "cat", "tree", "house", "river", *map(str, range(200, 300, 7)))  # the numbers are the tail
KOREAN = ("강아지", "고양이", "나무", "집", "강")
STAGES = ("extract", "metadata", "match", "count", "balance")
pytestmark = pytest.mark.slow


def text_of(number: int) -> str:
    words = [int(5 * coin(f"{number}/{k}", 0, "words") ** 2) for k in range(2)]
    if number % 3 == 0:
        return " ".join(["공원에서", *(KOREAN[word] for word in words), "사진을 찍었다"])
    return " ".join(
        ["this is a picture of the", *(ENGLISH[word] for word in words), f"in the garden {number}"]
    )


def write_pool(path: Path, numbers: range) -> None:
    rows = {
        "url": [f"http://site.example/{n % 211}.png" for n in numbers],
        "text": [text_of(n) for n in numbers],
    }
    pq.write_table(pa.table(rows), path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two crawls that share every fifth pair, and the entry lists."""
    root = tmp_path_factory.mktemp("crawls")
    write_pool(root / "first.parquet", range(300))
    write_pool(root / "second.parquet", range(240, 540))
    (root / "en.txt").write_text("\n".join(ENGLISH) + "\n", encoding="utf-8")
    (root / "ko.txt").write_text("\n".join(KOREAN) + "\n", encoding="utf-8")
    return root


def config_of(place: Path, name: str, pools: tuple[str, ...], earlier: tuple[Path, ...] = ()) -> RunConfig:
    inputs = tuple(str(place / f"{pool}.parquet") for pool in pools)
    return RunConfig(
        run=RunSection(path=place / name, heldout_share=0.1, earlier=earlier),
        spark=SparkSection(partitions=2),
        extract=ExtractSection(inputs=inputs, root=str(place), crawl=name),
        metadata=MetadataSection(entries=(str(place / "en.txt"), str(place / "ko.txt"))),
        match=MatchSection(mode={"en": "metaclip1", "ko": "metaclip2"}),
        balance=BalanceSection(t={"en": 45.0}, margin=1.1),
    )


def run(config: RunConfig, stages: tuple[str, ...] = STAGES) -> dict[str, Record]:
    return {name: pipeline.run_one(config, name) for name in stages}


@pytest.fixture(scope="module")
def runs(place: Path, spark: SparkSession) -> dict[str, dict[str, Record]]:
    return {
        "first": run(config_of(place, "one", ("first",))),
        "second": run(config_of(place, "two", ("second",), (place / "one",))),
        "both": run(config_of(place, "both", ("first", "second"))),
    }


def rows_of(record: Record, table: str) -> pa.Table:
    keys = [(name, "ascending") for name in ("pair_id", "lang", "entry_id")]
    found = pq.read_table(record.path / table)
    return found.sort_by([key for key in keys if key[0] in found.column_names])


def test_the_counts_of_two_runs_are_those_of_one_over_both_crawls(runs: dict[str, Any]) -> None:
    second, both = runs["second"]["count"], runs["both"]["count"]
    assert rows_of(second, "counts").equals(rows_of(both, "counts"))
    assert second.data["tables"]["counts"] == both.data["tables"]["counts"]
    first, own = (
        rows_of(record, table)["count"]
        for record, table in ((runs["first"]["count"], "counts"), (second, "own"))
    )
    assert pc.add(first, own).to_pylist() == rows_of(both, "counts")["count"].to_pylist()
    assert pc.sum(own).as_py() > 100
    assert second.notes["earlier"] == [
        {"run": "one", "crawl": "one", "rows": runs["first"]["count"].ledgers[0]["out"]}
    ]
    assert not (both.path / "own").exists()


def test_pairs_that_the_earlier_run_matched_leave_with_a_reason_of_their_own(runs: dict[str, Any]) -> None:
    ids = {name: set(rows_of(runs[name]["match"], "matches")["pair_id"].to_pylist()) for name in runs}
    assert not ids["first"] & ids["second"]
    assert ids["first"] | ids["second"] == ids["both"]
    crawled = set(rows_of(runs["second"]["extract"], "pairs")["pair_id"].to_pylist())
    ledger = runs["second"]["match"].ledgers[0]
    assert ledger["in"] == len(crawled)
    assert ledger["dropped"]["matched_earlier"] == len(crawled & ids["first"]) >= 50


def test_the_second_crawls_wanted_pairs_are_those_of_one_run_over_both(runs: dict[str, Any]) -> None:
    second, both = (runs[name]["balance"] for name in ("second", "both"))
    assert {key: second.notes[key] for key in ("p", "t")} == {key: both.notes[key] for key in ("p", "t")}
    new = rows_of(runs["second"]["match"], "matches")["pair_id"].unique()
    wanted = rows_of(both, "wanted")
    assert rows_of(second, "wanted").equals(wanted.filter(pc.is_in(wanted["pair_id"], value_set=new)))
    assert 50 < second.ledgers[0]["out"] < second.ledgers[0]["in"]


def test_a_third_run_extends_both_and_must_name_both(
    place: Path, spark: SparkSession, runs: dict[str, Any]
) -> None:
    write_pool(place / "third.parquet", range(500, 560))
    stages = ("extract", "metadata")
    config = config_of(place, "three", ("third",), (place / "two",))
    run(config, stages)
    with pytest.raises(ConfigError, match=r"extends one: name one in run\.earlier too"):
        pipeline.run_one(config, "match")
    whole = replace(config, run=replace(config.run, earlier=(place / "two", place / "one")))
    run(whole, ("match", "count"))
    one = config_of(place, "all", ("first", "second", "third"))
    run(one, STAGES[:4])
    found = [rows_of(read_record(place / name / "count"), "counts") for name in ("three", "all")]
    assert found[0].equals(found[1])
    other_order = replace(whole, run=replace(whole.run, earlier=(place / "one", place / "two")))
    assert pipeline.run_one(other_order, "count").skipped  # runs are known by what they hold, in any order
    with pytest.raises(StageError, match="another externals"):
        pipeline.run_one(replace(whole, run=replace(whole.run, earlier=())), "count")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"run": {"seed": 1}}, r"run\.seed \(0 there, 1 here\)"),
        ({"run": {"heldout_share": 0.2}}, r"run\.heldout_share \(0\.1 there, 0\.2 here\)"),
        ({"run": {"languages": ("en",)}, "match": {}}, "entry list ko"),
        ({"match": {"mode": {"en": "word", "ko": "metaclip2"}}}, r"match\.mode"),
        ({"metadata": {"entries": ("more/en.txt", "ko.txt")}}, "entry list en"),
    ],
)
def test_a_run_made_in_another_way_is_refused_by_name(
    place: Path, spark: SparkSession, runs: dict[str, Any], changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (place / "more").mkdir(exist_ok=True)
    (place / "more" / "en.txt").write_text("dog\nbird\n", encoding="utf-8")
    config = config_of(place, f"refused-{tmp_path.name}", ("second",), (place / "one",))
    for section, values in changed.items():
        if section == "metadata":
            given = {"entries": tuple(str(place / name) for name in values["entries"])}
            config = replace(config, metadata=replace(config.metadata, **given))
            continue
        config = replace(config, **{section: replace(getattr(config, section), **values)})
    run(config, ("metadata",))
    with pytest.raises(ConfigError, match=said) as raised:
        pipeline.run_one(config, "match")
    assert str(place / "one") in str(raised.value)


def test_a_run_that_is_not_finished_or_not_there_or_itself_is_refused(
    place: Path, spark: SparkSession
) -> None:
    config = config_of(place, "alone", ("second",), (place / "nowhere",))
    run(config, ("extract", "metadata"))
    with pytest.raises(ConfigError, match="nowhere, which is no directory"):
        pipeline.run_one(config, "match")
    (place / "begun").mkdir(exist_ok=True)
    begun = replace(config, run=replace(config.run, earlier=(place / "begun",)))
    with pytest.raises(StageError, match="begun, which has no finished stage 'match'"):
        pipeline.run_one(begun, "match")
    with pytest.raises(ConfigError, match="cannot extend itself"):
        replace(config.run, earlier=(place / "alone",))
    with pytest.raises(ConfigError, match="a run stands twice"):
        replace(config.run, earlier=(place / "one", place / "one"))
