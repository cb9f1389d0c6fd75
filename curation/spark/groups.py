"""What becomes of each vertex: by the driver, in numpy, up to dedup.driver_edges near pairs, else by Spark. The same groups.

Part of stage `dedup`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from curation.dedup.groups import RULES, Graph
from curation.dedup.neighbours import Pairs
from curation.spark import independent
from curation.spark.classes import GRAPH, PAIRS, Vertices
from curation.spark.components import components
from curation.spark.stage import as_uri, written_once

_SETTLED = "vertex long, joined long, near long, cosine double, component long"


def settle(
    vertices: Vertices, rule: str, scratch: Path, *, driver_edges: int
) -> tuple[DataFrame, dict[str, Any]]:
    """Return (vertex, joined, near, cosine, component) of every vertex, itself and 1 for a survivor, and how it was found."""
    if vertices.num_pairs <= driver_edges:
        return _by_driver(vertices, rule, scratch), {"path": "driver"}
    edges = vertices.pairs.select("a", "b").unionByName(vertices.ties)
    of, rounds = components(edges, vertices.num, scratch / "components")
    if rule == "mis":
        dropped = independent.mis(vertices.pairs, of, vertices.num, scratch)
    elif rule == "dominated":
        dropped = independent.dominated(vertices.pairs, scratch)
    else:
        dropped = independent.one_a_component(vertices.pairs, of)
    found = vertices.table.select("vertex").join(of, "vertex", "left").join(dropped, "vertex", "left")
    whole = found.select(
        "vertex",
        F.coalesce("joined", "vertex").alias("joined"),
        F.coalesce("near", "vertex").alias("near"),
        F.coalesce("cosine", F.lit(1.0)).alias("cosine"),
        F.coalesce("component", "vertex").alias("component"),
    )
    return written_once(whole, _SETTLED, scratch / "settled"), {"path": "spark", "rounds": rounds}


def _by_driver(vertices: Vertices, rule: str, scratch: Path) -> DataFrame:
    """Settle all in the driver's memory: pairs are read and the answer is written as files, past Spark's driver."""
    place, vertex = _numbers(scratch / GRAPH, "place", "vertex")
    ranks = np.empty(vertices.num, np.int64)
    ranks[place] = vertex
    first, second, cosine = _numbers(scratch / PAIRS, "place_a", "place_b", "cosine")
    ties = vertices.ties.toArrow()
    by_rank = np.argsort(ranks)
    tied = tuple(by_rank[ties.column(name).to_numpy()] for name in ("a", "b"))
    settled = RULES[rule](Graph(Pairs(first, second, cosine), ranks, ties=(tied[0], tied[1])))
    columns = [np.arange(vertices.num), *(ranks[part][by_rank] for part in (settled.joined, settled.near))]
    columns += [settled.cosine[by_rank], ranks[settled.component][by_rank]]
    names = ("vertex", "joined", "near", "cosine", "component")
    (scratch / "settled").mkdir()
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), scratch / "settled" / "0.parquet")
    return vertices.pairs.sparkSession.read.schema(_SETTLED).parquet(as_uri(scratch / "settled"))


def _numbers(place: Path, *names: str) -> list[np.ndarray]:
    """Return columns of a table of the scratch."""
    table = pads.dataset(place, format="parquet").to_table(columns=list(names))
    return [table.column(name).to_numpy() for name in names]
