"""The toss of step "balance" before the download, over parts of matches: chances, coins, and the rows of the table wanted.

Plain numpy on Arrow batches; `curation.spark.balance` hands out the parts. The chance of a pair is `miss_prob` over the entries
of all its languages. The two rows of a mixed pair stand one after the other in matches; the few that a batch's end parts are
handed back, and meet at the end (`Toss.rest`). `curation.spark.chances.pair_probs` does the same to rows in any order.
"""

# N rows, M matches of all rows together, E entries of all languages together

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.balance import COIN, EXPECTED_UNIT, HELD_OUT, Reals, miss_prob
from curation.digest import coins_of
from curation.errors import Reason
from curation.schemas import TABLES
from curation.stage import Tally

COLUMNS = ("pair_id", "lang", "url", "lang_score", "mixed", "entry_ids")  # of matches
TEXTS = "texts"  # the tally's sum of wanted texts by language: of a mixed pair each counts in its own
NONE = -1  # no language
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
_OF_MATCHES = [TABLES["matches"].field(name).remove_metadata() for name in COLUMNS[:4]]
ALONE = pa.schema([*_OF_MATCHES, pa.field("miss", pa.float64(), nullable=False)])
"""A row of a mixed pair whose other row is elsewhere: its miss probability over the entries of its own language."""


class Rows(NamedTuple):
    """A batch of matches, where one row of each pair stands for all of it."""

    pair_id: pa.StringArray
    url: pa.StringArray
    miss: Reals
    """Chance that no entry keeps the pair, in the row that stands for it: over its entries in all languages."""
    lang: Codes
    """Place of the language in `Toss.langs`; of a mixed pair of the surer text, then of the first by name."""
    second: Codes
    """The same of a mixed pair's other text, else `NONE`."""
    stands: Flags
    """Which rows stand for a pair."""


