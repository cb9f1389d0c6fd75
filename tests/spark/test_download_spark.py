import hashlib
import os
import socket
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from badserver import BadServer, bad_server, picture

from curation.config import BalanceSection, DownloadSection, RunConfig, RunSection
from curation.download import (
    ShardDownloader,
    ShardReader,
    distributor,
    is_done,
    num_shards,
    require_all,
    shard_of,
)
from curation.errors import StageError
from curation.schemas import TABLES, stable_columns
from curation.spark import download
from curation.stage import OpenStage, Record, StageSpec, run_stage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ODD = (
    "/noai.jpg", "/gone.jpg", "/page.jpg", "/drawing.svg", "/cut.jpg", "/bomb.png", "/tiny.png", "/large.jpg", "/loop.jpg",
    "/to-metadata.jpg", "/hang-up.jpg", "/empty.jpg", "/garbage.jpg", "/thumbnail.jpg",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[BadServer]:
    with bad_server() as running:
        yield running


def addresses(server: BadServer, pictures: int = 60) -> list[str]:
    """Pictures, each third of them the same bytes as another, and one of each misbehaviour."""
    good = [
        server.url(f"/pic/{n % (2 * pictures // 3)}.{('jpg', 'png')[n % 2]}?{n}") for n in range(pictures)
    ]
    return [*good, *(server.url(path) for path in ODD)]


def config_of(path: Path, **settings: Any) -> RunConfig:
    section = {"urls_per_shard": 10, "threads": 4, "timeout": 2.0, "total_timeout": 5.0, "retries": 0}
    section |= {"allow_hosts": ("127.0.0.1",)} | settings
    return RunConfig(run=RunSection(path=path), balance=BalanceSection(), download=DownloadSection(**section))


def give_wanted(config: RunConfig, urls: list[str]) -> None:
    """Write a balance stage whose table names each address in one row or two."""

    def work(stage: OpenStage) -> None:
        rows = [
            {"pair_id": hashlib.sha256(f"{n}{url}".encode()).hexdigest()[:32], "url": url, "keep_prob": 1.0, "coin": 0.5, "held_out": False}
            for n, url in enumerate(urls + urls[::3])
        ]  # fmt: skip
        place = stage.path / "wanted"
        place.mkdir()
        pq.write_table(pa.Table.from_pylist(rows, schema=TABLES["wanted"]), place / "part-0.parquet")
        stage.add_table("wanted", rows=len(rows), digest="0")

    run_stage(config, StageSpec(name="balance", section="balance", version=1), work)


def stable_rows(path: Path) -> list[dict[str, Any]]:
    table = pq.read_table(path / "download" / "outcomes", columns=stable_columns("outcomes"))
    return sorted(table.to_pylist(), key=lambda row: row["url"])


def downloaded(path: Path, urls: list[str], **settings: Any) -> tuple[Record, list[dict[str, Any]]]:
    config = config_of(path, **settings)
    give_wanted(config, urls)
    return download.run(config), stable_rows(path)


def check_tars(path: Path) -> int:
    """Check that every kept picture lies where its outcome says; return the number of members."""
    raw = path / "download" / "raw"
    kept = [row for row in pq.read_table(path / "download" / "outcomes").to_pylist() if row["status"] == "ok"]
    for row in kept:
        with (raw / row["raw_shard"]).open("rb") as file:
            file.seek(row["raw_offset"])
            assert hashlib.sha256(file.read(row["bytes"])).hexdigest() == row["image_id"]
    members = []
    for tar in raw.glob("*.tar"):
        with tarfile.open(tar) as opened:
            members += [(tar.name, member.name) for member in opened.getmembers()]
    endings = {"image/jpeg": "jpg", "image/png": "png"}
    assert {(row["raw_shard"], f"{row['image_id']}.{endings[row['mime']]}") for row in kept} == set(members)
    assert len(members) == len(set(members))
    return len(members)


@pytest.fixture(scope="module")
def reference(
    server: BadServer, spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Record, list[dict[str, Any]]]:
    path = tmp_path_factory.mktemp("reference") / "run"
    return path, *downloaded(path, addresses(server))


def test_every_address_has_one_outcome_and_the_sum_closes(
    server: BadServer, reference: tuple[Path, Record, list[dict[str, Any]]]
) -> None:
    path, record, rows = reference
    assert [row["url"] for row in rows] == sorted(set(addresses(server)))
    by_reason = Counter(row["reason"] for row in rows)
    assert record.ledgers == [
        {"unit": "urls", "in": len(rows), "out": by_reason.pop(None), "dropped": dict(sorted(by_reason.items())), "merged": 0}
    ]  # fmt: skip
    assert by_reason == {
        "opted_out": 1, "http_status": 1, "not_an_image": 2, "body_truncated": 1, "too_many_pixels": 1, "too_few_pixels": 1,
        "body_too_large": 1, "too_many_redirects": 1, "private_address": 1, "no_connection": 2, "body_empty": 1,
    }  # fmt: skip
    assert check_tars(path) >= record.notes["distinct_images"]
    assert not list((path / "download" / "raw").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"urls_per_shard": 1_000}, {"urls_per_shard": 27, "processes": 1}, {"threads": 1}]
)
def test_outcomes_are_the_same_for_any_sharding_and_any_number_of_processes(
    server: BadServer,
    reference: tuple[Path, Record, list[dict[str, Any]]],
    run_path: Path,
    settings: dict[str, int],
) -> None:
    record, rows = downloaded(run_path, addresses(server), **settings)
    assert rows == reference[2]
    assert record.data["tables"] == reference[1].data["tables"]
    check_tars(run_path)


