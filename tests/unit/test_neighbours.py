"""Near pairs: the fast search, on either way of a device, against all pairs in whole numbers."""

import numpy as np
import pytest
from codes import clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.dedup import exact, neighbours
from curation.dedup.exact import best_cosines, cosines, decided, distinct_views, is_near, pair_cosines
from curation.dedup.faiss_package import gpus, load_faiss
from curation.dedup.neighbours import (
    Database,
    Pairs,
    Way,
    distinct,
    merged,
    near_pairs,
    near_pairs_of_tile,
    near_pairs_oracle,
    tiles,
)
from curation.errors import ConfigError, InputError


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A busy machine's threads wait for each other far longer than these searches take."""
    load_faiss().omp_set_num_threads(1)


def assert_same(found: Pairs, wanted: Pairs) -> None:
    for name in ("first", "second", "cosine"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


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


@pytest.mark.parametrize("block", [3, 7, 64, 10_000])
def test_the_pairs_are_the_same_for_any_tiles_in_any_order(block: int) -> None:
    codes = clustered(40, 2, 16, 100)
    parts = [near_pairs_of_tile(codes, tile, 0.9) for tile in tiles(40, block)]
    assert_same(merged(parts[::-1]), near_pairs(codes, 0.9))


def test_small_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clustered(40, 2, 16, 100)
    wanted = near_pairs(codes, 0.9)
    monkeypatch.setattr(neighbours, "_QUERIES", 7)
    monkeypatch.setattr(neighbours, "_PROPOSALS", 5)
    monkeypatch.setattr(neighbours, "_ROWS", 6)
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
    for dimension, value in ((128, -128), (1_024, -128), (1_040, -127), (1_040, 127)):
        codes = np.full((2, 1, dimension), value, np.int8)
        codes[1, 0, 0] = 100
        at, above = round(near_pairs_oracle(codes, 0.9).cosine[0] - 0.0005, 3), 1.0
        for threshold in (at, above):
            assert_same(near_pairs(codes, threshold), near_pairs_oracle(codes, threshold))
        assert len(near_pairs(codes, at)) == 1
        assert not len(near_pairs(codes, above))


@given(st.integers(0, 1_040 * 127**2), st.integers(1, 1_040 * 127**2), st.integers(1, 1_040 * 127**2))
@settings(deadline=None, max_examples=300)
def test_the_decision_is_that_of_whole_numbers_of_any_size(dot: int, one: int, other: int) -> None:
    dots, lengths = np.array([dot]), np.array([one * other])
    cosine = dot / (one * other) ** 0.5
    for thousandths in {1, 950, 1000, min(1000, max(1, round(cosine * 1000)))}:
        wanted = dot > 0 and dot**2 * 10**6 >= thousandths**2 * one * other
        assert is_near(dots, lengths, np.int64(thousandths))[0] == wanted
        if cosine <= 1:
            assert (cosines(dots, lengths)[0] >= thousandths / 1000) == wanted


def test_a_cosine_that_rounds_to_the_threshold_stands_on_its_own_side() -> None:
    # 950^2 * lengths - dot^2 * 10^6 is as small as it gets above and below 0, and 0 itself.
    length = 4_000_001 * 4_000_003
    for lengths in (length, 16_000_000_000_000):
        for dot in range(int(0.95 * lengths**0.5) - 1, int(0.95 * lengths**0.5) + 3):
            value = cosines(np.array([dot]), np.array([lengths]))[0]
            assert (value >= 0.95) == (dot**2 * 10**6 >= 950**2 * lengths)


def test_codes_that_float32_cannot_multiply_exactly_are_refused() -> None:
    with pytest.raises(InputError, match="-128"):
        near_pairs(np.full((2, 1, 1_040), -128, np.int8), 0.95)


def near_of(codes: np.ndarray, threshold: float, way: Way) -> set[tuple[int, int, float]]:
    vectors = codes.reshape(-1, codes.shape[-1])
    found = Database(vectors, way=way).near(vectors, threshold)
    return {(int(a), int(b), float(c)) for rows in found for a, b, c in zip(*rows, strict=True)}


@pytest.mark.parametrize("nearest", [(64, 2_048), (1, 2), (3, 7), (500, 600)])
@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.9])
def test_the_way_of_a_gpu_finds_what_a_range_search_finds(
    monkeypatch: pytest.MonkeyPatch, nearest: tuple[int, int], threshold: float
) -> None:
    monkeypatch.setattr(neighbours, "NEAREST", nearest)
    monkeypatch.setattr(neighbours, "_ROWS", 70)
    codes = clustered(300, 1, 24, 60)
    wanted = near_of(codes, threshold, "range")
    assert len(wanted) > 300
    assert near_of(codes, threshold, "nearest") == wanted


