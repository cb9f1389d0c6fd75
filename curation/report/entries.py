"""Entry counts before and after the curation, by language: curves, shares of head and tail, examples.

Reads counts (count, count-survivors), the manifest and the table entries. Xu et al. 2023, section 3.
"""

# E entries

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.ids import coins
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


@dataclass(frozen=True)
class Sources:
    """Where each entry of a language comes from."""

    names: list[str]
    codes: npt.NDArray[np.int16]
    """int16 (E,), place of the entry's source in `names`; -1 where the table does not say."""


def sources_of(metadata: Record, lang: str, size: int) -> Sources:
    """Return the source that brought each entry in."""
    names: list[str] = []
    codes = np.full(size, -1, dtype=np.int16)
    for batch in batches(metadata.path / "entries", ["lang", "entry_id", "source"]):
        own = batch.filter(pc.equal(batch.column("lang"), lang))
        found = own.column("source").dictionary_encode()
        words = found.dictionary.to_pylist()
        names += [name for name in words if name not in names]
        places = np.array([names.index(name) for name in words], dtype=np.int16)
        codes[own.column("entry_id").to_numpy()] = places[found.indices.to_numpy()] if words else []
    return Sources(names, codes)


def by_source(counts: EntryCounts, sources: Sources) -> list[dict[str, Any]]:
    """Return a row a source, in order of matches: entries, with a match, head; matches of the pool and of the selection.

    Each with its share of all matches before and after, and the head's part of its own matches.
    """
    rows = []
    before = int(counts.pool.sum())
    after = None if counts.selected is None else int(counts.selected.sum())
    for code, name in enumerate(sources.names):
        own = sources.codes == code
        pool, head = counts.pool[own], counts.head[own]
        selected = None if counts.selected is None else counts.selected[own]
        chosen = None if selected is None else int(selected.sum())
        rows.append({
            "source": name, "entries": int(own.sum()), "matched": int((pool > 0).sum()), "head_entries": int(head.sum()),
            "pool": int(pool.sum()), "of_pool": _share(int(pool.sum()), before), "head": _share(int(pool[head].sum()), int(pool.sum())),
            "selected": chosen, "of_selected": None if chosen is None or after is None else _share(chosen, after),
            "head_after": None if selected is None or chosen is None else _share(int(selected[head].sum()), chosen),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["pool"], -row["entries"], row["source"]))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def texts_of(metadata: Record, lang: str, ids: Sequence[int]) -> list[str]:
    """Return the texts of some entries, in the order of the ids."""
    found: dict[int, str] = {}
    for batch in batches(metadata.path / "entries", ["lang", "entry_id", "entry"]):
        wanted = pc.and_(
            pc.equal(batch.column("lang"), lang),
            pc.is_in(batch.column("entry_id"), pa.array(ids, pa.int32())),
        )
        own = batch.filter(wanted)
        found |= zip(own.column("entry_id").to_pylist(), own.column("entry").to_pylist(), strict=True)
    return [found[key] for key in ids]


def examples(
    metadata: Record, counts: EntryCounts, number: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the largest head entries and tail entries by coin, each a row with its counts before and after and its source.

    The tail's are those with the smallest coins of their texts, the largest count first.
    """
    head = np.array(counts.largest(number), dtype=np.int64)
    tail = counts.tail()
    texts: dict[int, tuple[str, str]] = {}
    drawn: dict[int, tuple[float, str, str]] = {}
    for batch in batches(metadata.path / "entries", ["lang", "entry_id", "entry", "source"]):
        own = batch.filter(pc.equal(batch.column("lang"), counts.lang)).drop_columns("lang")
        ids = own.column("entry_id").to_numpy()
        rows = zip(
            *(column.to_pylist() for column in own.filter(pa.array(np.isin(ids, head))).columns), strict=True
        )
        texts |= {key: (entry, source) for key, entry, source in rows}
        tails = own.filter(pa.array(tail[ids]))
        tossed = coins(tails.column("entry").to_pylist(), seed, EXAMPLES)
        lowest = np.argsort(tossed, kind="stable")[:number]
        part = zip(*(column.to_pylist() for column in tails.take(pa.array(lowest)).columns), strict=True)
        drawn |= {
            key: (tossed[place], entry, source)
            for place, (key, entry, source) in zip(lowest, part, strict=True)
        }
        drawn = dict(sorted(drawn.items(), key=lambda item: (item[1][0], item[0]))[:number])
    few = {key: (entry, source) for key, (_, entry, source) in drawn.items()}
    order = sorted(few, key=lambda key: (-int(counts.pool[key]), key))
    return {"head": _rows(counts, head.tolist(), texts), "tail": _rows(counts, order, few)}


def _rows(
    counts: EntryCounts, ids: Iterable[int], texts: Mapping[int, tuple[str, str]]
) -> list[dict[str, Any]]:
    return [
        {
            "entry": texts[key][0], "source": texts[key][1], "pool": int(counts.pool[key]),
            "survivors": None if counts.survivors is None else int(counts.survivors[key]),
            "selected": None if counts.selected is None else int(counts.selected[key]),
            "kept": None if counts.selected is None else _share(int(counts.selected[key]), int(counts.pool[key])),
        }
        for key in ids
    ]  # fmt: skip
