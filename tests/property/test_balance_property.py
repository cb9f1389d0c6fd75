"""The laws of the balance: thresholds, probabilities, and the counts that weigh a sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.balance import entry_prob, fixed_weight, keep_prob, miss_prob, p_to_t, t_to_p, thresholds
from curation.errors import ConfigError
from curation.ids import coins

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=60).filter(any)


def test_t_to_p_and_p_to_t_by_hand() -> None:
    counts = [0, 1, 2, 3, 4, 10]
    assert t_to_p(counts, 3) == 3 / 20
    assert t_to_p(counts, 1) == 0.0
    assert t_to_p(counts, float("inf")) == 1.0
    assert p_to_t(counts, 0.15) == 2  # shares 0.05, 0.15, 0.3, 0.5, 1
    assert p_to_t(counts, 0.2) == 2
    assert p_to_t(counts, 1.0) == 10


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1])
def test_a_share_outside_its_range_is_refused(p: float) -> None:
    with pytest.raises(ConfigError):
        p_to_t([1, 2], p)


def test_no_matches_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError):
        t_to_p([0, 0], 5)
    with pytest.raises(ConfigError):
        p_to_t([0, 0], 0.5)


@given(COUNTS, st.floats(0.001, 1))
def test_t_is_a_count_whose_cumulative_share_is_nearest_to_p(counts: list[int], p: float) -> None:
    t = p_to_t(counts, p)
    present = sorted(count for count in counts if count)
    shares = np.cumsum(present) / sum(present)
    assert t in present
    nearest = min(abs(share - p) for share in shares)
    assert any(count == t and abs(share - p) == nearest for count, share in zip(present, shares, strict=True))


@given(COUNTS, st.integers(1, 10_000))
def test_the_tail_is_kept_whole_and_the_head_is_cut_to_t(counts: list[int], t: int) -> None:
    prob = entry_prob(counts, t)
    for count, p in zip(counts, prob, strict=True):
        assert p == (1.0 if count < t else t / count)


@given(COUNTS, st.integers(1, 5_000), st.integers(0, 5_000), st.data())
def test_raising_t_never_lowers_a_chance(counts: list[int], t: int, more: int, data: st.DataObject) -> None:
    ids = sorted(data.draw(st.sets(st.integers(0, len(counts) - 1), min_size=1)))
    assert keep_prob(entry_prob(counts, t), ids) <= keep_prob(entry_prob(counts, t + more), ids)


@given(st.lists(st.lists(st.integers(0, 19), unique=True, max_size=8), max_size=30), st.integers(1, 30))
def test_the_bits_of_a_chance_do_not_depend_on_the_batch(rows: list[list[int]], size: int) -> None:
    prob = coins([str(i) for i in range(20)], 0, "test")

    def naive(ids: list[int]) -> float:
        miss = 1.0
        for entry in ids:
            miss *= 1.0 - prob[entry]
        return 1.0 - miss

    wanted = [naive(ids) for ids in rows]
    assert [keep_prob(prob, ids) for ids in rows] == wanted
    found: list[float] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        offsets = np.cumsum([0, *map(len, part)])
        flat = np.array([i for ids in part for i in ids], dtype=np.int32)
        found += (1.0 - miss_prob(prob, flat, offsets)).tolist()
    assert found == wanted


def test_a_pair_without_entries_is_never_kept_and_one_of_the_tail_always() -> None:
    assert keep_prob([0.5], []) == 0.0
    assert keep_prob([0.25, 1.0], [0, 1]) == 1.0


def test_languages_without_a_t_of_their_own_get_the_first_ones_tail_share() -> None:
    english, korean = np.array([1, 9, 90]), np.array([2, 8, 40, 50])
    found = thresholds({"en": english, "ko": korean}, {"en": 50}, ["en", "ko"])
    assert found.p == 0.1
    assert found.t == {"en": 50.0, "ko": 8.0}
    with pytest.raises(ConfigError, match="'ko'"):
        thresholds({"en": english, "ko": korean}, {"en": 1}, ["en", "ko"])  # nothing lies below 1: p is 0


def test_weights_are_whole_numbers_of_the_unit() -> None:
    assert fixed_weight(np.array([1.0, 0.5, 1 / 3])).tolist() == [2**20, 2**21, 3 * 2**20]
