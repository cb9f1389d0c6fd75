"""Near pairs: the fast search against all pairs in int64, and how faiss may be installed."""

import hashlib
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.dedup import neighbours
from curation.dedup.neighbours import Pairs, merged, near_pairs, near_pairs_of_tile, near_pairs_oracle, tiles
from curation.errors import ConfigError, InputError, MissingExtraError


def assert_same(found: Pairs, wanted: Pairs) -> None:
    for name in ("first", "second", "cosine"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def clustered(num: int, views: int, dimension: int, spread: int) -> np.ndarray:
    """Codes around a few centres, so that many pairs lie near the threshold; bits by hash."""
    bits = hashlib.shake_128(b"codes").digest(num * views * dimension)
    noise = np.frombuffer(bits, np.int8).reshape(num, views, dimension) // (256 // spread)
    centres = (
        np.frombuffer(hashlib.shake_128(b"centres").digest(7 * dimension), np.int8).reshape(7, 1, dimension)
        // 2
    )
    return (centres[np.arange(num) % 7] + noise).astype(np.int8)


@given(
    hnp.arrays(
        np.int8,
        st.tuples(st.integers(0, 8), st.integers(1, 3), st.integers(1, 4)),
        elements=st.integers(-127, 127),
    ),
    st.sampled_from([0.001, 0.5, 0.9, 0.95, 0.999, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_the_search_finds_what_all_pairs_have(codes: np.ndarray, threshold: float) -> None:
    assert_same(near_pairs(codes, threshold), near_pairs_oracle(codes, threshold))


@pytest.mark.parametrize("threshold", [0.8, 0.9, 0.95])
def test_the_search_finds_what_all_pairs_have_on_clusters(threshold: float) -> None:
    codes = clustered(90, 3, 81, 36)
    wanted = near_pairs_oracle(codes, threshold)
    assert 0 < len(wanted) < 90 * 89 / 2
    assert_same(near_pairs(codes, threshold), wanted)


@pytest.mark.parametrize("block", [1, 2, 7, 64, 10_000])
def test_the_pairs_are_the_same_for_any_tiles_in_any_order(block: int) -> None:
    codes = clustered(40, 2, 16, 100)
    parts = [near_pairs_of_tile(codes, tile, 0.9) for tile in tiles(40, block)]
    assert_same(merged(parts[::-1]), near_pairs(codes, 0.9))


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clustered(40, 2, 16, 100)
    wanted = near_pairs(codes, 0.9)
    monkeypatch.setattr(neighbours, "_QUERIES", 7)
    monkeypatch.setattr(neighbours, "_PROPOSALS", 5)
    assert_same(near_pairs(codes, 0.9), wanted)


def test_the_boundary_belongs_to_the_near_and_is_decided_in_integers() -> None:
    codes = np.array(
        [[[125, 0]], [[35, 120]], [[36, 120]], [[35, 121]]], np.int8
    )  # cosine 35/125 = 0.28 to the bit
    found = near_pairs(codes, 0.28)
    assert [(a, b) for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True) if a == 0] == [
        (0, 1),
        (0, 2),
    ]


def test_the_largest_codes_do_not_overflow() -> None:
    codes = np.full((2, 1, 128), -128, np.int8)
    found = near_pairs(codes, 1.0)
    assert found.cosine.tolist() == near_pairs_oracle(codes, 1.0).cosine.tolist() == [1.0]


def test_zero_vectors_are_near_to_nothing() -> None:
    assert len(near_pairs(np.zeros((3, 2, 4), np.int8), 0.001)) == 0


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), np.int8), np.zeros((2, 1, 129), np.int8)]
)
def test_other_codes_are_refused_by_name(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="int8"):
        near_pairs(codes, 0.95)


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise metadata.PackageNotFoundError(name)
        return "1.15.1"

    monkeypatch.setattr(neighbours.distributions, "version", version)


def test_both_faiss_packages_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "faiss-cpu", "faiss-gpu")
    with pytest.raises(ConfigError, match="the same folder"):
        neighbours.faiss_version()


def test_no_faiss_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(MissingExtraError, match=r"bicurate\[cpu\]"):
        near_pairs(np.ones((2, 1, 2), np.int8), 0.95)


def test_either_faiss_package_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "faiss-gpu")
    assert neighbours.faiss_version() == "faiss-gpu 1.15.1"
