"""How near pictures were searched for and what the search missed, and by which rule they were grouped: what the page says of both.

Reads the records of neighbours and dedup alone. Runs of before the search was a stage have its notes in dedup's.
"""

from collections.abc import Mapping
from typing import Any

from curation.dedup.groups import Rule
from curation.errors import Reason
from curation.report.flow import ledger_of
from curation.stage import Record

RULES = {
    "mis": "no two kept pictures are near, and each dropped one is near the kept one that it joined",
    "dominated": "a picture is dropped if any better one is near, even one that is dropped itself",
    "components": "of all pictures that a chain of near pairs ties together, one is kept",
}
OF_RULE = {
    Rule.SINGLE: "near to none", Rule.SURVIVOR: "kept, with others near it", Rule.NEAR: "dropped: near another",
    Rule.IDENTICAL: "dropped: the very descriptor of another", Rule.HOLDOUT: "dropped: near a picture of an evaluation set",
    Rule.EARLIER: "dropped: an earlier crawl has the same bytes",
}  # fmt: skip


def found(records: Mapping[str, Record]) -> dict[str, Any]:
    """Return what the template reads: search, audit, rule, threshold, ranks, pictures by rule, evaluation sets, earlier crawls."""
    dedup, section = records["dedup"], records["dedup"].data["config"]
    neighbours = records["neighbours"].notes if "neighbours" in records else {}
    groups, rule = dedup.notes.get("groups", {}), section.get("rule", "mis")
    images, captions = (ledger_of(records, "dedup", unit) for unit in ("images", "captions"))
    return {
        "search": neighbours.get("search") or dedup.notes.get("search"), "audit": _audit(neighbours.get("audit")),
        "threshold": section.get("threshold"), "rule": rule, "means": RULES[rule],
        "rank": list(section.get("rank", ["pixels"])), "rules": _by_rule(groups.get("rules", {})),
        "near_pairs": groups.get("near_pairs"), "holdout": dedup.notes.get("holdout", {}).get("sets", {}),
        "earlier": {
            name: ledger["dropped"].get(Reason.EARLIER_PICTURE, 0) if ledger else 0
            for name, ledger in (("images", images), ("captions", captions))
        },
    }  # fmt: skip


def _by_rule(rules: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"rule": str(rule), "means": means, "pictures": rules[rule]}
        for rule, means in OF_RULE.items()
        if rules.get(rule)
    ]


def _audit(note: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the recall with its interval: of all pairs first, then by bands of cosine."""
    if not note:
        return None
    return {"pictures": note["pictures"], "whole": note["bands"][0], "bands": note["bands"][1:]}
