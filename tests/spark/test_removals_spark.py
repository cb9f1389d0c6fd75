"""The removal list in a run: nothing listed is asked for, kept as bytes, sealed or counted twice, and another list is another manifest."""

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from badserver import BadServer, bad_server
from pyspark.sql import SparkSession

from curation import pipeline
from curation.config import (
    DownloadSection,
    RunConfig,
    RunSection,
)
from curation.download import outcomes_of
from curation.errors import Reason, StageError
from curation.ids import coin
from curation.manifest import read_manifest
from curation.removal_files import load_removals
from curation.removals import RULES
from curation.spark.removals import REMOVED, split_removed
from curation.stage import Record, read_record
from trainer.manifest import read_rows, removed_pairs, without

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[BadServer]:
    with bad_server() as running:
        yield running


def test_nothing_listed_is_asked_for_or_kept(server: BadServer, tmp_path: Path) -> None:
    urls = [server.url(f"/pic/{n}.png") for n in range(6)]
    section = DownloadSection(
        threads=2, timeout=2.0, total_timeout=5.0, retries=0, allow_hosts=("127.0.0.1",)
    )
    bodies = {found.url: found.fetched.body for found in outcomes_of(urls, section)}
    (tmp_path / "r.txt").write_text(f"{urls[0]}#x\n{hashlib.sha256(bodies[urls[1]]).hexdigest()}\n")
    server.hits.clear()
    found = {out.url: out for out in outcomes_of(urls, section, load_removals([str(tmp_path / "r.txt")]))}
    removed = {url for url, out in found.items() if out.fetched.reason == Reason.REMOVED}
    assert removed == {urls[0], urls[1]}
    assert dict(server.hits) == {
        f"/pic/{n}.png": 1 for n in range(1, 6)
    }  # a hash is known once the bytes are
    assert found[urls[1]].image_id is None


def test_a_redirect_does_not_lead_to_what_is_listed(server: BadServer, tmp_path: Path) -> None:
    end = server.url("/pic/9.png")
    section = DownloadSection(
        threads=1, timeout=2.0, total_timeout=5.0, retries=0, allow_hosts=("127.0.0.1",)
    )
    (before,) = outcomes_of([server.url(f"/to/{end}")], section)
    assert before.fetched.reason is None
    (tmp_path / "r.txt").write_text(end + "\n")
    server.hits.clear()
    (after,) = outcomes_of([server.url(f"/to/{end}")], section, load_removals([str(tmp_path / "r.txt")]))
    assert after.fetched.reason == Reason.REMOVED
    assert after.fetched.detail == "url in the removal list"
    assert "/pic/9.png" not in server.hits


def test_spark_and_a_table_in_memory_remove_the_same_rows(spark: SparkSession, tmp_path: Path) -> None:
    pictures = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(40)]
    rows = []
    for n in range(300):
        own = pictures[int(coin(str(n), 0, "own") * 40)]
        shown = own if coin(str(n), 0, "moved") < 0.7 else pictures[int(coin(str(n), 0, "shown") * 40)]
        url = f"http://h{n % 7}.d{n % 3}.org/{n}.jpg"
        rows.append({"pair_id": f"{n:032x}", "url": url, "image_id": shown, "source_image_id": own})
    listed = [row["url"] for row in rows[::4]] + pictures[:5] + ["d1.org", "h3.d2.org"]
    (tmp_path / "r.txt").write_text("\n".join(listed))
    removals, table = load_removals([str(tmp_path / "r.txt")]), pa.Table.from_pylist(rows)
    expected = dict(
        zip(table["pair_id"].to_pylist(), removals.rules_of_table(table).to_pylist(), strict=True)
    )
    assert set(expected.values()) == {*RULES, None}
    for parts in (1, 7):
        found = split_removed(spark.createDataFrame(rows).repartition(parts), removals)
        assert {row["pair_id"]: row[REMOVED] for row in found.collect()} == expected
    untouched = split_removed(spark.createDataFrame(rows), load_removals([]))
    assert {row[REMOVED] for row in untouched.collect()} == {None}


