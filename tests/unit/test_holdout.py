"""What is near an evaluation set: as the definition reads, for any sets, and with every mistake named."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.dedup import holdout
from curation.dedup.holdout import (
    Near,
    Pool,
    find_sets,
    names_of,
    nearest,
    nearest_oracle,
    read_descriptors,
    targets_of,
)
from curation.dedup.kinds import Kind
from curation.errors import InputError, StageError
from curation.ids import coins

BARE = Kind("mine", "ab" * 32, 3, 3, 6)
LOOKING = replace(BARE, detail_bytes=2, agreement_bound=0.5)


def codes(num: int, purpose: str, kind: Kind = BARE, spread: int = 3) -> np.ndarray:
    """Codes of few values, so that pairs are near, equal and zero by the dozen."""
    keys = [str(number) for number in range(num * kind.views * kind.dimension)]
    drawn = (coins(keys, 0, purpose) * (2 * spread + 1)).astype(int) - spread
    drawn = drawn.reshape(num, kind.views, kind.dimension)
    drawn[:: max(1, num // 3), 1:] = drawn[:: max(1, num // 3), :1]
    drawn[:: max(1, num // 2)] = 0
    return drawn.astype(np.int8)


def ids(purpose: str, num: int) -> list[str]:
    return [hashlib.sha256(f"{purpose}{number}".encode()).hexdigest() for number in range(num)]


def details(num: int, purpose: str, kind: Kind) -> np.ndarray:
    drawn = coins([str(number) for number in range(num * kind.detail_bytes)], 1, purpose) * 4
    return drawn.astype(np.uint8).reshape(num, kind.detail_bytes)


def table(names: list[str], own_codes: np.ndarray, own_details: np.ndarray, kind: Kind) -> pa.Table:
    return pa.table(
        {
            "image_id": names,
            "codes": pa.array([row.tobytes() for row in own_codes], pa.binary()),
            "detail": pa.array(
                [row.tobytes() if kind.detail_bytes else None for row in own_details], pa.binary()
            ),
            "kind": pa.array([kind.name] * len(names), pa.string()),
            "kind_sha256": pa.array([kind.sha256] * len(names), pa.string()),
        }
    )


def agreement(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A second look: the share of details that are equal."""
    share: np.ndarray = (left == right).mean(axis=1)
    return share


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdout, "second_look", lambda kind: agreement if kind.detail_bytes else None)


def world(kind: Kind, pictures: int = 60) -> tuple[holdout.Targets, Pool]:
    """Two sets that share pictures, one of which lies in the pool too, and a pool."""
    set_ids, pool_ids = ids("set", 24), ids("pool", pictures)
    pool_ids[7] = set_ids[0]  # the same bytes; its codes are zero
    set_codes, set_details = codes(24, "set", kind), details(24, "set", kind)
    parts = {"b": slice(0, 16), "a": slice(10, 24)}
    tables = {
        name: table(set_ids[part], set_codes[part], set_details[part], kind) for name, part in parts.items()
    }
    pool = Pool(np.array(pool_ids, "S64"), codes(pictures, "pool", kind), details(pictures, "pool", kind))
    return targets_of(tables, kind), pool


def equal(found: Near, wanted: Near) -> None:
    for name in ("picture", "target", "cosine", "agreement"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize("kind", [BARE, LOOKING], ids=["codes alone", "a second look"])
@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.95, 1.0])
def test_near_pictures_are_those_of_the_definition(looks: None, kind: Kind, threshold: float) -> None:
    targets, pool = world(kind)
    wanted = nearest_oracle(targets, kind, pool, threshold)
    equal(nearest(targets, kind, pool, threshold), wanted)
    assert 7 in wanted.picture
    assert len(wanted.picture) > (1 if threshold < 0.9 else 0)


def test_blocks_of_the_sets_and_batches_of_the_pool_do_not_matter(
    looks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, pool = world(LOOKING)
    whole = nearest(targets, LOOKING, pool, 0.7)
    monkeypatch.setattr(holdout, "_BLOCK_BYTES", 4 * 18 * 5)
    equal(nearest(targets, LOOKING, pool, 0.7), whole)
    parts = []
    for start in range(0, 60, 7):
        rows = slice(start, start + 7)
        found = nearest(targets, LOOKING, Pool(pool.ids[rows], pool.codes[rows], pool.details[rows]), 0.7)
        parts.append(replace(found, picture=found.picture + start))
    equal(Near(*(np.concatenate([getattr(part, n) for part in parts]) for n in vars(whole))), whole)


def test_a_second_look_is_asked_for_the_next_best_where_the_best_disagrees(looks: None) -> None:
    vector = np.array([[9, 1, 0, 0, 0, 0]], np.int8)
    kind = replace(LOOKING, views=1, query_views=1)
    near = np.stack([vector, vector + np.int8([[0, 1, 0, 0, 0, 0]])])
    targets = targets_of(
        {"x": table(sorted(ids("t", 2)), near, np.array([[9, 9], [1, 1]], np.uint8), kind)}, kind
    )
    pool = Pool(np.array(ids("p", 1), "S64"), vector[None], np.array([[1, 1]], np.uint8))
    found = nearest(targets, kind, pool, 0.9)
    assert (found.target.tolist(), found.agreement.tolist()) == ([1], [1.0])
    assert 0.9 < found.cosine[0] < 1


def test_of_equal_cosines_the_first_set_by_name_stands_then_the_smallest_id() -> None:
    kind = replace(BARE, views=1, query_views=1)
    same = np.tile(np.array([[[3, 4, 0, 0, 0, 0]]], np.int8), (4, 1, 1))
    names = sorted(ids("t", 4))
    none = np.zeros((4, 0), np.uint8)
    rows = table(names, same, none, kind)
    targets = targets_of({"zoo": rows.slice(0, 1), "art": rows.slice(2, 2), "cat": rows.slice(1, 1)}, kind)
    found = nearest(targets, kind, Pool(np.array(ids("p", 1), "S64"), same[:1], none[:1]), 0.9)
    assert (found.target.tolist(), names_of(found, targets)) == ([2], ["art"])


@pytest.mark.parametrize("pictures", [0, 1])
def test_an_empty_pool_and_an_empty_set_are_fine(pictures: int) -> None:
    targets, pool = world(BARE)
    small = Pool(pool.ids[:pictures], pool.codes[:pictures], pool.details[:pictures])
    assert len(nearest(targets, BARE, small, 0.99).picture) <= pictures
    nothing = targets_of({"x": table([], codes(0, "x"), np.zeros((0, 0), np.uint8), BARE)}, BARE)
    assert not len(nearest(nothing, BARE, pool, 0.5).picture)


# ---- what a set is


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9), colour).save(stream, "PNG")
    return stream.getvalue()


