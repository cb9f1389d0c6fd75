"""Stage `neighbours`: which pictures are near which, searched in cells on a GPU or without one, with a measured recall.

Reads `descriptors` (embed). Writes `identical`, the pictures whose very descriptor another one has, which stands for them in all
that follows; `vectors`, what is searched, by cell, with the centroids beside it (centroids.npy); and `edges`, every pair at
neighbours.floor or above that the search found, with its cosine over all views and what a second look found. Thresholds apply
later, in `dedup`. Run: `curate neighbours`, or `spark-submit jobs/neighbours.py`.
"""

import shutil
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.config import RunConfig
from curation.config_dedup import Device, NeighboursSection
from curation.dedup import cost
from curation.dedup.cells import Cells, fitted, number_of_cells, one_cell
from curation.dedup.faiss_package import faiss_version, gpus
from curation.dedup.index import Index, externals, open_chain
from curation.dedup.kinds import Kind, settled
from curation.dedup.layout import Layout
from curation.dedup.rows import PAIR
from curation.dedup.search import Visiting
from curation.errors import ConfigError, Reason, StageError
from curation.spark.against import frozen_cells, old_descriptors, old_vectors, without_members
from curation.spark.batches import spark_schema
from curation.spark.cells import count_vectors, placed, sample
from curation.spark.devices import gpu_profile, is_local
from curation.spark.edges import valued
from curation.spark.recall import audited
from curation.spark.session import get_session
from curation.spark.stage import read_table, write_table, written_once
from curation.spark.units import candidates, laid_out, too_many
from curation.stage import Ledger, OpenStage, Record, StageSpec, file_sha256, run_stage

SPEC = StageSpec(name="neighbours", section="neighbours", version=1, reads=("embed",), run_keys=("seed",))
CENTROIDS = "centroids.npy"
_WORTH_SAYING = 5.0  # seconds that the second look takes
MET, AUDITED = "_met", "_audited"  # pairs without their cosines, and the audit's, while the stage works
_LOOKS_A_TASK = 5_000  # second looks, some seconds of a core: so that progress is seen
_TASKS_A_CORE = 64  # at most
GUARANTEES = {
    "probe": "pairs of which a view is at home in one of the cells nearest to a view of the other; how many that are is measured",
    "bound": "every pair at the floor or above, by proof",
    "exhaustive": "every pair at the floor or above: all are compared with all",
}


@dataclass(frozen=True)
class Search:
    """What the steps of the stage share."""

    spark: SparkSession
    stage: OpenStage
    kind: Kind
    device: Device
    """cpu or cuda."""
    pictures: DataFrame
    """(image_id, codes, detail), of identical ones one, none of all-zero codes; no picture of an earlier crawl."""
    chain: tuple[Index, ...]
    """Indexes of earlier crawls, oldest first."""

    @property
    def section(self) -> NeighboursSection:
        """The stage's settings."""
        return self.stage.config.neighbours

    def all_pictures(self) -> DataFrame:
        """Return (image_id, codes, detail) of what is searched and of what it is searched against."""
        if not self.chain:
            return self.pictures
        return self.pictures.unionByName(old_descriptors(self.spark, self.chain))

    def visiting(self, cells: Cells) -> Visiting:
        """Return how vectors choose cells by the settings."""
        return Visiting(cells, self.section.mode, self.section.probe, self.section.settled_floor)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.stage.config.run.seed


def run(config: RunConfig) -> Record:
    """Run the stage.

    Raises ConfigError for more comparisons than neighbours.max_comparisons, a device that is not there or two faiss packages,
    StageError for descriptors of another kind and for more near pairs than neighbours.max_pairs, MissingExtraError without faiss.
    """
    faiss_version()
    chain = open_chain(config.neighbours.against)
    return run_stage(settled(config), SPEC, partial(_neighbours, chain=chain), externals=externals(chain))


def _neighbours(stage: OpenStage, *, chain: tuple[Index, ...]) -> None:
    started = time.monotonic()
    spark = get_session(stage.config.spark)
    kind = Kind.of_note(stage.inputs["embed"].notes["kind"])
    described = read_table(spark, stage.input("embed"), "descriptors")
    pictures = _checked(described, kind)
    device = chosen_device(spark, stage.config.neighbours.device)
    new = without_members(described, chain)
    num_new = new.count() if chain else pictures
    search = Search(spark, stage, kind, device, one_of_identical(new, stage, kind), chain)
    merged = int(stage.tables["identical"]["rows"])
    dropped: dict[str, int] = {Reason.EARLIER_PICTURE: pictures - num_new}
    stage.add(
        Ledger(unit="images", rows_in=pictures, rows_out=num_new - merged, dropped=dropped, merged=merged)
    )
    cells, vectors, placing = _placed(search)
    edges, searching = _searched(search, vectors, cells)
    took = {"seconds": round(time.monotonic() - started, 3)}
    stage.notes |= {
        "kind": kind.as_note(),
        "search": placing | searching | took,
        "audit": _audit(search, edges),
    }


