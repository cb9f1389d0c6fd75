"""The same out: a whole small run up to the manifest gives the same rows and the same published bytes, however it is run."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from curation import pipeline
from curation.config import RunConfig, SparkSection
from curation.demo.run import DemoOptions, configure
from curation.demo.server import serve
from curation.demo.web import DemoWeb, build
from curation.report import languages
from curation.sealed import open_sealed
from curation.spark import batches, cells, chances, count, edges, manifest, parts, recall, stage, units
from curation.spark.selection import SelectOptions, select
from curation.stage import Record, read_record

PICTURES = 150
LAST = "manifest"
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Web:
    """The small web of these tests, served."""

    web: DemoWeb
    address: str

    def config(self, path: Path, **spark: Any) -> RunConfig:
        base = configure(DemoOptions(path=path), self.web, self.address)
        return replace(
            base,
            balance=replace(base.balance, t={"en": 4.0}, margin=2.0),
            download=replace(base.download, urls_per_shard=40),
            manifest=replace(base.manifest, images_per_shard=30, rows_per_file=100),
            run=replace(base.run, heldout_share=0.1),
            spark=replace(base.spark, **spark),
        )


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    built = build(tmp_path_factory.mktemp("same-out") / "web", seed=1, pictures=PICTURES)
    with serve(built.folder) as address:
        yield Web(built, address)


def run(config: RunConfig, until: str = LAST) -> dict[str, Record]:
    return {record.name: record for record in pipeline.run_all(config, until=until)}


def outcome(records: dict[str, Record]) -> dict[str, Any]:
    """What must not differ: every table's rows and digest, every published file's hash, every sum, every threshold."""
    return {
        name: {key: record.data[key] for key in ("tables", "files", "ledgers", "config")}
        | {
            "notes": {
                key: value for key, value in record.notes.items() if key in {"t", "p", "expected_pairs"}
            }
        }
        for name, record in records.items()
    }


def published(path: Path) -> dict[str, str]:
    """The published files as they lie, hashed here and not by the run."""
    files = sorted(file for file in (path / LAST).rglob("*") if file.is_file() and file.name != "_stage.json")
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def reference_path(web: Web, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference") / "run"
    run(web.config(path, partitions=2))
    return path


@pytest.fixture(scope="module")
def reference(web: Web, reference_path: Path) -> tuple[Any, Any]:
    records = run(web.config(reference_path, partitions=2))
    assert all(record.skipped for record in records.values())
    return outcome(records), published(reference_path)


def test_the_small_run_has_something_of_everything(reference: tuple[Any, Any]) -> None:
    found, files = reference
    assert found[LAST]["tables"]["manifest"]["rows"] > 100
    assert sum(name.endswith(".tar") for name in files) >= 4
    assert sum(name.endswith(".parquet") for name in files) >= 2
    assert any("heldout-" in name for name in files)
    for name in ("extract", "match", "balance", "download"):
        assert any(ledger["dropped"] for ledger in found[name]["ledgers"])
    assert found["dedup"]["ledgers"][0]["merged"] > 0


def test_what_one_stage_gives_the_next_one_takes(reference: tuple[Any, Any]) -> None:
    found, _ = reference

    def ledger(name: str, unit: str) -> dict[str, Any]:
        return next(item for item in found[name]["ledgers"] if item["unit"] == unit)

    for name in found:
        for item in found[name]["ledgers"]:
            assert item["in"] == item["out"] + sum(item["dropped"].values()) + item["merged"]
    assert ledger("match", "pairs")["in"] == ledger("extract", "candidates")["out"]
    assert ledger("balance", "pairs")["in"] == ledger("match", "pairs")["out"]
    assert ledger("dedup", "captions")["in"] == ledger("balance", "pairs")["out"]
    assert ledger("dedup", "images")["in"] == ledger("embed", "images")["out"]
    assert ledger("balance-survivors", "pairs")["in"] == ledger("dedup", "captions")["out"]
    assert ledger("manifest", "captions")["out"] == ledger("balance-survivors", "pairs")["out"]
    assert ledger("manifest", "images")["out"] <= ledger("dedup", "images")["out"]


@contextmanager
def batches_of(
    spark: SparkSession, rows: int, part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Batches of so few rows, and of what the tasks of a count read themselves, parts of so few."""
    monkeypatch.setattr(count, "PART_ROWS", part_rows)
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(key)
    spark.conf.set(key, str(rows))
    try:
        yield
    finally:
        spark.conf.set(key, str(before))


