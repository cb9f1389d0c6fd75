"""Step "manifest" on Spark: seals every survivor, selected or not. `curate manifest`.

Tables in: rows (dedup), selection (balance-survivors), outcomes (download) with the raw shards. Out: the manifest's folder.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.config import RunConfig
from curation.errors import Reason
from curation.manifest import MANIFEST, SHARDS, num_files, shard_format, write_manifest_file
from curation.removal_files import load_removals
from curation.removals import Removals
from curation.schemas import TABLES, stable_columns
from curation.sealed import DRAWN, drawn_with
from curation.shards import RawReader, Sample, write_shard
from curation.spark import columns
from curation.spark.batches import plain, spark_schema
from curation.spark.removals import REMOVED, split_removed
from curation.spark.session import get_session
from curation.spark.stage import count_by, measure, read_table, write_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, run_stage, write_atomically

SPEC = StageSpec(
    name="manifest", section="manifest", version=2, reads=("download", "dedup", "balance-survivors"),
    run_keys=("languages",),
)  # fmt: skip
_PLACES = pa.schema([
    pa.field("image_id", pa.string()), pa.field("shard", pa.string()), pa.field("offset", pa.int64()),
    pa.field("size", pa.int64()), pa.field("sha256", pa.string()), pa.field("split", pa.string()),
])  # fmt: skip
_FILES = pa.schema(
    [pa.field("file", pa.string()), pa.field("rows", pa.int64()), pa.field("sha256", pa.string())]
)


def run(config: RunConfig) -> Record:
    """Seal the survivors, but for what the removal list names; another list is another manifest."""
    removals = load_removals(config.run.removals)
    return run_stage(config, SPEC, lambda stage: _seal(stage, removals), externals=removals.external())


def captions_of(rows: DataFrame) -> DataFrame:
    """Return a row a pair: of a mixed pair the language it is surer of (then the first by name), the other beside it."""
    order = F.sort_array(F.collect_list(F.struct((-F.col("lang_score")).alias("order"), "lang", "entry_ids")))
    kept = [
        name for name in rows.columns if name not in {"pair_id", "lang", "lang_score", "mixed", "entry_ids"}
    ]
    same = [F.min(name).alias(name) for name in kept]
    grouped = rows.groupBy("pair_id").agg(order.alias("found"), *same)
    first, second = F.col("found")[0], F.get(F.col("found"), F.lit(1))
    return grouped.select(
        "pair_id", *kept, first["lang"].alias("lang"), first["entry_ids"].alias("entry_ids"),
        second["lang"].alias("mixed_lang"), second["entry_ids"].alias("mixed_entry_ids"),
    )  # fmt: skip


def _seal(stage: OpenStage, removals: Removals) -> None:
    spark = get_session(stage.config.spark)
    stage.notes[DRAWN] = drawn_with(stage.config)
    survivors = captions_of(read_table(spark, stage.input("dedup"), "rows"))
    captions, removed = _without_removed(stage, survivors, removals) if removals else (survivors, _Removed())
    selection = read_table(spark, stage.input("balance-survivors"), "selection")
    outcomes = read_table(spark, stage.input("download"), "outcomes").where("status = 'ok'")
    for folder in (MANIFEST, SHARDS):
        (stage.path / folder).mkdir()
    images = _images(captions, outcomes)
    places = _write_shards(stage, images).cache()
    _note_shards(stage, places, removed.images)
    joined = captions.join(selection, "pair_id").join(places.drop("sha256", "split"), "image_id")
    sizes = images.select("image_id", "width", "height")
    manifest = joined.join(sizes, "image_id").withColumnRenamed("clean_text", "caption")
    _write_manifest(stage, manifest, captions.count(), removed.captions)
    places.unpersist()
    for left in (*(stage.path / MANIFEST).glob(".*.tmp"), *(stage.path / SHARDS).glob(".*.tmp")):
        left.unlink(missing_ok=True)  # of an attempt that was killed


class _Removed(NamedTuple):
    captions: int = 0
    images: int = 0


def _without_removed(
    stage: OpenStage, survivors: DataFrame, removals: Removals
) -> tuple[DataFrame, _Removed]:
    """Return the survivors that are not removed, and how many are; write the others' ids as table `removed`, and note them."""
    marked = split_removed(survivors, removals).where(F.col(REMOVED).isNotNull())
    named = marked.withColumnRenamed(REMOVED, "rule")
    removed = write_table(named, stage, "removed", sort_by=["pair_id"])
    kept = survivors.join(removed.select("pair_id"), "pair_id", "left_anti")
    left = kept.select("image_id").distinct()
    near = removed.where("image_id != source_image_id").select("image_id").distinct().join(left, "image_id")
    rules = count_by(removed, "rule")
    found = _Removed(sum(rules.values()), survivors.select("image_id").distinct().count() - left.count())
    stage.notes["removals"] = removals.summary() | {
        "captions_by_rule": rules,
        # A hash names bytes: these pictures are near-duplicates of a removed one, and were not named themselves.
        "near_duplicates_kept": near.count(),
    }
    return kept, found


