"""A run's pictures to look at: bytes out of the raw shards, contact sheets, and who lies next to whom. For `notebooks/`."""

# N pictures, V views, Q query views, D dimensions, R rows that ask

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageFont

from curation.ids import coins
from curation.images import UndecodableImageError, decode
from curation.report.notebook import DRAWN, gone_at
from curation.report.scan import batches, rows_of
from curation.stage import Record

SIDE = 88  # pixels of a picture on a sheet
MAX_BODY = 32 << 20  # bytes of a picture that is read
QUALITY = 62  # of a sheet's JPEG
_GAP, _LINE, _INK, _MARK = 6, 13, (27, 39, 51), (11, 110, 153)
_BLOCK = 128  # rows that ask at once
Shown = tuple[
    bytes | Image.Image | None, str
]  # a picture, None where it is not there, and what stands below it


def bodies(download: Record, image_ids: Iterable[str]) -> dict[str, bytes]:
    """Return the bytes of pictures by image_id, as they were fetched; those whose raw shards are gone are left out.

    Left out too is what was removed: what a list of BICURATE_REMOVALS names, and own pictures of pairs that the seal left out.
    """
    asked = sorted(set(image_ids))
    gone = gone_at(download.path.parent, asked)
    wanted = pa.array([image_id for image_id in asked if gone.keeps_picture(image_id, ())], pa.string())
    found: dict[str, bytes] = {}
    columns = ["url", "image_id", "raw_shard", "raw_offset", "bytes"]
    for batch in batches(download.path / "outcomes", columns):
        for row in batch.filter(pc.is_in(batch.column("image_id"), value_set=wanted)).to_pylist():
            file = download.path / "raw" / (row["raw_shard"] or "")
            readable = file.is_file() and 0 < row["bytes"] <= MAX_BODY
            if row["image_id"] not in found and readable and gone.keeps_address(row["url"]):
                with file.open("rb") as shard:
                    shard.seek(row["raw_offset"])
                    found[row["image_id"]] = shard.read(row["bytes"])
    return found


def decoded(body: bytes) -> Image.Image | None:
    """Return a picture's pixels, RGB; None where the bytes do not decode."""
    try:
        return decode(body, draft_side=2 * SIDE).image
    except UndecodableImageError:
        return None


def contact_sheet(rows: Mapping[str, Sequence[Shown]], *, side: int = SIDE) -> bytes:
    """Return a JPEG of rows of pictures, each row below its name, what is said of a picture below it.

    rows: by their names. Names and what is said should be short and ASCII: they are drawn with Pillow's own letters.
    """
    font = ImageFont.load_default(10)
    columns = max((len(row) for row in rows.values()), default=0)
    height = 2 * _LINE + side + 2 * _GAP
    sheet = Image.new("RGB", (max(1, columns) * (side + _GAP) + _GAP, max(1, len(rows)) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for line, (name, row) in enumerate(rows.items()):
        pen.text((_GAP, line * height + 2), name, fill=_MARK, font=font)
        for place, (picture, said) in enumerate(row):
            left, top = _GAP + place * (side + _GAP), line * height + _LINE + 4
            image = decoded(picture) if isinstance(picture, bytes) else picture
            if image is None:
                pen.rectangle((left, top, left + side - 1, top + side - 1), outline=(200, 205, 210))
            else:
                small = image.copy()
                small.thumbnail((side, side))
                if max(small.size) < side:  # what is smaller is shown larger, by whole pixels
                    times = side // max(small.size)
                    small = small.resize(
                        (small.width * times, small.height * times), Image.Resampling.NEAREST
                    )
                sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
            pen.text((left, top + side + 1), said, fill=_INK, font=font)
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


@dataclass(frozen=True)
class Described:
    """Pictures with their descriptors, sorted by image_id."""

    ids: list[str]
    size: npt.NDArray[np.int64]
    """int64 (N, 2), width and height."""
    codes: npt.NDArray[np.int8]
    """int8 (N, V, D)."""
    query_views: int
    share: float
    """Of all described pictures, those that were drawn."""


def described(embed: Record, number: int, *, seed: int = 0) -> Described:
    """Return about `number` of a run's described pictures: all of fewer, else those of the smallest coins."""
    table, kind = embed.path / "descriptors", embed.notes["kind"]
    share = min(1.0, number / max(1, rows_of(table)))
    rows: list[dict[str, Any]] = []
    for batch in batches(table, ["image_id", "width", "height", "codes"]):
        keep = coins(batch.column("image_id").to_pylist(), seed, DRAWN) < share
        rows += (batch if share == 1 else batch.filter(pa.array(keep))).to_pylist()
    rows.sort(key=lambda row: str(row["image_id"]))
    codes = np.frombuffer(b"".join(row["codes"] for row in rows), np.int8)
    return Described(
        [str(row["image_id"]) for row in rows],
        np.array([(row["width"], row["height"]) for row in rows], np.int64).reshape(-1, 2),
        codes.reshape(-1, int(kind["views"]), int(kind["dimension"])),
        int(kind["query_views"]),
        share,
    )


def cosine(left_VD: npt.NDArray[np.int8], right_VD: npt.NDArray[np.int8]) -> float:
    """Return the cosine of two pictures: the best over their views, 0 where one is plain."""
    return float(max(0.0, (_unit(left_VD) @ _unit(right_VD).T).max()))


def nearest(
    pictures: Described, asking: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return for each asking picture the nearest other one and its cosine, (R,) both: the best over the views.

    asking: positions. By float32 products: a cosine may be off by 1e-5, of equal ones the first by id is taken.
    """
    num, views, _ = pictures.codes.shape
    found, best = np.zeros(len(asking), np.int64), np.zeros(len(asking))
    if num < 2:
        return found, best
    all_views = _unit(pictures.codes).reshape(num * views, -1).T
    for start in range(0, len(asking), _BLOCK):
        part = np.asarray(asking[start : start + _BLOCK], np.int64)
        products = np.full((part.size, num), -1.0, np.float32)
        for view in range(pictures.query_views):
            dots = _unit(pictures.codes[part, view]) @ all_views
            np.maximum(products, dots.reshape(part.size, num, views).max(axis=2), out=products)
        products[np.arange(part.size), part] = -1.0
        found[start : start + part.size] = products.argmax(axis=1)
        best[start : start + part.size] = products.max(axis=1).clip(0.0, 1.0)
    return found, best


def _unit(codes: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Return vectors of length 1; zero stays zero."""
    vectors = codes.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1.0), np.float32)
