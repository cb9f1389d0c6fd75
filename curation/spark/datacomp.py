"""The pictures of a selection in DataComp's form, for DataComp's own resharder: `curate balance --manifest FOLDER --datacomp`.

The resharder reads a tar sample by sample, looks the `uid` of its JSON up in a sorted subset, and copies the sample whole, as often
as it is there. A sample of ours is a picture with all its captions, and its uid the `pair_id` of its first one, which is its `.txt`:
the subset of a selection's pictures holds the uid of every picture with a selected caption, whichever of its captions that is.
A copied sample brings all its captions along: a picture with one that the removal list names stays out until it is sealed again.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.datacomp import write_subset
from curation.manifest import MANIFEST
from curation.removals import Removals
from curation.sealed import Sealed
from curation.spark.removals import REMOVED, split_removed
from curation.spark.stage import as_uri, read_table
from curation.stage import OpenStage, file_sha256

PICTURES = "datacomp-pictures"  # .npy; of several manifests, -1, -2, ... in the record's order: the resharder reads one folder
_STAGED = "_uids"


def picture_uids(rows: DataFrame, selected: DataFrame) -> DataFrame:
    """Return the uid of every picture with a selected pair and no removed one, ascending.

    rows: a whole manifest's pair_id, image_id and removed, null where the row stays; selected: pair_id, each once. A picture's
    uid is the least pair_id of all its captions.
    """
    marked = rows.join(selected.select("pair_id", F.lit(1).alias("_selected")), "pair_id", "left")
    pictures = marked.groupBy("image_id").agg(
        F.min("pair_id").alias("uid"), F.max("_selected").alias("_selected"), F.max(REMOVED).alias(REMOVED)
    )
    chosen = F.col("_selected").isNotNull() & F.col(REMOVED).isNull()
    return pictures.where(chosen).select("uid").orderBy("uid")


def write_pictures(
    stage: OpenStage, manifests: Sequence[Sealed], chosen: DataFrame, selection: DataFrame, removals: Removals
) -> list[str | None]:
    """Write a subset of pictures for each manifest, and return the files' names; None for shards sealed without uids.

    chosen: pair_id and _manifest, the manifest that each pair's row was taken of; selection: the table selection, as written.
    """
    taken = selection.where("selected").select("pair_id")
    if len(manifests) > 1:
        taken = chosen.join(taken, "pair_id", "left_semi")
    names: list[str | None] = []
    for number, item in enumerate(manifests):
        name = f"{PICTURES}.npy" if len(manifests) == 1 else f"{PICTURES}-{number + 1}.npy"
        if item.has_uids is False:
            names.append(None)
            continue
        sealed = read_table(selection.sparkSession, item.folder, "manifest", name=MANIFEST)
        rows = split_removed(sealed.select("pair_id", "url", "image_id", "source_image_id"), removals)
        mine = taken if len(manifests) == 1 else taken.where(F.col("_manifest") == number)
        _write(stage, picture_uids(rows, mine), name)
        names.append(name)
    return names


def _write(stage: OpenStage, uids: DataFrame, name: str) -> None:
    """Write ascending uids in constant memory: files of a sorted table are in order of their names."""
    staged = stage.path / _STAGED
    uids.write.parquet(as_uri(staged))
    files = sorted(staged.glob("*.parquet"))
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    write_subset(stage.path / name, _batches(files), rows)
    shutil.rmtree(staged)
    stage.add_file(name, file_sha256(stage.path / name))


def _batches(files: Sequence[Path]) -> Iterator[pa.StringArray]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(columns=["uid"]):
            yield batch.column("uid")
