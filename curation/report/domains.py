"""Which hosts the pictures come from, before and after the curation. Reads `url` of matches and of the manifest.

A pool may have more hosts than fit in memory: the first pass keeps a bounded summary that no large host can leave, the
second counts those exactly.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.domains import hosts_of
from curation.manifest import MANIFEST
from curation.report.scan import batches
from curation.stage import Record

SUMMARY = 65_536  # hosts held at once: every host with more than 1/SUMMARY of the pairs is among them
BEGINNING = r"^(?P<place>[a-z]+://[^/?#]*)"
Counts = dict[str, int]


def add_bounded(held: Counts, batch: Mapping[str, int], limit: int = SUMMARY) -> int:
    """Add a batch's counts in place and shrink to at most `limit` names; return what was taken from each.

    Misra and Gries 1982, for batches by Agarwal et al. 2012 ("Mergeable summaries"): what is taken is the largest count that
    does not fit, so a name with more than 1/(limit + 1) of all counts stays whatever the order.
    """
    for name, count in batch.items():
        held[name] = held.get(name, 0) + count
    if len(held) <= limit:
        return 0
    taken = sorted(held.values(), reverse=True)[limit]
    for name in [name for name, count in held.items() if count <= taken]:
        del held[name]
    for name in held:
        held[name] -= taken
    return taken


def _matched(records: Mapping[str, Record]) -> Iterator[Counts]:
    """Yield host counts of the matches, in half pairs: a mixed text has two rows."""
    for batch in batches(records["match"].path / "matches", ["url", "mixed"]):
        once = _hosts(
            batch.filter(batch.column("mixed"))
        )  # few: the many addresses of the others are not copied
        yield {name: 2 * count - once.get(name, 0) for name, count in _hosts(batch).items()}


def _selected(records: Mapping[str, Record]) -> Iterator[Counts]:
    """Yield host counts of the selected captions, in half pairs too."""
    for batch in batches(records["manifest"].path / MANIFEST, ["url", "selected"]):
        chosen = batch.filter(batch.column("selected"))
        yield {name: 2 * count for name, count in _hosts(chosen).items()}


def _hosts(batch: pa.RecordBatch) -> Counts:
    """Return the rows by host. Equal beginnings of addresses are told apart once: five times as fast as a row at a time."""
    urls = batch.column("url")
    places = pc.extract_regex(urls, BEGINNING).field("place")
    other = pc.fill_null(pc.equal(places, ""), fill_value=True)  # not of that form: as it is
    found: Counts = {}
    some = bool(pc.any(other).as_py())
    for texts in (places.filter(pc.invert(other)), urls.filter(other)) if some else (places,):
        counted = pc.value_counts(texts)
        names = hosts_of(counted.field("values")).to_pylist()
        for name, count in zip(names, counted.field("counts").to_pylist(), strict=True):
            found[name] = found.get(name, 0) + count
    return found


def _largest(read: Callable[[], Iterator[Counts]]) -> tuple[Counts, int, bool]:
    """Return the counts of the large hosts, the sum over all hosts, and whether every host is among them."""
    held: Counts = {}
    total, whole = 0, True
    for batch in read():
        total += sum(batch.values())
        whole &= add_bounded(held, batch) == 0
    if whole:
        return held, total, True
    exact = dict.fromkeys(held, 0)
    for batch in read():
        for name in batch.keys() & exact.keys():
            exact[name] += batch[name]
    return exact, total, False


def domains(records: Mapping[str, Record], number: int) -> dict[str, Any] | None:
    """Return the largest hosts by pairs matched, with their share before and after, and how concentrated both sides are.

    None where nothing was matched. Without a manifest there is no "after".
    """
    if "match" not in records:
        return None
    before, total, whole = _largest(lambda: _matched(records))
    after, chosen, _ = _largest(lambda: _selected(records)) if "manifest" in records else ({}, 0, True)
    order = sorted(before, key=lambda name: (-before[name], name))[:number]
    rows = [
        _row(name, before[name] / total, after.get(name, 0) / chosen if chosen else None) for name in order
    ]
    for row in rows:
        row |= {
            "pairs": before[row["domain"]] // 2,
            "selected": after.get(row["domain"], 0) // 2 if chosen else None,
        }
    return {
        "rows": rows, "whole": whole, "hosts": len(before), "hosts_after": len(after) if chosen else None,
        "pairs": total // 2, "selected": chosen // 2 if chosen else None,
        "top": [
            {"top": top, "before": _top(before, total, top), "after": _top(after, chosen, top) if chosen else None}
            for top in (1, 10, 100)
        ],
    }  # fmt: skip


def _row(name: str, before: float, after: float | None) -> dict[str, Any]:
    factor = after / before if after is not None and before else None
    return {"domain": name, "before": before, "after": after, "factor": factor}


def _top(counts: Counts, total: int, number: int) -> float:
    return sum(sorted(counts.values(), reverse=True)[:number]) / max(1, total)
