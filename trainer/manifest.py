"""What the trainer reads: the rows of a manifest's folder, and the pictures' bytes by shard, offset and size.

In: `manifest.parquet` (a file, or a directory of files, with the columns of TABLES["manifest"]) and the tar shards beside it; a selection
table may replace the column `selected`. Out: captions and pictures in memory, sorted by id. No row's place in a file matters.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from curation.errors import InputError
from curation.ids import digest_of, image_id
from curation.removals import Removals
from curation.schemas import TABLES
from trainer.selection import is_of_several, selected_ids

MANIFEST = "manifest.parquet"
REMOVED = "removed"  # beside it, where a removal list was applied: what is not in it for that reason
COLUMNS = ("pair_id", "url", "caption", "lang", "image_id", "shard", "offset", "size", "selected", "split")
TRAIN, HELDOUT = "train", "heldout"


@dataclass(frozen=True)
class Pictures:
    """Distinct pictures, sorted by image_id: where their bytes lie."""

    folder: Path
    image_ids: list[str]
    shards: list[str]
    offsets: np.ndarray
    """int64 (pictures,), bytes from the start of the shard."""
    sizes: np.ndarray
    """int64 (pictures,), bytes."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def read(self, index: int) -> bytes:
        """Return the bytes of a picture. Raises InputError where the shard holds others at its place than its id says."""
        path, offset = self.folder / self.shards[index], int(self.offsets[index])
        with path.open("rb") as file:
            file.seek(offset)
            body = file.read(int(self.sizes[index]))
        if image_id(body) != self.image_ids[index]:
            raise InputError(
                f"{path} does not hold the picture {self.image_ids[index]} at offset {offset}: its bytes have another "
                f"SHA-256; the shard was changed, or is of another manifest: run 'curate manifest' again"
            )
        return body


@dataclass(frozen=True)
class Captions:
    """Captions of pictures, sorted by pair_id."""

    pair_ids: list[str]
    texts: pa.LargeStringArray
    langs: list[str]
    urls: pa.LargeStringArray
    picture_N: np.ndarray
    """int64 (N,), index of each caption's picture."""
    pictures: Pictures

    def __len__(self) -> int:
        return len(self.pair_ids)

    def text_of(self, rows: np.ndarray | Sequence[int]) -> list[str]:
        """Return the captions of some rows."""
        found: list[str] = self.texts.take(pa.array(rows, pa.int64())).to_pylist()
        return found


def read_rows(folder: Path) -> pa.Table:
    """Return the columns of a manifest that training needs, sorted by pair_id. Raises InputError that names what is wrong."""
    place = folder / MANIFEST
    if not place.exists():
        raise InputError(f"{folder} holds no {MANIFEST}; give the folder that 'curate manifest' wrote")
    data = ds.dataset(place, format="parquet")
    missing = [name for name in COLUMNS if name not in data.schema.names]
    if missing:
        raise InputError(
            f"{place} lacks the columns {', '.join(missing)}; it has {', '.join(data.schema.names)}"
        )
    wide = pa.schema([(name, _wide(TABLES["manifest"].field(name).type)) for name in COLUMNS])
    rows = data.to_table(columns=list(COLUMNS)).cast(wide).sort_by("pair_id").combine_chunks()
    if pc.count_distinct(rows["pair_id"]).as_py() != len(rows):
        raise InputError(f"{place} holds a pair_id twice; a manifest has one row for each")
    return rows


def _wide(kind: pa.DataType) -> pa.DataType:
    return pa.large_string() if pa.types.is_string(kind) else kind  # a column of captions may pass 2 GiB


def removed_pairs(folder: Path, removals: Removals) -> pa.Array:
    """Return the pair_ids of a sealed manifest that the removal list names, sorted: they are not read, as if they were not sealed."""
    if not removals:
        return pa.array([], pa.large_string())
    data = ds.dataset(folder / MANIFEST, format="parquet")
    rows = data.to_table(columns=["pair_id", "url", "image_id", "source_image_id"])
    named = rows["pair_id"].filter(removals.rules_of_table(rows).is_valid())
    return named.cast(pa.large_string()).combine_chunks().sort()


def without(rows: pa.Table, removed: pa.Array) -> pa.Table:
    """Return the rows whose pair is not among the removed."""
    return rows.filter(pc.invert(pc.is_in(rows["pair_id"], value_set=removed))) if len(removed) else rows


def removal_digest(removed: pa.Array) -> str:
    """Return what a removal list does to a manifest, as a hash: lists that remove the same rows are the same."""
    return digest_of(removed.to_pylist())


