"""What is left after each step, in captions and in pictures, and each stage's ledger with its drops by reason.

Reads the records' ledgers and notes, and the column `lang` of the survivors' rows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from curation.errors import Reason
from curation.report.scan import rows_by
from curation.stage import Record


def stage_rows(records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return a row a stage and unit: in, out, merged, dropped, the drops by reason with their share of what came in."""
    rows = []
    for name, record in records.items():
        ledgers: list[dict[str, Any] | None] = [*record.ledgers] or [None]
        for position, ledger in enumerate(ledgers):
            row = {"stage": name, "first": position == 0, "seconds": record.data["seconds"], "ledger": None}
            if ledger:
                row["ledger"] = ledger | {"left": _reasons(ledger), "lost": sum(ledger["dropped"].values())}
            rows.append(row)
    return rows


def costs(records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return a row a stage: seconds, their share of all, and the rows a second of the unit that it reads first."""
    whole = sum(record.data["seconds"] for record in records.values())
    rows = []
    for name, record in records.items():
        seconds = record.data["seconds"]
        ledger = next(iter(record.ledgers), None)
        rows.append({
            "stage": name, "seconds": seconds, "share": seconds / whole if whole else 0.0,
            "rows": ledger["in"] if ledger else None, "unit": ledger["unit"] if ledger else "",
            "rate": ledger["in"] / seconds if ledger and seconds else None,
        })  # fmt: skip
    return rows


def _reasons(ledger: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the drops by reason and what was merged, the most frequent first, each with its share of what came in and of what left."""
    counted = list(ledger["dropped"].items()) + ([("merged", ledger["merged"])] if ledger["merged"] else [])
    ordered = sorted(counted, key=lambda item: (-item[1], item[0]))
    left = sum(n for _, n in ordered)
    return [
        {"reason": r, "rows": n, "share": n / max(1, ledger["in"]), "of_left": n / max(1, left)}
        for r, n in ordered
    ]


def ledger_of(records: Mapping[str, Record], stage: str, unit: str) -> dict[str, Any] | None:
    """Return a stage's ledger of a unit; None where the stage or the unit is absent."""
    found = records[stage].ledgers if stage in records else []
    return next((ledger for ledger in found if ledger["unit"] == unit), None)


def caption_flow(records: Mapping[str, Record], languages: Iterable[str]) -> list[dict[str, Any]]:
    """Return the steps from links with texts to selected captions, with the language's own numbers where records hold them."""
    langs = list(languages)
    steps: list[tuple[str, int, dict[str, int]]] = []
    if links := ledger_of(records, "extract", "candidates"):
        steps += [
            ("links with a text", links["in"], {}),
            ("distinct pairs of address and text", links["out"], {}),
        ]
    if matched := ledger_of(records, "match", "pairs"):
        rows = records["match"].notes.get("rows", {})
        by_lang = {lang: rows.get(lang, 0) + rows.get(f"{lang}/mixed", 0) for lang in langs}
        steps.append(("pairs that name an entry", matched["out"], by_lang))
    if wanted := ledger_of(records, "balance", "pairs"):
        steps.append(("pairs wanted by the balance", wanted["out"], {}))
    if captions := ledger_of(records, "dedup", "captions"):
        pictured = captions["in"] - captions["dropped"].get(Reason.NO_IMAGE, 0)
        steps.append(("of them with a picture", pictured, {}))
        steps.append(
            (
                "distinct captions of survivors",
                captions["out"],
                rows_by(records["dedup"].path / "rows", "lang"),
            )
        )
    if "manifest" in records:
        steps += _manifest_steps(records["manifest"].notes["captions"], langs)
    return _shares(steps, langs)


def _manifest_steps(notes: Mapping[str, int], langs: list[str]) -> list[tuple[str, int, dict[str, int]]]:
    chosen = {lang: notes.get(f"train/{lang}/selected", 0) for lang in langs}
    train = {lang: chosen[lang] + notes.get(f"train/{lang}/not_selected", 0) for lang in langs}
    return [
        ("of them to train on, not held out", sum(train.values()), train),
        ("selected captions", sum(chosen.values()), chosen),
    ]


def picture_flow(records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Return the steps from addresses to surviving pictures."""
    steps: list[tuple[str, int, dict[str, int]]] = []
    for name, unit, begin, end in (
        ("download", "urls", "addresses asked for", "addresses that gave a picture"),
        ("embed", "images", "distinct files", "of them decoded"),
        ("dedup", "images", None, "survivors, near-duplicates merged"),
    ):
        if ledger := ledger_of(records, name, unit):
            steps += [(begin, ledger["in"], {})] if begin else []
            steps.append((end, ledger["out"], {}))
    if sealed := ledger_of(records, "manifest", "images"):
        steps.append(("sealed in shards", sealed["out"], {}))
    return _shares(steps, [])


def _shares(steps: list[tuple[str, int, dict[str, int]]], langs: list[str]) -> list[dict[str, Any]]:
    """Return the steps as rows, each with its share of the step before and of the first."""
    rows = []
    for position, (name, number, by_lang) in enumerate(steps):
        before = steps[position - 1][1] if position else number
        rows.append({
            "step": name, "rows": number, "of_before": number / before if before else 0.0,
            "of_first": number / steps[0][1] if steps[0][1] else 0.0,
            "by_lang": [by_lang.get(lang, 0) if by_lang else None for lang in langs],
        })  # fmt: skip
    return rows