def chosen_device(spark: SparkSession, device: Device) -> Device:
    """Return cpu or cuda. Raises ConfigError where this machine works alone, without the GPU that is asked for."""
    local = is_local(spark)
    if device == "cuda" and local and not gpus():
        raise ConfigError(
            f"neighbours.device is cuda, and {faiss_version()} sees no GPU here: install 'bicurate[gpu]' on a machine with "
            "one, or set it to cpu, which finds the same pairs"
        )
    if device != "auto":
        return device
    there = gpus() > 0 if local else gpu_profile(spark, device) is not None
    return "cuda" if there else "cpu"


def _checked(described: DataFrame, kind: Kind) -> int:
    """Return the number of pictures. Raises StageError for descriptors of another kind or size."""
    sizes = {"codes": kind.views * kind.dimension, "detail": kind.detail_bytes}
    wrong = [F.min(F.when(F.col("kind_sha256") != kind.sha256, F.col("kind_sha256"))).alias("kind_sha256")]
    for name, size in sizes.items():
        length = F.coalesce(F.octet_length(name), F.lit(0))
        wrong.append(F.min(F.when(length != size, length)).alias(name))
    found = described.agg(F.count(F.lit(1)).alias("rows"), *wrong).first()
    assert found is not None
    if found["kind_sha256"] is not None:
        raise StageError(
            f"descriptors of kind {found['kind_sha256']} lie among those of {kind}: kinds never mix"
        )
    for name, size in sizes.items():
        if found[name] is not None:
            raise StageError(
                f"{name} of {found[name]} bytes, where kind {kind} has {size}: run 'curate embed' again"
            )
    return int(found["rows"])


def one_of_identical(described: DataFrame, stage: OpenStage, kind: Kind) -> DataFrame:
    """Write `identical`; return the pictures to search: of equal codes and details that of the smallest id, of zero codes none."""
    # Both are of fixed sizes: the whole is equal only if both parts are.
    whole = F.concat("codes", F.coalesce("detail", F.lit(b"")))
    nonzero = described.where(F.col("codes") != F.lit(bytes(kind.views * kind.dimension)))
    keyed = nonzero.select("image_id", F.sha2(whole, 256).alias("descriptor"))
    first = F.min("image_id").alias("representative")
    classes = keyed.groupBy("descriptor").agg(first, F.count(F.lit(1)).alias("members")).where("members > 1")
    others = keyed.join(classes, "descriptor").where("image_id != representative")
    identical = write_table(others, stage, "identical", sort_by=["image_id"])
    return nonzero.select("image_id", "codes", "detail").join(identical, "image_id", "left_anti")


def _placed(search: Search) -> tuple[Cells, DataFrame, dict[str, Any]]:
    """Choose the cells, refuse what is too dear, write `vectors`; return both, and what is to be noted."""
    section, stage = search.section, search.stage
    vectors, queries = count_vectors(search.pictures, search.kind)
    cells, expected = _fitted(search, vectors, queries)
    cost.refuse_too_many(expected, section)
    cells.save(stage.path / CENTROIDS)
    stage.add_file(CENTROIDS, file_sha256(stage.path / CENTROIDS))
    by_cell = placed(search.pictures, search.kind, search.visiting(cells)).repartition("cell")
    written = write_table(by_cell, stage, "vectors", sort_by=["cell", "image_id", "view"])
    return cells, written, {
        "mode": section.mode, "guarantee": GUARANTEES[section.mode], "floor": section.floor,
        "agreement_bound": search.kind.agreement_bound, "cells": len(cells), "centroids_sha256": cells.sha256,
        "probe": min(section.probe, len(cells)) if section.mode == "probe" else None,
        "visits": search.visiting(cells).as_note(), "vectors": vectors, "queries": queries, "against": len(search.chain),
    }  # fmt: skip


