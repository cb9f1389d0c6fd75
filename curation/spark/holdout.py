"""Which pictures of a run are near an evaluation set: the sets are described, brought to every task, and compared with all.

Part of stage `dedup`. The sets are held by the driver and by each task, about `views * dimension + detail_bytes` a picture.
"""

import hashlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from curation.config_dedup import Device
from curation.dedup.faiss_package import load_faiss
from curation.dedup.holdout import (
    READ,
    HoldoutSet,
    Pool,
    Targets,
    names_of,
    nearest,
    read_descriptors,
    targets_of,
)
from curation.dedup.kinds import Kind, recipe_of
from curation.errors import ConfigError, StageError
from curation.schemas import TABLES
from curation.spark.batches import map_batches, plain, spark_schema
from curation.spark.describing import Describing
from curation.spark.devices import gpu_profile, task_device
from curation.spark.session import get_session
from curation.spark.shipping import ship_array, shipped_array
from curation.spark.stage import count_by, written_once
from curation.stage import OpenStage, Tally, file_sha256

FOLDER = "holdout"  # of the stage: the descriptors of sets that were given as pictures, for the next time
NEAR = pa.schema([
    pa.field("image_id", pa.string(), nullable=False),
    pa.field("holdout", pa.string(), nullable=False),
    pa.field("near", pa.string(), nullable=False),
    pa.field("holdout_cosine", pa.float64(), nullable=False),
    pa.field("agreement", pa.float64()),
])  # fmt: skip
_PICTURES = 4_096  # of the pool, compared with the sets at once
_PICTURES_PER_TASK = 500
_READ = pa.schema([pa.field("path", pa.string()), pa.field("image_id", pa.string())])


def near_holdout(
    stage: OpenStage, described: DataFrame, sets: Sequence[HoldoutSet], place: Path, *, device: Device
) -> DataFrame:
    """Return (image_id, holdout, near, holdout_cosine, agreement) of the pictures near one of a set's, a row each, computed once.

    described: rows of `descriptors`, of the kind of the stage's input. sets: as `find_sets` gives. place: a directory of the caller's.
    device: of the search, cpu or cuda.
    Of several sets that of the highest cosine stands, then the first by name. Notes the sets, and how many pictures each drops.
    Raises StageError for a set of another kind, ConfigError where pictures are given and embed.kind is not the run's.
    """
    spark = get_session(stage.config.spark)
    if not sets:
        return spark.createDataFrame([], spark_schema(NEAR))
    kind = Kind.of_note(stage.inputs["embed"].notes["kind"])
    targets = targets_of(_described(spark, stage, sets, kind), kind)
    section = stage.config.dedup
    threshold = section.settled_threshold if section.holdout_threshold is None else section.holdout_threshold
    search = _search(spark, targets, kind, threshold, device)
    found = map_batches(
        described.select("image_id", "codes", "detail"), search, NEAR, profile=gpu_profile(spark, device)
    )
    near = written_once(found, spark_schema(NEAR), place)
    _note(stage, sets, targets, count_by(near, "holdout"), threshold)
    return near


