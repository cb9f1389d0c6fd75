"""The Spark session, with the settings that the house's rules need."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

from curation.config import SparkSection
from curation.spark.java import java_home

# Rules, not tuning: they hold under spark-submit too.
_REQUIRED = {
    "spark.sql.execution.arrow.pyspark.validateSchema.enabled": "true",
    "spark.sql.execution.pythonUDF.arrow.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.sql.parquet.compression.codec": "zstd",
}
_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
}


def get_session(section: SparkSection, *, name: str = "bicurate") -> SparkSession:
    """Return the session: the submitted or running one, else a local one by the configuration."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # workers take python3 from the path otherwise
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    builder = SparkSession.builder.appName(name)
    if not _running_or_submitted():
        home = java_home()
        if home:
            os.environ["JAVA_HOME"] = str(home)
        builder = builder.master(section.master).config("spark.driver.memory", section.driver_memory)
        for key, value in (_LOCAL | section.settings).items():
            builder = builder.config(key, value)
    with _stderr_to(section.log):
        spark = builder.getOrCreate()
    partitions = section.partitions or 2 * spark.sparkContext.defaultParallelism
    settings = _REQUIRED | {
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.adaptive.enabled": str(section.adaptive).lower(),
    }
    for key, value in settings.items():
        spark.conf.set(key, value)
    return spark


@contextmanager
def _stderr_to(log: Path | None) -> Iterator[None]:
    """Let a JVM that starts in the block write its messages to a log instead of between our lines."""
    if log is None or _running_or_submitted():
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    ours = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(ours, 2)
            os.close(ours)


def _running_or_submitted() -> bool:
    return is_running() or "PYSPARK_GATEWAY_PORT" in os.environ


def is_running() -> bool:
    """Return whether this process has a session."""
    return SparkSession.getActiveSession() is not None


def running_context() -> SparkContext | None:
    """Return this process's context, from any thread, once it has started; a session is active in the thread alone that made it."""
    context = SparkContext._active_spark_context  # noqa: SLF001
    return context if getattr(context, "_jsc", None) is not None else None


def stop_local() -> None:
    """Stop the session where it is a local one of our own making; a submitted one belongs to its cluster."""
    session = SparkSession.getActiveSession()
    if session is not None and str(session.sparkContext.master).startswith("local"):
        session.stop()
