"""Earlier crawls beside a new one: their indexes' members, and their vectors in their frozen cells. Part of `neighbours` and `dedup`."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from curation.dedup.cells import Cells, load
from curation.dedup.index import CENTROIDS, DESCRIPTORS, MEMBERS, VECTORS, Index, check_same
from curation.dedup.kinds import Kind
from curation.dedup.search import Visiting
from curation.errors import ConfigError
from curation.spark.cells import revisited
from curation.spark.stage import read_table


def frozen_cells(chain: Sequence[Index], kind: Kind, mode: str) -> Cells:
    """Return the centroids of a chain of indexes.

    Raises ConfigError where the indexes are of another kind or of different centroids, and for mode exhaustive where they have
    cells; InputError where the file holds others than index.json says.
    """
    sha256 = chain[-1].data["centroids_sha256"]
    check_same(chain, {"kind_sha256": kind.sha256, "centroids_sha256": sha256})
    cells = load(chain[-1].place(CENTROIDS), sha256)
    if mode == "exhaustive" and len(cells) > 1:
        raise ConfigError(
            f"neighbours.mode is exhaustive, and index {chain[-1].path} has {len(cells)} cells, which a chain keeps: take mode "
            "bound, which is as complete, or probe"
        )
    return cells


def without_members(described: DataFrame, chain: Sequence[Index]) -> DataFrame:
    """Return the descriptors less those of pictures, by their bytes, that an earlier crawl described."""
    members = members_of(described.sparkSession, chain)
    return (
        described if members is None else described.join(members.select("image_id"), "image_id", "left_anti")
    )


def members_of(spark: SparkSession, chain: Sequence[Index]) -> DataFrame | None:
    """Return the table `members` of all indexes of a chain; None where there is none."""
    tables = [read_table(spark, index.path, MEMBERS) for index in chain]
    return reduce(DataFrame.unionByName, tables) if tables else None


def old_descriptors(spark: SparkSession, chain: Sequence[Index]) -> DataFrame:
    """Return (image_id, codes, detail) of the indexes' pictures."""
    tables = [
        read_table(spark, index.path, DESCRIPTORS).select("image_id", "codes", "detail") for index in chain
    ]
    return reduce(DataFrame.unionByName, tables)


def old_vectors(spark: SparkSession, chain: Sequence[Index], kind: Kind, visiting: Visiting) -> DataFrame:
    """Return the indexes' vectors with what they visit now: an index of another mode or probe is placed anew."""
    tables = [read_table(spark, index.path, VECTORS) for index in chain]
    same = [index.data.get("visits") == visiting.as_note() for index in chain]
    placed = [
        table if known else revisited(table, kind, visiting)
        for table, known in zip(tables, same, strict=True)
    ]
    return reduce(DataFrame.unionByName, placed).withColumn("old", F.lit(True))
