"""Evaluation sets against a run's descriptors: what `dedup` drops for them, whatever form a set has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawings import saved
from PIL import Image
from pyspark.sql import SparkSession

from curation.config import RunConfig, RunSection, SparkSection
from curation.config_dedup import DedupSection, EmbedSection
from curation.dedup.holdout import find_sets, nearest_oracle, read_descriptors, targets_of
from curation.dedup.kinds import Kind, recipe_of
from curation.errors import ConfigError, StageError
from curation.ids import image_id
from curation.schemas import TABLES
from curation.spark.holdout import near_holdout, pool_of
from curation.spark.stage import read_table
from curation.stage import OpenStage, Record, StageSpec

KIND = recipe_of("builtin").kind


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    levels = ((np.arange(60).reshape(4, 5, 3) * (37 + 2 * seed) + 11 * seed * seed) % 256).astype(np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)


POOL = [*(saved(picture(seed)) for seed in range(8)), saved(Image.new("RGB", (20, 20), "white"))]


def described(bodies: list[bytes], kind: Kind = KIND) -> pa.Table:
    found = recipe_of("builtin").describer()(bodies)
    kept = [n for n in range(len(bodies)) if n not in found.failed]
    rows = [
        {
            "image_id": image_id(bodies[n]), "width": int(found.width[n]), "height": int(found.height[n]),
            "codes": found.codes[n].tobytes(), "detail": found.detail[n] if found.detail else None,
            "kind": kind.name, "kind_sha256": kind.sha256,
        }
        for n in kept
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema([f.remove_metadata() for f in TABLES["descriptors"]]))


def stage_of(
    path: Path, holdout: dict[str, Path], *, kind: Kind = KIND, embed_kind: str = "builtin", **keys: Any
) -> OpenStage:
    """A stage at work over the descriptors of `POOL`."""
    (path / "embed" / "descriptors").mkdir(parents=True, exist_ok=True)
    pq.write_table(described(POOL, kind), path / "embed" / "descriptors" / "0.parquet")
    (path / "dedup").mkdir(exist_ok=True)
    config = RunConfig(
        run=RunSection(path=path), spark=SparkSection(partitions=2), embed=EmbedSection(kind=embed_kind),
        dedup=DedupSection(holdout=holdout, threshold=0.95, **keys),
    )  # fmt: skip
    record = Record(path / "embed", {"stage": "embed", "notes": {"kind": kind.as_note()}})
    return OpenStage(
        config, StageSpec(name="dedup", section="dedup", version=1), path / "dedup", {"embed": record}
    )


def found_in(spark: SparkSession, stage: OpenStage, parts: int = 3) -> list[dict[str, Any]]:
    frame = read_table(spark, stage.input("embed"), "descriptors").repartition(parts, "image_id")
    near = near_holdout(
        stage, frame, find_sets(stage.config.dedup.holdout), stage.path / "near", device="cpu"
    )
    return [row.asDict() for row in near.orderBy("image_id").collect()]


def folder(place: Path, files: dict[str, bytes]) -> Path:
    place.mkdir(parents=True)
    for name, body in files.items():
        (place / name).write_bytes(body)
    return place


@pytest.fixture
def holdout(tmp_path: Path) -> dict[str, Path]:
    """Three sets: of pictures, one of them plain and one broken; of descriptors; and of something else."""
    flickr = {
        "a.png": saved(picture(1, (128, 96))),
        "b.png": POOL[8],
        "broken.png": POOL[0][:80],
        "labels.csv": b"a,1",
    }
    coco = tmp_path / "coco"
    coco.mkdir()
    pq.write_table(described([POOL[2], saved(picture(1, (96, 72)))]), coco / "part.parquet")
    return {
        "flickr": folder(tmp_path / "flickr", flickr), "coco": coco,
        "other": folder(tmp_path / "other", {"x.png": saved(picture(77).rotate(90))}),
    }  # fmt: skip


def test_what_is_near_a_set_is_named_with_the_set_and_the_cosine(
    spark: SparkSession, tmp_path: Path, holdout: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    stage = stage_of(tmp_path / "run", holdout)
    rows = {row["image_id"]: row for row in found_in(spark, stage)}
    assert {key: row["holdout"] for key, row in rows.items()}.items() >= {
        (image_id(POOL[8]), "flickr"), (image_id(POOL[2]), "coco"),
    }  # fmt: skip
    assert rows[image_id(POOL[2])]["near"] == image_id(POOL[2])
    assert rows[image_id(POOL[8])]["holdout_cosine"] == 1.0  # plain: by its bytes alone
    assert 0.95 <= rows[image_id(POOL[1])]["holdout_cosine"] <= 1
    notes = stage.notes["holdout"]["sets"]
    assert {name: (note["pictures"], note["undecodable"]) for name, note in notes.items()} == {
        "flickr": (2, 1), "coco": (2, 0), "other": (1, 0),
    }  # fmt: skip
    assert sum(note["dropped"] for note in notes.values()) == len(rows) == 3
    assert "warning: 1 of 3 pictures of dedup.holdout.flickr" in capfd.readouterr().err


def test_it_is_what_the_definition_says_for_any_partitioning(
    spark: SparkSession, tmp_path: Path, holdout: dict[str, Path]
) -> None:
    stage = stage_of(tmp_path / "run", holdout, holdout_threshold=0.7)
    rows = found_in(spark, stage, 1)
    assert found_in(spark, stage_of(tmp_path / "run", holdout, holdout_threshold=0.7), 7) == rows
    sets = {one.name: one for one in find_sets(holdout)}
    tables = {
        name: described([path.read_bytes() for path in one.pictures.values()]).select(
            ["image_id", "codes", "detail", "kind", "kind_sha256"]
        ) if one.pictures else read_descriptors(one, KIND)
        for name, one in sets.items()
    }  # fmt: skip
    targets, pool = targets_of(tables, KIND), pool_of(described(POOL).sort_by("image_id"), KIND)
    wanted = nearest_oracle(targets, KIND, pool, 0.7)
    assert [row["image_id"].encode() for row in rows] == pool.ids[wanted.picture].tolist()
    assert [row["near"].encode() for row in rows] == targets.ids[wanted.target].tolist()
    assert [row["holdout_cosine"] for row in rows] == wanted.cosine.tolist()


def test_the_descriptors_that_are_left_serve_as_well_as_the_pictures(
    spark: SparkSession, tmp_path: Path, holdout: dict[str, Path]
) -> None:
    stage = stage_of(tmp_path / "run", {"flickr": holdout["flickr"]})
    rows = found_in(spark, stage)
    assert list(stage.files) == ["holdout/flickr/descriptors.parquet"]
    kept = {"flickr": tmp_path / "run" / "dedup" / "holdout" / "flickr"}
    again = stage_of(tmp_path / "again", kept)
    assert found_in(spark, again) == rows
    assert not again.files


def test_no_set_is_nobody(spark: SparkSession, tmp_path: Path) -> None:
    stage = stage_of(tmp_path / "run", {})
    assert found_in(spark, stage) == []
    assert "holdout" not in stage.notes


def test_kinds_never_mix(spark: SparkSession, tmp_path: Path, holdout: dict[str, Path]) -> None:
    other = replace(KIND, name="theirs", sha256="cd" * 32)
    with pytest.raises(StageError, match=r"dedup\.holdout\.coco .*" + KIND.name + ".*theirs"):
        found_in(spark, stage_of(tmp_path / "run", {"coco": holdout["coco"]}, kind=other))
    with pytest.raises(ConfigError, match=r"dedup\.holdout\.flickr .*embed\.kind.*theirs"):
        found_in(spark, stage_of(tmp_path / "run", {"flickr": holdout["flickr"]}, kind=other))