def _images(captions: DataFrame, outcomes: DataFrame) -> DataFrame:
    """Return a row a surviving picture: its bytes' place, its size, its split and all its captions."""
    caption = F.struct("pair_id", "lang", F.col("clean_text").alias("text"))
    described = captions.groupBy("image_id").agg(
        F.min("split").alias("split"), F.array_sort(F.collect_list(caption)).alias("captions")
    )
    first = F.struct("raw_shard", "raw_offset", "bytes", "mime", "width", "height")
    stored = outcomes.groupBy("image_id").agg(F.min(first).alias("stored")).select("image_id", "stored.*")
    return described.join(stored, "image_id")


def _write_shards(stage: OpenStage, images: DataFrame) -> DataFrame:
    """Write the tars, a task a shard; return (image_id, shard, offset, size, sha256 of the shard, split)."""
    raw, target = stage.input("download") / "raw", stage.path
    shards = None
    for row in images.groupBy("split").count().orderBy("split").collect():
        total = num_files(row["count"], stage.config.manifest.images_per_shard)
        name = F.format_string(shard_format(row["split"]), columns.bucket(F.col("image_id"), total))
        part = images.where(F.col("split") == row["split"]).withColumn("shard", name)
        shards = part if shards is None else shards.unionByName(part)
    if shards is None:
        shards = images.withColumn("shard", F.lit(""))

    def seal(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        name = rows[0]["shard"]
        read = RawReader(raw)
        places, sha256 = write_shard(target / name, [_sample(row) for row in rows], read)
        read.close()
        split = rows[0]["split"]
        sealed = [
            {
                "image_id": p.image_id,
                "shard": name,
                "offset": p.offset,
                "size": p.size,
                "sha256": sha256,
                "split": split,
            }
            for p in places
        ]
        return pa.Table.from_pylist(sealed, schema=_PLACES)

    return shards.groupBy("shard").applyInArrow(seal, spark_schema(_PLACES))


def _sample(row: dict[str, object]) -> Sample:
    captions = row["captions"]
    assert isinstance(captions, list)
    return Sample(
        image_id=str(row["image_id"]), mime=str(row["mime"]), raw_shard=str(row["raw_shard"]),
        raw_offset=int(str(row["raw_offset"])), size=int(str(row["bytes"])), captions=tuple(captions),
        width=int(str(row["width"])), height=int(str(row["height"])),
    )  # fmt: skip


def _note_shards(stage: OpenStage, places: DataFrame, removed: int) -> None:
    """Write `sizes.json`, as open_clip reads it, and note every shard's hash."""
    found = places.groupBy("shard", "sha256", "split").count().orderBy("shard").collect()
    sizes = {Path(row["shard"]).name: row["count"] for row in found}
    write_atomically(stage.path / SHARDS / "sizes.json", json.dumps(sizes, indent=1) + "\n")
    for row in found:
        stage.add_file(row["shard"], row["sha256"])
    total = sum(sizes.values())
    stage.notes |= {
        "shards": len(sizes),
        "images": {
            split: sum(row["count"] for row in found if row["split"] == split)
            for split in ("train", "heldout")
        },
    }
    dropped = {str(Reason.REMOVED): removed}
    stage.add(Ledger(unit="images", rows_in=total + removed, rows_out=total, dropped=dropped))


def _write_manifest(stage: OpenStage, manifest: DataFrame, rows_in: int, removed: int) -> None:
    total = num_files(rows_in, stage.config.manifest.rows_per_file)
    folder = stage.path / MANIFEST
    names = [field.name for field in TABLES["manifest"]]
    placed = manifest.select(*names, columns.bucket(F.col("pair_id"), total).alias("file"))
    schema = plain(TABLES["manifest"])

    def write(table: pa.Table) -> pa.Table:
        index = table["file"][0].as_py()
        sha256 = write_manifest_file(folder, index, table.select(schema.names))
        row = {"file": f"{MANIFEST}/{index:05d}.parquet", "rows": table.num_rows, "sha256": sha256}
        return pa.Table.from_pylist([row], schema=_FILES)

    files = placed.groupBy("file").applyInArrow(write, spark_schema(_FILES)).collect()
    for row in sorted(files, key=lambda row: row["file"]):
        stage.add_file(row["file"], row["sha256"])
    if not files:
        write_manifest_file(folder, 0, pa.Table.from_pylist([], schema=schema))
    written = read_table(manifest.sparkSession, stage.path, "manifest", name=MANIFEST)
    rows, digest = measure(written, stable_columns("manifest"))
    stage.add_table("manifest", rows=rows, digest=digest)
    dropped = {str(Reason.REMOVED): removed}
    stage.add(Ledger(unit="captions", rows_in=rows_in + removed, rows_out=rows, dropped=dropped))
    by_lang = written.groupBy("split", "lang", "selected").count().collect()
    stage.notes["captions"] = {
        f"{r['split']}/{r['lang']}/{'selected' if r['selected'] else 'not_selected'}": r["count"]
        for r in sorted(by_lang, key=lambda r: (r["split"], r["lang"], not r["selected"]))
    }
