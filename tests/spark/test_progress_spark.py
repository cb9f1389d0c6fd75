"""What a person sees of a Spark stage at work: its tasks, counted from a thread that has no session of its own."""

import re
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from curation.spark import progress
from curation.spark.batches import map_batches
from curation.spark.progress import watch
from curation.spark.session import running_context

TASKS = 6


def work(spark: SparkSession) -> None:
    """Six tasks of some half a second."""

    def slowly(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(0.4)
            yield batch

    frame = spark.range(TASKS, numPartitions=TASKS)
    whole = map_batches(frame, slowly, pa.schema([pa.field("id", pa.int64(), nullable=False)]))
    assert whole.count() == TASKS


def test_a_log_has_a_line_of_the_tasks_now_and_then(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.1)
    with watch("embed"):
        work(spark)
    found = re.findall(
        r"^embed: (\d+) of (\d+) tasks of the current step, \d+ s$", capsys.readouterr().err, re.MULTILINE
    )
    assert found
    assert str(TASKS) in {whole for _, whole in found}


def test_a_terminal_has_a_bar_with_the_tasks(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.1)
    with watch("embed"):
        work(spark)
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert f"/{TASKS} tasks, left" in said


def test_a_context_that_is_not_up_yet_is_none(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    assert running_context() is spark.sparkContext
    for starting in (object.__new__(SparkContext), None):
        monkeypatch.setattr(SparkContext, "_active_spark_context", starting)
        assert running_context() is None
