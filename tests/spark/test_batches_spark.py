"""The adaptor checks by name what mapInArrow would take by position, and counts what functions drop once."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from curation.config import RunConfig, RunSection
from curation.errors import Reason, StageError
from curation.schemas import TABLES
from curation.spark.batches import batches_of, conform, map_batches, plain
from curation.spark.stage import adopt, write_counted
from curation.stage import OpenStage, StageSpec, Tally

SELECTION = plain(TABLES["selection"])


def test_columns_may_come_in_any_order_but_none_may_lack_or_differ() -> None:
    columns = {"selected": [True], "pair_id": ["a"], "keep_prob": [0.5]}
    found = conform(pa.RecordBatch.from_pydict(columns), SELECTION)
    assert found.schema.names == SELECTION.names
    with pytest.raises(StageError, match="lacks column 'selected'"):
        conform(pa.RecordBatch.from_pydict({"pair_id": ["a"], "keep_prob": [0.5]}), SELECTION)
    with pytest.raises(StageError, match="keep_prob"):
        conform(pa.RecordBatch.from_pydict(columns | {"keep_prob": [1]}), SELECTION)
    with pytest.raises(StageError, match="1 nulls"):
        conform(
            pa.RecordBatch.from_pydict(columns | {"keep_prob": pa.array([None], pa.float64())}), SELECTION
        )


def test_a_wrong_batch_is_an_error_from_the_task(spark: SparkSession) -> None:
    def swapped(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"pair_id": batch.column(0)})

    with pytest.raises(PythonException, match="lacks column"):
        map_batches(spark.range(3).selectExpr("cast(id as string) id"), swapped, "selection").collect()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_are_packed_lazily_in_batches_of_a_size(size: int) -> None:
    rows = [{"pair_id": str(i), "keep_prob": 0.5, "selected": True} for i in range(7)]
    found = list(batches_of(iter(rows), "selection", size))
    assert [batch.num_rows for batch in found] == [size] * (7 // size) + ([7 % size] if 7 % size else [])
    assert [row for batch in found for row in batch.to_pylist()] == rows


@pytest.mark.parametrize("keep_dropped", [True, False])
def test_rows_and_tally_are_counted_once_though_tasks_fail_twice(
    spark: SparkSession, run_path: Path, keep_dropped: bool
) -> None:
    def drops_thirds(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        for batch in batches:
            rows = [
                {"pair_id": key, "keep_prob": 0.5, "selected": True} for key in batch.column(0).to_pylist()
            ]
            for row in rows:
                drop = int(row["pair_id"]) % 3 == 0
                row["_reason"] = str(Reason.NO_MATCH) if drop else None
                tally.drop("rows", Reason.NO_MATCH) if drop else tally.keep("rows")
            yield pa.RecordBatch.from_pylist(
                rows, schema=pa.schema([*SELECTION, pa.field("_reason", pa.string())])
            )
        if context is not None and context.attemptNumber() < 2:
            raise RuntimeError("a machine is lost")

    run_path.mkdir()
    spec = StageSpec(name="stage", section=None, version=1)
    stage = OpenStage(RunConfig(run=RunSection(path=run_path)), spec, run_path, {})
    keys = spark.range(0, 300, numPartitions=3).selectExpr("cast(id as string) pair_id")
    rows, tally = write_counted(
        keys, drops_thirds, stage, "selection", sort_by=["pair_id"], keep_dropped=keep_dropped
    )
    assert rows.count() == 200
    table = adopt(stage, "selection", spark)
    assert table.count() == stage.tables["selection"]["rows"] == 200
    ledger = tally.of("rows")
    assert (ledger.rows_in, ledger.rows_out, ledger.dropped) == (300, 200, {Reason.NO_MATCH: 100})
    assert (run_path / "dropped").is_dir() is keep_dropped
    assert not (run_path / "_staged").exists()
    if keep_dropped:
        assert spark.read.parquet(str(run_path / "dropped")).count() == 100


def test_a_stage_without_any_row_has_an_empty_table(spark: SparkSession, run_path: Path) -> None:
    def nothing(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            tally.drop("rows", Reason.NO_MATCH, batch.num_rows)
        yield from ()

    run_path.mkdir()
    stage = OpenStage(RunConfig(), StageSpec(name="stage", section=None, version=1), run_path, {})
    keys = spark.range(5).selectExpr("cast(id as string) pair_id")
    write_counted(keys, nothing, stage, "selection", sort_by=["pair_id"])
    assert adopt(stage, "selection", spark).count() == 0
    assert stage.tables["selection"] == {"rows": 0, "digest": "0"}
