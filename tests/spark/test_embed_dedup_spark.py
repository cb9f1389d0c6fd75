"""Stages embed, neighbours and dedup over a small download made by hand: captions move, and one answer comes out."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawings import saved
from handmade import fetch, write
from PIL import Image, ImageDraw, ImageOps
from pyspark.sql import SparkSession

from curation.cli import main
from curation.config import (
    BalanceSection,
    DedupSection,
    NeighboursSection,
    RunConfig,
    RunSection,
    SparkSection,
)
from curation.ids import coin, image_id, pair_id
from curation.schemas import TABLES
from curation.spark import dedup, embed, neighbours
from curation.stage import Record, read_record

Done = tuple[Path, list[Record]]  # the run, and the records of the three stages
STAGES = (embed, neighbours, dedup)
SITE = "http://example.com/"


def drawing(seed: int) -> Image.Image:
    image = Image.new("RGB", (160, 120), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for i in range(7):
        x, y = (37 * (i + seed) * (seed + 3) + 20 * i) % 110 + 5, (53 * (i + 1) * (seed + 1)) % 70 + 5
        draw.rectangle(
            (x, y, x + 20 + 4 * i, y + 40 - 3 * i),
            fill=((90 * i) % 256, (70 * seed) % 256, 200 - 40 * (i % 5)),
        )
    return image


def pictures() -> dict[str, bytes]:
    """Bytes by url: six drawings, a larger and a mirrored copy of the first, a bordered second, bytes that lie twice, junk."""
    files = {f"{SITE}{seed}.png": saved(drawing(seed)) for seed in range(6)}
    files[f"{SITE}0-large.png"] = saved(drawing(0).resize((320, 240)))
    files[f"{SITE}0-mirror.png"] = saved(ImageOps.mirror(drawing(0)))
    files[f"{SITE}1-border.png"] = saved(ImageOps.expand(drawing(1), 8, (20, 20, 20)))
    files[f"{SITE}2-again.png"] = files[f"{SITE}2.png"]
    files[f"{SITE}plain-a.png"] = saved(Image.new("RGB", (20, 20), "red"))
    files[f"{SITE}plain-b.png"] = saved(Image.new("RGB", (30, 20), "red"))
    files[f"{SITE}cut.png"] = saved(drawing(9))[:-300]
    return files


# url, caption, languages, held out
PAIRS = [
    ("0.png", "a red thing", ("en",), False),
    ("0-large.png", "a red thing", ("en",), False),  # the same caption of one survivor: its own stays
    ("0-mirror.png", "빨간 것", ("ko",), False),
    ("1.png", "second 둘째", ("en", "ko"), False),
    ("1-border.png", "second 둘째", ("en", "ko"), True),  # held out, and takes its group along
    ("2.png", "third", ("en",), False),
    ("2-again.png", "third", ("en",), False),
    ("2-again.png", "셋째", ("ko",), False),
    ("3.png", "fourth", ("en",), False),
    ("plain-a.png", "plain", ("en",), False),
    ("plain-b.png", "plain", ("en",), False),
    ("cut.png", "cut short", ("en",), False),
    ("gone.png", "not there", ("en",), False),
]


def make_run(run: Path, parts: int = 1) -> None:
    """Make what the two stages read: download, balance and match."""
    gone = {"url": f"{SITE}gone.png", "status": "dropped", "reason": "http_status"}
    fetch(run, sorted(pictures().items()), parts, [gone])
    wanted, matches = [], []
    for name, text, languages, held_out in PAIRS:
        url = SITE + name
        key = pair_id(url, text)
        wanted.append(
            {
                "pair_id": key,
                "url": url,
                "keep_prob": 0.5,
                "coin": coin(key, 0, "balance"),
                "held_out": held_out,
            }
        )
        shared = {
            "pair_id": key,
            "url": url,
            "text": text,
            "clean_text": text,
            "lang_score": 0.9,
            "detector": "script",
        }
        mixed = len(languages) > 1
        matches += [shared | {"lang": lang, "mixed": mixed, "entry_ids": [1, 2]} for lang in languages]
    matches.append(matches[0] | {"pair_id": "f" * 32})  # matched, and not wanted
    write(run, "balance", "wanted", wanted, parts)
    write(run, "match", "matches", matches, parts)


def config(run: Path, **dedup_keys: Any) -> RunConfig:
    return RunConfig(
        run=RunSection(path=run, languages=("en", "ko")), balance=BalanceSection(t={"en": 20.0}),
        spark=SparkSection(partitions=2), neighbours=NeighboursSection(mode="exhaustive", audit=5),
        dedup=DedupSection(**dedup_keys),
    )  # fmt: skip


def table(run: Path, stage: str, name: str) -> list[dict[str, Any]]:
    key = {"rows": ["pair_id", "lang"], "edges": ["image_id_a", "image_id_b"]}.get(name, ["image_id"])
    return pq.read_table(run / stage / name).sort_by([(column, "ascending") for column in key]).to_pylist()


@pytest.fixture(scope="module")
def done(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Done:
    run = tmp_path_factory.mktemp("embed-dedup") / "run"
    make_run(run)
    return run, [stage.run(config(run)) for stage in STAGES]


def ledger(record: Record, unit: str) -> dict[str, Any]:
    return next(item for item in record.ledgers if item["unit"] == unit)


def test_captions_move_to_the_survivor_and_equal_ones_collapse(done: Done) -> None:
    run, (_, _, record) = done
    ids = {url.removeprefix(SITE): image_id(body) for url, body in pictures().items()}
    found = {
        (row["url"].removeprefix(SITE), row["lang"], row["text"]): row for row in table(run, "dedup", "rows")
    }
    assert sorted(found) == sorted(
        [
            ("0-large.png", "en", "a red thing"),
            ("0-mirror.png", "ko", "빨간 것"),
            ("1-border.png", "en", "second 둘째"),
            ("1-border.png", "ko", "second 둘째"),
            min((pair_id(SITE + name, "third"), (name, "en", "third")) for name in ("2.png", "2-again.png"))[
                1
            ],
            ("2-again.png", "ko", "셋째"),
            ("3.png", "en", "fourth"),
            ("plain-a.png", "en", "plain"),
            ("plain-b.png", "en", "plain"),
        ]
    )
    mirrored = found["0-mirror.png", "ko", "빨간 것"]
    assert (mirrored["image_id"], mirrored["source_image_id"]) == (ids["0-large.png"], ids["0-mirror.png"])
    assert mirrored["inherited"]
    assert (mirrored["keep_prob_wanted"], mirrored["coin"]) == (0.5, coin(mirrored["pair_id"], 0, "balance"))
    assert not found["2-again.png", "ko", "셋째"]["inherited"]  # the same bytes are the same picture
    assert {row["split"] for row in found.values() if row["image_id"] == ids["1-border.png"]} == {"heldout"}
    assert {row["split"] for row in found.values() if row["image_id"] != ids["1-border.png"]} == {"train"}
    assert ledger(record, "captions") == {
        "unit": "captions", "in": 13, "out": 8, "dropped": {"no_image": 2}, "merged": 3,
    }  # fmt: skip


def test_another_threshold_on_the_command_line_does_not_search_again(done: Done, tmp_path: Path) -> None:
    run = Path(shutil.copytree(done[0], tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in sorted((run / "neighbours").rglob("*"))}
    (tmp_path / "run.toml").write_text(
        f'[run]\npath = "{run}"\nlanguages = ["en", "ko"]\n[balance]\nt = {{en = 20.0}}\n'
        '[neighbours]\nmode = "exhaustive"\naudit = 5\n'
    )
    args = ["dedup", "--config", str(tmp_path / "run.toml"), "--threshold", "0.999"]
    assert main(args) == 2  # what is done was made with another threshold
    assert main([*args, "--on-existing", "overwrite"]) == 0
    assert read_record(run / "dedup").data["config"]["threshold"] == 0.999
    assert len(table(run, "dedup", "groups")) == len(table(done[0], "dedup", "groups"))
    assert before == {path: path.stat().st_mtime_ns for path in sorted((run / "neighbours").rglob("*"))}


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "adaptive"), [(2, False), (7, True)])
def test_the_tables_are_the_same_for_any_partitioning(
    done: Done,
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: int,
    adaptive: bool,
) -> None:
    run = tmp_path / "run"
    make_run(run, parts)
    monkeypatch.setattr(embed, "PICTURES_PER_TASK", 1 if parts == 7 else 5_000)
    own = replace(config(run), spark=SparkSection(partitions=parts, adaptive=adaptive))
    for stage, wanted in zip(STAGES, done[1], strict=True):
        assert stage.run(own).data["tables"] == wanted.data["tables"]


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 1])
def test_no_picture_and_one_picture_are_fine(spark: SparkSession, tmp_path: Path, keep: int) -> None:
    run = tmp_path / "run"
    make_run(run)
    outcomes = [row for row in table_of_outcomes(run) if row["status"] == "ok" and "cut" not in row["url"]][
        :keep
    ]
    pq.write_table(
        pa.Table.from_pylist(
            outcomes, schema=pa.schema([field.remove_metadata() for field in TABLES["outcomes"]])
        ),
        run / "download" / "outcomes" / "0.parquet",
    )
    record = [stage.run(config(run)) for stage in STAGES][-1]
    assert ledger(record, "images")["out"] == keep
    assert len(table(run, "dedup", "groups")) == keep


def table_of_outcomes(run: Path) -> list[dict[str, Any]]:
    return pq.read_table(run / "download" / "outcomes").sort_by("url").to_pylist()


def test_changed_raw_shards_are_told(spark: SparkSession, tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_run(run)
    shard = run / "download" / "raw" / "00001.tar"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(Exception, match="does not hold picture"):
        embed.run(config(run))