@pytest.mark.parametrize("way", ["range", "nearest"])
def test_two_groups_of_200_identical_vectors_are_tied_together(way: Way) -> None:
    one, other = np.zeros(81, np.int8), np.zeros(81, np.int8)
    one[0], other[:2] = 100, (97, 24)  # cosine 0.9707
    codes = np.concatenate([np.tile(one, (200, 1)), np.tile(other, (200, 1))])
    found = near_of(codes[:, None], 0.95, way)
    assert len(found) == 400 * 400
    assert sum(1 for a, b, _ in found if a < 200 <= b) == 200 * 200


@pytest.mark.gpu
def test_a_gpu_finds_what_a_cpu_finds() -> None:
    if not gpus():
        pytest.skip("faiss sees no GPU here")
    codes = clustered(3_000, 2, 81, 60)
    assert_same(near_pairs(codes, 0.9, device="cuda"), near_pairs(codes, 0.9))


def test_a_gpu_that_is_not_there_is_refused_by_name() -> None:
    if gpus():
        pytest.skip("faiss sees a GPU here")
    with pytest.raises(ConfigError, match="machine with one"):
        near_pairs(np.ones((2, 1, 2), np.int8), 0.95, device="cuda")


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_the_best_cosine_over_views_is_the_oracles(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(exact, "_MAX_PRODUCTS", batch)
    monkeypatch.setattr(exact, "_PAIRS", batch)
    codes = clustered(30, 3, 40, 100)
    wanted = near_pairs_oracle(codes, 0.001)
    found = best_cosines(codes[wanted.first], codes[wanted.second])
    assert found.tolist() == wanted.cosine.tolist()
    assert pair_cosines(codes, wanted.first, wanted.second).tolist() == found.tolist()
    assert decided(codes[:0, 0], codes[:0, 0], 0.5).shape == best_cosines(codes[:0], codes[:0]).shape == (0,)


@given(
    hnp.arrays(np.int8, (2, 4, 3, 5), elements=st.sampled_from([-127, -3, 0, 0, 1, 2, 3, 127])),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=100)
def test_the_best_cosine_is_that_of_all_views_in_whole_numbers(codes: np.ndarray, asked: int) -> None:
    left, right = codes.astype(np.int64)
    dots = np.einsum("eqd,evd->eqv", left[:, :asked], right)
    squared = [np.square(side).sum(axis=2) for side in (left[:, :asked], right)]
    wanted = cosines(dots, squared[0][:, :, None] * squared[1][:, None, :]).max(axis=(1, 2))
    assert best_cosines(*codes, query_views=asked).tolist() == wanted.tolist()


@given(st.lists(st.integers(0, 9)))
def test_distinct_keys_are_those_of_a_set(keys: list[int]) -> None:
    assert distinct(np.array(keys, np.int64)).tolist() == sorted(set(keys))


def test_views_that_repeat_another_or_are_zero_are_no_rows_of_the_search() -> None:
    codes = np.array(
        [[[1, 2], [1, 2], [0, 0], [2, 1], [2, 1]], [[0, 0], [3, 0], [0, 3], [0, 3], [3, 0]]], np.int8
    )
    assert distinct_views(codes).tolist() == [
        [True, False, False, True, False],
        [False, True, True, False, False],
    ]


def test_zero_vectors_are_near_to_nothing() -> None:
    assert len(near_pairs(np.zeros((3, 2, 4), np.int8), 0.001)) == 0


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), np.int8), np.zeros((2, 1, 1_041), np.int8)]
)
def test_other_codes_are_refused_by_name(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="int8"):
        near_pairs(codes, 0.95)
