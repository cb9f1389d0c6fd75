"""Entry counts before and after the curation, by language: curves, shares of head and tail, examples.

Reads counts (count, count-survivors), the manifest and the table entries. Xu et al. 2023, section 3.
"""

# E entries

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from curation.ids import coin
from curation.manifest import MANIFEST
from curation.report.scan import Ints, add_entries, batches, counts_of
from curation.stage import Record
from metadata.entries import frozen_lists

EXAMPLES = "report"  # the purpose of the coin that draws examples


@dataclass(frozen=True)
class EntryCounts:
    """One language's entries: how many rows name each of them."""

    lang: str
    t: float | None
    """The threshold of the balance; None before it ran."""
    pool: Ints
    """int64 (E,), matches in the pool, the held-out pictures left out."""
    survivors: Ints | None
    """int64 (E,), matches among the survivors to train on."""
    selected: Ints | None
    """int64 (E,), matches among the selected captions."""

    @property
    def head(self) -> np.ndarray:
        """Return which entries are head: bool (E,), t matches or more in the pool. Without t there is no head."""
        return self.pool >= (np.inf if self.t is None else self.t)

    def largest(self, number: int) -> list[int]:
        """Return the ids of the largest entries, of equal ones the smaller id first; those without a match are none."""
        order = np.argsort(-self.pool, kind="stable")[:number]
        return [int(i) for i in order if self.pool[i] > 0]

    def tail(self) -> np.ndarray:
        """Return which entries are tail: bool (E,), at least one match and fewer than t."""
        return ~self.head & (self.pool > 0)


def entry_counts(records: Mapping[str, Record], languages: Sequence[str]) -> dict[str, EntryCounts]:
    """Return the counts of each language that has a frozen list and a count; none where these stages are absent."""
    if not {"metadata", "count"} <= set(records):
        return {}
    sizes = {lang: item.size for lang, item in frozen_lists(records["metadata"]).items() if lang in languages}
    thresholds = records["balance"].notes["t"] if "balance" in records else {}
    selected = _selected(records["manifest"].path / MANIFEST, sizes) if "manifest" in records else {}
    survivors = records.get("count-survivors")
    return {
        lang: EntryCounts(
            lang,
            float(thresholds[lang]) if lang in thresholds else None,
            counts_of(records["count"].path / "counts", size, lang),
            counts_of(survivors.path / "counts", size, lang) if survivors else None,
            selected.get(lang),
        )
        for lang, size in sizes.items()
    }


def _selected(manifest: Path, sizes: Mapping[str, int]) -> dict[str, Ints]:
    """Return the matches of the selected captions by language; a mixed caption counts in both."""
    totals = {lang: np.zeros(size, dtype=np.int64) for lang, size in sizes.items()}
    pairs = (("lang", "entry_ids"), ("mixed_lang", "mixed_entry_ids"))
    for batch in batches(manifest, ["selected", *(name for pair in pairs for name in pair)]):
        chosen = batch.filter(batch.column("selected"))
        for name, ids in pairs:
            for lang, total in totals.items():
                add_entries(total, chosen.filter(pc.equal(chosen.column(name), lang)).column(ids))
    return totals


def shares(counts: EntryCounts) -> list[dict[str, Any]]:
    """Return a row for the pool, the survivors and the selection: matches, and the head's and the tail's share of them."""
    named = {"pool": counts.pool, "survivors": counts.survivors, "selected": counts.selected}
    head = counts.head
    rows = []
    for name, values in named.items():
        if values is not None:
            total, of_head = int(values.sum()), int(values[head].sum())
            share = of_head / total if total else 0.0
            rows.append(
                {"where": name, "matches": total, "head": share, "tail": 1.0 - share if total else 0.0}
            )
    return rows


def overview(counts: EntryCounts) -> dict[str, Any]:
    """Return how many entries there are, have a match, are head, are tail, and how many lost their last match."""
    lost = None if counts.selected is None else int(((counts.pool > 0) & (counts.selected == 0)).sum())
    return {
        "entries": counts.pool.size, "matched": int((counts.pool > 0).sum()), "head": int(counts.head.sum()),
        "tail": int(counts.tail().sum()), "lost": lost,
    }  # fmt: skip


def examples(
    metadata: Record, counts: EntryCounts, number: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the largest head entries and tail entries by coin, each a row with its counts before and after and its source.

    The tail's are those with the smallest coins of their texts, the largest count first.
    """
    head = counts.largest(number)
    wanted, tail = set(head), counts.tail()
    texts: dict[int, tuple[str, str]] = {}
    drawn: list[tuple[float, int, str, str]] = []
    for batch in batches(metadata.path / "entries", ["lang", "entry_id", "entry", "source"]):
        own = batch.filter(pc.equal(batch.column("lang"), counts.lang))
        rows = list(zip(*(own.column(n).to_pylist() for n in ("entry_id", "entry", "source")), strict=True))
        texts |= {key: (entry, source) for key, entry, source in rows if key in wanted}
        tossed = (
            (coin(entry, seed, EXAMPLES), key, entry, source) for key, entry, source in rows if tail[key]
        )
        drawn = heapq.nsmallest(number, [*drawn, *tossed])
    tails = {key: (entry, source) for _, key, entry, source in drawn}
    order = sorted(tails, key=lambda key: (-int(counts.pool[key]), key))
    return {"head": _rows(counts, head, texts), "tail": _rows(counts, order, tails)}


def _rows(
    counts: EntryCounts, ids: Iterable[int], texts: Mapping[int, tuple[str, str]]
) -> list[dict[str, Any]]:
    return [
        {
            "entry": texts[key][0], "source": texts[key][1], "pool": int(counts.pool[key]),
            "survivors": None if counts.survivors is None else int(counts.survivors[key]),
            "selected": None if counts.selected is None else int(counts.selected[key]),
        }
        for key in ids
    ]  # fmt: skip
