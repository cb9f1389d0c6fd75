"""Stage `embed`: the fetched pictures to descriptors, one row a distinct picture.

Reads `outcomes` and the raw shards of `download`, writes `descriptors`. Run: `curate embed`, or `spark-submit jobs/embed.py`.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.config import RunConfig
from curation.dedup.descriptors import Kind, describe, kind_of
from curation.errors import StageError
from curation.images import UndecodableImageError
from curation.schemas import TABLES
from curation.spark.batches import batches_of
from curation.spark.session import get_session
from curation.spark.stage import adopt, read_table, write_counted
from curation.stage import OpenStage, Record, StageSpec, Tally, run_stage

SPEC = StageSpec(name="embed", section="embed", version=1, reads=("download",))
PICTURES_PER_TASK = 5_000  # about ten seconds of one core
_BATCH = 1_000  # rows an Arrow batch


def run(config: RunConfig) -> Record:
    """Run the stage. Raises ConfigError for an unknown kind, StageError where a raw shard is not what `outcomes` says."""
    return run_stage(config, SPEC, _embed)


def _embed(stage: OpenStage) -> None:
    kind = kind_of(stage.config.embed.kind)
    spark = get_session(stage.config.spark)
    fetched = read_table(spark, stage.input("download"), "outcomes")
    places = fetched.transform(one_place_a_picture)
    tasks = max(spark.sparkContext.defaultParallelism, -(-places.count() // PICTURES_PER_TASK))
    in_order = places.repartitionByRange(tasks, "raw_shard", "raw_offset").sortWithinPartitions(
        "raw_shard", "raw_offset"
    )
    raw = stage.input("download") / "raw"
    _, tally = write_counted(
        in_order, partial(described, raw=raw, kind=kind), stage, "descriptors", sort_by=["image_id"]
    )
    stage.add(tally.of("images"))
    adopt(stage, "descriptors", spark)
    stage.notes["kind"] = {
        "name": kind.name, "sha256": kind.sha256, "views": kind.views, "query_views": kind.query_views,
        "dimension": kind.dimension,
    }  # fmt: skip


def one_place_a_picture(outcomes: DataFrame) -> DataFrame:
    """Return (image_id, raw_shard, raw_offset, bytes) of the fetched pictures, each at the first place that holds it."""
    place = F.struct("raw_shard", "raw_offset", "bytes")
    return (
        outcomes.where(F.col("status") == "ok")
        .groupBy("image_id")
        .agg(F.min(place).alias("place"))
        .select("image_id", "place.*")
    )


def described(
    batches: Iterator[pa.RecordBatch], tally: Tally, *, raw: Path, kind: Kind
) -> Iterator[pa.RecordBatch]:
    """Read pictures at their places and yield their `descriptors`; count the undecodable ones into the tally."""

    def rows() -> Iterator[dict[str, object]]:
        for image_id, body in bodies(batches, raw):
            try:
                description = describe(body)
            except UndecodableImageError as error:
                tally.drop("images", error.reason)
                continue
            tally.keep("images")
            yield {
                "image_id": image_id,
                "width": description.width,
                "height": description.height,
                "codes": description.codes.tobytes(),
                "kind": kind.name,
                "kind_sha256": kind.sha256,
            }

    return batches_of(rows(), TABLES["descriptors"], _BATCH)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise StageError(
            f"cannot open raw shard {path}: {error.strerror}; run 'curate download' again"
        ) from error


def bodies(batches: Iterator[pa.RecordBatch], raw: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (image_id, bytes) of rows (image_id, raw_shard, raw_offset, bytes), each shard opened once if rows are in its order.

    Raises StageError where the bytes at a place are not those of the id.
    """
    with ExitStack() as opened:
        held, shard = Path(), None
        for batch in batches:
            for row in batch.select(["image_id", "raw_shard", "raw_offset", "bytes"]).to_pylist():
                if shard is None or held != raw / row["raw_shard"]:
                    opened.close()
                    held = raw / row["raw_shard"]
                    shard = opened.enter_context(_opened(held))
                shard.seek(row["raw_offset"])
                body = shard.read(row["bytes"])
                if hashlib.sha256(body).hexdigest() != row["image_id"]:
                    raise StageError(
                        f"{held} does not hold picture {row['image_id']} at offset {row['raw_offset']}; "
                        f"the raw shards were changed after the download: run 'curate download' again"
                    )
                yield row["image_id"], body
