"""The toss over parts of matches is that of a plain loop over pairs, however the rows are cut into batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation import ids
from curation.balance import COIN, EXPECTED_UNIT, HELD_OUT, entry_prob
from curation.errors import Reason
from curation.schemas import TABLES
from curation.stage import Tally
from curation.wanted import COLUMNS, TEXTS, Toss, from_bytes, to_bytes

NUM_PAIRS, ENTRIES, SEED = 300, 20, 4
SCHEMA = pa.schema([TABLES["matches"].field(name).remove_metadata() for name in COLUMNS])
PROBS = {lang: entry_prob(np.arange(1, ENTRIES + 1) ** 2, t) for lang, t in (("en", 9.0), ("ko", 2.0))}


def matches() -> list[dict[str, Any]]:
    """Rows in order of pair_id; every third pair is mixed, its languages equally sure in some; some name no entry."""
    rows = []
    for number in range(NUM_PAIRS):
        url = f"http://a.test/{number}"
        key = ids.pair_id(url, "x")
        for lang in ("en", "ko") if number % 3 == 0 else ("en",) if number % 3 == 1 else ("ko",):
            entries = {int(ENTRIES * ids.coin(f"{key}{k}", 0, lang)) for k in range(number % 5)}
            score = 0.5 if number % 2 else round(ids.coin(key, 0, f"score {lang}"), 1)
            row = {"pair_id": key, "lang": lang, "url": url, "lang_score": score, "mixed": number % 3 == 0}
            rows.append(row | {"entry_ids": sorted(entries)})
    return sorted(rows, key=lambda row: (row["pair_id"], row["lang"]))


def plainly(share: float) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The table wanted and the sums, a pair at a time."""
    pairs: dict[str, list[dict[str, Any]]] = {}
    for row in matches():
        pairs.setdefault(row["pair_id"], []).append(row)
    found, sums = [], {f"{name}/{lang}": 0 for name in ("expected", "wanted", TEXTS) for lang in PROBS}
    sums |= {"held_out": 0, "in": len(pairs)}
    for key, rows in pairs.items():
        miss = 1.0
        for row in rows:
            own = 1.0
            for entry in row["entry_ids"]:
                own *= 1.0 - PROBS[row["lang"]][entry]
            miss *= own
        out = ids.coin(rows[0]["url"], SEED, HELD_OUT) < share
        prob, coin = 1.0 if out else 1.0 - miss, ids.coin(key, SEED, COIN)
        lang = min(rows, key=lambda row: (-row["lang_score"], row["lang"]))["lang"]
        sums["held_out"] += out
        if not out:
            sums[f"expected/{lang}"] += round(prob / EXPECTED_UNIT)
            sums[f"wanted/{lang}"] += coin < prob
        if coin < prob:
            found.append(
                {"pair_id": key, "url": rows[0]["url"], "keep_prob": prob, "coin": coin, "held_out": out}
            )
            for row in rows:
                sums[f"{TEXTS}/{row['lang']}"] += 1
    return found, sums


def tossed(rows: Sequence[dict[str, Any]], size: int, share: float) -> tuple[list[dict[str, Any]], Tally]:
    toss, tally, alone = Toss(PROBS, seed=SEED, heldout_share=share), Tally(), list[pa.RecordBatch]()
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=size)

    found = list(toss.wanted(batches(), tally, alone))
    found.append(toss.rest(from_bytes(to_bytes(alone)), tally))
    return [row for batch in found for row in batch.to_pylist()], tally


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_the_rows_and_sums_are_those_of_a_plain_loop_in_batches_of_any_size(size: int, share: float) -> None:
    found, tally = tossed(matches(), size, share)
    wanted, sums = plainly(share)
    assert sorted(found, key=lambda row: row["pair_id"]) == wanted
    assert len(wanted) > 50
    ledger = tally.of("pairs")
    assert (ledger.rows_in, ledger.rows_out) == (sums.pop("in"), len(wanted))
    assert ledger.dropped == {Reason.BALANCED_OUT: NUM_PAIRS - len(wanted)}
    assert tally.sums == sums


def test_the_two_rows_of_a_pair_find_each_other_wherever_they_stand() -> None:
    rows = sorted(matches(), key=lambda row: ids.coin(row["pair_id"] + row["lang"], 0, "order"))
    found, tally = tossed(rows, 10_000, 0.0)
    assert sorted(found, key=lambda row: row["pair_id"]) == plainly(0.0)[0]
    assert tally.of("pairs").rows_in == NUM_PAIRS


def test_sorted_rows_in_one_batch_stay_sorted() -> None:
    found, _ = tossed(matches(), 10_000, 0.0)
    assert [row["pair_id"] for row in found] == sorted(row["pair_id"] for row in found)


def test_nothing_in_is_nothing_out() -> None:
    found, tally = tossed([], 10, 0.2)
    assert found == []
    assert tally.of("pairs").rows_in == 0
