"""Planning: sizes and thresholds against brute force, what saturates, what a sample's error says, and hostile input."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.balance import entry_prob, keep_prob, t_to_p, thresholds
from curation.errors import ConfigError, InputError
from curation.ids import coin, pair_id
from curation.outlook import World, gini, ladder, solve_each, solve_size, t_of_share
from curation.plan import TOLERANCE, Pool, Solved, followed, pool_of, sizes, solve, solve_budget
from curation.schemas import TABLES

LANGUAGES = ("en", "ko")
NUM_ENTRIES = {"en": 400, "ko": 250}
SCHEMA = pa.schema(
    [TABLES["matches"].field(n) for n in ("pair_id", "lang", "lang_score", "mixed", "entry_ids")]
)


def make_rows(pairs: int, *, mixed_every: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs with one to five entries by Zipf's law; every sixth is mixed, and its rows lie far apart."""
    first, second = [], []
    for i in range(pairs):
        key = pair_id("http://a.test/", f"{seed}/{i}")
        both = mixed_every > 0 and i % mixed_every == 0
        for lang in LANGUAGES if both else (LANGUAGES[i % 3 > 0],):
            number = 1 + int(5 * coin(key, seed, f"number{lang}"))
            ids = {int(NUM_ENTRIES[lang] ** coin(f"{key}{k}", seed, lang)) - 1 for k in range(number)}
            score = round(coin(key, seed, f"score{lang}"), 1)
            row = {"pair_id": key, "lang": lang, "lang_score": score, "mixed": both, "entry_ids": sorted(ids)}
            (second if both and lang == "ko" else first).append(row)
    return first + second


def batches(rows: Sequence[dict[str, Any]], size: int) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA).to_batches(max_chunksize=size)


