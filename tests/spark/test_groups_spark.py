"""Groups on Spark are those of `curation.dedup.groups` and scipy, on random graphs and long chains, however they are cut up."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.dedup.groups import RULES, Graph, rank
from curation.dedup.neighbours import Pairs
from curation.ids import coins
from curation.spark import independent
from curation.spark.components import ROOM, components, contracted, with_open
from curation.spark.independent import struck
from curation.spark.vertices import numbered

CHAIN = 100_000


def drawn(num: int, kind: str) -> np.ndarray:
    return coins((str(n) for n in range(num)), 5, kind)


def random_graph(num: int, edges: int) -> Graph:
    """Vertices by place, ranks by coin; edges between places that lie near one another, so that components are of all sizes."""
    first = (drawn(edges, "first") ** 2 * num).astype(np.int64)
    second = (first + 1 + drawn(edges, "second") ** 4 * 40).astype(np.int64) % num
    ends = np.unique(np.sort(np.stack([first, second]), axis=0), axis=1)
    ends = ends[:, ends[0] != ends[1]]
    cosine = 0.9 + np.floor(drawn(ends.shape[1], "cosine") * 5) / 50
    return Graph(Pairs(ends[0], ends[1], cosine), rank((drawn(num, "key") * num / 3).astype(np.int64)))


def chain(num: int, *, ranks: str) -> Graph:
    order = {
        "along": np.arange(num), "against": np.arange(num)[::-1], "by coin": np.argsort(np.argsort(drawn(num, "rank"))),
    }  # fmt: skip
    first = np.arange(num - 1)
    return Graph(Pairs(first, first + 1, np.full(num - 1, 0.96)), order[ranks])


def pairs_of(spark: SparkSession, graph: Graph) -> DataFrame:
    """Near pairs as the stage has them, by rank."""
    ends = np.stack([graph.pairs.first, graph.pairs.second])
    better = np.argmin(graph.ranks[ends], axis=0)[None]
    places = np.take_along_axis(ends, better, 0)[0], np.take_along_axis(ends, 1 - better, 0)[0]
    a, b = (graph.ranks[place] for place in places)
    table = pa.table(
        {"a": a, "b": b, "cosine": graph.pairs.cosine, "place_a": places[0], "place_b": places[1]}
    )
    return spark.createDataFrame(table, "a long, b long, cosine double, place_a long, place_b long")


def by_vertex(frame: DataFrame) -> pa.Table:
    return frame.toArrow().sort_by("vertex")


def check(
    spark: SparkSession, graph: Graph, rule: str, scratch: Path, *, room: int, few: int, parts: int
) -> None:
    """Compare all that Spark says of a graph with the rule in numpy; in ranks."""
    wanted, by_rank = RULES[rule](graph), np.argsort(graph.ranks)
    pairs = pairs_of(spark, graph).repartition(parts)
    of, _ = components(pairs, graph.num, scratch / "components", room=room)
    settled = {
        "mis": lambda: independent.mis(pairs, of, graph.num, scratch),
        "dominated": lambda: independent.dominated(pairs, scratch, few=few),
        "components": lambda: independent.one_a_component(pairs, of),
    }[rule]()
    label = np.arange(graph.num)
    found = by_vertex(of)
    label[found["vertex"].to_numpy()] = found["component"].to_numpy()
    np.testing.assert_array_equal(label, graph.ranks[wanted.component][by_rank])
    found = by_vertex(settled)
    dropped = np.flatnonzero(~wanted.kept[by_rank])
    np.testing.assert_array_equal(found["vertex"].to_numpy(), dropped)
    for name in ("joined", "near"):
        ours = graph.ranks[getattr(wanted, name)][by_rank][dropped]
        np.testing.assert_array_equal(found[name].to_numpy(), ours)
    np.testing.assert_array_equal(found["cosine"].to_numpy(), wanted.cosine[by_rank][dropped])


@pytest.mark.parametrize("rule", list(RULES))
@pytest.mark.parametrize(("room", "few", "parts"), [(ROOM, 10_000_000, 1), (0, 0, 5)])
def test_a_random_graph_has_the_groups_of_the_plain_functions(
    spark: SparkSession, tmp_path: Path, rule: str, room: int, few: int, parts: int
) -> None:
    check(spark, random_graph(900, 1_100), rule, tmp_path, room=room, few=few, parts=parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "ranks", "room"),
    [("mis", "along", 3 * CHAIN), ("mis", "by coin", ROOM), ("dominated", "along", ROOM)],
)
def test_a_long_chain_has_the_groups_of_the_plain_functions(
    spark: SparkSession, tmp_path: Path, rule: str, ranks: str, room: int
) -> None:
    check(spark, chain(CHAIN, ranks=ranks), rule, tmp_path, room=room, few=CHAIN, parts=4)


def test_following_a_way_takes_rounds_by_the_logarithm(spark: SparkSession, tmp_path: Path) -> None:
    check(spark, chain(260, ranks="along"), "dominated", tmp_path, room=ROOM, few=0, parts=2)
    assert len(list(tmp_path.glob("way-*"))) <= 11


@pytest.mark.parametrize(("num", "edges"), [(2_000, 1_500)])
def test_components_are_scipys(spark: SparkSession, tmp_path: Path, num: int, edges: int) -> None:
    graph = random_graph(num, edges)
    matrix = coo_array((np.ones(len(graph.pairs)), (graph.pairs.first, graph.pairs.second)), (num, num))
    _, theirs = connected_components(matrix, directed=False)
    table = pa.table({"a": graph.pairs.first, "b": graph.pairs.second})
    edges_in_parts = spark.createDataFrame(table).repartition(3)
    for room, least_rounds in ((ROOM, 0), (4 * num, 0), (4 * num - 1, 2), (0, 3)):
        found, rounds = components(edges_in_parts, num, tmp_path / str(room), room=room)
        ours = np.arange(num)
        rows = by_vertex(found)
        ours[rows["vertex"].to_numpy()] = rows["component"].to_numpy()
        least = np.full(theirs.max() + 1, num)
        np.minimum.at(least, theirs, np.arange(num))
        np.testing.assert_array_equal(ours, least[theirs])
        assert len(rounds) >= least_rounds if least_rounds else not rounds


@pytest.mark.parametrize("room", [ROOM, 0])
def test_edges_that_repeat_or_turn_or_lie_in_no_file_are_fine(
    spark: SparkSession, tmp_path: Path, room: int
) -> None:
    for name, edges in (("none", []), ("some", [(5, 9), (9, 5), (5, 9), (7, 7), (9, 12)])):
        found, _ = components(spark.createDataFrame(edges, "a long, b long"), 13, tmp_path / name, room=room)
        tied = {
            row["vertex"]: row["component"] for row in found.collect() if row["vertex"] != row["component"]
        }
        assert tied == ({} if name == "none" else {9: 5, 12: 5})


@pytest.mark.parametrize("parts", [1, 3])
def test_what_is_put_aside_are_the_whole_components(spark: SparkSession, parts: int) -> None:
    graph = random_graph(600, 500)
    edges = pa.RecordBatch.from_arrays(
        [pa.array(graph.pairs.first), pa.array(graph.pairs.second)], names=["a", "b"]
    )
    cut = -(-edges.num_rows // 2)
    tasks = [pa.Table.from_batches(contracted(iter([edges.slice(start, cut)]))) for start in (0, cut)]
    stars = pa.concat_tables(tasks)  # as two tasks leave them
    rows = spark.createDataFrame(stars).repartition(parts).transform(with_open).collect()
    assert sorted((row["a"], row["b"]) for row in rows) == sorted(
        zip(stars["a"].to_pylist(), stars["b"].to_pylist(), strict=True)
    )
    matrix = coo_array((np.ones(len(graph.pairs)), (graph.pairs.first, graph.pairs.second)), (600, 600))
    _, label = connected_components(matrix, directed=False)
    centres: dict[int, set[int]] = {}
    for row in rows:
        centres.setdefault(int(label[row["a"]]), set()).add(row["a"])
    assert {row["open"] for row in rows} == {True, False}
    for row in rows:
        assert row["open"] == (len(centres[int(label[row["a"]])]) > 1)


def test_contraction_yields_a_forest_of_stars() -> None:
    graph = random_graph(500, 800)
    edges = pa.RecordBatch.from_arrays(
        [pa.array(graph.pairs.first), pa.array(graph.pairs.second)], names=["a", "b"]
    )
    stars = pa.Table.from_batches(contracted(iter([edges[:300], edges[300:]])))
    leaves, centres = stars["b"].to_pylist(), set(stars["a"].to_pylist())
    assert len(leaves) == len(set(leaves))
    assert not centres & set(leaves)
    assert all(a < b for a, b in zip(stars["a"].to_pylist(), leaves, strict=True))
    assert list(contracted(iter([]))) == []


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_the_pass_is_the_same_for_any_batches(size: int) -> None:
    from curation.dedup import groups

    graph = random_graph(700, 900)
    better, worse = groups.oriented(graph)
    table = pa.table({"a": better, "b": worse})
    found = pa.Table.from_batches(struck(iter(table.to_batches(max_chunksize=size)), graph.num))
    np.testing.assert_array_equal(
        found["vertex"].to_numpy(), np.flatnonzero(groups.struck(better, worse, graph.num))
    )


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_numbers_are_places_in_the_order_for_any_partitioning(
    spark: SparkSession, tmp_path: Path, parts: int
) -> None:
    keys = [(int(n * 7919 % 5), f"{n * 104_729 % 1_000:04d}") for n in range(300)]
    frame = spark.createDataFrame(keys, "pixels long, image_id string").repartition(parts)
    found = numbered(frame, [F.desc("pixels"), F.asc("image_id")], "vertex", tmp_path / "numbered")
    rows = {row["image_id"]: row["vertex"] for row in found.collect()}
    ordered = sorted(keys, key=lambda row: (-row[0], row[1]))
    assert rows == {image_id: place for place, (_, image_id) in enumerate(ordered)}


def test_no_row_gets_no_number(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([], "image_id string")
    assert numbered(frame, [F.col("image_id")], "vertex", tmp_path / "none").columns == ["image_id", "vertex"]
    assert numbered(frame, [F.col("image_id")], "vertex", tmp_path / "none").count() == 0