def _note(
    stage: OpenStage,
    sets: Sequence[HoldoutSet],
    targets: Targets,
    dropped: dict[str, int],
    threshold: float,
) -> None:
    """Keep for the record what each set holds and drops; warn of files that could not be described."""
    pictures = dict(zip(targets.names, targets.member.sum(axis=0).tolist(), strict=True))
    notes: dict[str, Any] = {}
    for one in sets:
        lost = len(one.pictures) - pictures[one.name] if one.pictures else 0
        notes[one.name] = {
            "sha256": one.sha256, "pictures": pictures[one.name], "undecodable": lost, "dropped": dropped.get(one.name, 0),
        }  # fmt: skip
        if lost:
            print(
                f"warning: {lost} of {len(one.pictures)} pictures of {one.where} have no descriptor: "
                "what is near them is not seen",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    stage.notes["holdout"] = {"threshold": threshold, "sets": notes}


def _described(
    spark: SparkSession, stage: OpenStage, sets: Sequence[HoldoutSet], kind: Kind
) -> dict[str, pa.Table]:
    """Return the descriptors of each set by name; of pictures they are computed, and written beside the stage's tables."""
    tables = {one.name: read_descriptors(one, kind) for one in sets if not one.pictures}
    given = [one for one in sets if one.pictures]
    if not given:
        return tables
    recipe = recipe_of(stage.config.embed.kind)
    if recipe.kind.sha256 != kind.sha256:
        raise ConfigError(
            f"{given[0].where} holds pictures, to be described by embed.kind, which is now {recipe.kind}; the run's "
            f"descriptors are of kind {kind}: name that kind, or give descriptors of the set"
        )
    how = Describing.prepare(spark, recipe, stage.config.embed.device)
    found = _describe(spark, {key: file for one in given for key, file in one.pictures.items()}, how)
    for one in given:
        wanted = pa.array(sorted(one.pictures), pa.string())
        tables[one.name] = found.filter(pc.is_in(found.column("image_id"), value_set=wanted))
        _keep(stage, one.name, tables[one.name])
    return {name: table.select(READ) for name, table in tables.items()}


def _describe(spark: SparkSession, pictures: dict[str, Path], how: Describing) -> pa.Table:
    """Return rows of `descriptors` of files by image_id, sorted, without those that have none."""
    how.warn(spark, len(pictures))

    def described(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return how.rows((_opened(row) for batch in batches for row in batch.to_pylist()), Tally())

    places = pa.table([[str(path.resolve()) for path in pictures.values()], list(pictures)], schema=_READ)
    tasks = max(spark.sparkContext.defaultParallelism, -(-len(pictures) // _PICTURES_PER_TASK))
    frame = spark.createDataFrame(places, spark_schema(_READ)).repartition(tasks, "image_id")
    found = map_batches(frame, described, "descriptors", profile=gpu_profile(spark, how.device)).toArrow()
    return found.select(TABLES["descriptors"].names).cast(plain(TABLES["descriptors"])).sort_by("image_id")


def _opened(row: dict[str, str]) -> tuple[str, bytes]:
    """Return id and bytes of a file. Raises StageError where it is not what was hashed, or cannot be read."""
    try:
        body = Path(row["path"]).read_bytes()
    except OSError as error:
        raise StageError(
            f"cannot read {row['path']} of an evaluation set: {error.strerror}; every executor must see it there"
        ) from error
    if hashlib.sha256(body).hexdigest() != row["image_id"]:
        raise StageError(
            f"{row['path']} of an evaluation set was changed while it was read: run 'curate dedup' again"
        )
    return row["image_id"], body


def _keep(stage: OpenStage, name: str, table: pa.Table) -> None:
    """Write a set's descriptors, which may be given instead of its pictures from now on."""
    place = stage.path / FOLDER / name / "descriptors.parquet"
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(parents=True)
    pq.write_table(table, place, compression="zstd")
    stage.add_file(str(place.relative_to(stage.path)), file_sha256(place))


def _search(spark: SparkSession, targets: Targets, kind: Kind, threshold: float, device: Device) -> Any:
    """Return the function that finds the near pictures of a partition, with the sets brought to the executors."""
    arrays = {
        "ids": targets.ids,
        "member": targets.member,
        "codes": targets.codes,
        "details": targets.details,
    }
    shipped = {name: ship_array(spark, f"holdout-{name}", array) for name, array in arrays.items()}
    names = targets.names

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        own = Targets(names, **{name: shipped_array(place) for name, place in shipped.items()})
        load_faiss().omp_set_num_threads(1)  # the cores are Spark's to share out
        for rows in _in_pieces(batches):
            pool = pool_of(rows, kind)
            near = nearest(own, kind, pool, threshold, device=task_device(device))
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(pool.ids[near.picture].astype("U64"), pa.string()), pa.array(names_of(near, own), pa.string()),
                    pa.array(own.ids[near.target].astype("U64"), pa.string()), pa.array(near.cosine),
                    pa.array(near.agreement, from_pandas=True),
                ],
                schema=NEAR,
            )  # fmt: skip

    return search


def _in_pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield the rows of a partition, some thousands at once: the sets are gone through once for each."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= _PICTURES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def pool_of(rows: pa.Table, kind: Kind) -> Pool:
    """Return rows (image_id, codes, detail) as arrays."""
    num = rows.num_rows
    codes = np.frombuffer(b"".join(rows.column("codes").to_pylist()), np.int8)
    details = b"".join(rows.column("detail").to_pylist()) if kind.detail_bytes else b""
    return Pool(
        np.array(rows.column("image_id").to_pylist(), "S64"),
        codes.reshape(num, kind.views, kind.dimension),
        np.frombuffer(details, np.uint8).reshape(num, kind.detail_bytes),
    )
