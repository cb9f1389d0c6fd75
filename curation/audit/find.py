"""Which pairs of a run a person means: by id, by the first digits of one, by address, by a picture's hash, or by text."""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from curation.audit.files import RunFiles, among
from curation.ids import canonical_url
from curation.text import nfc

_ID = re.compile("[0-9a-f]{32}")
_ID_START = re.compile("[0-9a-f]{8,31}")
_IMAGE_ID = re.compile("[0-9a-f]{64}")
# Where pairs stand, the fullest first: the stage and its table.
_TABLES = (("extract", "pairs"), ("match", "matches"), ("dedup", "rows"), ("manifest", "manifest"))
_KEYS = ["pair_id", "url", "text"]


@dataclass(frozen=True)
class Pair:
    """A pair by what its id is made of."""

    pair_id: str
    url: str
    text: str


def find_pairs(files: RunFiles, asked: str, limit: int) -> tuple[list[Pair], str]:
    """Return at most `limit` pairs that are meant, in order of their ids, and by what they were found.

    Asked is tried, in this order, as a pair's id, a picture's, an address, the first 8 digits or more of an id, a text as read,
    a text as cleaned, and a part of a text.
    """
    for how, where in _readings(files, asked):
        found = _pairs(files, where, limit)
        if found:
            return found, how
    clean = _rows_of(files, "match", "matches", pc.field("clean_text") == asked, limit)
    if clean:
        return clean, "clean text"
    return _pairs(files, pc.match_substring(pc.field("text"), asked), limit), "part of the text"


def find_dropped(files: RunFiles, asked: str, limit: int) -> list[dict[str, Any]]:
    """Return candidates that `extract` dropped and kept in its table `dropped`, by address or text, with their reason."""
    record = files.records.get("extract")
    place = record.path / "dropped" if record else None
    if place is None or not place.is_dir():
        return []
    names = ["url", "text", "text_source", "page_url", "origin", "_reason"]
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    where = (pc.field("url") == asked) | (pc.field("text") == asked)
    rows: list[dict[str, Any]] = (
        pads.dataset(place, schema=schema, format="parquet").head(limit, filter=where).to_pylist()
    )
    return [{("reason" if key == "_reason" else key): value for key, value in row.items()} for row in rows]


def _readings(files: RunFiles, asked: str) -> list[tuple[str, pc.Expression]]:
    """Return what the question may mean, each with the filter of pairs that it stands for."""
    found = []
    if _ID.fullmatch(asked):
        found.append(("pair_id", pc.field("pair_id") == asked))
    if _IMAGE_ID.fullmatch(asked):
        outcomes = files.rows("download", "outcomes", pc.field("image_id") == asked, columns=["url"])
        found.append(("picture", among("url", [row["url"] for row in outcomes])))
    if "://" in asked:
        with suppress(ValueError):  # it may be a text after all
            found.append(("address", pc.field("url") == canonical_url(asked)))
    if _ID_START.fullmatch(asked):
        found.append(("start of the pair_id", _between(asked)))
    texts = sorted({asked, nfc(asked)})
    return [*found, ("text", among("text", texts))]


def _between(start: str) -> pc.Expression:
    """Return the filter of ids with this start, as a range, so that whole row groups can be left out."""
    return (pc.field("pair_id") >= start) & (pc.field("pair_id") < start + "g")


def _pairs(files: RunFiles, where: pc.Expression, limit: int) -> list[Pair]:
    for stage, table in _TABLES:
        if files.table(stage, table) is not None:
            return _rows_of(files, stage, table, where, limit)
    return []


def _rows_of(files: RunFiles, stage: str, table: str, where: pc.Expression, limit: int) -> list[Pair]:
    rows = files.rows(stage, table, where, columns=_KEYS, limit=2 * limit)  # a mixed text has two
    return sorted({Pair(**row) for row in rows}, key=lambda pair: pair.pair_id)[:limit]
