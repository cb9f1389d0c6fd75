"""`curate verify`, first part: every record is whole, stands on the ones it says, and its sums close.

A record is canonical text and, since records have a seal, ends with the hash of the rest: any changed byte is seen. Older ones are
held by their text's form, the hash of their configuration, the stages that read them, the summary and the report.
"""

import json
from collections.abc import Iterator
from typing import Any

from curation.audit.files import RunFiles
from curation.audit.findings import Findings
from curation.canonical import sha256_json
from curation.errors import Reason
from curation.pipeline import SUMMARY
from curation.stage import RECORD, SEAL, Record, sealed

Point = tuple[str, str, str]  # a stage, a unit or table of it, and "in", "out" or "rows"
# Numbers that must be equal, since one stage hands on to the next all that it has.
_EQUAL: tuple[tuple[Point, Point], ...] = (
    (("extract", "candidates", "out"), ("extract", "pairs", "rows")),
    (("extract", "candidates", "out"), ("match", "pairs", "in")),
    (("match", "matches", "rows"), ("count", "rows", "in")),
    (("match", "pairs", "out"), ("balance", "pairs", "in")),
    (("balance", "pairs", "out"), ("balance", "wanted", "rows")),
    (("download", "urls", "in"), ("download", "outcomes", "rows")),
    (("embed", "images", "out"), ("embed", "descriptors", "rows")),
    (("embed", "images", "out"), ("neighbours", "images", "in")),
    (("embed", "images", "out"), ("dedup", "images", "in")),
    (("dedup", "images", "in"), ("dedup", "groups", "rows")),
    (("balance", "wanted", "rows"), ("dedup", "captions", "in")),
    (("dedup", "rows", "rows"), ("count-survivors", "rows", "in")),
    (("dedup", "captions", "out"), ("balance-survivors", "pairs", "in")),
    (("dedup", "captions", "out"), ("balance-survivors", "selection", "rows")),
    (("dedup", "captions", "out"), ("manifest", "captions", "in")),
    (("manifest", "captions", "out"), ("manifest", "manifest", "rows")),
)

# Keys of records that were written before there were seals.
_UNSEALED = frozenset({
    "stage", "version", "schema_version", "config", "config_hash", "inputs", "externals", "tables", "files", "ledgers",
    "notes", "settings", "seconds", "versions",
})  # fmt: skip


def check_records(files: RunFiles, found: Findings) -> set[str]:
    """Check every record by itself and against the others, the summary and the report.

    Returns the stages whose own record is damaged: nothing can be derived from what it says.
    """
    damaged = set()
    for place, why in files.unreadable.items():
        found.fault(f"{place}/{RECORD}", why)
    for name, record in files.records.items():
        before = len(found.faults)
        with found.guarded(where_of(record)):
            _check_form(name, record, found)
        if len(found.faults) > before:
            damaged.add(name)
        with found.guarded(where_of(record)):
            _check_inputs(files, record, found)
            _check_ledgers(record, found)
        found.checked["records"] += 1
    for one, other in _EQUAL:
        with found.guarded(RECORD):
            _check_equal(files, one, other, found)
    if files.is_whole:
        with found.guarded(SUMMARY):
            _check_summary(files, found)
        with found.guarded(f"report/{RECORD}"):
            _check_report(files, found)
    return damaged


def where_of(record: Record) -> str:
    """Return how a record is named."""
    return f"{record.path.name}/{RECORD}"


def _check_form(name: str, record: Record, found: Findings) -> None:
    where, data = where_of(record), record.data
    text = (record.path / RECORD).read_text(encoding="utf-8")
    if SEAL in data:
        if sealed(data) != text:
            found.fault(where, "its seal does not fit: a byte of the record was changed")
    elif set(data) - _UNSEALED:
        found.fault(
            where, f"it has no seal, and a key that no record without one has: {min(set(data) - _UNSEALED)!r}"
        )
    elif json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n" != text:
        found.fault(where, "it is not written as records are: a byte was changed")
    else:
        found.remark("records without a seal (older ones) are held by what stands on them alone")
    if data["stage"] != name:
        found.fault(where, f"it is the record of stage {data['stage']!r}, in the place of {name!r}")
    if sha256_json(data["config"]) != data["config_hash"]:
        found.fault(where, "config_hash is not the hash of its configuration")


def _check_inputs(files: RunFiles, record: Record, found: Findings) -> None:
    for name, digest in record.data["inputs"].items():
        source = files.records.get(name)
        if source is None and not files.is_whole:
            found.remark("one stage by itself: what it was made from is not at hand")
        elif source is None:
            found.fault(where_of(record), f"it was made from stage {name}, whose record is not there")
        elif source.digest != digest:
            found.fault(
                where_of(record),
                f"it was made from another {name}: digest {digest[:12]}, {name} has {source.digest[:12]}",
            )


def _check_ledgers(record: Record, found: Findings) -> None:
    known = {str(reason) for reason in Reason}
    for ledger in record.ledgers:
        out = ledger["out"] + sum(ledger["dropped"].values()) + ledger["merged"]
        if out != ledger["in"]:
            found.fault(where_of(record), f"{ledger['unit']}: {ledger['in']} in, but {out} accounted for")
        strange = sorted(set(ledger["dropped"]) - known)
        if strange:
            found.fault(where_of(record), f"{ledger['unit']}: no reason is called {strange[0]!r}")
        found.checked["ledgers"] += 1


def _check_equal(files: RunFiles, one: Point, other: Point, found: Findings) -> None:
    ours, theirs = _number(files, one), _number(files, other)
    if ours is not None and theirs is not None and ours != theirs:
        found.fault(
            where_of(files.records[other[0]]),
            f"{other[1]} {other[2]} is {theirs}, but {one[0]} has {one[1]} {one[2]} {ours}",
        )


def _number(files: RunFiles, point: Point) -> int | None:
    stage, unit, side = point
    if stage not in files.records:
        return None
    if side == "rows":
        noted = files.records[stage].data["tables"].get(unit)
        return int(noted["rows"]) if noted else None
    ledgers = files.records[stage].ledgers
    return next((int(ledger[side]) for ledger in ledgers if ledger["unit"] == unit), None)


def _check_summary(files: RunFiles, found: Findings) -> None:
    """Compare what the summary says of a stage with its record."""
    place = files.path / SUMMARY
    if not place.is_file():
        found.remark("there is no summary.json")
        return
    for told in _told(json.loads(place.read_text(encoding="utf-8"))):
        record = files.records.get(told.pop("stage"))
        if record is None:
            continue
        for key, value in told.items():
            if record.data.get(key) != value:
                found.fault(where_of(record), f"{key} is not what {SUMMARY} says: one of both was changed")
        found.checked["lines of the summary"] += 1


def _told(summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from summary["stages"]
    if summary.get("evaluate") is not None:
        yield {"stage": "evaluate", "notes": summary["evaluate"]}


def _check_report(files: RunFiles, found: Findings) -> None:
    """Compare the records with those that the report was made from."""
    report = files.records.get("report")
    for item in report.data["externals"] if report else ():
        record = files.records.get(item.get("stage", ""))
        if record is not None and sha256_json(record.data) != item["record"]:
            found.fault(where_of(record), "the report was made from another record of this stage")