class Toss:
    """Tosses for the pairs of a run; what every task needs for it."""

    def __init__(self, probs: Mapping[str, Reals], *, seed: int, heldout_share: float) -> None:
        """probs: entry probability by language, float64 (E of the language,)."""
        self.langs = sorted(probs)
        self._starts = np.cumsum([0, *(probs[lang].size for lang in self.langs)])
        self._prob_E = np.concatenate([probs[lang] for lang in self.langs])
        self.seed, self.heldout_share = seed, heldout_share

    def wanted(
        self, batches: Iterable[pa.RecordBatch], tally: Tally, alone: list[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the table wanted from batches of matches; count into the tally.

        alone: takes the rows, as ALONE, whose pair is not whole in its batch.
        """
        for batch in batches:
            lang_N = self._codes(batch.column("lang"))
            miss_N = self._misses(batch.column("entry_ids"), lang_N)
            mixed_N = batch.column("mixed").to_numpy(zero_copy_only=False)
            rows, alone_N = paired(batch, miss_N, lang_N, mixed_N)
            if alone_N.any():
                columns = [*(batch.column(field.name) for field in _OF_MATCHES), pa.array(miss_N)]
                alone.append(pa.RecordBatch.from_arrays(columns, schema=ALONE).filter(pa.array(alone_N)))
            yield self._toss(rows, tally)

    def rest(self, alone: Iterable[pa.RecordBatch], tally: Tally) -> pa.RecordBatch:
        """Return the rows of the table wanted from the rows that were alone in all batches."""
        table = pa.Table.from_batches(alone, ALONE)
        columns = [pa.concat_arrays(column.chunks or [pa.array([], column.type)]) for column in table.columns]
        batch = pa.RecordBatch.from_arrays(columns, schema=ALONE)
        batch = batch.take(pc.sort_indices(batch, [("pair_id", "ascending"), ("lang", "ascending")]))
        mixed_N = np.ones(batch.num_rows, dtype=bool)
        lang_N = self._codes(batch.column("lang"))
        rows, alone_N = paired(batch, batch.column("miss").to_numpy(), lang_N, mixed_N)
        return self._toss(rows._replace(stands=rows.stands | alone_N), tally)

    def _codes(self, lang: pa.StringArray) -> Codes:
        code_N = np.full(len(lang), NONE, dtype=np.int8)
        for code, name in enumerate(self.langs):
            code_N[pc.equal(lang, name).to_numpy(zero_copy_only=False)] = code
        return code_N

    def _misses(self, ids: pa.ListArray, lang_N: Codes) -> Reals:
        """Return the miss probability of each row over the entries of its language, float64 (N,)."""
        lengths = pc.list_value_length(ids).to_numpy(zero_copy_only=False)
        ids_M = ids.flatten().to_numpy(zero_copy_only=False) + np.repeat(self._starts[lang_N], lengths)
        return miss_prob(self._prob_E, ids_M, np.concatenate([[0], np.cumsum(lengths)]))

    def _toss(self, rows: Rows, tally: Tally) -> pa.RecordBatch:
        """Return the rows of the table wanted."""
        out_N = np.zeros(len(rows.url), dtype=bool)
        if self.heldout_share:
            out_N = coins_of(rows.url, self.seed, HELD_OUT) < self.heldout_share
        # A held-out picture is fetched whatever it shows: what a model is asked must not depend on the curation.
        prob_N = np.where(out_N, 1.0, 1.0 - rows.miss)
        coin_N = coins_of(rows.pair_id, self.seed, COIN)
        wanted_N = rows.stands & (coin_N < prob_N)
        self._count(tally, rows, prob_N, wanted_N, out_N & rows.stands)
        found = {
            "pair_id": rows.pair_id, "url": rows.url, "keep_prob": pa.array(prob_N), "coin": pa.array(coin_N),
            "held_out": pa.array(out_N),
        }  # fmt: skip
        return pa.RecordBatch.from_pydict(found).filter(pa.array(wanted_N))

    def _count(self, tally: Tally, rows: Rows, prob_N: Reals, wanted_N: Flags, out_N: Flags) -> None:
        tally.add("held_out", int(out_N.sum()))
        tally.keep("pairs", int(wanted_N.sum()))
        tally.drop("pairs", Reason.BALANCED_OUT, int((rows.stands & ~wanted_N).sum()))
        for code, lang in enumerate(self.langs):
            first_N = rows.lang == code
            mine_N = first_N & rows.stands & ~out_N
            tally.add(f"expected/{lang}", int(np.rint(prob_N[mine_N] / EXPECTED_UNIT).sum()))
            tally.add(f"wanted/{lang}", int((wanted_N & mine_N).sum()))
            tally.add(f"{TEXTS}/{lang}", int((wanted_N & (first_N | (rows.second == code))).sum()))


def paired(batch: pa.RecordBatch, miss_N: Reals, lang_N: Codes, mixed_N: Flags) -> tuple[Rows, Flags]:
    """Return a batch's rows, and which of them are of mixed pairs whose other row is not beside them.

    batch: pair_id, url, lang_score. Of a mixed pair the surer row stands for both, which have one address.
    """
    second_N = np.full(batch.num_rows, NONE, dtype=np.int8)
    places = np.flatnonzero(mixed_N)
    ids = batch.column("pair_id").take(pa.array(places))
    same = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False) & (np.diff(places) == 1)
    first = places[:-1][same]
    score_N = batch.column("lang_score").to_numpy()
    after = (score_N[first + 1] > score_N[first]) | (
        (score_N[first + 1] == score_N[first]) & (lang_N[first + 1] < lang_N[first])
    )
    surer, other = first + after, first + ~after
    product = miss_N[first] * miss_N[first + 1]  # two factors commute exactly
    miss_N, stands_N, alone_N = miss_N.copy(), np.ones(batch.num_rows, dtype=bool), mixed_N.copy()
    miss_N[surer], second_N[surer] = product, lang_N[other]
    stands_N[other] = alone_N[surer] = alone_N[other] = False
    rows = Rows(batch.column("pair_id"), batch.column("url"), miss_N, lang_N, second_N, stands_N & ~alone_N)
    return rows, alone_N


def to_bytes(batches: Iterable[pa.RecordBatch]) -> bytes:
    """Return batches of ALONE as a stream of Arrow's."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ALONE) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def from_bytes(data: bytes) -> list[pa.RecordBatch]:
    """Return the batches that `to_bytes` wrote."""
    with pa.ipc.open_stream(data) as stream:
        return list(stream)
