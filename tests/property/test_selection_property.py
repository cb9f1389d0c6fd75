"""The laws of a selection: its size, what it holds for sure, what a higher threshold keeps, and what two balances in a row keep."""

from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.balance import COIN, Survivors, decide, entry_prob, fixed_weight, miss_prob, t_to_p
from curation.config import BalanceSection
from curation.errors import Reason
from curation.ids import coins

PLAIN = BalanceSection()
NO_CAPS = (PLAIN, BalanceSection(one_caption=True))
OPTIONS = (*NO_CAPS, BalanceSection(max_per_image=1), BalanceSection(max_per_domain=3),
           BalanceSection(one_caption=True, max_per_image=2, max_per_domain=5))  # fmt: skip
SEEDS = st.integers(0, 2**63 - 1)


class Pool(NamedTuple):
    """Pairs that name one to three of some entries, as Zipf's law has it."""

    keys: list[str]
    ids: np.ndarray
    offsets: np.ndarray
    entries: int

    def counts(self, weight: np.ndarray | None = None) -> np.ndarray:
        """Pairs that match each entry, float64 (E,), each pair as often as its weight says."""
        weight = np.ones(len(self.keys)) if weight is None else weight
        return np.bincount(self.ids, np.repeat(weight, np.diff(self.offsets)), self.entries)

    def prob(self, counts: np.ndarray, t: float) -> np.ndarray:
        return 1.0 - miss_prob(entry_prob(counts, t), self.ids, self.offsets)


def pool_of(seed: int, rows: int, entries: int = 100) -> Pool:
    keys = [f"{i:05d}" for i in range(rows)]
    share = np.cumsum(np.arange(1, entries + 1) ** -1.1)
    found = np.stack([np.searchsorted(share / share[-1], coins(keys, seed, f"entry {k}")) for k in range(3)])
    found[1:][:, coins(keys, seed, "more") < 0.5] = -1
    lists = [sorted(set(row) - {-1}) for row in found.T.tolist()]
    flat = np.array([entry for row in lists for entry in row], dtype=np.int64)
    return Pool(keys, flat, np.cumsum([0, *map(len, lists)]), entries)


def survivors(pool: Pool, prob: np.ndarray, seed: int) -> Survivors:
    """All of a pool, two in five of the pictures with several captions, on nine hosts of very unequal size."""
    picture = (coins(pool.keys, seed, "picture") ** 2 * len(pool.keys)).astype(int)
    host = (coins(pool.keys, seed, "host") ** 3 * 9).astype(int)
    return Survivors(
        pair_id=np.array(pool.keys, dtype=object), prob=prob, keep_prob_wanted=np.ones(prob.size),
        coin=coins(pool.keys, seed, COIN), train=coins(pool.keys, seed, "held") >= 0.05,
        image_id=np.array([f"p{i}" for i in picture], dtype=object),
        domain=np.array([f"h{i}" for i in host], dtype=object),
    )  # fmt: skip


def selected(rows: Survivors, options: BalanceSection = PLAIN, seed: int = 0) -> np.ndarray:
    return decide(rows, options, seed=seed)[1] == None  # noqa: E711


def standard_errors(prob: np.ndarray, kept: np.ndarray) -> float:
    """How far a size is from the expected one: a sum of independent tosses, each of variance prob (1 - prob)."""
    return float(abs(kept.sum() - prob.sum()) / max(np.sqrt((prob * (1 - prob)).sum()), 1.0))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(SEEDS, st.floats(1, 500))
def test_the_kept_size_is_the_expected_one_within_four_standard_errors(seed: int, t: float) -> None:
    pool = pool_of(seed, 1_500)
    rows = survivors(pool, pool.prob(pool.counts(), t), seed)
    assert standard_errors(rows.prob[rows.train], selected(rows)[rows.train]) < 4
    small = replace(
        rows, keep_prob_wanted=np.full(rows.prob.size, 0.5), coin=rows.coin / 2
    )  # drawn before, by half
    final = np.minimum(rows.prob, 0.5)[rows.train] / 0.5
    assert standard_errors(final, selected(small)[rows.train]) < 4


