"""Subsets in DataComp's form are what its own recipe writes, sorted, and read back; what is none of them is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.datacomp import UID, read_subset, to_pair_ids, to_uids, write_subset
from curation.errors import InputError

IDS = sorted(hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(1_000))


def by_datacomps_recipe(ids: list[str]) -> np.ndarray:
    """As DataComp's documentation has its users make a subset."""
    uids = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in ids], np.dtype("u8,u8"))
    uids.sort()
    return uids


def batches(ids: list[str], size: int) -> list[pa.StringArray]:
    return [pa.array(ids[start : start + size], pa.string()) for start in range(0, len(ids), size)]


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_subset_is_the_bytes_that_datacomps_recipe_saves(tmp_path: Path, size: int) -> None:
    np.save(tmp_path / "theirs.npy", by_datacomps_recipe(IDS))
    write_subset(tmp_path / "ours.npy", batches(IDS, size), len(IDS))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    assert read_subset(tmp_path / "ours.npy").to_pylist() == IDS


def test_datacomps_lookup_finds_every_id_and_no_other(tmp_path: Path) -> None:
    write_subset(tmp_path / "ours.npy", batches(IDS[::2], 100), len(IDS[::2]))
    subset = np.load(tmp_path / "ours.npy", mmap_mode="r")
    assert subset.dtype == np.dtype("u8,u8")
    for position, key in enumerate(IDS[:100]):
        uid = np.array([divmod(int(key, 16), 2**64)], np.dtype("u8,u8"))[0]
        found = np.searchsorted(subset, uid, "right") - np.searchsorted(subset, uid, "left")
        assert found == (position % 2 == 0)


@given(st.lists(st.integers(0, 2**128 - 1), max_size=20))
def test_ids_come_back_from_their_halves_and_sort_alike(numbers: list[int]) -> None:
    ids = [f"{number:032x}" for number in numbers]
    uids = to_uids(pa.array(ids, pa.string()))
    assert uids.dtype == UID
    assert [int(high) << 64 | int(low) for high, low in uids.tolist()] == numbers
    assert to_pair_ids(uids).to_pylist() == ids
    assert to_pair_ids(np.sort(uids)).to_pylist() == sorted(ids)


def test_an_empty_selection_is_an_empty_subset(tmp_path: Path) -> None:
    write_subset(tmp_path / "none.npy", [pa.array([], pa.string())], 0)
    assert len(read_subset(tmp_path / "none.npy")) == 0
    assert np.load(tmp_path / "none.npy").dtype == np.dtype("u8,u8")


@pytest.mark.parametrize(
    ("ids", "rows", "said"),
    [
        ([IDS[1], IDS[0]], 2, "ascending"),
        ([IDS[0], IDS[0]], 2, "each once"),
        (IDS[:2], 3, "3 ids were announced, 2 came"),
        ([IDS[0][:30]], 1, "32 hex digits"),
        (["z" * 32], 1, "hex"),
        ([IDS[0][:31], IDS[1] + "0"], 2, "32 hex digits"),
        ([IDS[0].upper()], 1, "lower case"),
        ([IDS[0][:31] + "é"], 1, "hex"),
    ],
)
def test_what_would_not_be_a_subset_is_not_written(
    tmp_path: Path, ids: list[str], rows: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        write_subset(tmp_path / "bad.npy", batches(ids, 1), rows)
    assert not list(tmp_path.iterdir())


def test_what_is_no_subset_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(4))
    np.save(tmp_path / "unsorted.npy", by_datacomps_recipe(IDS)[::-1])
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "several.npz", a=np.arange(3))
    for name, said in (
        ("numbers.npy", "u8,u8"), ("unsorted.npy", "not sorted"), ("pickled.npy", "cannot read"), ("text.npy", "cannot read"),
        ("absent.npy", "cannot read"), ("several.npz", "u8,u8"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said) as raised:
            read_subset(tmp_path / name)
        assert name in str(raised.value)
