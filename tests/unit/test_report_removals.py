"""The page shows nothing that the removal list names, be it the list of today or the one that the manifest was sealed with."""

import base64
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reportrun import make_run

from curation import pipeline
from curation.config import ReportSection, RunConfig
from curation.removals import NO_REMOVALS
from curation.report import duplicates, html, notebook
from curation.report.gone import WITHHELD, gone_of
from curation.report.pictures import bodies
from curation.schemas import TABLES

Row = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return replace(make_run(tmp_path / "made-up", pairs=40), report=ReportSection(max_examples=500))


def table(config: RunConfig, stage: str, name: str) -> list[Row]:
    return pq.read_table(config.run.path / stage / name).to_pylist()


def with_list(config: RunConfig, *items: str) -> RunConfig:
    path = config.run.path.with_name("removals.txt")
    path.write_text("\n".join(items), encoding="utf-8")
    return replace(config, run=replace(config.run, removals=(str(path),)))


def seal_without(config: RunConfig, rows: list[Row], rule: str) -> None:
    """Write the table that a seal with a list leaves behind."""
    folder = config.run.path / "manifest" / "removed"
    folder.mkdir()
    found = [{name: row.get(name, rule) for name in TABLES["removed"].names} for row in rows]
    pq.write_table(pa.Table.from_pylist(found, TABLES["removed"]), folder / "part-0.parquet")


def page_of(config: RunConfig) -> str:
    return html.render(config, pipeline.finished(config))


def pictures(page: str) -> set[str]:
    """Return the pixels of all thumbnails, hashed: a thumbnail is not smaller than the picture here."""
    uris = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    return {
        hashlib.sha256(Image.open(io.BytesIO(base64.b64decode(uri))).tobytes()).hexdigest() for uri in uris
    }


def thumb(config: RunConfig, image_id: str) -> set[str]:
    place = next(row for row in table(config, "download", "outcomes") if row["image_id"] == image_id)
    return pictures(str(duplicates.thumbnail(config.run.path / "download" / "raw", place)))


def family(config: RunConfig) -> tuple[str, str]:
    """Return a kept picture and one that joined it."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in table(config, "dedup", "groups"):
        if not row["survivor"]:
            groups[row["joined"]].append(row["image_id"])
    return next((kept, joined[0]) for kept, joined in sorted(groups.items()))


def captions(config: RunConfig, image_id: str, column: str = "image_id") -> list[Row]:
    return [row for row in table(config, "dedup", "rows") if row[column] == image_id]


By = Callable[[RunConfig, list[Row]], RunConfig]


def by_address(config: RunConfig, rows: list[Row]) -> RunConfig:
    return with_list(config, *(row["url"] for row in rows))


def by_seal(config: RunConfig, rows: list[Row]) -> RunConfig:
    seal_without(config, rows, "url")
    return config


@pytest.mark.parametrize("by", [by_address, by_seal])
def test_a_removed_duplicate_is_not_shown_nor_its_captions(config: RunConfig, by: By) -> None:
    kept, joined = family(config)
    rows = captions(config, joined, "source_image_id")
    before = page_of(config)
    assert thumb(config, joined) <= pictures(before)
    after = page_of(by(config, rows))
    assert not thumb(config, joined) & pictures(after)
    assert thumb(config, kept) <= pictures(after)
    for row in rows:
        assert f"<bdi>{row['clean_text']}</bdi>" not in after
    others = [row for row in captions(config, kept) if row not in rows]
    assert any(f"<bdi>{row['clean_text']}</bdi>" in after for row in others)


@pytest.mark.parametrize("by", [by_address, by_seal])
def test_one_of_a_pictures_addresses_takes_its_caption_and_not_the_picture(config: RunConfig, by: By) -> None:
    by_picture = defaultdict(list)
    for row in table(config, "dedup", "rows"):
        by_picture[row["source_image_id"]].append(row)
    key, rows = next(
        (key, rows)
        for key, rows in sorted(by_picture.items())
        if len(rows) > 1 and key == rows[0]["image_id"]
    )
    after = page_of(by(config, rows[:1]))
    assert thumb(config, key) <= pictures(after)
    assert f"<bdi>{rows[0]['clean_text']}</bdi>" not in after


@pytest.mark.parametrize("how", ["hash", "addresses", "seal"])
def test_the_family_of_a_removed_picture_is_not_shown_at_all(config: RunConfig, how: str) -> None:
    kept, joined = family(config)
    own = captions(config, kept, "source_image_id")
    if how == "seal":
        asked = by_seal(config, captions(config, kept))
    else:
        asked = with_list(config, kept) if how == "hash" else by_address(config, own)
    after = page_of(asked)
    assert not (thumb(config, kept) | thumb(config, joined)) & pictures(after)
    for row in captions(config, kept):
        assert f"<bdi>{row['clean_text']}</bdi>" not in after
    assert kept[:12] not in after
    assert "not shown: the removal list names the picture" in re.sub(r"\s+", " ", after)


def test_a_page_without_removals_withholds_nothing(config: RunConfig) -> None:
    assert "not shown: the removal list" not in page_of(config)
    assert page_of(with_list(config, "elsewhere.example.net")) == page_of(config)
    assert not gone_of([config.run.path], NO_REMOVALS, [])


def test_another_list_makes_another_page(config: RunConfig) -> None:
    first = html.run(config)
    assert html.run(config).digest == first.digest
    listed = with_list(config, family(config)[0])
    second = html.run(listed)
    hashes = [item.get("sha256") for item in second.data["externals"] if item.get("path") == "run.removals"]
    assert len(hashes) == 1
    text = (config.run.path / "report" / html.PAGE).read_text(encoding="utf-8")
    assert family(config)[0][:12] not in text
    with_list(config, "# nothing")
    assert not [e for e in html.run(listed).data["externals"] if e.get("path") == "run.removals"]


@pytest.mark.parametrize("how", ["seal", "list"])
def test_a_notebook_shows_neither_a_removed_picture_nor_its_texts(
    config: RunConfig, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = pipeline.finished(config)["download"]
    kept, joined = family(config)
    rows = captions(config, joined, "source_image_id")
    monkeypatch.setenv(notebook.RUN, str(config.run.path))
    assert set(bodies(download, [kept, joined])) == {kept, joined}
    if how == "seal":
        by_seal(config, rows)
    else:
        monkeypatch.setenv(notebook.REMOVALS, by_address(config, rows).run.removals[0])
    assert set(bodies(download, [kept, joined])) == {kept}
    out = {row["pair_id"] for row in rows}
    for stage, name in (("match", "matches"), ("dedup", "rows")):
        whole = {row["pair_id"]: row["clean_text"] for row in table(config, stage, name)}
        frame = notebook.drawn(config.run.path / stage / name, ["clean_text"], 10_000)
        assert list(frame.columns) == ["pair_id", "clean_text"]
        assert dict(zip(frame.pair_id, frame.clean_text, strict=True)) == {
            key: WITHHELD if key in out else text for key, text in whole.items()
        }