def test_a_biased_coin_is_not_within_four_standard_errors() -> None:
    pool = pool_of(0, 1_500)
    rows = survivors(pool, pool.prob(pool.counts(), 20.0), 0)
    biased = replace(rows, coin=rows.coin**1.3)
    assert standard_errors(rows.prob[rows.train], selected(biased)[rows.train]) > 4


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 300))
def test_a_pair_with_an_entry_of_the_tail_is_never_lost(seed: int, t: int) -> None:
    pool = pool_of(seed, 500)
    counts = pool.counts()
    tail = np.add.reduceat((counts < t)[pool.ids], pool.offsets[:-1]) > 0
    rows = survivors(pool, pool.prob(counts, t), seed)
    assert selected(rows)[tail & rows.train].all()


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.5, 300), st.floats(0, 300), st.sampled_from(NO_CAPS))
def test_a_higher_t_keeps_all_that_a_lower_one_keeps(
    seed: int, t: float, more: float, options: BalanceSection
) -> None:
    pool = pool_of(seed, 500)
    counts = pool.counts()
    low, high = (selected(survivors(pool, pool.prob(counts, x), seed), options) for x in (t, t + more))
    assert not (low & ~high).any()


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.5, 300), st.sampled_from(OPTIONS))
def test_neither_the_order_of_rows_nor_that_of_parts_decides(
    seed: int, t: float, options: BalanceSection
) -> None:
    pool = pool_of(seed, 300)
    rows = survivors(pool, pool.prob(pool.counts(), t), seed)
    order = np.argsort(coins(pool.keys, seed, "order"))
    shuffled = Survivors(**{f.name: getattr(rows, f.name)[order] for f in fields(Survivors)})
    (prob, reason), (other_prob, other) = (decide(part, options, seed=seed) for part in (rows, shuffled))
    assert (prob[order] == other_prob).all()
    assert (reason[order] == other).all()


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.floats(0.5, 300), st.integers(1, 4), st.booleans())
def test_a_cap_takes_the_largest_ranks_of_groups_that_exceed_it_and_nothing_else(
    seed: int, t: float, cap: int, by_host: bool
) -> None:
    pool = pool_of(seed, 300)
    rows = survivors(pool, pool.prob(pool.counts(), t), seed)
    options = BalanceSection(max_per_domain=cap) if by_host else BalanceSection(max_per_image=cap)
    group, over = (rows.domain, Reason.OVER_DOMAIN_CAP) if by_host else (rows.image_id, Reason.OVER_IMAGE_CAP)
    before, (prob, reason) = selected(rows), decide(rows, options, seed=seed)
    after = reason == None  # noqa: E711
    assert ((reason == over) == (before & ~after)).all()
    assert not (after & ~before).any()
    for name in sorted(set(group)):
        mine = np.flatnonzero(before & (group == name)).tolist()
        ranked = sorted(mine, key=lambda n: (rows.coin[n] / prob[n], rows.pair_id[n]))
        assert sorted(ranked[:cap]) == np.flatnonzero(after & (group == name)).tolist()


@settings(deadline=None, max_examples=10)
@given(SEEDS)
def test_one_caption_of_a_picture_is_tossed_for_and_the_held_out_have_no_part(seed: int) -> None:
    pool = pool_of(seed, 300)
    rows = survivors(pool, pool.prob(pool.counts(), 20.0), seed)
    _, reason = decide(rows, BalanceSection(one_caption=True), seed=seed)
    assert ((reason == Reason.HELD_OUT) == ~rows.train).all()
    tossed = np.isin(reason.astype(str), ("None", Reason.BALANCED_OUT))
    for name in sorted(set(rows.image_id)):
        mine = rows.image_id == name
        assert (mine & tossed).sum() == (mine & rows.train).any()


@pytest.mark.parametrize("seed", [0, 1])
def test_two_balances_keep_what_balancing_everything_at_once_would_have_kept(seed: int) -> None:
    """40,000 pairs, 300 entries; three in ten links are dead, and of what is left one in seven is a copy that is dropped.

    Of each 100 rows that balancing all survivors at once keeps, less than 2 are lost and less than 2 are kept beside them;
    the tail's share p is off by less than 0.01. Counts that are not weighted keep over 3 too many, and their p is far off.
    """
    pool, t, margin = pool_of(seed, 40_000, 300), 60.0, 2.0
    coin = coins(pool.keys, seed, COIN)
    alive = (coins(pool.keys, seed, "alive") < 0.7) & (coins(pool.keys, seed, "copy") < 6 / 7)
    at_once = pool.counts(alive.astype(float))
    wanted = alive & (coin < pool.prob(at_once, t))
    first = pool.prob(pool.counts(), margin * t)
    there = alive & (coin < first)

    def second(weight: np.ndarray) -> tuple[float, float, float]:
        counts = pool.counts(np.where(there, weight, 0.0))
        kept = there & (coin < np.minimum(first, pool.prob(counts, t)))
        lost, beside = (wanted & ~kept).sum(), (kept & ~wanted).sum()
        return lost / wanted.sum(), beside / wanted.sum(), abs(t_to_p(counts, t) - t_to_p(at_once, t))

    lost, beside, p_off = second(fixed_weight(first) * 2.0**-20)
    assert lost < 0.02
    assert beside < 0.02
    assert p_off < 0.01
    lost, beside, p_off = second(np.ones(first.size))
    assert beside > 0.03
    assert p_off > 0.05
