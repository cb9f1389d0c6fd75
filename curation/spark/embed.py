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
from curation.dedup.kinds import Recipe, recipe_of
from curation.errors import StageError
from curation.spark.describing import PLAIN, UNIT, Describing, devices
from curation.spark.devices import gpu_profile
from curation.spark.session import get_session
from curation.spark.stage import adopt, read_table, write_counted
from curation.stage import OpenStage, Record, StageSpec, Tally, run_stage

# `kind` counts as an external: by what it is, not by where its file lies.
SPEC = StageSpec(name="embed", section="embed", version=2, reads=("download",), ignores=("kind",))
PICTURES_PER_TASK = 5_000  # about ten seconds of one core


def run(config: RunConfig) -> Record:
    """Run the stage.

    Raises ConfigError for an unknown kind, InputError for a network that cannot be used, MissingExtraError where it needs torch,
    StageError where a raw shard is not what `outcomes` says.
    """
    recipe = recipe_of(config.embed.kind)
    outside = {"path": "embed.kind", "name": recipe.kind.name, "sha256": recipe.kind.sha256}
    return run_stage(config, SPEC, partial(_embed, recipe=recipe), externals=[outside])


def _embed(stage: OpenStage, recipe: Recipe) -> None:
    spark = get_session(stage.config.spark)
    fetched = read_table(spark, stage.input("download"), "outcomes")
    places = fetched.transform(one_place_a_picture)
    pictures = places.count()
    tasks = max(spark.sparkContext.defaultParallelism, -(-pictures // PICTURES_PER_TASK))
    in_order = places.repartitionByRange(tasks, "raw_shard", "raw_offset").sortWithinPartitions(
        "raw_shard", "raw_offset"
    )
    how = Describing.prepare(spark, recipe, stage.config.embed.device)
    how.warn(spark, pictures)
    _, tally = write_counted(
        in_order, partial(described, raw=stage.input("download") / "raw", how=how), stage, "descriptors",
        sort_by=["image_id"], profile=gpu_profile(spark, how.device),
    )  # fmt: skip
    stage.add(tally.of(UNIT))
    adopt(stage, "descriptors", spark)
    stage.notes["kind"] = recipe.kind.as_note()
    stage.notes["devices"] = devices(tally)
    stage.notes["plain"] = tally.sums.get(PLAIN, 0)


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
    batches: Iterator[pa.RecordBatch], tally: Tally, *, raw: Path, how: Describing
) -> Iterator[pa.RecordBatch]:
    """Read pictures at their places and yield their `descriptors`; count those that have none into the tally."""
    return how.rows(bodies(batches, raw), tally)


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