def test_one_partition_no_adaptive_execution_and_batches_of_one_row_change_nothing(
    web: Web, spark: SparkSession, reference: tuple[Any, Any], run_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(count, "DRIVER_PARTS", 0)  # counts are added up by Spark
    with batches_of(spark, 1, 10, monkeypatch):
        found = run(web.config(run_path, partitions=1, adaptive=False))
    assert outcome(found) == reference[0]
    assert published(run_path) == reference[1]


def test_tasks_that_fail_twice_shuffled_rows_and_seven_partitions_change_nothing(
    web: Web, spark: SparkSession, reference: tuple[Any, Any], run_path: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    original, failures = batches.map_batches, tmp_path / "failures"

    def fail_twice(what: str) -> None:
        context = TaskContext.get()
        if context is not None and context.attemptNumber() < 2:
            with failures.open("a") as file:
                file.write(f"{what}\n")
            raise RuntimeError("a machine is lost")

    def unlucky(
        frame: DataFrame, function: Callable[..., Any], schema: str | pa.Schema, *, profile: Any = None
    ) -> DataFrame:
        def maps(given: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield from function(given)
            fail_twice("map")

        return original(frame, maps, schema, profile=profile)

    def shuffled(frame: DataFrame, *rest: Any, **options: Any) -> DataFrame:
        return unlucky(frame.orderBy(frame.columns[0], ascending=False).repartition(2), *rest, **options)

    def after(function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def writes(*args: Any) -> Any:
            written = function(*args)
            fail_twice(what)
            return written

        return writes

    for module in (stage, chances, count, parts, cells, edges, recall):
        monkeypatch.setattr(module, "map_batches", shuffled)
    monkeypatch.setattr(units, "map_batches", unlucky)  # which laid its rows together
    monkeypatch.setattr(manifest, "write_shard", after(manifest.write_shard, "shard"))
    monkeypatch.setattr(manifest, "write_manifest_file", after(manifest.write_manifest_file, "manifest"))
    with batches_of(spark, 3, 150, monkeypatch):
        found = run(web.config(run_path, partitions=7, adaptive=True))
    assert outcome(found) == reference[0]
    assert published(run_path) == reference[1]
    assert set(failures.read_text().split()) == {"map", "shard", "manifest"}


def test_the_wanted_texts_that_are_noted_are_those_of_the_tables(
    reference: tuple[Any, Any], reference_path: Path
) -> None:
    records = {name: read_record(reference_path / name) for name in ("match", "balance")}
    noted = languages.steps(records, ("en", "ko"))
    balance = records["balance"]
    before = {key: value for key, value in balance.notes.items() if key != "wanted_texts"}
    read = languages.steps(
        records | {"balance": Record(balance.path, balance.data | {"notes": before})}, ("en", "ko")
    )
    assert read == noted
    assert sum(noted[1].rows.values()) >= balance.notes["wanted_pairs"] > 100


def test_the_manifest_alone_gives_the_runs_own_selection_again(
    web: Web, spark: SparkSession, reference: tuple[Any, Any], reference_path: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"  # away from its run: what it was drawn with stands in its own record
    shutil.copytree(reference_path / LAST, alone)
    sealed = open_sealed(alone)
    assert sealed.section is not None
    found = select(
        SelectOptions(manifest=(alone,), out=tmp_path / "out"), sealed.section, SparkSection(partitions=3)
    )
    own = reference[0]["balance-survivors"]
    assert found.data["tables"]["selection"] == own["tables"]["selection"]
    assert {key: found.notes[key] for key in own["notes"]} == own["notes"]


def test_a_comparison_of_runs_can_fail(
    web: Web, spark: SparkSession, reference: tuple[Any, Any], run_path: Path
) -> None:
    config = web.config(run_path, partitions=2)
    found = outcome(run(replace(config, run=replace(config.run, seed=1)), until="balance"))
    assert found["extract"] == reference[0]["extract"]
    assert found["balance"]["tables"] != reference[0]["balance"]["tables"]


def test_the_manifest_and_its_shards_agree_with_the_truth(
    web: Web, spark: SparkSession, reference_path: Path
) -> None:
    """Every row's bytes are those of its picture; a caption is never given to a picture of another object."""
    import pyarrow.parquet as pq

    from curation.manifest import read_manifest

    truth = {row["url"]: row for row in pq.read_table(web.web.pictures).to_pylist()}
    rows = read_manifest(reference_path / LAST).to_pylist()
    assert len({row["pair_id"] for row in rows}) == len(rows)
    wrong = 0
    for row in rows:
        with (reference_path / LAST / row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            assert hashlib.sha256(file.read(row["size"])).hexdigest() == row["image_id"]
        assert row["selected"] is (row["coin"] < row["keep_prob"] and row["split"] == "train")
        assert row["keep_prob"] <= row["keep_prob_wanted"]
        own = truth[row["url"]]
        shown = {
            item["object"]
            for item in truth.values()
            if item["url"] in _urls_of(reference_path, row["image_id"])
        }
        wrong += own["object"] not in shown
    assert wrong <= 0.01 * len(rows)
    sizes = json.loads((reference_path / LAST / "shards" / "sizes.json").read_text())
    assert sum(sizes.values()) == len({row["image_id"] for row in rows})
    assert len(sizes) == len(list((reference_path / LAST).glob("shards/*.tar")))
    split_of_group: dict[str, set[str]] = {}
    groups = pq.read_table(reference_path / "dedup" / "groups").to_pylist()
    group_of = {row["image_id"]: row["group_id"] for row in groups}
    for row in rows:
        split_of_group.setdefault(group_of[row["source_image_id"]], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in split_of_group.values())


_URLS: dict[tuple[Path, str], set[str]] = {}


def _urls_of(path: Path, image_id: str) -> set[str]:
    """Addresses whose bytes a picture is, by the table of outcomes."""
    import pyarrow.parquet as pq

    if not _URLS:
        for row in pq.read_table(path / "download" / "outcomes", columns=["url", "image_id"]).to_pylist():
            _URLS.setdefault((path, row["image_id"]), set()).add(row["url"])
    return _URLS.get((path, image_id), set())
