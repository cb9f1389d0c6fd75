"""Cells to tasks: the search of stage `neighbours`, a unit of rows at a time (`curation.dedup.rows`)."""

from collections.abc import Iterator
from dataclasses import fields

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from curation.config_dedup import Device
from curation.dedup.faiss_package import load_faiss
from curation.dedup.kinds import Kind
from curation.dedup.layout import UNIT_COMPARISONS, Layout, Residents, cut
from curation.dedup.rows import HOME, OLD_HOME, OLD_VISITOR, PAIR, UNIT_KEY, VISITOR, Units
from curation.errors import StageError
from curation.spark.batches import map_batches
from curation.spark.devices import gpu_profile, task_device

_TASK_ROWS = 2_000_000  # rows of the search a task, about


def laid_out(vectors: DataFrame, kind: Kind, *, one_cell: bool, device: Device) -> Layout:
    """Count who lives in each cell and who visits it, and cut the cells that are too large for a task.

    vectors: the table, with `old` beside it: whether the row is an earlier index's.
    """
    counts = [F.count_if(~F.col("old")), F.count_if("old")]
    home = vectors.groupBy("cell").agg(counts[0].alias("home"), counts[1].alias("old_home"))
    visits = vectors.select(F.explode("visits").alias("cell"), "old")
    visitors = visits.groupBy("cell").agg(counts[0].alias("visitors"), counts[1].alias("old_visitors"))
    sizes = home.join(visitors, "cell", "left").fillna(0).toArrow()
    residents = Residents(*(sizes.column(field.name).to_numpy() for field in fields(Residents)))
    return cut(residents, dimension=kind.dimension, one_cell=one_cell, device=device)


def rows_of_search(vectors: DataFrame, units: Layout) -> DataFrame:
    """Return the rows of the search: each vector in the units of its home, and in those of the cells it visits."""
    spark = vectors.sparkSession
    home = vectors.select(
        "cell", F.when(F.col("old"), OLD_HOME).otherwise(HOME).alias("role"), "image_id", "code"
    )
    visitors = vectors.select(
        F.explode("visits").alias("cell"), F.when(F.col("old"), OLD_VISITOR).otherwise(VISITOR).alias("role"),
        "image_id", "code",
    )  # fmt: skip
    blocks = [(cell, *numbers) for cell, numbers in units.blocks.items()]
    heavy = F.broadcast(spark.createDataFrame(blocks, "cell int, home_blocks int, visitor_blocks int"))
    sized = [frame.join(heavy, "cell", "left").fillna(1) for frame in (home, visitors)]
    own_home, own_visitor = (_block(name) for name in ("home_blocks", "visitor_blocks"))
    at_home = sized[0].withColumn("home_block", own_home).withColumn(
        "visitor_block", F.explode(F.sequence(F.lit(0), own_home if units.triangle else F.col("visitor_blocks") - 1))
    )  # fmt: skip
    visiting = sized[1].withColumn("visitor_block", own_visitor).withColumn(
        "home_block", F.explode(F.sequence(own_visitor if units.triangle else F.lit(0), F.col("home_blocks") - 1))
    )  # fmt: skip
    return at_home.unionByName(visiting).drop("home_blocks", "visitor_blocks")


def _block(number: str) -> Column:
    """Return a row's block of so many: by its picture, so that in a triangle a picture has one."""
    return F.pmod(F.xxhash64("image_id"), F.col(number)).cast("int")


def too_many(most: float, image_id: str) -> str:
    """Return what to say of a search that finds more pairs than `most`, of which one picture has many."""
    return (
        f"the search finds more than the {most:.2g} near pairs that neighbours.max_pairs allows, such as those of picture {image_id}: "
        "pictures that are nearly one, n of them, have n^2 / 2; raise neighbours.floor, or max_pairs where there is room for "
        "them: each pair takes the descriptor of a picture through a shuffle"
    )


def candidates(
    vectors: DataFrame,
    units: Layout,
    kind: Kind,
    *,
    floor: float,
    device: Device,
    least_tasks: int,
    most: float,
) -> DataFrame:
    """Return pairs of pictures of which some vectors met in a unit and are near, smaller id first, each once.

    most: pairs; a task that surely finds more raises StageError, whoever counts the result must ask again. In a task two pictures
    may meet as often as any query view of one meets any view of the other, in either direction.
    """
    spark = vectors.sparkSession
    by_work = int(units.comparisons / UNIT_COMPARISONS[device])
    tasks = max(least_tasks, by_work, -(-units.rows // _TASK_ROWS))
    together = (
        rows_of_search(vectors, units).repartition(tasks, *UNIT_KEY).sortWithinPartitions(*UNIT_KEY, "role")
    )

    meetings = 2 * kind.query_views * kind.views

    def search(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        load_faiss().omp_set_num_threads(1)  # the cores are Spark's to share out
        found = 0
        for pairs in Units(kind.dimension, floor, task_device(device)).search(batches):
            found += pairs.num_rows
            if found > most * meetings:
                raise StageError(too_many(most, pairs.column("image_id_a")[0].as_py()))
            yield pairs

    found = map_batches(together, search, PAIR, profile=gpu_profile(spark, device))
    return found.distinct()