def resealed(config: RunConfig, path: Path, lines: list[str]) -> tuple[RunConfig, Record]:
    """Seal the run's survivors again, in a run of its own that takes all else from the first."""
    path.mkdir(exist_ok=True)
    (path / "removals.txt").write_text("\n".join(["# as asked", *lines]), encoding="utf-8")
    run = RunSection(
        path=path / "run", parent=config.run.path, seed=config.run.seed, languages=config.run.languages,
        heldout_share=config.run.heldout_share, removals=(str(path / "removals.txt"),),
    )  # fmt: skip
    for name in ("dedup", "balance-survivors", "download"):
        shutil.copytree(config.run.path / name, path / "run" / name, dirs_exist_ok=True)
    changed = replace(config, run=run)
    return changed, pipeline.run_one(changed, "manifest")


def members_of(folder: Path) -> set[str]:
    """SHA-256 of every member of every shard, read as plain bytes."""
    found = set()
    for shard in (folder / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found.add(hashlib.sha256(file.read()).hexdigest())
    return found


def test_a_removed_pictures_bytes_are_in_no_shard_and_the_trainer_needs_no_other_seal(
    sealed: RunConfig, tmp_path: Path
) -> None:
    before = read_manifest(sealed.run.path / "manifest")
    rows = before.to_pylist()
    image, url, host = rows[0]["image_id"], rows[len(rows) // 2]["url"], rows[-1]["url"].split("/")[2]
    config, record = resealed(sealed, tmp_path / "a", [image, url + "#x", host.partition(":")[0]])
    folder = config.run.path / "manifest"
    after, removed = read_manifest(folder), pq.read_table(folder / "removed")
    assert record.data["tables"]["removed"]["rows"] == len(removed) > 3
    assert set(before["pair_id"].to_pylist()) == {
        *after["pair_id"].to_pylist(),
        *removed["pair_id"].to_pylist(),
    }
    assert len(before) == len(after) + len(removed)
    gone = set(before["image_id"].to_pylist()) - set(after["image_id"].to_pylist())
    assert image in gone
    assert not gone & members_of(folder)
    assert gone <= members_of(sealed.run.path / "manifest")
    texts = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert url.encode() not in texts
    sums = {ledger["unit"]: ledger for ledger in record.ledgers}
    assert sums["captions"]["dropped"] == {"removed": len(removed)}
    assert sums["images"]["dropped"] == {"removed": len(gone)}
    assert sums["images"]["in"] == sums["images"]["out"] + len(gone)
    assert record.notes["removals"]["urls"] == record.notes["removals"]["domains"] == 1
    # The trainer, given the list and the first manifest, reads what the second one holds.
    first = sealed.run.path / "manifest"
    read = without(read_rows(first), removed_pairs(first, load_removals(config.run.removals)))
    columns = ["pair_id", "caption", "image_id", "selected", "split"]
    assert read.select(columns).to_pylist() == read_rows(folder).select(columns).to_pylist()


def test_another_list_is_another_manifest_and_comments_are_none(sealed: RunConfig, tmp_path: Path) -> None:
    row = read_manifest(sealed.run.path / "manifest").to_pylist()[0]
    config, first = resealed(sealed, tmp_path / "c", ["nobody.example.org"])
    same = {name: first.data["files"][name] for name in first.data["files"]}
    assert same == read_record(sealed.run.path / "manifest").data["files"]  # nothing of it is in the pool
    (tmp_path / "c" / "removals.txt").write_text("# who\n\nNOBODY.example.org. # when\n")
    assert pipeline.run_one(config, "manifest").skipped
    (tmp_path / "c" / "removals.txt").write_text(f"nobody.example.org\n{row['image_id']}\n")
    with pytest.raises(StageError, match=r"externals\.run\.removals\.sha256 .*--on-existing overwrite"):
        pipeline.run_one(config, "manifest")
    with pytest.raises(StageError, match="externals"):
        pipeline.run_one(replace(config, run=replace(config.run, removals=())), "manifest")
