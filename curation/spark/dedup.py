"""Stage `dedup`: near-duplicates to one picture with all their captions.

Reads `descriptors` (embed), `outcomes` (download), `wanted` (balance) and `matches` (match). Writes `edges`, the near pairs at the
threshold or above, among pictures of different codes; `groups`, a row a described picture; and `rows`, the captions of the
survivors. Run: `curate dedup`, or `spark-submit jobs/dedup.py`.
"""

import atexit
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession

from curation.config import RunConfig
from curation.dedup.groups import Groups, group, rank, representatives
from curation.dedup.neighbours import Pairs, faiss_version, load_faiss, near_pairs_of_tile, tiles
from curation.errors import ConfigError, StageError
from curation.schemas import TABLES
from curation.spark.batches import map_batches, plain, spark_schema
from curation.spark.captions import write_rows
from curation.spark.session import get_session
from curation.spark.stage import write_table
from curation.stage import Ledger, OpenStage, Record, StageSpec, run_stage

SPEC = StageSpec(name="dedup", section="dedup", version=2, reads=("match", "balance", "download", "embed"))
_TILE = pa.schema([pa.field(name, pa.int64()) for name in ("row", "row_stop", "column", "column_stop")])
TILE_SIDE = 4_096  # pictures a side of a task's tile
_BATCH = 65_536  # edges an Arrow batch


def run(config: RunConfig) -> Record:
    """Run the stage.

    Raises ConfigError for more vectors than dedup.max_vectors or two faiss packages, MissingExtraError without faiss.
    """
    faiss_version()
    return run_stage(config, SPEC, _dedup)


def _dedup(stage: OpenStage) -> None:
    spark = get_session(stage.config.spark)
    _refuse_too_many(stage)
    pictures = read_descriptors(stage.input("embed") / "descriptors", stage.inputs["embed"].notes["kind"])
    codes = pictures.codes_NVD
    ranks = rank(pictures.width, pictures.height)
    same = representatives(codes, ranks)
    pairs = _search(spark, stage, pictures, np.flatnonzero(same == np.arange(len(same))))
    groups = group(ranks, same, pairs)
    written = write_table(_as_frame(spark, pictures, groups), stage, "groups", sort_by=["image_id"])
    survivors = int((groups.joined == np.arange(len(codes))).sum())
    stage.add(Ledger(unit="images", rows_in=len(codes), rows_out=survivors, merged=len(codes) - survivors))
    stage.notes["groups"] = _sizes(groups)
    write_rows(spark, stage, written)


def _refuse_too_many(stage: OpenStage) -> None:
    """Raise ConfigError before anything is read, where the exhaustive search would be over its bound."""
    embedded = stage.inputs["embed"]
    pictures = int(embedded.data["tables"]["descriptors"]["rows"])
    vectors, allowed = pictures * int(embedded.notes["kind"]["views"]), stage.config.dedup.max_vectors
    if vectors > allowed:
        raise ConfigError(
            f"{pictures} pictures have {vectors} vectors; the search compares all with all and dedup.max_vectors is "
            f"{allowed}: raise it if {pictures**2 / 2:.2g} comparisons of pictures are affordable, or take fewer pictures"
        )


class Pictures:
    """The described pictures, sorted by image_id: a position stands for an id."""

    def __init__(self, table: pa.Table, kind: dict[str, Any]) -> None:
        table = table.sort_by("image_id").combine_chunks()
        others = sorted(set(table.column("kind_sha256").unique().to_pylist()) - {kind["sha256"]})
        if others:
            raise StageError(
                f"descriptors of kind {others[0]} lie among those of {kind['sha256']}: kinds never mix"
            )
        self.ids = table.column("image_id")
        self.width, self.height = (table.column(name).to_numpy() for name in ("width", "height"))
        self.query_views = int(kind["query_views"])
        shape = (table.num_rows, int(kind["views"]), int(kind["dimension"]))
        self.codes_NVD = _stacked(table.column("codes"), shape)
        """int8 (N, V, D)."""


def read_descriptors(path: Path, kind: dict[str, Any]) -> Pictures:
    """Read the table `descriptors`. kind: the note of that name in embed's record. Raises StageError for mixed kinds."""
    names = ["image_id", "width", "height", "codes", "kind_sha256"]
    schema = plain(pa.schema([TABLES["descriptors"].field(name) for name in names]))
    return Pictures(pads.dataset(path, schema=schema, format="parquet").to_table(), kind)