class Killed(BaseException):
    """A kill in the middle of a run."""


def test_a_killed_run_goes_on_where_it_was(
    spark: "SparkSession",
    reference: tuple[Path, Record, list[dict[str, Any]]],
    server: BadServer,
    run_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(run_path)
    give_wanted(config, addresses(server))

    def die_half_way() -> Any:
        def half(count: int, downloader: Any, reader: Any, size: int, tries: int) -> None:
            distributor()(count, downloader, list(reader)[:4], size, tries)
            raise Killed

        return half

    with monkeypatch.context() as patch:
        patch.setattr(download, "distributor", die_half_way)
        with pytest.raises(Killed):
            download.run(config)
    raw = run_path / "download" / "raw"
    done = {path.name: path.stat().st_mtime_ns for path in raw.glob("*.parquet")}
    assert len(done) == 4
    (raw / ".00099.host.1.2.tar.tmp").write_bytes(b"the rest of a killed attempt")
    (raw / "00001-deadbeef.tar").write_bytes(b"the tar of an attempt that never committed")
    shard = min(done)  # an outcome file whose tar is lost is not done
    next(raw.glob(shard.partition(".")[0] + "-*.tar")).unlink()
    download.run(config)
    assert stable_rows(run_path) == reference[2]
    assert {name for name, time in done.items() if (raw / name).stat().st_mtime_ns == time} == set(done) - {
        shard
    }
    check_tars(run_path)


def test_a_run_killed_after_its_table_was_written_goes_on(
    spark: "SparkSession", server: BadServer, run_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(run_path)
    urls = addresses(server, 9)[:9]
    give_wanted(config, urls)

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(download, "sweep", lambda raw, keep=None: die() if keep is not None else None)
        with pytest.raises(Killed):
            download.run(config)
    assert (run_path / "download" / "outcomes").is_dir()
    hits = server.hits.copy()
    download.run(config)
    assert [row["status"] for row in stable_rows(run_path)] == ["ok"] * 9
    assert server.hits == hits
    assert download.run(config).skipped


@pytest.mark.slow
def test_a_task_that_dies_twice_neither_loses_nor_doubles_a_row(
    spark: "SparkSession",
    reference: tuple[Path, Record, list[dict[str, Any]]],
    server: BadServer,
    run_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaths = run_path.parent / "deaths"
    deaths.mkdir()
    monkeypatch.setattr(download, "ShardDownloader", _dying(str(deaths)))
    _, rows = downloaded(run_path, addresses(server))
    assert len(list(deaths.iterdir())) == 2
    assert rows == reference[2]
    check_tars(run_path)


def _dying(deaths: str) -> Any:
    """A downloader whose process ends twice: before the work on a shard, and after it as its results are underway."""

    def make(**settings: Any) -> Any:
        inner = ShardDownloader(**settings)

        def call(row: Any) -> Any:
            first, second = Path(deaths, "1"), Path(deaths, "2")
            if row[0] == 2 and not first.exists():
                first.touch()
                os._exit(1)
            answer = inner(row)
            if row[0] == 2 and not second.exists():
                second.touch()
                os._exit(1)
            return answer

        return call

    return make


def _reader(server: BadServer, path: Path, urls: list[str]) -> tuple[ShardReader, ShardDownloader]:
    todo, raw = path / "todo", path / "raw"
    (todo / "shard=0").mkdir(parents=True)
    raw.mkdir()
    pq.write_table(pa.table({"url": urls}), todo / "shard=0" / "part-0.parquet")
    reader = ShardReader(todo=todo, raw=raw)
    return reader, ShardDownloader(section=config_of(path).download, raw=str(raw))


def test_a_shard_that_is_executed_twice_at_once_is_committed_whole(server: BadServer, tmp_path: Path) -> None:
    urls = addresses(server, 30)
    reader, downloader = _reader(server, tmp_path, urls)
    (row,) = reader
    threads = [Thread(target=downloader, args=(row,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(reader) == []
    rows = pq.read_table(tmp_path / "raw" / "00000.parquet").to_pylist()
    assert sorted(row["url"] for row in rows) == sorted(urls)
    for row in rows:
        if row["status"] == "ok":
            body = (tmp_path / "raw" / row["raw_shard"]).read_bytes()[row["raw_offset"] :][: row["bytes"]]
            assert hashlib.sha256(body).hexdigest() == row["image_id"]


def test_a_shard_that_fails_as_a_whole_is_named_and_the_others_are_kept(
    spark: "SparkSession", server: BadServer, run_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_one(*args: Any) -> Path:
        place = _real_plan(*args)
        for part in (place / "shard=1").glob("*.parquet"):
            part.write_bytes(b"not parquet")
        return place

    monkeypatch.setattr(download, "plan", lose_one)
    config = config_of(run_path)
    give_wanted(config, addresses(server, 30))
    monkeypatch.setattr(download, "_count", lambda *_: 44)
    with pytest.raises(
        StageError, match=r"1 of \d shards failed: 00001; the first: .*Parquet.*; run it again"
    ):
        download.run(config)
    raw = run_path / "download" / "raw"
    assert is_done(raw, 0)
    assert not is_done(raw, 1)


_real_plan = download.plan


def test_a_failed_shard_without_a_word_is_named_too(server: BadServer, tmp_path: Path) -> None:
    reader, _ = _reader(server, tmp_path, [server.url("/ok.jpg")])
    with pytest.raises(StageError, match="00000; the first: its task left no word"):
        require_all(reader)


def test_nothing_wanted_is_an_empty_table(spark: "SparkSession", run_path: Path) -> None:
    record, rows = downloaded(run_path, [])
    assert rows == []
    assert record.ledgers == [{"unit": "urls", "in": 0, "out": 0, "dropped": {}, "merged": 0}]


def test_shards_are_cut_by_the_address_alone_in_spark_as_in_python(
    reference: tuple[Path, Record, list[dict[str, Any]]],
    server: BadServer,
    spark: "SparkSession",
    tmp_path: Path,
) -> None:
    urls = addresses(server)
    config = config_of(tmp_path / "run")
    give_wanted(config, urls)
    stage = OpenStage(config, download.SPEC, tmp_path, {"balance": Record(tmp_path / "run" / "balance", {})})
    todo = download.plan(spark, stage, 10)
    shards = num_shards(len(urls), 10)
    found = {
        url: int(place.name.partition("=")[2])
        for place in todo.glob("shard=*")
        for url in pq.read_table(place, partitioning=None).column("url").to_pylist()
    }
    assert found == {url: shard_of(url, shards) for url in urls}


@contextmanager
def pool_server(script: Path) -> Iterator[str]:
    """Serve the shared pool as its script does, in a process of its own; give the address of its root."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, str(script), "--port", port, "--seconds", "900"]
    with Popen(command, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("serving ")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@pytest.mark.slow
def test_the_shared_pool_ends_in_the_reasons_that_its_server_makes(
    shared: Path, spark: "SparkSession", run_path: Path
) -> None:
    bad = {
        "bad/loop.jpg": "too_many_redirects", "bad/private.jpg": "private_address", "bad/slow.jpg": "timeout",
        "bad/huge.jpg": "body_too_large", "bad/empty.jpg": "body_empty", "bad/html.jpg": "not_an_image",
        "bad/truncated.jpg": "body_truncated", "bad/bomb.png": "too_many_pixels", "bad/404.jpg": "http_status",
        "optout/0.jpg": "opted_out",
    }  # fmt: skip
    # The server lets five connections wait and drops what comes beyond: a dropped one is tried again after 1 and 3 seconds.
    # Two processes of two threads stay below that, and no wait but that for slow.jpg, of 30 seconds, comes near 10.
    patient = {"threads": 2, "processes": 2, "timeout": 10.0, "total_timeout": 20.0}
    with (
        pool_server(shared / "pool" / "serve.py") as base,
        zipfile.ZipFile(shared / "pool" / "site.zip") as site,
    ):
        good = sorted(name for name in site.namelist() if not name.startswith(("bad/", "optout/")))
        names = good[::60][:300]
        _, rows = downloaded(
            run_path, [base + name for name in (*names, *bad)], urls_per_shard=150, **patient
        )
        found = {row["url"].removeprefix(base): row for row in rows}
        assert {name: found[name]["reason"] for name in bad} == bad
        assert found["optout/0.jpg"]["opt_out"] == "X-Robots-Tag: noai, noimageai"
        for name in names:
            assert found[name]["image_id"] == hashlib.sha256(site.read(name)).hexdigest()
    check_tars(run_path)


def test_a_picture_of_the_test_server_depends_on_its_shade() -> None:
    assert picture(shade=1) != picture(shade=2)


def test_a_changed_section_is_another_stage(
    reference: tuple[Path, Record, list[dict[str, Any]]], spark: "SparkSession"
) -> None:
    config = config_of(reference[0])
    other = replace(config, download=replace(config.download, max_pixels=1_000))
    with pytest.raises(StageError, match="max_pixels"):
        download.run(other)
