"""The demo itself: drawn, served, curated twice, trained and asked, with the truth known."""

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from curation.demo.run import main
from curation.pipeline import STAGES

pytestmark = pytest.mark.slow
PICTURES, STEPS = 1_200, 180


@pytest.fixture(scope="module")
def demo(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo of fewer pictures and steps: its directory and its screen at 80 columns."""
    path = tmp_path_factory.mktemp("demo") / "run"
    screen = io.StringIO()
    console = Console(width=80, file=screen)
    args = ["--path", str(path), "--pictures", str(PICTURES), "--steps", str(STEPS)]
    assert main(args, console) == 0
    return path, screen.getvalue()


def test_it_ends_with_one_screen_that_says_where_to_look_and_what_to_do(demo: tuple[Path, str]) -> None:
    path, shown = demo
    screen = shown[shown.index("bicurate demo") :]
    assert all(f"\n{stage} " in screen for stage in set(STAGES) - {"report"})
    assert "Korean, text to image, R@5" in screen
    assert "report.html" in screen
    assert "curate run --config my.toml" in screen
    assert all(len(line) <= 80 for line in screen.splitlines() if str(path) not in line)


def test_both_models_are_asked_the_same_and_know_more_than_chance_in_both_languages(
    demo: tuple[Path, str],
) -> None:
    path, _ = demo
    folders = (path, path.with_name("run-uncurated"))
    curated, uncurated = (json.loads((folder / "summary.json").read_text())["evaluate"] for folder in folders)
    for lang in ("en", "ko"):
        ours, theirs = curated["retrieval"][lang], uncurated["retrieval"][lang]
        assert ours["items"] == theirs["items"] > 30
        assert ours["chance"] == theirs["chance"]
        found = [ours[way]["R@5"] for way in ("image_to_text", "text_to_image")]
        by_chance = [ours["chance"][way]["R@5"] for way in ("image_to_text", "text_to_image")]
        assert sum(found) > 1.5 * sum(by_chance)


def test_both_models_had_the_same_budget(demo: tuple[Path, str]) -> None:
    path, _ = demo
    notes = [
        json.loads((folder / "train" / "_stage.json").read_text())
        for folder in (path, path.with_name("run-uncurated"))
    ]
    selected = [sum(note["notes"]["selected"].values()) for note in notes]
    assert selected[0] == selected[1]
    assert notes[0]["notes"]["pairs_seen"] == notes[1]["notes"]["pairs_seen"]


def test_the_curation_agrees_with_the_truth(demo: tuple[Path, str]) -> None:
    """Exact copies are one picture; near ones mostly are; what is said in another language is dropped."""
    path, _ = demo
    web = path.with_name("run-web")
    truth = {row["url"]: row for row in pq.read_table(web / "pictures.parquet").to_pylist()}
    said = {(row["url"], row["text"]): row for row in pq.read_table(web / "captions.parquet").to_pylist()}
    image = {row["url"]: row["image_id"] for row in pq.read_table(path / "download" / "outcomes").to_pylist()}
    joined = {row["image_id"]: row["joined"] for row in pq.read_table(path / "dedup" / "groups").to_pylist()}
    pairs = [
        (joined[image[url]], joined[image[row["copy_of"]]])
        for url, row in truth.items()
        if row["copy_of"] and image.get(url) in joined and image.get(row["copy_of"]) in joined
    ]
    assert len(pairs) > 20
    assert sum(a == b for a, b in pairs) >= 0.85 * len(pairs)
    matched = pq.read_table(path / "match" / "matches", columns=["url", "text", "lang"]).to_pylist()
    known = [
        (row["lang"], said[row["url"], row["text"]]["lang"])
        for row in matched
        if (row["url"], row["text"]) in said
    ]
    assert len(known) > 0.95 * len(matched)
    foreign = [lang for _, lang in known if lang not in {"en", "ko", "mixed", "none"}]
    assert len(foreign) <= 0.02 * len(known)


def test_every_faulty_address_has_its_reason(demo: tuple[Path, str]) -> None:
    path, _ = demo
    faults = {
        row["url"]: row["fault"]
        for row in pq.read_table(path.with_name("run-web") / "pictures.parquet").to_pylist()
    }
    outcomes = pq.read_table(path / "download" / "outcomes").to_pylist()
    wanted = {
        "opted_out": "opted_out", "missing": "http_status", "no_such_host": "no_such_host", "html": "not_an_image",
        "half": "body_truncated", "cut": "body_truncated", "empty": "body_empty", "private": "private_address",
        "huge": "too_many_pixels", "loop": "too_many_redirects",
    }  # fmt: skip
    seen = set()
    for row in outcomes:
        fault = faults.get(row["url"])
        if fault in wanted:
            assert (row["url"], row["reason"]) == (row["url"], wanted[fault])
            seen.add(fault)
    assert len(seen) >= 6
