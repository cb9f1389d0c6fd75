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
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.groups import Rule
from curation.ids import coin
from curation.images import UndecodableImageError, decode
from curation.report.gone import NOTHING, Gone
from curation.report.scan import batches, rows_of, short_ids
from curation.report.visible import visible
from curation.stage import Record

PICTURES = 8  # of a family's contact sheet
A_SIZE = 3  # families shown of each size, by coin
CAPTIONS = 5  # captions a family
SIDE = 96  # pixels
QUALITY = 70  # of the thumbnails' JPEG: a few kilobytes each
CAPTION_CHARS = 160
SLICE_ROWS = (
    1 << 26
)  # dropped pictures whose ids are held at once, eight bytes each; more are counted in as many passes
TOSSED = 4_096  # families of a size that get a coin: those of the smallest ids, which are hashes
EXAMPLES = "report-families"  # the purpose of that coin
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
    thumbnails: list[dict[str, Any]] = field(default_factory=list)
    """Small pictures: the data URI, whether it is the kept one, the cosine to that."""
    captions: list[dict[str, Any]] = field(default_factory=list)
    """The first captions: text, lang, inherited."""
    num_captions: int = 0
    """Of those that may be shown."""
    standing: set[str] = field(default_factory=set)
    """Members of which a caption stands that may be shown."""


@dataclass(frozen=True)
class Size:
    """The families of one size."""

    name: str
    families: int
    pictures: int
    examples: list[Family]
    """Some of them, by coin; none of those of one picture."""


def families(
    dedup: Record, number: int, *, a_size: int = 0, seed: int = 0
) -> tuple[list[Size], list[Family]]:
    """Return the families by size, each with `a_size` of them by coin, and the `number` largest; all without captions yet."""
    groups = dedup.path / "groups"
    passes = max(1, -(-rows_of(groups) // SLICE_ROWS))
    totals = np.zeros((len(_SIZES), 2), dtype=np.int64)  # families and pictures
    largest: list[tuple[int, int]] = []  # (-size, short id)
    tossed: list[list[int]] = [[] for _ in _SIZES]
    for part in range(passes):
        single, short, sizes = _family_sizes(groups, part, passes)
        totals[0] += single
        for place, (low, high) in enumerate(_SIZES[1:], 1):
            own = (sizes >= low) & (sizes <= (high or sizes.max(initial=0)))
            totals[place] += int(own.sum()), int(sizes[own].sum())
            tossed[place] = sorted([*tossed[place], *short[own][:TOSSED].tolist()])[:TOSSED]
        order = np.lexsort((short, -sizes))[:number]
        largest = sorted([*largest, *zip((-sizes[order]).tolist(), short[order].tolist(), strict=True)])[
            :number
        ]
    drawn = [sorted(ids, key=lambda key: coin(f"{key:016x}", seed, EXAMPLES))[:a_size] for ids in tossed]
    chosen = {key for _, key in largest}.union(*drawn)
    found = _members(groups, chosen)
    rows = [
        Size(_name(low, high), families, pictures, [found[key] for key in ids])
        for (low, high), (families, pictures), ids in zip(_SIZES, totals.tolist(), drawn, strict=True)
        if families
    ]
    return rows, [found[key] for _, key in largest]


def _family_sizes(
    groups: Path, part: int, passes: int
) -> tuple[int, npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return, of one slice of the ids: pictures without a duplicate, and the ids and sizes of the families that have one.

    Eight bytes a dropped picture are held: its survivor's id, cut to 64 bits. Ids come in order.
    """
    survivors, held = 0, [np.empty(0, dtype=np.uint64)]
    for whole in batches(groups, ["joined", "survivor", "rule", "in_index"]):
        batch = _of_families(whole)
        short = short_ids(batch.column("joined"))
        own = (short >> np.uint64(32)) * np.uint64(passes) >> np.uint64(32) == part
        kept = batch.column("survivor").to_numpy(zero_copy_only=False)
        survivors += int((own & kept).sum())
        held.append(short[own & ~kept])
    short, others = np.unique(np.concatenate(held), return_counts=True)
    return survivors - short.size, short, others.astype(np.int64) + 1


def _of_families(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of pictures that are kept or joined one of this run: not those near an evaluation set or an earlier crawl's."""
    own = pc.not_equal(batch.column("rule"), str(Rule.HOLDOUT))
    if "in_index" in batch.schema.names:  # tables of older versions have no such column
        own = pc.and_(own, pc.invert(pc.fill_null(batch.column("in_index"), fill_value=False)))
    return batch.filter(own)


def _name(low: int, high: int | None) -> str:
    return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"


def _members(groups: Path, chosen: set[int]) -> dict[int, Family]:
    """Return the families by their short ids, each with its size and its first members by id, the kept one first."""
    found: dict[int, Family] = {}
    wanted = np.array(sorted(chosen), dtype=np.uint64)
    for whole in batches(groups, ["image_id", "joined", "survivor", "cosine", "rule", "in_index"]):
        batch = _of_families(whole)
        inside = pa.array(np.isin(short_ids(batch.column("joined")), wanted))
        for row in batch.filter(inside).to_pylist():
            family = found.setdefault(int(row["joined"][:16], 16), Family(row["joined"], 0))
            family.size += 1
            family.members.append((row["image_id"], row["rule"], row["cosine"]))
            family.members.sort(key=lambda member: (member[0] != family.image_id, member[0]))
            del family.members[PICTURES:]
    return found


def add_captions(dedup: Record, shown: list[Family], gone: Gone = NOTHING) -> None:
    """Add each family's first captions by pair_id, those of its own picture first, and their number; none that is removed."""
    by_id = {family.image_id: family for family in shown}
    columns = ["pair_id", "image_id", "source_image_id", "url", "clean_text", "lang", "inherited"]
    for row in _rows_of(dedup.path / "rows", columns, "image_id", list(by_id)):
        if gone and not gone.keeps_caption(row):
            continue
        family = by_id[row["image_id"]]
        family.num_captions += 1
        family.standing.add(row["source_image_id"])
        text = visible(row["clean_text"], CAPTION_CHARS)
        kept = {"text": text, "lang": row["lang"], "inherited": row["inherited"], "pair_id": row["pair_id"]}
        family.captions.append(kept)
        family.captions.sort(key=lambda item: (item["inherited"], item["pair_id"], item["lang"]))
        del family.captions[CAPTIONS:]


def is_gone(family: Family, gone: Gone) -> bool:
    """Say whether a family must not be shown: no caption that came with its picture stands, as when a manifest is sealed."""
    return bool(gone) and family.image_id not in family.standing


def add_thumbnails(download: Record, shown: list[Family], gone: Gone = NOTHING) -> None:
    """Add small pictures of each family's first members, where their raw shards are still there and they decode.

    None that is removed, or that no address is left for; `add_captions` comes before.
    """
    wanted = {
        image_id
        for family in shown
        for image_id, _, _ in family.members
        if gone.keeps_picture(image_id, family.standing)
    }
    columns = ["url", "image_id", "raw_shard", "raw_offset", "bytes"]
    places = {
        row["image_id"]: row
        for row in _rows_of(download.path / "outcomes", columns, "image_id", sorted(wanted))
        if gone.keeps_address(row["url"])
    }
    for family in shown:
        for image_id, _, cosine in family.members:
            if image_id in places and (uri := thumbnail(download.path / "raw", places[image_id])):
                kept = image_id == family.image_id
                family.thumbnails.append({"uri": uri, "kept": kept, "cosine": cosine})


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