def counts_of(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    found = {lang: np.zeros(size) for lang, size in NUM_ENTRIES.items()}
    for row in rows:
        found[row["lang"]][row["entry_ids"]] += 1
    return found


def brute(rows: Sequence[dict[str, Any]], probs: dict[str, np.ndarray]) -> dict[str, float]:
    """The expected sizes, pair by pair."""
    by_pair: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_pair.setdefault(row["pair_id"], []).append(row)
    found = dict.fromkeys(LANGUAGES, 0.0)
    for own in by_pair.values():
        miss = math.prod(1.0 - keep_prob(probs[row["lang"]], row["entry_ids"]) for row in own)
        surer = min(own, key=lambda row: (-row["lang_score"], row["lang"]))
        found[surer["lang"]] += 1.0 - miss
    return found


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return make_rows(1_500)


@pytest.fixture(scope="module")
def pool(rows: list[dict[str, Any]]) -> Pool:
    return pool_of(batches(rows, 200), LANGUAGES, NUM_ENTRIES)


@pytest.mark.parametrize("ts", [(5.0, 3.0), (100.0, 1.5), (0.01, 40.0), (math.inf, math.inf)])
def test_sizes_are_those_of_a_loop_over_pairs(
    rows: list[dict[str, Any]], pool: Pool, ts: tuple[float, float]
) -> None:
    counts = counts_of(rows)
    probs = {lang: entry_prob(counts[lang], t) for lang, t in zip(LANGUAGES, ts, strict=True)}
    assert sizes(pool, probs) == pytest.approx(brute(rows, probs), abs=1e-6)


@pytest.mark.parametrize("size", [7, 10_000])
def test_sizes_are_the_same_bits_in_any_order_and_batches(rows: list[dict[str, Any]], size: int) -> None:
    probs = {lang: entry_prob(values, 4.0) for lang, values in counts_of(rows).items()}
    wanted = sizes(pool_of(batches(rows, 200), LANGUAGES, NUM_ENTRIES), probs)
    shuffled = sorted(rows, key=lambda row: coin(row["pair_id"] + row["lang"], size, "order"))
    assert sizes(pool_of(batches(shuffled, size), LANGUAGES, NUM_ENTRIES), probs) == wanted


def test_rows_that_were_drawn_before_stand_for_more_and_stay_with_the_smaller_chance() -> None:
    rows = [
        {"pair_id": "a", "lang": "en", "lang_score": 1.0, "mixed": False, "entry_ids": [0]},
        {"pair_id": "b", "lang": "en", "lang_score": 1.0, "mixed": False, "entry_ids": [1]},
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA).append_column("keep_prob_wanted", pa.array([0.8, 0.25]))
    pool = pool_of(table.to_batches(), ("en",), {"en": 2})
    assert sizes(pool, {"en": np.array([0.4, 0.5])}) == {"en": pytest.approx(0.4 / 0.8 + 0.25 / 0.25)}


@pytest.mark.parametrize("budget", [{"en": 120.0, "ko": 500.0}, {"en": 300.0}, {"ko": 400.0}])
def test_a_budget_is_met_within_the_tolerance(
    rows: list[dict[str, Any]], pool: Pool, budget: dict[str, float]
) -> None:
    counts = counts_of(rows)
    found = solve_budget(pool, counts, {}, budget)
    ts = {lang: item.t for lang, item in found.items()}
    probs = {lang: entry_prob(counts[lang], t) for lang, t in thresholds(counts, ts, LANGUAGES).t.items()}
    there = brute(rows, probs)
    for lang, wanted in budget.items():
        assert found[lang].exact
        assert abs(there[lang] - wanted) <= TOLERANCE * wanted
        assert found[lang].size == pytest.approx(there[lang])


def test_a_budget_beyond_the_pool_says_the_largest_size(rows: list[dict[str, Any]], pool: Pool) -> None:
    found = solve_budget(pool, counts_of(rows), {}, {"en": 250.0, "ko": 1e9})
    assert found["ko"].how == "largest"
    assert math.isinf(found["ko"].t)
    everything = brute(rows, {lang: np.ones(size) for lang, size in NUM_ENTRIES.items()})
    assert found["ko"].size == everything["ko"]
    assert found["en"].exact


def test_what_mixed_pairs_force_is_said(rows: list[dict[str, Any]], pool: Pool) -> None:
    """Korean at infinity keeps the mixed pairs that count for English: fewer there cannot be."""
    found = solve_budget(pool, counts_of(rows), {}, {"en": 20.0, "ko": 1e9})["en"]
    assert found.how == "nearest"
    assert found.size > 100


def test_the_margin_is_on_t(rows: list[dict[str, Any]], pool: Pool) -> None:
    counts = counts_of(rows)
    once = solve_budget(pool, counts, {}, {"en": 200.0, "ko": 200.0})
    twice = solve_budget(pool, counts, {}, {"en": 200.0, "ko": 200.0}, margin=2.0)
    assert {lang: twice[lang].t for lang in LANGUAGES} == pytest.approx(
        {lang: once[lang].t / 2 for lang in LANGUAGES}, rel=0.02
    )


@pytest.mark.parametrize("wanted", [50.0, 300.0, 700.0, 1_100.0, 1_480.0])
def test_a_size_in_all_is_met_or_the_nearest_that_following_thresholds_give(
    rows: list[dict[str, Any]], pool: Pool, wanted: float
) -> None:
    world = World(pool, counts_of(rows))
    found = solve_size(world, wanted, "en", {})
    total = math.fsum(world.sizes({"en": found.t}).values())
    assert total == pytest.approx(found.size)
    assert found.exact == (abs(total - wanted) <= TOLERANCE * wanted)
    tried = [math.fsum(world.sizes({"en": float(t)}).values()) for t in np.geomspace(0.5, 600, 60)]
    assert abs(total - wanted) <= min(abs(size - wanted) for size in tried) + TOLERANCE * wanted


def test_where_sizes_jump_the_nearest_side_is_taken_and_said() -> None:
    def step(t: float) -> float:
        return 100.0 if t <= 7 else 200.0

    assert solve(step, 130.0, low=1e-6, high=50.0).size == 100.0
    assert solve(step, 130.0, low=1e-6, high=50.0).how == "nearest"
    above = solve(step, 180.0, low=1e-6, high=50.0)
    assert (above.size, above.how) == (200.0, "nearest")
    assert above.t == pytest.approx(7, rel=1e-3)
    assert above.t > 7
    assert solve(step, 201.0, low=1e-6, high=50.0).how == "within"
    assert solve(step, 300.0, low=1e-6, high=50.0) == Solved(math.inf, 200.0, 300.0, "largest")
    assert solve(step, 20.0, low=1e-6, high=50.0) == Solved(1e-6, 100.0, 20.0, "nearest")


@pytest.mark.parametrize("wanted", [0.0, -5.0, math.nan, math.inf])
def test_a_size_that_is_none_is_refused(wanted: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        solve(lambda t: t, wanted, low=1.0, high=10.0)


def test_a_samples_error_covers_the_truth(rows: list[dict[str, Any]]) -> None:
    """Over many seeds: the truth lies within two standard errors about 95 times in 100, and the estimates are unbiased."""
    counts, share = counts_of(rows), 0.3
    probs = {lang: entry_prob(values, 5.0) for lang, values in counts.items()}
    truth = math.fsum(brute(rows, probs).values())
    estimates, errors = [], []
    for seed in range(60):
        drawn = [row for row in rows if coin(row["pair_id"], seed, "plan") < share]
        pool = pool_of(batches(drawn, 500), LANGUAGES, NUM_ENTRIES, share=share)
        values = pool.prob(probs)
        estimates.append(math.fsum(pool.sum(values).values()))
        errors.append(pool.error(values))
    off = np.abs(np.array(estimates) - truth) / np.array(errors)
    assert 0.88 <= (off < 2).mean() <= 1.0
    assert off.max() < 4.5
    assert abs(np.mean(estimates) - truth) < 4 * np.mean(errors) / math.sqrt(len(errors))


def test_an_outlook_without_losses_is_the_balance_itself(rows: list[dict[str, Any]], pool: Pool) -> None:
    counts = counts_of(rows)
    found = World(pool, counts, margin=1.5).outlook({"en": 9.0})
    derived = thresholds(counts, {"en": 9.0}, LANGUAGES)
    assert (found.t, found.p) == (derived.t, derived.p)
    probs = {lang: entry_prob(counts[lang], t) for lang, t in derived.t.items()}
    assert found.balanced == found.left == pytest.approx(brute(rows, probs))
    wider = {lang: entry_prob(counts[lang], 1.5 * t) for lang, t in derived.t.items()}
    assert found.downloaded == pytest.approx(brute(rows, wider))
    assert found.errors == {"balanced": 0.0, "downloaded": 0.0, "left": 0.0}


def test_what_is_lost_by_coin_is_foreseen(rows: list[dict[str, Any]]) -> None:
    """The whole way in small, many times: draw with the margin, lose half, balance what is left by weighted counts."""
    counts, t, survival = counts_of(rows), {"en": 9.0, "ko": 6.0}, 0.5
    pool = pool_of(batches(rows, 500), LANGUAGES, NUM_ENTRIES)
    foreseen = World(pool, counts, margin=2.0, survival=dict.fromkeys(LANGUAGES, survival)).outlook(t)
    first = {lang: entry_prob(counts[lang], 2.0 * t[lang]) for lang in LANGUAGES}
    chances = pool.prob(first)
    sizes_, place = [], pool.offsets
    for seed in range(25):
        coins = np.array([coin(str(n), seed, "first") for n in range(chances.size)])
        lives = np.array([coin(str(n), seed, "lives") for n in range(chances.size)]) < survival
        there = np.flatnonzero((coins < chances) & lives)
        weight = np.zeros(sum(NUM_ENTRIES.values()))
        for n in there:
            weight[pool.ids[place[n] : place[n + 1]]] += 1 / chances[n]
        second = {"en": entry_prob(weight[:400], t["en"]), "ko": entry_prob(weight[400:], t["ko"])}
        sizes_.append((coins[there] < np.minimum(chances, pool.prob(second))[there]).sum())
    assert np.mean(sizes_) == pytest.approx(math.fsum(foreseen.left.values()), rel=0.05)
    assert math.fsum(foreseen.left.values()) <= survival * math.fsum(foreseen.downloaded.values())


def test_budgets_of_what_is_left_are_met(rows: list[dict[str, Any]], pool: Pool) -> None:
    world = World(pool, counts_of(rows), margin=2.0, survival={"en": 0.5, "ko": 0.8})
    found = solve_each(world, {"en": 100.0, "ko": 250.0}, {})
    left = world.outlook({lang: item.t for lang, item in found.items()}).left
    assert left["en"] == pytest.approx(100, rel=TOLERANCE)
    assert left["ko"] == pytest.approx(250, rel=TOLERANCE)
    most = world.largest()
    beyond = solve_each(world, {"en": most["en"] * 1.2, "ko": most["ko"] * 0.5}, {})
    assert (beyond["en"].how, beyond["ko"].how) == ("largest", "within")
    assert beyond["en"].size == most["en"]


@pytest.mark.parametrize("p", [0.01, 0.2, 0.5, 0.9, 1.0])
def test_the_t_of_a_tails_share_has_the_nearest_share_there_is(rows: list[dict[str, Any]], p: float) -> None:
    counts = counts_of(rows)["en"]
    t = t_of_share(counts, p)
    shares = [t_to_p(counts, float(other)) for other in range(1, int(counts.max()) + 2)]
    assert abs(t_to_p(counts, t) - p) == pytest.approx(min(abs(s - p) for s in shares if s > 0))


def test_a_tails_share_gives_back_the_t_it_came_from(rows: list[dict[str, Any]]) -> None:
    counts = counts_of(rows)["en"]
    for t in sorted({*counts.tolist()} - {0.0})[1:]:
        assert t_to_p(counts, t_of_share(counts, t_to_p(counts, t))) == t_to_p(counts, t)


@pytest.mark.parametrize("p", [0.0, -1.0, 1.5, math.nan])
def test_a_share_of_nothing_is_refused(p: float) -> None:
    with pytest.raises(ConfigError, match=r"\(0, 1\]"):
        t_of_share([1, 2, 3], p)


def test_a_tail_of_nothing_is_an_error_only_where_a_language_must_follow_it(
    rows: list[dict[str, Any]], pool: Pool
) -> None:
    world = World(pool, counts_of(rows))
    with pytest.raises(ConfigError, match=r"no tail.*--t\.ko"):
        world.outlook({"en": 0.5})
    assert world.outlook({"en": 0.5, "ko": 3.0}).p == 0.0
    assert followed(world.counts, {"en": 0.5}, LANGUAGES)["ko"] < 1e-5


def test_a_language_without_matches_plans_as_nothing(rows: list[dict[str, Any]]) -> None:
    english = [row | {"mixed": False} for row in rows if row["lang"] == "en"]
    pool, counts = pool_of(batches(english, 300), LANGUAGES, NUM_ENTRIES), counts_of(english)
    world = World(pool, counts)
    assert world.outlook({"en": 5.0, "ko": 5.0}).left["ko"] == 0.0
    with pytest.raises(ConfigError, match="'ko'"):
        world.outlook({"en": 5.0})
    found = solve_each(world, {"en": 100.0, "ko": 10.0}, {})
    assert (found["ko"].how, found["ko"].size) == ("largest", 0.0)
    assert found["en"].exact


def test_infinite_t_keeps_all(rows: list[dict[str, Any]], pool: Pool) -> None:
    found = World(pool, counts_of(rows)).outlook(dict.fromkeys(LANGUAGES, math.inf))
    assert math.fsum(found.left.values()) == 1_500
    assert found.left == World(pool, counts_of(rows)).largest()
    assert found.head == 0.0


def test_an_empty_pool_plans_as_nothing() -> None:
    pool = pool_of([], LANGUAGES, NUM_ENTRIES)
    counts = {lang: np.zeros(size) for lang, size in NUM_ENTRIES.items()}
    world = World(pool, counts)
    found = world.outlook({"en": 3.0, "ko": 3.0})
    assert found.left == {"en": 0.0, "ko": 0.0}
    assert (found.head, found.gini) == (0.0, 0.0)
    assert solve_each(world, {"en": 5.0}, {"ko": 3.0})["en"].how == "largest"


@pytest.mark.parametrize("hostile", [[400], [-1], [2**31 - 1]])
def test_an_entry_of_another_list_is_refused(hostile: list[int]) -> None:
    row = {"pair_id": "a", "lang": "en", "lang_score": 1.0, "mixed": False, "entry_ids": hostile}
    with pytest.raises(InputError, match="different lists"):
        pool_of(batches([row], 10), LANGUAGES, NUM_ENTRIES)
    with pytest.raises(InputError, match="'ja'"):
        pool_of(batches([row | {"lang": "ja", "entry_ids": [0]}], 10), LANGUAGES, NUM_ENTRIES)


def test_a_pair_without_entries_is_never_kept_and_a_mixed_one_without_its_twin_counts_once() -> None:
    rows = [
        {"pair_id": "a", "lang": "en", "lang_score": 1.0, "mixed": False, "entry_ids": []},
        {"pair_id": "b", "lang": "ko", "lang_score": 1.0, "mixed": True, "entry_ids": [3]},
        {"pair_id": "c", "lang": "ko", "lang_score": 1.0, "mixed": False, "entry_ids": []},
    ]
    pool = pool_of(batches(rows, 10), LANGUAGES, NUM_ENTRIES)
    assert sizes(pool, {lang: np.ones(size) for lang, size in NUM_ENTRIES.items()}) == {"en": 0.0, "ko": 1.0}


def test_gini_by_hand() -> None:
    assert gini([5, 5, 5]) == pytest.approx(0)
    assert gini([0, 0, 0, 12]) == pytest.approx(0.75)
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([]) == gini([0, 0]) == 0.0


def test_a_ladder_holds_the_asked_for_and_leaves_a_tail() -> None:
    counts = np.array([0, 3, 4, 50, 70_000])
    found = ladder(counts, [37.0])
    assert found == sorted(set(found))
    assert {37.0, math.inf} <= set(found)
    assert all(t_to_p(counts, t) > 0 for t in found)
    assert len(found) <= 11