def with_selection(rows: pa.Table, selection: Path, folder: Path | None = None) -> pa.Table:
    """Return the rows with `selected` from a selection, see `trainer.selection`; rows that it does not name are not selected.

    folder: the manifest's, of which the table `removed` says what was taken out when it was sealed: that may still be selected.
    Raises InputError where it selects pairs of another manifest, unless it was made from several of which this is one.
    """
    chosen = selected_ids(selection)
    removed = folder / REMOVED if folder else None
    if removed is not None and removed.is_dir():
        gone = ds.dataset(removed, format="parquet").to_table(columns=["pair_id"])["pair_id"]
        gone = gone.cast(pa.large_string()).combine_chunks()
        chosen = chosen.filter(pc.invert(pc.is_in(chosen, value_set=gone)))
    unknown = pc.sum(pc.invert(pc.is_in(chosen, value_set=rows["pair_id"].combine_chunks()))).as_py()
    if unknown and not (folder and is_of_several(selection, folder)):
        raise InputError(
            f"{selection} selects {unknown} pairs that the manifest does not hold: it is of another one"
        )
    selected = pc.is_in(rows["pair_id"], value_set=chosen)
    return rows.set_column(rows.schema.get_field_index("selected"), "selected", selected)


def training_rows(rows: pa.Table) -> pa.Table:
    """Return the selected rows. Raises InputError where one of them, or its picture, is held out for evaluation."""
    chosen = rows.filter(rows["selected"])
    held_out = rows.filter(pc.equal(rows["split"], HELDOUT))
    leaked = pc.sum(pc.equal(chosen["split"], HELDOUT)).as_py() or 0
    shared = (
        pc.sum(pc.is_in(chosen["image_id"], value_set=held_out["image_id"].combine_chunks())).as_py() or 0
    )
    if leaked or shared:
        raise InputError(
            f"{leaked} selected captions are held out and {shared} belong to held-out pictures; "
            f"training on them would make the evaluation worthless: take them out of the selection"
        )
    return chosen


def captions_of(rows: pa.Table, folder: Path) -> Captions:
    """Return rows of a manifest as captions of distinct pictures, and check that the shards hold them."""
    first = rows.group_by("image_id").aggregate([("shard", "min"), ("offset", "min"), ("size", "min")])
    first = first.sort_by("image_id").combine_chunks()
    pictures = Pictures(
        folder,
        first["image_id"].to_pylist(),
        first["shard_min"].to_pylist(),
        first["offset_min"].to_numpy(),
        first["size_min"].to_numpy(),
    )
    _check_shards(pictures)
    place = pc.index_in(rows["image_id"], value_set=first["image_id"].combine_chunks())
    return Captions(
        rows["pair_id"].to_pylist(),
        _one_chunk(rows["caption"]),
        rows["lang"].to_pylist(),
        _one_chunk(rows["url"]),
        place.cast(pa.int64()).to_numpy(),
        pictures,
    )


def _one_chunk(column: pa.ChunkedArray) -> pa.LargeStringArray:
    chunk = column.combine_chunks()
    return chunk.combine_chunks() if isinstance(chunk, pa.ChunkedArray) else chunk


def _check_shards(pictures: Pictures) -> None:
    """Raise InputError for a shard that is missing, too short, or outside the folder."""
    needed: dict[str, int] = {}
    for shard, end in zip(pictures.shards, (pictures.offsets + pictures.sizes).tolist(), strict=True):
        needed[shard] = max(needed.get(shard, 0), end)
    for shard, end in sorted(needed.items()):
        name = PurePosixPath(shard)
        if name.is_absolute() or ".." in name.parts:
            raise InputError(f"the manifest names the shard {shard!r}, which is not inside {pictures.folder}")
        path = pictures.folder / shard
        if not path.is_file():
            raise InputError(f"the manifest names the shard {shard}, which {pictures.folder} does not hold")
        if path.stat().st_size < end:
            raise InputError(f"{path} has {path.stat().st_size} bytes, the manifest's pictures need {end}")


def manifest_digest(folder: Path) -> str:
    """Return SHA-256 over a table's files: names and bytes. Picture bytes are covered by their ids, which are hashes."""
    place = folder / MANIFEST
    return files_digest(place)


def files_digest(place: Path) -> str:
    """Return SHA-256 over the names and bytes of a file, or of a directory of Parquet files. Raises InputError where there are none."""
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    state = hashlib.sha256()
    try:
        for file in files:
            name = file.relative_to(place).as_posix() if place.is_dir() else ""
            with file.open("rb") as stream:
                state.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
    if not files:
        raise InputError(f"{place} holds no Parquet files")
    return state.hexdigest()