def _stacked(codes: pa.ChunkedArray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the codes as int8 (N, V, D). Raises StageError where a picture has another number of them."""
    lengths = pc.unique(pc.binary_length(codes)).to_pylist()
    if lengths not in ([], [shape[1] * shape[2]]):
        raise StageError(f"codes of {lengths} bytes, where the kind has {shape[1]} views of {shape[2]}")
    whole = b"".join(codes.to_pylist())
    return np.frombuffer(whole, np.int8).reshape(shape)


def _search(spark: SparkSession, stage: OpenStage, pictures: Pictures, chosen: np.ndarray) -> Pairs:
    """Find the near pairs of the chosen pictures on the executors, write them as `edges`, and return them by position."""
    started = time.monotonic()
    ids = np.array(pictures.ids.take(pa.array(chosen)).to_pylist(), dtype="S64")
    codes_name = _ship(spark, "codes", pictures.codes_NVD[chosen])
    ids_name = _ship(spark, "ids", ids)
    todo = tiles(len(chosen), TILE_SIDE)
    threshold, query_views = stage.config.dedup.threshold, pictures.query_views

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        codes, names = (np.load(SparkFiles.get(name), mmap_mode="r") for name in (codes_name, ids_name))
        load_faiss().omp_set_num_threads(1)  # the cores are Spark's to share out
        for batch in batches:
            for tile in batch.to_pylist():
                found = near_pairs_of_tile(
                    codes, tuple(tile[name] for name in _TILE.names), threshold, query_views=query_views
                )
                yield from _edges(found, names)

    rows = [dict(zip(_TILE.names, tile, strict=True)) for tile in todo]
    frame = spark.createDataFrame(pa.Table.from_pylist(rows, schema=_TILE))
    spread = frame.repartition(max(1, len(todo)), "row", "column")
    write_table(map_batches(spread, search, "edges"), stage, "edges", sort_by=["image_id_a", "image_id_b"])
    stage.notes["search"] = {
        "mode": "exhaustive", "guarantee": "every pair at the threshold or above", "device": "cpu",
        "library": faiss_version(), "vectors": len(chosen) * pictures.codes_NVD.shape[1], "tiles": len(todo),
        "threshold": threshold, "seconds": round(time.monotonic() - started, 3),
    }  # fmt: skip
    edges, allowed = int(stage.tables["edges"]["rows"]), stage.config.dedup.max_edges
    if edges > allowed:
        raise ConfigError(
            f"{edges} pairs of pictures are near, dedup.max_edges is {allowed}: a family of many near-equal pictures has "
            f"as many pairs as its size squared; raise dedup.threshold, or max_edges at about 100 bytes of memory a pair"
        )
    return _read_edges(stage.path / "edges", pictures.ids)


def _ship(spark: SparkSession, what: str, array: np.ndarray) -> str:
    """Bring an array to the executors as a file named by its sha256, which they map; return the name.

    Spark serves the file for as long as it lives, to executors that come later too: it goes when the process ends.
    """
    sha256 = hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()
    folder = Path(tempfile.mkdtemp(prefix="bicurate-search-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = folder / f"{what}-{sha256}.npy"
    np.save(place, array)
    spark.addArtifact(str(place), file=True)
    return place.name


def _edges(pairs: Pairs, ids: np.ndarray) -> Iterator[pa.RecordBatch]:
    schema = plain(TABLES["edges"])
    for start in range(0, len(pairs), _BATCH):
        part = slice(start, start + _BATCH)
        columns = [
            pa.array(ids[pairs.first[part]].astype("U64"), pa.string()),
            pa.array(ids[pairs.second[part]].astype("U64"), pa.string()),
            pa.array(pairs.cosine[part]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _read_edges(path: Path, ids: pa.ChunkedArray) -> Pairs:
    """Read `edges` back as positions among the sorted ids."""
    edges = pads.dataset(path, schema=plain(TABLES["edges"]), format="parquet").to_table()
    first, second = (
        pc.index_in(edges.column(name), value_set=ids.combine_chunks()).to_numpy().astype(np.int64)
        for name in ("image_id_a", "image_id_b")
    )
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order], edges.column("cosine").to_numpy()[order])


def _as_frame(spark: SparkSession, pictures: Pictures, groups: Groups) -> DataFrame:
    """Return the table `groups`."""
    own = np.arange(len(groups.joined))
    columns = [
        pictures.ids,
        pictures.ids.take(pa.array(groups.component)),
        pa.array(groups.joined == own),
        pictures.ids.take(pa.array(groups.joined)),
        pa.array(groups.cosine),
        pa.array([str(rule) for rule in groups.rule], pa.string()),
    ]
    table = pa.table(columns, schema=plain(TABLES["groups"]))
    return spark.createDataFrame(table, schema=spark_schema("groups"))


def _sizes(groups: Groups) -> dict[str, Any]:
    """Return how many survivors have duplicates, the largest of these families, and pictures by rule."""
    sizes = np.bincount(groups.joined, minlength=1)
    rules, counts = np.unique(groups.rule.astype(str), return_counts=True)
    return {
        "with_duplicates": int((sizes > 1).sum()),
        "largest": np.sort(sizes)[::-1][:10].tolist(),
        "rules": dict(zip(rules.tolist(), counts.tolist(), strict=True)),
    }
