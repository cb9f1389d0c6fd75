"""Families of duplicates: how large they are, and the largest ones with their captions and small pictures.

Reads groups and rows (dedup), outcomes and raw shards (download). A family is a kept picture with those that joined it.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.images import UndecodableImageError, decode
from curation.report.scan import batches
from curation.stage import Record

PICTURES = 4  # thumbnails a family
CAPTIONS = 5  # captions a family
SIDE = 96  # pixels
QUALITY = 70  # of the thumbnails' JPEG: a few kilobytes each
CAPTION_CHARS = 160
MAX_BODY = 32 << 20  # bytes of a picture that is read for a thumbnail
_SIZES = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, None))


@dataclass
class Family:
    """A kept picture and its duplicates, as the page shows it."""

    image_id: str
    size: int
    """Pictures, the kept one included."""
    members: list[tuple[str, str, float]] = field(default_factory=list)
    """The first of them: image_id, rule, cosine; the kept one first."""
    thumbnails: list[str] = field(default_factory=list)
    """Data URIs."""
    captions: list[dict[str, Any]] = field(default_factory=list)
    """The first captions: text, lang, inherited."""
    num_captions: int = 0


def families(dedup: Record, number: int) -> tuple[list[dict[str, Any]], list[Family]]:
    """Return how many families there are by size, and the largest ones without their captions.

    Eight bytes a dropped picture are held: its survivor's id, cut to 64 bits.
    """
    groups = dedup.path / "groups"
    survivors, parts = 0, [np.empty(0, dtype=np.uint64)]
    for batch in batches(groups, ["joined", "survivor"]):
        survivors += pc.sum(batch.column("survivor")).as_py() or 0
        parts.append(_short_ids(batch.filter(pc.invert(batch.column("survivor"))).column("joined")))
    short, others = np.unique(np.concatenate(parts), return_counts=True)
    order = np.lexsort((short, -others))[:number]
    largest = {int(short[i]): int(others[i]) + 1 for i in order}
    return _by_size(survivors - short.size, others + 1), _members(groups, largest)


def _short_ids(ids: pa.StringArray) -> np.ndarray:
    return np.array([int(key[:16], 16) for key in ids.to_pylist()], dtype=np.uint64)


def _by_size(single: int, sizes: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for low, high in _SIZES:
        number = (
            single if low == 1 else int(((sizes >= low) & (sizes <= (high or sizes.max(initial=0)))).sum())
        )
        name = f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"
        if number:
            rows.append({"size": name, "families": number})
    return rows


def _members(groups: Path, largest: Mapping[int, int]) -> list[Family]:
    """Return the families by their short ids, each with its first members by id."""
    found: dict[int, Family] = {}
    for batch in batches(groups, ["image_id", "joined", "survivor", "cosine", "rule"]):
        short = _short_ids(batch.column("joined"))
        chosen = pa.array(np.isin(short, np.fromiter(largest, dtype=np.uint64, count=len(largest))))
        for row in batch.filter(chosen).to_pylist():
            key = int(row["joined"][:16], 16)
            family = found.setdefault(key, Family(row["joined"], largest[key]))
            family.members.append((row["image_id"], row["rule"], row["cosine"]))
            family.members.sort(key=lambda member: (member[0] != family.image_id, member[0]))
            del family.members[PICTURES:]
    return sorted(found.values(), key=lambda family: (-family.size, family.image_id))


def add_captions(dedup: Record, shown: list[Family]) -> None:
    """Add each family's first captions by pair_id, those of its own picture first, and their number."""
    by_id = {family.image_id: family for family in shown}
    columns = ["pair_id", "image_id", "clean_text", "lang", "inherited"]
    for row in _rows_of(dedup.path / "rows", columns, "image_id", list(by_id)):
        family = by_id[row["image_id"]]
        family.num_captions += 1
        text = row["clean_text"]
        cut = text if len(text) <= CAPTION_CHARS else text[: CAPTION_CHARS - 3] + "..."
        kept = {"text": cut, "lang": row["lang"], "inherited": row["inherited"], "pair_id": row["pair_id"]}
        family.captions.append(kept)
        family.captions.sort(key=lambda item: (item["inherited"], item["pair_id"], item["lang"]))
        del family.captions[CAPTIONS:]


def add_thumbnails(download: Record, shown: list[Family]) -> None:
    """Add small pictures of each family's first members, where their raw shards are still there and they decode."""
    wanted = {image_id for family in shown for image_id, _, _ in family.members}
    columns = ["image_id", "raw_shard", "raw_offset", "bytes"]
    places = {
        row["image_id"]: row
        for row in _rows_of(download.path / "outcomes", columns, "image_id", sorted(wanted))
    }
    for family in shown:
        for image_id, _, _ in family.members:
            if image_id in places and (uri := thumbnail(download.path / "raw", places[image_id])):
                family.thumbnails.append(uri)


def thumbnail(raw: Path, place: Mapping[str, Any]) -> str | None:
    """Return a picture as a data URI of at most SIDE pixels a side; None where it cannot be read or decoded."""
    if place["raw_shard"] is None or not 0 < (place["bytes"] or 0) <= MAX_BODY:
        return None
    try:
        with (raw / place["raw_shard"]).open("rb") as file:
            file.seek(place["raw_offset"])
            image = decode(file.read(place["bytes"]), draft_side=SIDE).image
    except (OSError, UndecodableImageError):
        return None
    image.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _rows_of(table: Path, columns: list[str], key: str, values: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows whose key is among some values."""
    wanted = pa.array(values, pa.string())
    for batch in batches(table, columns):
        yield from batch.filter(pc.is_in(batch.column(key), value_set=wanted)).to_pylist()
