"""The index that a later crawl is compared with: `RUN/dedup/index`, as `curation.dedup.index` says. Part of stage `dedup`."""

import json
import shutil
from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.dedup.groups import Rule
from curation.dedup.index import (
    CENTROIDS,
    DESCRIPTORS,
    FOLDER,
    MEMBERS,
    RECORD,
    RULES,
    VECTORS,
    VERSION,
    Index,
    settings,
)
from curation.spark.classes import KEYS
from curation.spark.stage import read_table, write_table
from curation.stage import OpenStage, file_sha256, write_atomically


def write_index(
    stage: OpenStage,
    groups: DataFrame,
    pictures: DataFrame,
    *,
    classes: DataFrame,
    held: DataFrame,
    chain: Sequence[Index],
) -> None:
    """Write the index of this crawl, `index.json` last; under a rule that no later crawl can go on from, none.

    groups: the written table. pictures: (image_id, pixels, captions, bytes). classes: (representative, image_id), the best of each.
    held: (group_id) of the groups that are held out.
    """
    section = stage.config.dedup
    if section.rule not in RULES:
        return
    (stage.path / FOLDER).mkdir()
    own = groups.where(~F.col("rule").isin(str(Rule.HOLDOUT), str(Rule.EARLIER)))
    members = (
        own.join(pictures.select("image_id", *KEYS), "image_id")
        .join(held.withColumn("held", F.lit(True)), "group_id", "left")
        .withColumn("held_out", F.coalesce("held", F.lit(False)))
        .withColumn("epoch", F.lit(len(chain)))
    )
    write_table(members, stage, "members", sort_by=["image_id"], name=f"{FOLDER}/{MEMBERS}")
    searched = classes.select("representative", "image_id")
    if section.rule == "mis":
        searched = searched.join(groups.where("survivor").select("image_id"), "image_id")
    _write_searched(stage, searched)
    _write_record(stage, chain)


def _write_searched(stage: OpenStage, searched: DataFrame) -> None:
    """Write what a later search reads, under the id of each class's best picture: (representative, image_id)."""
    spark = searched.sparkSession
    vectors = read_table(spark, stage.input("neighbours"), "vectors").withColumnRenamed(
        "image_id", "representative"
    )
    by_cell = vectors.join(searched, "representative").repartition("cell")
    written = write_table(
        by_cell, stage, "vectors", sort_by=["cell", "image_id", "view"], name=f"{FOLDER}/{VECTORS}"
    )
    described = read_table(spark, stage.input("embed"), "descriptors")
    own = described.join(written.select("image_id").distinct(), "image_id")
    write_table(own, stage, "descriptors", sort_by=["image_id"], name=f"{FOLDER}/{DESCRIPTORS}")
    place = stage.path / FOLDER / CENTROIDS
    shutil.copyfile(stage.input("neighbours") / CENTROIDS, place)
    stage.add_file(f"{FOLDER}/{CENTROIDS}", file_sha256(place))


def _write_record(stage: OpenStage, chain: Sequence[Index]) -> None:
    search, kind = (stage.inputs["neighbours"].notes[name] for name in ("search", "kind"))
    own = f"{FOLDER}/"
    data = {
        "version": VERSION, "epoch": len(chain), "earlier": [index.sha256 for index in chain],
        "kind": kind["name"], "kind_sha256": kind["sha256"], "views": kind["views"], "dimension": kind["dimension"],
        "centroids_sha256": search["centroids_sha256"], "visits": search.get("visits"), "settings": settings(stage.config.dedup),
        "tables": {name.removeprefix(own): note for name, note in stage.tables.items() if name.startswith(own)},
    }  # fmt: skip
    place = stage.path / FOLDER / RECORD
    write_atomically(place, json.dumps(data, indent=1, sort_keys=True) + "\n")
    stage.add_file(f"{FOLDER}/{RECORD}", file_sha256(place))
