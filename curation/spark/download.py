"""Stage download on Spark: table `wanted` of balance in, table `outcomes` and the raw shards out.

`curate download`, or `spark-submit jobs/download.py`. The addresses are cut into shards, img2dataset's pyspark distributor
hands them to `curation.download.ShardDownloader`, and their outcomes become one table. A killed run goes on where it stopped.
"""

import shutil
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.config import DownloadSection, RunConfig
from curation.download import ShardDownloader, ShardReader, distributor, num_shards, require_all, sweep
from curation.errors import StageError
from curation.progress import watched
from curation.removal_files import load_removals
from curation.removals import NO_REMOVALS, Removals
from curation.spark.batches import spark_schema
from curation.spark.columns import coin
from curation.spark.session import get_session
from curation.spark.stage import count_by, read_table, write_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, run_stage

SPEC = StageSpec(name="download", section="download", version=1, reads=("balance",), resumes=True)
SHARD_TRIES = 2  # further tries of a shard that failed as a whole
SHARDS_A_JOB = 10_000  # rows the distributor hands to Spark at once; it waits for the last of them


def run(config: RunConfig) -> Record:
    """Run the stage. Raises StageError where a shard failed as a whole; the finished ones are kept for the next run.

    A removal list holds for what is still to be fetched. It is no part of the stage's identity, or a longer list would ask the
    whole web again; what was fetched before it grew leaves at the next seal.
    """

    def work(stage: OpenStage) -> None:
        spark = get_session(config.spark)
        todo = plan(spark, stage, config.download.urls_per_shard)
        num_urls = _count(spark, todo)
        raw = stage.path / "raw"
        raw.mkdir(exist_ok=True)
        sweep(raw)
        reader = ShardReader(
            todo=todo.resolve(), raw=raw.resolve()
        )  # tasks may have another working directory
        removals = load_removals(config.run.removals)
        fetch_shards(spark, reader, config.download, num_urls, removals)
        _commit(spark, stage, reader, num_urls)
        if removals:
            stage.notes["removals"] = removals.summary()

    # Where a host is found changes from machine to machine, that it is found at all decides what comes out.
    found_elsewhere = [{"path": "download.resolve", "hosts": sorted(config.download.resolve)}]
    return run_stage(config, SPEC, work, externals=found_elsewhere if config.download.resolve else ())


def plan(spark: SparkSession, stage: OpenStage, urls_per_shard: int) -> Path:
    """Write the distinct addresses, a directory a shard, sorted inside; return the place. Done once for a run that resumes."""
    place = stage.path / "todo"
    if place.is_dir():
        return place
    urls = read_table(spark, stage.input("balance"), "wanted").select("url").distinct()
    shards = num_shards(urls.count(), urls_per_shard)
    shard = F.floor(coin(F.col("url"), 0, "download") * F.lit(shards)).cast("int")
    staged = place.with_name("_todo")
    sharded = urls.withColumn("shard", shard).repartition(min(shards, 200), "shard")
    ordered = sharded.sortWithinPartitions("shard", "url")
    ordered.write.mode("overwrite").partitionBy("shard").parquet(str(staged))
    staged.rename(place)
    return place


def _count(spark: SparkSession, todo: Path) -> int:
    return spark.read.parquet(str(todo)).count() if any(todo.glob("shard=*")) else 0


def fetch_shards(
    spark: SparkSession,
    reader: ShardReader,
    section: DownloadSection,
    num_urls: int,
    removals: Removals = NO_REMOVALS,
) -> None:
    """Have img2dataset's distributor download every shard that is not done. Raises StageError where some failed."""
    downloader = ShardDownloader(section=section, raw=str(reader.raw), removals=removals)
    shards = max(1, len(reader.shards()))

    def urls_done() -> int:
        return (
            sum(1 for path in reader.raw.glob("*.parquet") if not path.name.startswith("."))
            * num_urls
            // shards
        )

    with watched(urls_done, num_urls, "addresses"):
        distributor()(section.processes, downloader, reader, _shards_at_once(spark, section), SHARD_TRIES)
    require_all(reader)


def _shards_at_once(spark: SparkSession, section: DownloadSection) -> int:
    """Return the shards a Spark job: on one machine no more than `processes` run at once, where it has more cores."""
    context = spark.sparkContext
    if (context.master or "").startswith("local[") and section.processes < context.defaultParallelism:
        return section.processes
    return SHARDS_A_JOB


def _commit(spark: SparkSession, stage: OpenStage, reader: ShardReader, num_urls: int) -> None:
    """Make one table of the shards' outcomes, close its sum, and remove what is not needed any more."""
    shutil.rmtree(stage.path / "outcomes", ignore_errors=True)  # of a run that was killed after this
    outcomes = write_table(_shard_outcomes(spark, reader), stage, "outcomes", sort_by=["url"])
    dropped = count_by(outcomes.where("status = 'dropped'"), "reason")
    kept = outcomes.where("status = 'ok'")
    if num_urls and sum(dropped.values()) == num_urls:
        shutil.rmtree(reader.raw)  # so that the next attempt asks again
        reasons = ", ".join(
            f"{reason} {count}" for reason, count in sorted(dropped.items(), key=lambda i: -i[1])[:3]
        )
        raise StageError(
            f"download: none of {num_urls} addresses gave a picture ({reasons}); is the network there, or the server "
            f"that download.resolve and download.allow_hosts speak of? The same command asks again"
        )
    stage.add(Ledger(unit="urls", rows_in=num_urls, rows_out=kept.count(), dropped=dropped))
    distinct = outcomes.select("url").distinct().count()
    if distinct != num_urls:  # with the sum above: each address exactly once
        raise StageError(
            f"download: {num_urls} addresses have {distinct} different ones among their outcomes"
        )
    tars = [str(row["raw_shard"]) for row in kept.select("raw_shard").distinct().collect()]
    sweep(reader.raw, keep=tars)
    totals = kept.agg(F.sum("bytes"), F.count_distinct("image_id")).first()
    assert totals is not None
    stage.notes |= {"shards": len(reader.shards()), "bytes": totals[0] or 0, "distinct_images": totals[1]}
    stage.notes["distributor"] = "img2dataset.distributor.pyspark_distributor"


def _shard_outcomes(spark: SparkSession, reader: ShardReader) -> DataFrame:
    schema = spark_schema("outcomes")
    paths = [str(reader.raw / f"{shard:05d}.parquet") for shard in reader.shards()]
    return spark.read.schema(schema).parquet(*paths) if paths else spark.createDataFrame([], schema)
