"""What users read with: DuckDB, pandas, polars, webdataset and open_clip take the tables and the shards with no code of ours."""

import hashlib
import importlib.util
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.config import RunConfig
from curation.report.columns import PLACES
from curation.schemas import TABLES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COUNTING = ("_reason", "_tally")  # of a table that a counting step wrote: always null
ELSEWHERE = {
    "removed",
    "dedup/rows_earlier/",
}  # only of a run with removals, or with an index of an earlier crawl
HERE = [
    (table, place)
    for table, places in PLACES.items()
    for place in places.split(", ")
    if not {table, place} & ELSEWHERE
]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows as pyarrow reads them: the oracle."""
    return sorted(pq.read_table(folder).to_pylist(), key=repr)


def told(columns: list[str]) -> list[str]:
    """The columns that the document tells of."""
    return [name for name in columns if name not in COUNTING]


def plain(value: Any) -> Any:
    """A value of pandas or polars as Python's own."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if value is None or value != value else value  # noqa: PLR0124 - not a number is a null of pandas


@pytest.mark.parametrize(("table", "place"), HERE)
def test_duckdb_reads_every_table(sealed: RunConfig, table: str, place: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    folder = sealed.run.path / place
    found = duckdb.sql(f"select * from '{folder}/*.parquet'")
    assert told(found.columns) == TABLES[table].names
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    assert sorted(rows, key=repr) == rows_of(folder)
    assert not any(row.get(name) for row in rows for name in COUNTING)


@pytest.mark.parametrize(("table", "place"), HERE)
def test_pandas_reads_every_table(sealed: RunConfig, table: str, place: str) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    folder = sealed.run.path / place
    found = pandas.read_parquet(folder)
    assert told(list(found.columns)) == TABLES[table].names
    rows = [{name: plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    assert sorted(rows, key=repr) == rows_of(folder)


@pytest.mark.parametrize(("table", "place"), HERE)
def test_polars_reads_every_table(sealed: RunConfig, table: str, place: str) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    folder = sealed.run.path / place
    found = polars.read_parquet(f"{folder}/*.parquet")
    assert told(found.columns) == TABLES[table].names
    assert sorted(found.to_dicts(), key=repr) == rows_of(folder)
    assert polars.scan_parquet(f"{folder}/*.parquet").select(polars.len()).collect().item() == len(found)


def block(language: str) -> str:
    """The example of docs/manifest.md in a language."""
    found = re.findall(
        rf"```{language}\n(.*?)```", (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(found) == 1
    return str(found[0])


def test_the_documents_sql_runs_as_it_stands(sealed: RunConfig) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    rows = rows_of(sealed.run.path / "manifest/manifest.parquet")
    named = rows[0]["entry_ids"][0], rows[0]["lang"]
    entry = next(
        row["entry"]
        for row in rows_of(sealed.run.path / "metadata/entries")
        if (row["entry_id"], row["lang"]) == named
    )
    first, second = (
        block("sql")
        .replace("RUN", str(sealed.run.path))
        .replace("'cat'", "'" + entry.replace("'", "''") + "'")
        .split(";")[:2]
    )
    assert sum(row[-1] for row in duckdb.sql(first).fetchall()) == len(rows)
    captions = {row["caption"] for row in rows if row["lang"] == named[1] and named[0] in row["entry_ids"]}
    assert {row[0] for row in duckdb.sql(second).fetchall()} == captions


def test_the_documents_python_runs_as_it_stands(sealed: RunConfig) -> None:
    found = {name: pytest.importorskip(name) for name in ("pandas", "polars", "webdataset")}
    code = block("python").replace('"RUN', f'"{sealed.run.path}')
    exec(compile(code, "docs/manifest.md", "exec"), found)  # the project's own document
    for row in rows_of(sealed.run.path / "manifest/manifest.parquet"):
        body = found["picture"](row)
        assert hashlib.sha256(body).hexdigest() == row["image_id"]
        assert Image.open(io.BytesIO(body)).size == (row["width"], row["height"])


def shards(config: RunConfig) -> list[str]:
    return sorted(map(str, (config.run.path / "manifest" / "shards").glob("*.tar")))


def test_webdataset_reads_every_picture_with_its_captions(sealed: RunConfig) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    rows = rows_of(sealed.run.path / "manifest/manifest.parquet")
    read = {}
    for sample in webdataset.WebDataset(shards(sealed), shardshuffle=False).decode():
        (ending,) = set(sample) & {"jpg", "png", "webp", "gif", "bmp", "tiff"}
        raw = sample[ending]
        assert raw is not None
        read[sample["__key__"]] = sample["json"]["captions"]
        assert sample["txt"] == sample["json"]["captions"][0]["text"]
    assert set(read) == {row["image_id"] for row in rows}
    captions = {item["pair_id"]: (item["lang"], item["text"]) for found in read.values() for item in found}
    assert captions == {row["pair_id"]: (row["lang"], row["caption"]) for row in rows}


def import_open_clip_data() -> Any:
    """Import open_clip's training reader; beside a CPU build of torch, torchvision's operators are declared first."""
    if importlib.util.find_spec("open_clip_train") is None:
        pytest.skip(
            "open_clip_torch is not installed: its torchvision does not import beside a CPU build of torch"
        )
    torch = pytest.importorskip("torch", reason="torch is not installed")
    try:
        return pytest.importorskip("open_clip_train.data", exc_type=ImportError)
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.modules.setdefault("bicurate_tests_torchvision", SimpleNamespace(library=library))  # type: ignore[arg-type] # kept alive
        return pytest.importorskip("open_clip_train.data")


def test_open_clips_reader_gives_every_picture_it_knows_the_type_of(sealed: RunConfig) -> None:
    data = import_open_clip_data()
    args = SimpleNamespace(
        val_data="::".join(shards(sealed)), val_num_samples=None, batch_size=8, workers=0, world_size=1
    )
    read = data.get_wds_dataset(
        args, lambda image: image.size[0], is_train=False, tokenizer=lambda text: [text]
    )
    samples = [
        (int(size), text) for sizes, texts in read.dataloader for size, text in zip(sizes, texts, strict=True)
    ]
    rows = rows_of(sealed.run.path / "manifest/manifest.parquet")
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["pair_id"]):
        first.setdefault(row["image_id"], row)
    known = {
        image for image, row in first.items()
        if Image.open(io.BytesIO(body_of(sealed, row))).format in {"JPEG", "PNG", "WEBP"}
    }  # fmt: skip
    assert sorted(samples) == sorted((first[image]["width"], first[image]["caption"]) for image in known)
    assert len(known) > 50
    sizes, number = (
        data.get_dataset_size("::".join(shards(sealed))) if len(shards(sealed)) == 1 else (len(first), 0)
    )
    assert sizes >= len(known)
    assert number >= 0


def body_of(config: RunConfig, row: dict[str, Any]) -> bytes:
    with (config.run.path / "manifest" / row["shard"]).open("rb") as file:
        file.seek(row["offset"])
        return file.read(int(row["size"]))
