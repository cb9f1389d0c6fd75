"""The languages' shares from step to step, and the alarm where one falls behind. Reads notes, and ids of matches and wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from curation.report.scan import batches, rows_by, rows_of, short_ids
from curation.stage import Record

WANTED = "pairs wanted by the balance"
HELD_IDS = 4_000_000  # of wanted pairs, eight bytes each; above it a part of them, by the id, which is a hash


@dataclass(frozen=True)
class Step:
    """One step: rows by language. A text in two languages counts in both before the manifest."""

    name: str
    rows: dict[str, int]
    sampled: float = 1.0
    """Share of the pairs that was looked at."""

    def share(self, lang: str) -> float | None:
        """Return a language's share of the step's rows; None of none."""
        total = sum(self.rows.values())
        return self.rows.get(lang, 0) / total if total else None


def steps(records: Mapping[str, Record], languages: Sequence[str]) -> list[Step]:
    """Return the rows by language of every step that knows them, in order."""
    found = []
    if "match" in records:
        found.append(Step("pairs that name an entry", matched_rows(records["match"], languages)))
        if "balance" in records:
            found.append(_wanted(records["match"], records["balance"], languages))
    if "dedup" in records:
        rows = rows_by(records["dedup"].path / "rows", "lang")
        found.append(Step("captions of survivors", {lang: rows.get(lang, 0) for lang in languages}))
    if "manifest" in records:
        notes = records["manifest"].notes["captions"]
        chosen = {lang: notes.get(f"train/{lang}/selected", 0) for lang in languages}
        train = {lang: rows + notes.get(f"train/{lang}/not_selected", 0) for lang, rows in chosen.items()}
        found += [Step("of them to train on, not held out", train), Step("selected captions", chosen)]
    return found


def matched_rows(match: Record, languages: Sequence[str]) -> dict[str, int]:
    """Return the matched texts by language, as the stage noted them."""
    rows = match.notes.get("rows", {})
    return {lang: rows.get(lang, 0) + rows.get(f"{lang}/mixed", 0) for lang in languages}


def _wanted(match: Record, balance: Record, languages: Sequence[str]) -> Step:
    """Return the wanted pairs by language, as the stage noted them.

    Records from before that note: the language stands in matches alone, both tables are read for the same ids.
    """
    noted = balance.notes.get("wanted_texts")
    if noted is not None:
        return Step(WANTED, {lang: noted.get(lang, 0) for lang in languages})
    part = min(1.0, HELD_IDS / max(1, rows_of(balance.path / "wanted")))
    bound = np.uint64(min(int(part * 2.0**64), 2**64 - 1))
    empty = np.empty(0, dtype=np.uint64)
    ids = [_below(batch, bound)[0] for batch in batches(balance.path / "wanted", ["pair_id"])]
    wanted = np.sort(np.concatenate([empty, *ids]))
    rows = dict.fromkeys(languages, 0)
    for batch in batches(match.path / "matches", ["pair_id", "lang"]):
        short, inside = _below(batch, bound)
        known = np.zeros(batch.num_rows, dtype=bool)
        known[inside] = _among(short, wanted)
        for item in pc.value_counts(batch.column("lang").filter(known)).to_pylist():
            if item["values"] in rows:
                rows[item["values"]] += item["counts"]
    return Step(WANTED, rows, part)


def _below(batch: Any, bound: np.uint64) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return the short ids up to a bound, and which rows have them."""
    short = short_ids(batch.column("pair_id"))
    inside = short <= bound
    return short[inside], inside


def _among(values: npt.NDArray[np.uint64], ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    if not ordered.size:
        return np.zeros(values.size, dtype=bool)
    places = np.minimum(np.searchsorted(ordered, values), ordered.size - 1)
    return np.asarray(ordered[places] == values)


def table(found: Sequence[Step], languages: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row a step: rows and share by language, and by how much each share fell since the first step."""
    rows = []
    for step in found:
        cells = []
        for lang in languages:
            first, share = found[0].share(lang), step.share(lang)
            number = step.rows.get(lang, 0) if step.sampled == 1 else None
            cells.append({"rows": number, "share": share, "fell": fallen(first, share)})
        rows.append({"step": step.name, "sampled": step.sampled, "cells": cells})
    return rows


def fallen(first: float | None, share: float | None) -> float | None:
    """Return the factor by which a share fell, 1 or less where it rose; infinity where nothing is left; None without a share."""
    if first is None or share is None:
        return None
    return first / share if share else float("inf") if first else 1.0


def alarms(found: Sequence[Step], languages: Sequence[str], factor: float) -> list[dict[str, Any]]:
    """Return the languages whose share fell by more than a factor, from the first step to any later one.

    Each with the step at which it is lowest, and the step at which it fell most.
    """
    raised = []
    for lang in languages:
        shares = [(step.name, step.share(lang)) for step in found]
        known = [(name, share) for name, share in shares if share is not None]
        worst = max(
            ((fallen(known[0][1], share) or 0.0, name, share) for name, share in known[1:]), default=None
        )
        if worst is not None and worst[0] > factor:
            at = max(range(1, len(known)), key=lambda i: fallen(known[i - 1][1], known[i][1]) or 0.0)
            raised.append({
                "lang": lang, "factor": worst[0], "step": worst[1], "share": worst[2], "first": known[0][1], "at": known[at][0],
            })  # fmt: skip
    return raised
