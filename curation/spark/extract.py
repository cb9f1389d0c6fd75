"""Stage `extract`: WAT files and Parquet pools in, table `pairs` out, each pair once.

One task a WAT file, one a range of row groups of a pool; the candidates are written once, counted, and then merged: of equal
pairs the smallest (origin, page_url, text_source) stays. Run: `curate extract`, or `spark-submit jobs/extract.py`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.config import ExtractSection, RunConfig
from curation.extract import CANDIDATES, RECORDS, extract_wat
from curation.inputs import InputFile, find_inputs, open_input
from curation.pool import PoolPlan, extract_pool, plan_pool
from curation.spark.session import get_session
from curation.spark.stage import CountedFunction, discard_staged, write_counted, write_table
from curation.stage import OpenStage, Record, StageSpec, Tally, run_stage

SPEC = StageSpec(name="extract", section="extract", version=1)


class ExtractTask(NamedTuple):
    """What one task reads: a WAT file, or a range of a pool's row groups."""

    file: InputFile
    plan: PoolPlan | None = None
    groups: tuple[int, int] = (0, 0)


def run(config: RunConfig) -> Record:
    """Run the stage. Raises InputError that names the input which cannot be opened."""
    files = find_inputs(config.extract)

    def work(stage: OpenStage) -> None:
        extract(get_session(config.spark), stage, plan_tasks(files, config.extract))

    return run_stage(config, SPEC, work, externals=[file.external() for file in files])


def plan_tasks(files: Sequence[InputFile], section: ExtractSection) -> list[ExtractTask]:
    """Return the tasks; the footers of pools are read here. Raises InputError where one is not a pool."""
    tasks: list[ExtractTask] = []
    for file in files:
        if not file.is_pool:
            tasks.append(ExtractTask(file))
            continue
        with open_input(file.address) as source:
            plan = plan_pool(source, file.address, section)
        tasks += [ExtractTask(file, plan, groups) for groups in plan.ranges]
    return tasks


def extract(
    spark: SparkSession, stage: OpenStage, tasks: Sequence[ExtractTask], *, partitions: int | None = None
) -> DataFrame:
    """Write the table `pairs`, close both sums, and return the table as read back.

    partitions: how many Spark tasks share the work; one a task of ours where it is not set. The rows do not depend on it.
    """
    section = stage.config.extract
    numbers = spark.range(0, len(tasks), 1, partitions or max(1, len(tasks)))
    reader = _reader(tuple(tasks), crawl=section.crawl, keep_dropped=section.keep_dropped)
    candidates, tally = write_counted(
        numbers, reader, stage, "pairs", sort_by=["pair_id"], keep_dropped=section.keep_dropped
    )
    pairs = write_table(candidates.transform(merge_equal_pairs), stage, "pairs", sort_by=["pair_id"])
    ledger = tally.of(CANDIDATES)
    kept = int(stage.tables["pairs"]["rows"])
    ledger.merged += ledger.rows_out - kept
    ledger.rows_out = kept
    stage.add(tally.of(RECORDS))
    stage.add(ledger)
    discard_staged(stage)
    return pairs


def merge_equal_pairs(candidates: DataFrame) -> DataFrame:
    """Return each pair once: of equal ids the smallest (origin, page_url, text_source), ties by what is left."""
    order = ["origin", "page_url", "text_source", "url", "text", "crawl"]
    smallest = F.min(F.struct(*order)).alias("row")
    return candidates.groupBy("pair_id").agg(smallest).select("pair_id", "row.*")


def _reader(tasks: tuple[ExtractTask, ...], *, crawl: str | None, keep_dropped: bool) -> CountedFunction:
    """Return the function that reads the tasks whose numbers a batch holds."""

    def read(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                file, plan, groups = tasks[number]
                options = {"origin": file.origin, "crawl": crawl, "keep_dropped": keep_dropped}
                with open_input(file.address) as source:
                    if plan is None:
                        yield from extract_wat(source, tally, **options)
                    else:
                        yield from extract_pool(source, tally, plan, groups, **options)

    return read