def _fitted(search: Search, vectors: int, queries: int) -> tuple[Cells, float]:
    """Return the cells that a sample of the vectors gives, or an index, and about how many comparisons they lead to."""
    section, kind = search.section, search.kind
    if search.chain:
        return frozen_cells(search.chain, kind, section.mode), 0.0
    wanted = number_of_cells(vectors, section.rows_per_cell, vectors)
    if section.mode == "exhaustive" or wanted == 1:
        return one_cell(kind.dimension), vectors * queries / 2
    codes, order = sample(
        search.pictures, kind, min(1.0, section.sample_per_cell * wanted / vectors), search.seed
    )
    cells = fitted(codes, order, min(wanted, max(1, len(codes))))
    visits = search.visiting(cells).visits(codes)
    return cells, cost.expected_comparisons(visits, len(cells), vectors, queries)


def _announce(search: Search, comparisons: float) -> None:
    """Say once, where nobody asked for it so, how long the search takes; refuse one that is over the bound."""
    section = search.section
    cost.refuse_too_many(comparisons, section)
    workers = search.spark.sparkContext.defaultParallelism
    duration = cost.as_text(cost.seconds(comparisons, search.kind.dimension, search.device, workers))
    ahead = f"about {comparisons:.2g} comparisons, {duration} on {workers} x {search.device}"
    if search.device in cost.ASSUMED:
        ahead += " if it is as fast as assumed, which was not measured"
    if section.mode == "bound":
        print(f"neighbours: mode bound at cosine {section.floor}: {ahead}", file=sys.stderr, flush=True)
    elif search.device == "cpu" and section.device == "auto":
        print(f"warning: neighbours: no GPU, so the CPU searches: {ahead}", file=sys.stderr, flush=True)


def _searched(search: Search, vectors: DataFrame, cells: Cells) -> tuple[DataFrame, dict[str, Any]]:
    """Write `edges`; return them, and what is to be noted."""
    rows = vectors.withColumn("old", F.lit(False))
    if search.chain:
        rows = rows.unionByName(old_vectors(search.spark, search.chain, search.kind, search.visiting(cells)))
    units = laid_out(rows, search.kind, one_cell=len(cells) == 1, device=search.device)
    _announce(search, units.comparisons)
    met, found = _met(search, rows, units)
    edges = valued(met, search.all_pictures(), search.kind, tasks=_announce_looks(search, found))
    edges = write_table(edges, search.stage, "edges", sort_by=["image_id_a", "image_id_b"])
    shutil.rmtree(search.stage.path / MET)
    return edges, {
        "comparisons": units.comparisons, "rows": units.rows, "cut_cells": len(units.blocks), "device": search.device,
        "library": faiss_version(),
    }  # fmt: skip


def _met(search: Search, rows: DataFrame, units: Layout) -> tuple[DataFrame, int]:
    """Return the pairs that met and are near, written once, and how many. Raises StageError for more than the stage may have."""
    most = search.section.max_pairs
    least = int(search.spark.conf.get("spark.sql.shuffle.partitions") or 1)
    met = candidates(
        rows, units, search.kind, floor=search.section.settled_floor, device=search.device, least_tasks=least, most=most
    )  # fmt: skip
    written = written_once(met, spark_schema(PAIR), search.stage.path / MET)
    found = written.count()
    if found > most:
        first = written.groupBy("image_id_a").count().orderBy(F.desc("count"), "image_id_a").first()
        assert first is not None
        raise StageError(too_many(most, first["image_id_a"]))
    return written, found


def _announce_looks(search: Search, found: int) -> int | None:
    """Say how long the second look takes where a person waits for it; return its tasks, None for a kind that has none."""
    if not search.kind.detail_bytes:
        return None
    workers = search.spark.sparkContext.defaultParallelism
    looking = found / cost.LOOKS_PER_SECOND / workers
    if looking >= _WORTH_SAYING:
        ahead = f"{found:,} near pairs, a second look at each: {cost.as_text(looking)} on {workers} x cpu"
        print(f"neighbours: {ahead}", file=sys.stderr, flush=True)
    return max(1, min(-(-found // _LOOKS_A_TASK), _TASKS_A_CORE * workers))


def _audit(search: Search, edges: DataFrame) -> dict[str, Any] | None:
    """Return the measured recall. Raises StageError where a search that is complete missed a pair."""
    section = search.section
    if not section.audit:
        return None
    scratch = search.stage.path / AUDITED
    note = audited(
        search.pictures, search.all_pictures(), edges, search.kind, scratch,
        pictures=section.audit, seed=search.seed, floor=section.settled_floor,
    )  # fmt: skip
    shutil.rmtree(scratch, ignore_errors=True)
    missed = note["bands"][0]["pairs"] - note["bands"][0]["found"]
    if missed and section.mode != "probe":
        raise StageError(
            f"mode {section.mode} is complete, and {missed} near pairs of the audit's sample are not in edges"
        )
    return note
