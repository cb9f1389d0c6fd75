"""`curate verify`: the groups of a sample of pictures against the near pairs that the search found.

Every dropped picture must have a near pair to the one that it names, at the cosine that it names and by the thresholds of the record;
and under `mis` no kept picture may be near another kept one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.compute as pc

from curation.audit.files import RunFiles, among, scan
from curation.audit.findings import Findings
from curation.dedup.groups import Rule
from curation.ids import coins

WHERE = "dedup/groups"
SAMPLED = "verify-groups"  # the purpose of the coin of a picture
AT_ONCE = 2_000  # pictures whose near pairs are read in one pass over the edges
_GONE = {str(Rule.NEAR), str(Rule.HOLDOUT)}  # of a class that is not kept
Row = dict[str, Any]


def check_groups(files: RunFiles, found: Findings, *, share: float, seed: int) -> None:
    """Check a share of the pictures, drawn by coin. Those that joined an earlier crawl's are held by that one's index."""
    rows: list[Row] = []
    table = files.table("dedup", "groups")
    assert table is not None
    for batch in scan(table, [field.name for field in table.schema]):
        drawn = coins(batch.column("image_id").to_pylist(), seed, SAMPLED) < share
        rows += [row for row, own in zip(batch.to_pylist(), drawn, strict=True) if own]
        if len(rows) >= AT_ONCE:
            _check(files, found, rows)
            rows = []
    _check(files, found, rows)


def _check(files: RunFiles, found: Findings, rows: Sequence[Row]) -> None:
    pairs = _Pairs(files, rows)
    section = files.records["dedup"].data["config"]
    for row in rows:
        found.checked["pictures grouped again"] += 1
        for fault in _faults(row, pairs, section["rule"]):
            found.fault(WHERE, f"{row['image_id']}: {fault}")


def _faults(row: Row, pairs: "_Pairs", rule: str) -> Iterator[str]:
    """Yield what does not fit in the row of a picture."""
    if row["survivor"] != (row["rule"] in {str(Rule.SINGLE), str(Rule.SURVIVOR)}):
        yield f"it {'is' if row['survivor'] else 'is not'} a survivor, by rule {row['rule']}"
    elif row["rule"] == str(Rule.NEAR):
        value = pairs.cosine(row["image_id"], row["near"])
        if value != row["cosine"]:
            told = "no near pair of them is among the edges" if value is None else f"their cosine is {value}"
            yield f"it was dropped for {row['near']} at cosine {row['cosine']}, and {told}"
        elif rule == "mis" and row["near"] != row["joined"]:
            yield f"it joined {row['joined']}, and is near {row['near']}"
    elif row["rule"] == str(Rule.IDENTICAL):
        if pairs.key(row["image_id"]) != pairs.key(row["joined"]):
            yield f"its descriptor is not that of {row['joined']}"
    elif row["survivor"] and rule == "mis":
        for other in pairs.kept_beside(row["image_id"]):
            yield f"it is kept, and near {other}, which is kept too"


class _Pairs:
    """The near pairs of some pictures, by what the search knows them by."""

    def __init__(self, files: RunFiles, rows: Sequence[Row]) -> None:
        named = sorted({row[name] for row in rows for name in ("image_id", "near", "joined") if row[name]})
        same = files.rows("neighbours", "identical", among("image_id", named))
        self._key = {row["image_id"]: row["representative"] for row in same}
        keys = sorted({self.key(row["image_id"]) for row in rows})
        section, search = files.records["dedup"].data["config"], files.records["neighbours"].notes["search"]
        near = pc.field("cosine") >= round(section["threshold"] * 1000) / 1000
        if search["agreement_bound"] is not None:
            near &= pc.field("agreement") >= search["agreement_bound"]
        ends = among("image_id_a", keys) | among("image_id_b", keys)
        self._near: dict[str, dict[str, float]] = {}
        for edge in files.rows("neighbours", "edges", ends & near):
            a, b = edge["image_id_a"], edge["image_id_b"]
            self._near.setdefault(a, {})[b] = self._near.setdefault(b, {})[a] = edge["cosine"]
        others = sorted({other for key in keys for other in self._near.get(key, ())})
        columns = ["image_id", "rule"]
        fates = files.rows("dedup", "groups", among("image_id", others), columns=columns)
        gone = {row["image_id"] for row in fates if row["rule"] in _GONE}
        self._kept = set(others) - gone  # who has no row is of an index, which under mis has survivors alone

    def key(self, image_id: str) -> str:
        """Return the representative of a picture."""
        return str(self._key.get(image_id, image_id))

    def cosine(self, one: str, other: str) -> float | None:
        """Return the cosine of a near pair; of an earlier crawl's picture by its own id."""
        around = self._near.get(self.key(one), {})
        return around.get(self.key(other), around.get(other))

    def kept_beside(self, image_id: str) -> list[str]:
        """Return the classes near a picture's that are kept."""
        return sorted(self._kept & self._near.get(self.key(image_id), {}).keys())
