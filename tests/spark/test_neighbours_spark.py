"""Stage neighbours over descriptors made by hand: the pairs are those of all pairs in whole numbers, in whatever way it is run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from codes import clustered
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from curation.config import NeighboursSection, RunConfig, RunSection, SparkSection
from curation.dedup import layout
from curation.dedup.cells import load
from curation.dedup.kinds import Kind
from curation.dedup.neighbours import near_pairs_oracle
from curation.dedup.search import Visiting, near_pairs_by_cells
from curation.errors import ConfigError, StageError
from curation.ids import image_id
from curation.schemas import TABLES
from curation.spark import edges, neighbours
from curation.stage import RECORD, Record, sealed

HALF, DIMENSION = 3, 12
KIND = Kind("made-by-hand", "ab" * 32, 2 * HALF, HALF, DIMENSION)
FLOOR = 0.9


def pictures(num: int) -> tuple[list[str], np.ndarray]:
    """Return ids in their order, and codes (num, 6, 12): of some, views are zero or repeated; the last views are mirrors."""
    half = clustered(num, HALF, DIMENSION, 90).copy()
    half[::5, 1] = half[::5, 0]
    half[::7, 2] = 0
    half[3::50] = 0
    half[11:14] = half[10]  # identical to the bit
    signs = np.where(np.arange(DIMENSION) % 2, -1, 1).astype(np.int8)
    return sorted(image_id(str(i).encode()) for i in range(num)), np.concatenate([half, half * signs], axis=1)


def described(
    run: Path, ids: list[str], codes: np.ndarray, *, parts: int = 1, kind: Kind = KIND, detail: Any = None
) -> None:
    """Commit a stage embed by hand, its rows in some files, backwards for an even number of them."""
    rows = [
        {"image_id": name, "width": 9, "height": 9, "codes": code.tobytes(), "kind": kind.name, "kind_sha256": kind.sha256}
        | {"detail": None if detail is None else detail[name]}
        for name, code in zip(ids, codes, strict=True)
    ]  # fmt: skip
    write(run / "embed" / "descriptors", "descriptors", rows if parts % 2 else rows[::-1], parts)
    record = {
        "stage": "embed",
        "tables": {"descriptors": {"rows": len(rows), "digest": "0"}},
        "files": {},
        "ledgers": [],
    }
    (run / "embed" / RECORD).write_text(sealed(record | {"notes": {"kind": kind.as_note()}}))


def write(place: Path, table: str, rows: list[dict[str, Any]], parts: int = 1) -> None:
    place.mkdir(parents=True)
    schema = pa.schema([field.remove_metadata() for field in TABLES[table]])
    for part in range(parts):
        pq.write_table(pa.Table.from_pylist(rows[part::parts], schema=schema), place / f"{part}.parquet")


def config(run: Path, **keys: Any) -> RunConfig:
    section = NeighboursSection(**({"floor": FLOOR, "rows_per_cell": 30, "probe": 1, "device": "cpu"} | keys))
    return RunConfig(run=RunSection(path=run), spark=SparkSection(partitions=2), neighbours=section)


def read(run: Path, table: str) -> list[dict[str, Any]]:
    return pq.read_table(run / "neighbours" / table).to_pylist()


def found(run: Path) -> set[tuple[str, str, float]]:
    rows = read(run, "edges")
    assert len({(row["image_id_a"], row["image_id_b"]) for row in rows}) == len(rows)
    return {(row["image_id_a"], row["image_id_b"], row["cosine"]) for row in rows}


def all_pairs(ids: list[str], codes: np.ndarray, floor: float = FLOOR) -> set[tuple[str, str, float]]:
    """Return every near pair, less those of pictures that another one of the same descriptor stands for."""
    stood_for = {11, 12, 13}
    pairs = near_pairs_oracle(codes, floor)
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.cosine.tolist(), strict=True)
    return {(ids[a], ids[b], cosine) for a, b, cosine in rows if not stood_for & {a, b}}


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    run = tmp_path_factory.mktemp("neighbours") / "run"
    described(run, *pictures(160))
    return run, neighbours.run(config(run))


def shrink_units(monkeypatch: pytest.MonkeyPatch, comparisons: int) -> None:
    """Cut cells into units of so many comparisons, and of half as many bytes."""
    monkeypatch.setitem(layout.UNIT_COMPARISONS, "cpu", comparisons)
    monkeypatch.setitem(layout.HELD_BYTES, "cpu", comparisons // 2)


def test_probe_finds_what_the_cells_hold(done: tuple[Path, Record]) -> None:
    run, record = done
    ids, codes = pictures(160)
    search = record.notes["search"]
    cells = load(run / "neighbours" / "centroids.npy", search["centroids_sha256"])
    assert len(cells) == search["cells"] > 5
    distinct = codes.copy()
    distinct[11:14] = 0  # another one stands for them
    pairs, compared = near_pairs_by_cells(distinct, Visiting(cells, "probe", 1, FLOOR), query_views=HALF)
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.cosine.tolist(), strict=True)
    assert found(run) == {(ids[a], ids[b], cosine) for a, b, cosine in rows} <= all_pairs(ids, codes)
    assert search["comparisons"] == compared
    assert (
        search | {"mode": "probe", "floor": FLOOR, "probe": 1, "device": "cpu", "agreement_bound": None}
        == search
    )
    assert {row["agreement"] for row in read(run, "edges")} == {None}


def test_the_audit_counts_what_was_missed(done: tuple[Path, Record]) -> None:
    run, record = done
    whole = all_pairs(*pictures(160))
    everything = record.notes["audit"]["bands"][0]
    assert record.notes["audit"]["pictures"] == 160 - 3 - 4  # all that are searched
    assert (everything["pairs"], everything["found"]) == (2 * len(whole), 2 * len(found(run)))
    assert everything["low"] < everything["recall"] < 1


def test_identical_descriptors_have_one_to_stand_for_them(done: tuple[Path, Record]) -> None:
    run, record = done
    ids, _ = pictures(160)
    rows = sorted((row["image_id"], row["representative"]) for row in read(run, "identical"))
    assert rows == [(ids[n], ids[10]) for n in (11, 12, 13)]
    assert record.ledgers == [{"unit": "images", "in": 160, "out": 157, "dropped": {}, "merged": 3}]


def test_partitions_files_order_and_units_change_nothing(
    done: tuple[Path, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_units(monkeypatch, 800)
    _, record = done
    described(tmp_path, *pictures(160), parts=4)
    other = config(tmp_path)
    again = neighbours.run(replace(other, spark=replace(other.spark, partitions=5, adaptive=False)))
    assert again.data["tables"] == record.data["tables"]
    assert again.data["files"] == record.data["files"]
    assert again.notes["search"]["cut_cells"] > 0 == record.notes["search"]["cut_cells"]
    assert again.notes["audit"] == record.notes["audit"]


@pytest.mark.parametrize("mode", ["bound", "exhaustive"])
def test_complete_modes_find_every_pair(
    tmp_path: Path, spark: SparkSession, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_units(monkeypatch, 20_000 if mode == "exhaustive" else 4_000)
    ids, codes = pictures(120)
    described(tmp_path, ids, codes)
    record = neighbours.run(config(tmp_path, mode=mode))
    assert found(tmp_path) == all_pairs(ids, codes)
    assert record.notes["audit"]["bands"][0]["recall"] == 1
    assert record.notes["search"]["cut_cells"] > 0


@pytest.mark.parametrize("num", [0, 1, 2])
def test_tiny_inputs(tmp_path: Path, spark: SparkSession, num: int) -> None:
    ids, codes = pictures(20)
    codes[1] = codes[0]
    codes[1, :, 0] += 1
    described(tmp_path, ids[:num], codes[:num])
    record = neighbours.run(config(tmp_path))
    assert len(found(tmp_path)) == (num == 2)
    assert record.notes["search"]["cells"] == 1
    assert record.notes["audit"]["pictures"] == num


def test_copies_of_one_picture_are_one_vector_of_the_search(tmp_path: Path, spark: SparkSession) -> None:
    ids, codes = pictures(3_000)
    codes[5:] = codes[4]
    described(tmp_path, ids, codes)
    record = neighbours.run(config(tmp_path, audit=0))
    assert len(read(tmp_path, "identical")) == 2_995
    assert record.notes["search"]["vectors"] < 5 * 6
    assert record.notes["audit"] is None


def test_more_near_pairs_than_allowed_end_the_stage_and_name_a_picture(
    tmp_path: Path, spark: SparkSession
) -> None:
    """Pictures that are nearly one have as many pairs as there are: the count of them, or a task that finds too many, says so."""
    num = 120
    near = num * (num - 1) // 2
    ids, codes = pictures(num)
    digits = np.arange(num)[:, None, None] // 5 ** np.arange(DIMENSION) % 5  # no two the same
    described(tmp_path, ids, (codes[[4]] // 2 + digits).astype(np.int8))
    for most, error in ((near - 1, StageError), (1, PythonException)):
        told = rf"more than the {most:.2g} near pairs .*such as those of picture [0-9a-f]{{64}}".replace(
            "+", r"\+"
        )
        with pytest.raises(error, match=told):
            neighbours.run(config(tmp_path, audit=0, mode="exhaustive", max_pairs=most))
        assert not (tmp_path / "neighbours" / RECORD).exists()
    neighbours.run(config(tmp_path, audit=0, mode="exhaustive", max_pairs=near))
    assert len(found(tmp_path)) == near


def test_other_kinds_and_sizes_and_too_many_comparisons_are_refused(
    tmp_path: Path, spark: SparkSession
) -> None:
    ids, codes = pictures(20)
    described(tmp_path / "a", ids, codes)
    with pytest.raises(ConfigError, match="max_comparisons is 10"):
        neighbours.run(config(tmp_path / "a", max_comparisons=10.0))
    record = json.loads((tmp_path / "a" / "embed" / RECORD).read_text())
    for name, changed, said in (
        ("kind", {"sha256": "cd" * 32}, "kinds never mix"),
        ("dimension", {"dimension": 10}, "codes of 72 bytes"),
        ("detail", {"detail_bytes": 5}, "detail of 0 bytes"),
    ):
        described(tmp_path / name, ids, codes)
        other = record | {"notes": {"kind": record["notes"]["kind"] | changed}}
        (tmp_path / name / "embed" / RECORD).write_text(sealed(other))
        with pytest.raises(StageError, match=said):
            neighbours.run(config(tmp_path / name))


def test_a_second_look_is_written_beside_the_cosine(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, codes = pictures(40)
    detail = {name: bytes([n % 2, n]) for n, name in enumerate(ids)}
    kind = replace(KIND, detail_bytes=2, agreement_bound=0.5)
    described(tmp_path, ids, codes, kind=kind, detail=detail)
    monkeypatch.setattr(edges, "second_look", lambda kind: lambda a, b: (a[:, 0] == b[:, 0]) / 2 + 0.25)
    record = neighbours.run(config(tmp_path, mode="exhaustive", audit=0))
    rows = read(tmp_path, "edges")
    assert {row["agreement"] for row in rows} == {0.25, 0.75}
    for row in rows:
        same = detail[row["image_id_a"]][0] == detail[row["image_id_b"]][0]
        assert row["agreement"] == (0.75 if same else 0.25)
    assert record.notes["search"]["agreement_bound"] == 0.5
    assert not read(tmp_path, "identical")  # equal codes of different details are two pictures


def indexed(place: Path, run: Path, record: Record, ids: list[str], visits: dict[str, Any] | None) -> None:
    """Write the index of some pictures of a finished search by hand."""
    for table, stage in (("vectors", "neighbours"), ("descriptors", "embed")):
        rows = [row for row in pq.read_table(run / stage / table).to_pylist() if row["image_id"] in ids]
        write(place / table, table, rows)
    schema = [field.name for field in TABLES["members"]]
    values = {"epoch": 0, "survivor": True, "cosine": 1.0, "held_out": False}
    write(
        place / "members",
        "members",
        [
            dict.fromkeys(schema, name) | values | dict.fromkeys(("pixels", "captions", "bytes"))
            for name in ids
        ],
    )
    (place / "centroids.npy").write_bytes((run / "neighbours" / "centroids.npy").read_bytes())
    search = record.notes["search"]
    data = {
        "version": 1,
        "earlier": [],
        "kind_sha256": KIND.sha256,
        "centroids_sha256": search["centroids_sha256"],
        "settings": {},
    }
    (place / "index.json").write_text(json.dumps(data | ({"visits": visits} if visits else {})))


@pytest.mark.parametrize("known", [True, False])
def test_a_new_crawl_against_an_index_finds_what_both_at_once_have(
    done: tuple[Path, Record], tmp_path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_units(monkeypatch, 800)
    run, record = done
    ids, codes = pictures(160)
    old = {name for n, name in enumerate(ids) if n % 3 == 0 and not 10 <= n < 14}
    again = sorted(old)[:5]  # the same bytes come again
    indexed(
        tmp_path / "index",
        run,
        record,
        sorted(old),
        record.notes["search"]["visits"] if known else {"mode": "probe", "probe": 9},
    )
    new = [n for n, name in enumerate(ids) if name not in old or name in again]
    described(tmp_path / "run", [ids[n] for n in new], codes[new])
    later = neighbours.run(config(tmp_path / "run", against=(tmp_path / "index",), rows_per_cell=10))
    assert found(tmp_path / "run") == {(a, b, cosine) for a, b, cosine in found(run) if not {a, b} <= old}
    assert later.notes["search"]["centroids_sha256"] == record.notes["search"]["centroids_sha256"]
    assert later.ledgers[0]["dropped"] == {"earlier_picture": 5}
    assert later.notes["audit"]["bands"][0]["recall"] > 0.5
