"""Stage dedup on made-up searches: the groups of the plain functions, by the driver or by Spark, late thresholds, later crawls."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import note
from nearworld import THRESHOLD, World, config, table
from pyspark.sql import DataFrame, SparkSession

from curation.config import RunConfig
from curation.dedup.holdout import HoldoutSet
from curation.dedup.index import externals, open_chain
from curation.errors import ConfigError, InputError
from curation.spark import dedup
from curation.stage import RECORD, OpenStage, Record, read_record

WORLD = World.drawn(240, seed=4)


def found(run: Path, *, near: bool = True) -> list[tuple[Any, ...]]:
    names = ["image_id", "joined", "group_id", "cosine", "rule", "survivor", *(["near"] if near else [])]
    return [tuple(row[name] for name in names) for row in table(run, "groups")]


def wanted(
    world: World, rule: str, threshold: float = THRESHOLD, without: frozenset[int] = frozenset()
) -> list[tuple[Any, ...]]:
    groups, ids = world.groups(rule, threshold, without), world.ids
    return [
        (
            ids[n], ids[groups.joined[n]], ids[groups.component[n]], groups.cosine[n], str(groups.rule[n]),
            groups.joined[n] == n, None if groups.joined[n] == n else ids[groups.near[n]],
        )
        for n in range(len(ids))
    ]  # fmt: skip


def ledger(record: Record, unit: str) -> dict[str, Any]:
    return next(item for item in record.ledgers if item["unit"] == unit)


@pytest.fixture
def run(spark: SparkSession, tmp_path: Path) -> Path:
    WORLD.write(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Record:
    run = tmp_path_factory.mktemp("dedup") / "run"
    WORLD.write(run)
    return dedup.run(config(run))


def again(config: RunConfig) -> Record:
    return dedup.run(replace(config, run=replace(config.run, on_existing="overwrite")))


def test_groups_are_those_of_the_plain_functions(done: Record) -> None:
    assert done.notes["groups"]["path"] == "driver"
    assert found(done.path.parent) == wanted(WORLD, "mis")


def test_spark_gives_the_tables_that_the_driver_gives(run: Path, done: Record) -> None:
    record = dedup.run(config(run, driver_edges=0, partitions=3))
    assert record.notes["groups"]["path"] == "spark"
    assert record.data["tables"] == done.data["tables"]
    assert record.ledgers == done.ledgers


@pytest.mark.parametrize(
    ("rule", "driver_edges"), [("dominated", 0), ("components", 0), ("dominated", 10**6)]
)
def test_every_rule_has_the_groups_of_the_plain_functions(run: Path, rule: str, driver_edges: int) -> None:
    dedup.run(config(run, rule=rule, driver_edges=driver_edges))
    assert found(run) == wanted(WORLD, rule)


def test_another_threshold_and_rank_need_no_other_search(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted((run / "neighbours").rglob("*"))}
    record = dedup.run(config(run, threshold=0.97, rank=("bytes", "captions")))
    by_bytes = replace(WORLD, pixels=np.arange(len(WORLD.ids)))  # bytes grow with the place
    assert found(run) == wanted(by_bytes, "mis", 0.97)
    again(config(run, threshold=0.97))
    assert found(run) == wanted(WORLD, "mis", 0.97)
    assert before == {path: path.stat().st_mtime_ns for path in sorted((run / "neighbours").rglob("*"))}
    assert record.notes["groups"]["near_pairs"] < len(table(run, "edges", "neighbours"))


def test_a_threshold_below_the_floor_is_refused_and_what_is_done_stays(done: Record) -> None:
    with pytest.raises(ConfigError, match=r"dedup\.threshold is 0\.9.*neighbours\.floor 0\.92"):
        again(config(done.path.parent, threshold=0.9))
    assert (done.path / RECORD).is_file()


def test_a_pair_whose_second_look_does_not_agree_is_not_near(run: Path) -> None:
    search = read_record(run / "neighbours").notes
    note(run, "neighbours", notes=search | {"search": search["search"] | {"agreement_bound": 0.5}})
    dedup.run(config(run))  # no edge has an agreement
    assert {row["rule"] for row in table(run, "groups")} == {"single", "survivor", "identical_descriptor"}


def test_nothing_is_left_behind_and_the_sums_close(done: Record) -> None:
    run = done.path.parent
    assert sorted(path.name for path in (run / "dedup").iterdir()) == [RECORD, "groups", "index", "rows"]
    images = ledger(done, "images")
    assert (images["in"], images["dropped"]) == (len(WORLD.ids), {})
    assert images["out"] == sum(row["survivor"] for row in table(run, "groups"))
    assert done.notes["groups"]["rules"]["near_descriptor"] > 20
    survivors = {row["image_id"] for row in table(run, "groups") if row["survivor"]}
    assert {row["image_id"] for row in table(run, "index/vectors")} == survivors
    assert {row["image_id"] for row in table(run, "index/descriptors")} == survivors
    assert len(table(run, "index/members")) == len(WORLD.ids)


def test_what_is_near_an_evaluation_set_is_dropped_first_and_the_others_of_its_group_stay(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = frozenset(pair[0] for pair in sorted(WORLD.near)[::9])
    near = [
        (one, "coco", "f" * 64, 0.99, None) for n, one in enumerate(WORLD.ids) if WORLD.of_class[n] in gone
    ]

    def near_holdout(
        stage: OpenStage, described: DataFrame, sets: object, place: Path, *, device: str
    ) -> DataFrame:
        columns = "image_id string, holdout string, near string, holdout_cosine double, agreement double"
        return described.sparkSession.createDataFrame(near, columns)

    monkeypatch.setattr(dedup, "near_holdout", near_holdout)
    holdout = HoldoutSet("coco", Path("sets/coco"), "5e" * 32, {}, 1)
    monkeypatch.setattr(dedup, "find_sets", lambda holdout_: [holdout])
    record = dedup.run(config(run))
    dropped = {row[0] for row in near}
    assert [row for row in found(run) if row[0] not in dropped] == [
        row for row in wanted(WORLD, "mis", without=gone) if row[0] not in dropped
    ]
    for row in table(run, "groups"):
        if row["image_id"] in dropped:
            told = (row["rule"], row["holdout"], row["near"], row["cosine"], row["survivor"], row["joined"])
            assert told == ("holdout", "coco", "f" * 64, 0.99, False, row["image_id"])
    assert ledger(record, "images")["dropped"] == {"holdout": len(dropped)}
    assert not {row["source_image_id"] for row in table(run, "rows")} & dropped
    shown = [row["url"] for row in table(run, "outcomes", "download") if row["image_id"] in dropped]
    assert ledger(record, "captions")["dropped"] == {"holdout": len(shown)}
    assert not {row["image_id"] for row in table(run, "index/members")} & dropped


CRAWLS = World.drawn(260, seed=9, epochs=3)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "driver_edges"), [("mis", 0), ("dominated", 10**6)])
def test_crawl_after_crawl_gives_what_all_at_once_give(
    spark: SparkSession, tmp_path: Path, rule: str, driver_edges: int
) -> None:
    all_at_once, ids, chain = CRAWLS.groups(rule), CRAWLS.ids, list[Path]()
    place = {one: n for n, one in enumerate(ids)}
    for epoch in range(3):
        run = tmp_path / str(epoch)
        seen = [one for n, one in enumerate(ids) if CRAWLS.epoch[n] < epoch and n % 7 == 0]
        CRAWLS.write(run, epoch, chain=chain, again=seen)
        record = dedup.run(config(run, rule=rule, against=tuple(chain), driver_edges=driver_edges))
        rows = {row["image_id"]: row for row in table(run, "groups")}
        assert {place[one] for one in rows} == {
            n for n, one in enumerate(ids) if CRAWLS.epoch[n] == epoch or one in seen
        }
        for one, row in rows.items():
            n = place[one]
            assert row["joined"] == ids[all_at_once.joined[n]]
            assert row["in_index"] == (CRAWLS.epoch[all_at_once.joined[n]] < epoch)
            if CRAWLS.epoch[n] < epoch:
                assert (row["rule"], row["survivor"]) == ("earlier", False)
                continue
            assert row["survivor"] == (all_at_once.joined[n] == n)
            if not row["survivor"]:
                assert row["near"] == ids[all_at_once.near[n]]
                assert row["cosine"] == all_at_once.cosine[n]
        if rule == "dominated":  # the index has the dropped ones too, so chains through them are seen
            until = replace_epochs(CRAWLS, epoch).groups(rule)
            assert all(
                rows[one]["group_id"] == ids[until.component[place[one]]]
                for one in rows
                if CRAWLS.epoch[place[one]] == epoch
            )
        check_captions(run, record, rows)
        chain.append(run / "dedup" / "index")


def replace_epochs(world: World, last: int) -> World:
    """The world without the near pairs of crawls after the last."""
    when = dict(zip(world.of_class.tolist(), world.epoch.tolist(), strict=True))
    return replace(
        world, near={pair: v for pair, v in world.near.items() if all(when.get(c, 9) <= last for c in pair)}
    )


def check_captions(run: Path, record: Record, groups: dict[str, dict[str, Any]]) -> None:
    """Every caption stands at its survivor, in this run's rows or among those of an earlier crawl's pictures."""
    rows, earlier = table(run, "rows"), []
    if record.data["config"] and (run / "dedup" / "rows_earlier").is_dir():
        earlier = table(run, "rows_earlier")
    for row in [*rows, *earlier]:
        group = groups[row["source_image_id"]]
        assert (row["image_id"], row in earlier) == (group["joined"], group["in_index"])
    sums = ledger(record, "captions")
    assert sums["dropped"].get("earlier_picture", 0) == len(earlier)
    assert len(rows) == sums["out"]
    held = {groups[row["source_image_id"]]["group_id"] for row in rows if row["split"] == "heldout"}
    train = {groups[row["source_image_id"]]["group_id"] for row in rows if row["split"] == "train"}
    assert not held & train


def test_indexes_that_do_not_fit_are_refused_by_name(done: Record, tmp_path: Path) -> None:
    run = done.path.parent
    index, other = run / "dedup" / "index", tmp_path / "other"
    WORLD.write(other)
    with pytest.raises(ConfigError, match=r"'components'.*index"):
        dedup.run(config(other, rule="components", against=(index,)))
    with pytest.raises(ConfigError, match=r"dedup\.threshold 0\.95, this run has 0\.97"):
        dedup.run(config(other, threshold=0.97, against=(index,)))
    with pytest.raises(ConfigError, match="made against 0 earlier ones"):
        open_chain([index, index])
    with pytest.raises(InputError, match="holds no index"):
        open_chain([tmp_path])
    assert open_chain([run])[0].path == index
    with pytest.raises(ConfigError, match="the search was made against 0"):
        dedup.run(config(other, against=(index,)))
    notes = read_record(other / "neighbours").notes
    note(other, "neighbours", notes=notes | {"kind": notes["kind"] | {"sha256": "ab" * 32}})
    note(other, "neighbours", externals=externals(open_chain([index])))
    with pytest.raises(ConfigError, match="kind_sha256 c0c0"):
        dedup.run(config(other, against=(index,)))
