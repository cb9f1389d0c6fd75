"""Extract on Spark: the same rows however the work is cut, and sums that close."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wat_files import image, member, page, read

from curation.config import ExtractSection, RunConfig, RunSection, SparkSection
from curation.errors import InputError
from curation.inputs import find_inputs
from curation.spark.extract import SPEC, extract, plan_tasks, run
from curation.stage import OpenStage, Record, run_stage

FILES = 4


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four WAT files that share pairs and hold broken records, and a pool in LAION's, COYO's and DataComp's columns each."""
    root = tmp_path_factory.mktemp("pool")
    for number in range(FILES):
        pages = [
            page(
                [
                    None,
                    *(image(f"{n % 5}.png", alt=f"text {n % 7}", title=f"text {n % 3}") for n in range(20)),
                ],
                uri=f"http://site.example/{(number + copy) % 3}.html",
            )
            for copy in range(3)
        ]
        broken = [member(b""), member(b"{"), b"garbage", member(b'"\xff"')]
        data = (
            member(b"format: WARC", kind="warcinfo")
            + b"".join(pages + broken)
            + page([image("z", alt=f"{number}")])
        )
        (root / f"{number}.wat.gz").write_bytes(data if number else data[:-30])
    urls = [f"http://site.example/{n % 5}.png" for n in range(30)] + ["ftp://h/x", None]
    texts = [f"text {n % 9}" for n in range(30)] + ["t", "t"]
    for name, (url, text) in {
        "laion": ("URL", "TEXT"),
        "coyo": ("url", "text"),
        "datacomp": ("url", "text"),
    }.items():
        columns = {"uid": [str(n) for n in range(32)]} if name == "datacomp" else {"id": list(range(32))}
        pq.write_table(
            pa.table(columns | {url: urls, text: texts}), root / f"{name}.parquet", row_group_size=10
        )
    return root


def config_of(run_path: Path, inputs: tuple[str, ...], **options: Any) -> RunConfig:
    partitions = options.pop("partitions", 2)
    return RunConfig(
        run=RunSection(path=run_path),
        spark=SparkSection(partitions=partitions, adaptive=options.pop("adaptive", True)),
        extract=ExtractSection(inputs=inputs, **options),
    )


def rows_of(record: Record, table: str = "pairs") -> list[dict[str, Any]]:
    rows = pq.read_table(record.path / table).to_pylist()
    return sorted(rows, key=json.dumps)


def expected_pairs(pool: Path) -> dict[str, tuple[str, str, str]]:
    """Return (origin, page_url, text_source) of each pair by its id, by the pure functions and a dict."""
    smallest: dict[str, tuple[str, str, str]] = {}
    found = [row for path in pool.glob("*.wat.gz") for row in read(path.read_bytes(), origin=path.name)[0]]
    for row in found:
        place = (row["origin"], row["page_url"], row["text_source"])
        smallest[row["pair_id"]] = min(place, smallest.get(row["pair_id"], place))
    return smallest


@pytest.mark.slow
def test_kept_rows_are_the_same_for_any_partitioning_and_order_of_files(
    spark: Any, pool: Path, tmp_path: Path
) -> None:
    everything = (f"{pool}/*.parquet", f"{pool}/*.wat.gz")
    first = run(config_of(tmp_path / "first", everything, keep_dropped=True))
    records, candidates = first.ledgers
    assert records["unit"] == "records"
    assert records["dropped"] == {
        "bad_json": FILES, "bad_record": FILES, "empty_record": FILES, "not_a_page": FILES, "truncated": 1, "undecodable_bytes": FILES
    }  # fmt: skip
    assert candidates["dropped"] == {"no_url": 3, "not_http": 3, "null_link": 3 * FILES}
    assert candidates["merged"] > 0
    assert candidates["out"] == first.data["tables"]["pairs"]["rows"] == len(rows_of(first))
    shown = pq.read_table(first.path / "dropped").column("_reason").to_pylist()
    assert len(shown) == sum(records["dropped"].values()) - FILES + sum(candidates["dropped"].values())
    assert not (first.path / "_staged").exists()
    files = find_inputs(config_of(tmp_path, everything).extract)
    for number, (partitions, adaptive, order) in enumerate([(1, False, 1), (2, True, -1), (7, False, -1)]):
        config = config_of(tmp_path / str(number), everything, partitions=partitions, adaptive=adaptive)
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
        spark.conf.set("spark.sql.adaptive.enabled", str(adaptive).lower())

        def work(stage: OpenStage, partitions: int = partitions, order: int = order) -> None:
            tasks = plan_tasks(files, stage.config.extract)[::order]
            extract(spark, stage, tasks[3:] + tasks[:3], partitions=partitions)

        other = run_stage(config, SPEC, work)
        assert other.data["tables"]["pairs"] == first.data["tables"]["pairs"]
        assert other.ledgers == first.ledgers
        assert rows_of(other) == rows_of(first)


@pytest.mark.slow
def test_of_equal_pairs_the_smallest_place_stays(spark: Any, pool: Path, tmp_path: Path) -> None:
    record = run(config_of(tmp_path / "run", (f"{pool}/*.wat.gz",), crawl="CC-1"))
    rows = rows_of(record)
    assert {r["pair_id"]: (r["origin"], r["page_url"], r["text_source"]) for r in rows} == expected_pairs(
        pool
    )
    assert {row["crawl"] for row in rows} == {"CC-1"}
    assert run(config_of(tmp_path / "run", (f"{pool}/*.wat.gz",), crawl="CC-1")).skipped


def test_what_cannot_be_opened_is_refused_before_the_stage_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.wat\.gz"):
        run(config_of(tmp_path / "run", (f"{tmp_path}/none.wat.gz",)))
    assert not (tmp_path / "run").exists()
