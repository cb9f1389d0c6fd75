"""DataComp's resharder takes our shards as they are: what it does with a subset is emulated here, step by step as its code does it."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.config import RunConfig, SparkSection
from curation.config_balance import BalanceSection
from curation.manifest import num_files, read_manifest, shard_name
from curation.spark.selection import SelectOptions, select
from curation.stage import Record

pytestmark = pytest.mark.slow
SHARD_FORMAT = "train-{:05d}.tar"  # its option --shard-format
UID = np.dtype("u8,u8")
Member = dict[str, Any]


def samples_of(shard: Path) -> Iterator[Member]:
    """Members of a tar grouped by their names up to the first dot, as webdataset groups them."""
    sample: Member = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, _, ending = member.name.partition(".")
            if sample.get("__key__") != key:
                if sample:
                    yield sample
                sample = {"__key__": key}
            sample[ending] = tar.extractfile(member).read()  # type: ignore[union-attr]
    if sample:
        yield sample


def reshard(folder: Path, subset_file: Path) -> tuple[list[Member], int, int]:
    """What the resharder of mlfoundations/datacomp writes: samples, and how many it read and expected.

    Shards are counted by their names, sizes come from sizes.json, a sample's uid from its JSON, looked up from both sides.
    """
    subset = np.load(subset_file, mmap_mode="r")
    assert subset.dtype == UID
    table = json.loads((folder / "sizes.json").read_text())
    number = next(n for n in range(1_000) if not (folder / SHARD_FORMAT.format(n)).exists())
    written, read = [], 0
    for shard in range(number):
        for sample in samples_of(folder / SHARD_FORMAT.format(shard)):
            uid = json.loads(sample["json"])["uid"]
            key = np.array([divmod(int(uid, 16), 2**64)], UID)[0]
            times = np.searchsorted(subset, key, "right") - np.searchsorted(subset, key, "left")
            written += [sample | {"__key__": f"{uid}-{time}"} for time in range(times)]
            read += 1
    return written, read, sum(table[SHARD_FORMAT.format(shard)] for shard in range(number))


@pytest.fixture(scope="module")
def chosen(sealed: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A smaller selection than the run's own, so that of some pictures another caption than the first is selected."""
    options = SelectOptions(
        manifest=(sealed.run.path / "manifest",),
        out=tmp_path_factory.mktemp("selection") / "small",
        datacomp=True,
    )
    return select(options, BalanceSection(t={"en": 2.0}), SparkSection(partitions=2))


def test_the_resharder_copies_every_picture_with_a_selected_caption_once(
    sealed: RunConfig, chosen: Record
) -> None:
    rows = read_manifest(sealed.run.path / "manifest").to_pylist()
    ids = selected(chosen)
    written, read, expected = reshard(
        sealed.run.path / "manifest/shards", chosen.path / "datacomp-pictures.npy"
    )
    assert read == expected == len({row["image_id"] for row in rows if row["split"] == "train"})
    pictures = [json.loads(sample["json"])["image_id"] for sample in written]
    assert sorted(pictures) == sorted({row["image_id"] for row in rows if row["pair_id"] in ids})
    assert 0 < len(pictures) < read
    assert len(np.load(chosen.path / "datacomp-pictures.npy")) == len(
        written
    )  # it warns where some were not found
    captions = {item["pair_id"] for sample in written for item in json.loads(sample["json"])["captions"]}
    assert captions >= ids
    assert any(json.loads(sample["json"])["uid"] not in ids for sample in written)


def test_by_pair_the_resharder_copies_the_samples_whose_text_is_a_selected_caption(
    sealed: RunConfig, chosen: Record
) -> None:
    rows = {row["pair_id"]: row for row in read_manifest(sealed.run.path / "manifest").to_pylist()}
    written, _, _ = reshard(sealed.run.path / "manifest/shards", chosen.path / "datacomp.npy")
    assert written
    ids = selected(chosen)
    for sample in written:
        uid = json.loads(sample["json"])["uid"]
        assert uid in ids
        assert sample["txt"].decode() == rows[uid]["caption"]
    assert len(written) == len({min(same(rows, key)) for key in ids} & ids)


def same(rows: dict[str, Member], key: str) -> list[str]:
    """The pairs of a pair's picture."""
    return [one for one, row in rows.items() if row["image_id"] == rows[key]["image_id"]]


def selected(record: Record) -> set[str]:
    import pyarrow.parquet as pq

    rows = pq.read_table(record.path / "selection.parquet").to_pylist()
    return {row["pair_id"] for row in rows if row["selected"]}


def test_pictures_lie_in_the_shards_that_their_ids_name(sealed: RunConfig) -> None:
    """The column expression of the seal against `shard_name`."""
    rows = read_manifest(sealed.run.path / "manifest").to_pylist()
    pictures = {
        split: {row["image_id"] for row in rows if row["split"] == split} for split in ("train", "heldout")
    }
    shards = {
        split: num_files(len(found), sealed.manifest.images_per_shard) for split, found in pictures.items()
    }
    assert shards["train"] > 1
    for row in rows:
        assert row["shard"] == shard_name(row["split"], row["image_id"], shards[row["split"]])
