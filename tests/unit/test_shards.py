"""Shards are the same bytes for the same pictures, and every reader finds the bytes where the places say."""

import hashlib
import json
import tarfile
from itertools import permutations
from pathlib import Path

import pytest

from curation.manifest import num_files, shard_name
from curation.shards import RawReader, Sample, sealed, write_shard

BODIES = [b"\xff\xd8" + bytes([i]) * (700 * i + 3) for i in range(4)]


def samples_in(folder: Path) -> list[Sample]:
    """Raw shards of two pictures each, plain bytes with some before them."""
    samples = []
    for index, body in enumerate(BODIES):
        name = f"{index // 2}.tar"
        path = folder / name
        offset = path.stat().st_size if path.exists() else 0
        with path.open("ab") as file:
            file.write(b"head" + body)
        captions = (
            {"pair_id": "0", "lang": "ko", "text": "빨간 별"},
            {"pair_id": "1", "lang": "en", "text": "star"},
        )
        samples.append(
            Sample(
                hashlib.sha256(body).hexdigest(),
                "image/jpeg",
                name,
                offset + 4,
                len(body),
                captions,
                width=3,
                height=2,
            )
        )
    return samples


def test_a_shard_is_the_same_bytes_in_any_order_of_its_samples(tmp_path: Path) -> None:
    samples = samples_in(tmp_path)
    found = set()
    for order in permutations(samples):
        _, sha256 = write_shard(tmp_path / "a.tar", order, RawReader(tmp_path))
        assert hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest() == sha256
        found.add(sha256)
    assert len(found) == 1
    assert not list(tmp_path.glob(".*"))


def test_every_picture_lies_at_its_place_untouched(tmp_path: Path) -> None:
    samples = samples_in(tmp_path)
    places, _ = write_shard(tmp_path / "a.tar", samples, RawReader(tmp_path))
    data = (tmp_path / "a.tar").read_bytes()
    assert [place.image_id for place in places] == sorted(sample.image_id for sample in samples)
    for place in places:
        assert hashlib.sha256(data[place.offset : place.offset + place.size]).hexdigest() == place.image_id


def test_tarfile_reads_picture_json_and_one_caption(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", samples_in(tmp_path), RawReader(tmp_path))
    with tarfile.open(tmp_path / "a.tar") as tar:
        members = tar.getmembers()
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {
            (0, 0, 0, "", 0o644)
        }
        names = [member.name for member in members]
        described = json.load(tar.extractfile(names[1]))  # type: ignore[arg-type]
        caption = tar.extractfile(names[2]).read().decode()  # type: ignore[union-attr]
    assert [name.partition(".")[2] for name in names[:3]] == ["jpg", "json", "txt"]
    assert names == sorted(names)
    assert described["captions"][0]["text"] == caption == "빨간 별"
    assert described["uid"] == described["captions"][0]["pair_id"]


def test_a_shard_of_the_first_version_is_sealed_again_without_uids(tmp_path: Path) -> None:
    sample = samples_in(tmp_path)[0]
    first, now = (sealed(sample, BODIES[0], version=version) for version in (1, 2))
    assert b'"uid"' not in first
    assert now.replace(b'"uid": "0", ', b"").replace(b"\0", b"") != now.replace(b"\0", b"")
    assert sealed(sample, BODIES[0]) == now


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    write_shard(tmp_path / "a.tar", samples_in(tmp_path), RawReader(tmp_path))
    found = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False, empty_check=False))
    assert {sample["__key__"]: sample["jpg"] for sample in found} == {
        hashlib.sha256(body).hexdigest(): body for body in BODIES
    }
    assert {sample["txt"].decode() for sample in found} == {"빨간 별"}


def test_a_raw_shard_that_holds_other_bytes_is_an_error_and_nothing_is_renamed(tmp_path: Path) -> None:
    samples = samples_in(tmp_path)
    (tmp_path / "0.tar").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match=r"0\.tar"):
        write_shard(tmp_path / "a.tar", samples, RawReader(tmp_path))
    assert not (tmp_path / "a.tar").exists()


def test_more_raw_shards_than_may_be_open_at_once_are_read(tmp_path: Path) -> None:
    reader = RawReader(tmp_path)
    reader.MAX_OPEN = 1
    samples = samples_in(tmp_path)
    for _ in range(2):
        assert [reader(sample) for sample in samples] == BODIES
    reader.close()


def test_pictures_spread_over_the_shards_by_their_ids() -> None:
    assert num_files(0, 10) == num_files(10, 10) == 1
    assert num_files(11, 10) == 2
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(2_000)]
    names = [shard_name("train", key, 4) for key in ids]
    assert set(names) == {f"shards/train-{i:05d}.tar" for i in range(4)}
    assert [names[i] for i in sorted(range(2_000), key=ids.__getitem__)] == sorted(names)