def folder(place: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(body)
    return place


def test_pictures_are_found_at_any_depth_and_count_by_their_bytes(tmp_path: Path) -> None:
    red, blue = png("red"), png("blue")
    one = folder(
        tmp_path / "one", {"a.png": red, "deep/er/b.JPEG": blue, "labels.csv": b"a,b", ".DS_Store": red}
    )
    two = folder(tmp_path / "two", {"x": blue, "y/z.png": red, "twice.png": red, "_SUCCESS": b""})
    first, second = find_sets({"two": two, "one": one})
    assert (first.name, second.name) == ("one", "two")
    assert (
        sorted(first.pictures)
        == sorted(second.pictures)
        == sorted(hashlib.sha256(b).hexdigest() for b in (red, blue))
    )
    assert first.sha256 == second.sha256
    assert (first.files, second.files) == (3, 3)
    assert first.external() == {"path": "dedup.holdout.one", "sha256": first.sha256}
    folder(two, {"more.png": png("green")})
    assert find_sets({"two": two})[0].sha256 != second.sha256


@pytest.mark.parametrize(
    ("files", "named"),
    [({"a.txt": b"no"}, "no picture and no Parquet, in 1 files"), ({"a.png": png("red"), "b.parquet": b"x"}, "pictures and Parquet")],
)  # fmt: skip
def test_a_folder_that_is_neither_is_refused_by_name(
    tmp_path: Path, files: dict[str, bytes], named: str
) -> None:
    with pytest.raises(InputError, match=rf"dedup\.holdout\.coco.*{named}"):
        find_sets({"coco": folder(tmp_path / "set", files)})
    with pytest.raises(InputError, match=r"dedup\.holdout\.coco is .*gone"):
        find_sets({"coco": tmp_path / "gone"})


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "-x", "x" * 65, "안녕"])
def test_a_name_that_is_no_folders_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="make a name"):
        find_sets({name: tmp_path})


def described(place: Path, kind: Kind, drop: str = "", **columns: Any) -> holdout.HoldoutSet:
    rows = table(ids("set", 4), codes(4, "set", kind), details(4, "set", kind), kind)
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    place.mkdir(parents=True)
    pq.write_table(rows.drop_columns([drop] if drop else []), place / "part-0.parquet")
    return find_sets({"imagenet": place})[0]


def test_descriptors_can_be_given_instead_of_pictures(tmp_path: Path) -> None:
    found = read_descriptors(described(tmp_path / "a", LOOKING), LOOKING)
    assert found.column_names == list(holdout.READ)
    assert np.array_equal(targets_of({"imagenet": found}, LOOKING).member, np.ones((4, 1), bool))
    one_file = find_sets({"x": tmp_path / "a" / "part-0.parquet"})[0]
    assert read_descriptors(one_file, LOOKING).equals(found)


def test_descriptors_from_before_the_second_look_serve_a_kind_without_one(tmp_path: Path) -> None:
    assert read_descriptors(described(tmp_path / "a", BARE, drop="detail"), BARE).num_rows == 4
    with pytest.raises(StageError, match="details"):
        read_descriptors(described(tmp_path / "b", LOOKING, drop="detail"), LOOKING)


def test_a_set_of_another_kind_is_refused_and_all_are_named(tmp_path: Path) -> None:
    other = described(tmp_path / "a", replace(BARE, name="theirs", sha256="cd" * 32))
    with pytest.raises(StageError, match=r"dedup\.holdout\.imagenet .*theirs \(cd.*mine \(ab"):
        read_descriptors(other, BARE)


def test_parquet_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dedup\.holdout\.imagenet.*'codes'"):
        read_descriptors(described(tmp_path / "a", BARE, drop="codes"), BARE)
    folder(tmp_path / "b", {"part.parquet": b"PAR1 but no more"})
    with pytest.raises(InputError, match=r"dedup\.holdout\.x"):
        read_descriptors(find_sets({"x": tmp_path / "b"})[0], BARE)
