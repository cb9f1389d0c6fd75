"""Evaluation sets: which pictures of a pool are near one of theirs, so that nothing is trained on what it is tested with.

A set is a folder of pictures, read recursively, or Parquet with descriptors of the same kind (image_id, codes, kind, kind_sha256,
detail), such as a run's embed/descriptors: who may not have the pictures may have these. Every picture of the pool is compared with
every one of the sets, and integers decide. Near are the same bytes, and codes at the threshold or above whose second look agrees.
"""

# M pictures of the sets, N pictures of the pool, S sets, V views, D dimensions, E pairs

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from curation.dedup.exact import best_cosines, distinct_views
from curation.dedup.kinds import Kind, codes_of, details_of, second_look
from curation.dedup.neighbours import Database
from curation.errors import InputError
from curation.imagetype import EXTENSIONS, sniff

READ = ("image_id", "codes", "detail", "kind", "kind_sha256")  # columns of a table of descriptors
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it is written into tables, and is a folder's name
_BLOCK_BYTES = 1 << 26  # of float32 vectors of the sets that are searched at once
_READERS = 4  # threads that hash a set's files


@dataclass(frozen=True)
class HoldoutSet:
    """An evaluation set as it lies there, before anything is described."""

    name: str
    place: Path
    sha256: str
    """Of what it holds, whatever its files are called and wherever they lie."""
    pictures: dict[str, Path] = field(repr=False)
    """Files by image_id, the SHA-256 of their bytes; empty for a set of descriptors."""
    files: int
    """Files that were read: pictures, and what is none, or Parquet."""

    @property
    def where(self) -> str:
        """Return how an error calls it."""
        return f"dedup.holdout.{self.name} ({self.place})"

    def external(self) -> dict[str, str]:
        """Return what a stage's record keeps of it."""
        return {"path": f"dedup.holdout.{self.name}", "sha256": self.sha256}


def find_sets(holdout: Mapping[str, Path]) -> list[HoldoutSet]:
    """Return the sets by name, each with a hash of its content: every file is read once.

    Raises InputError that names the set where its place is not there, or holds neither pictures nor Parquet.
    """
    return [_found(name, holdout[name]) for name in sorted(holdout)]


def _found(name: str, place: Path) -> HoldoutSet:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"dedup.holdout has a set called {name!r}: letters, digits, '.', '_' and '-' make a name, 64 of them at most"
        )
    where = f"dedup.holdout.{name}"
    if not place.exists():
        raise InputError(
            f"{where} is {place}, which is not there; give NAME=DIR of pictures or of descriptors"
        )
    files = (
        [place] if place.is_file() else [file for file in sorted(place.rglob("*")) if _counts(file, place)]
    )
    try:
        with ThreadPoolExecutor(_READERS) as threads:
            hashed = list(threads.map(_hashed, files))
    except OSError as error:
        raise InputError(f"{where}: cannot read {error.filename}: {error.strerror}") from error
    pictures = {digest: file for file, (digest, is_picture) in zip(files, hashed, strict=True) if is_picture}
    tables = [digest for file, (digest, _) in zip(files, hashed, strict=True) if file.suffix == ".parquet"]
    if bool(pictures) == bool(tables):
        both = "pictures and Parquet" if tables else f"no picture and no Parquet, in {len(files)} files"
        raise InputError(f"{where}: {place} holds {both}; give a folder of pictures, or one of descriptors")
    content = "\n".join(sorted(pictures or tables))
    return HoldoutSet(name, place, hashlib.sha256(content.encode()).hexdigest(), pictures, len(files))


def _counts(file: Path, place: Path) -> bool:
    """Return whether a file is of the set: not what tools leave behind (.DS_Store, _SUCCESS, .crc)."""
    return file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(place).parts)


def _hashed(file: Path) -> tuple[str, bool]:
    """Return the SHA-256 of a file, and whether its bytes are a picture's."""
    with file.open("rb") as stream:
        head = stream.read(4096)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest(), sniff(head) in EXTENSIONS


@dataclass(frozen=True)
class Targets:
    """The described pictures of all sets, each once, sorted by image_id."""

    names: tuple[str, ...]
    """Of the sets, sorted."""
    ids: np.ndarray
    """S64 (M,)."""
    member: np.ndarray
    """bool (M, S)."""
    codes: np.ndarray
    """int8 (M, V, D)."""
    details: np.ndarray
    """uint8 (M, detail_bytes)."""

    @property
    def first(self) -> np.ndarray:
        """Return for each picture the first set by name that has it, int64 (M,)."""
        first: np.ndarray = self.member.argmax(axis=1)
        return first


def read_descriptors(holdout: HoldoutSet, kind: Kind) -> pa.Table:
    """Read a set of descriptors. Raises InputError that names it where it is none, StageError where it is of another kind."""
    try:
        data = pads.dataset(holdout.place, format="parquet")
        lacking = sorted(set(READ) - {"detail"} - set(data.schema.names))
        if lacking:
            raise InputError(
                f"{holdout.where}: the Parquet has no column {lacking[0]!r}; descriptors are wanted, such as a run's embed/descriptors"
            )
        table = data.to_table(columns=[name for name in READ if name in data.schema.names])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{holdout.where} is no Parquet that can be read: {error}"[:400]) from error
    if "detail" not in table.column_names:
        table = table.append_column("detail", pa.nulls(table.num_rows, pa.binary()))
    codes_of(table, kind, holdout.where)
    details_of(table, kind, holdout.where)
    return table.select(READ)


def targets_of(tables: Mapping[str, pa.Table], kind: Kind) -> Targets:
    """Return the pictures of all sets. tables: `READ` by the set's name, all of the kind."""
    names = tuple(sorted(tables))
    whole = pa.concat_tables([tables[name] for name in names])
    ids = np.array(whole.column("image_id").to_pylist(), dtype="S64")
    unique, first, place = np.unique(ids, return_index=True, return_inverse=True)
    member = np.zeros((len(unique), len(names)), bool)
    member[place, np.repeat(np.arange(len(names)), [tables[name].num_rows for name in names])] = True
    chosen = whole.take(pa.array(first))
    where = "a set of dedup.holdout"
    return Targets(names, unique, member, codes_of(chosen, kind, where), details_of(chosen, kind, where))


@dataclass(frozen=True)
class Pool:
    """Pictures that are compared with those of the sets."""

    ids: np.ndarray
    """S64 (N,)."""
    codes: np.ndarray
    """int8 (N, V, D)."""
    details: np.ndarray
    """uint8 (N, detail_bytes)."""


@dataclass(frozen=True)
class Near:
    """Pictures of the pool that are near one of a set's: all (E,), by position, each at most once."""

    picture: np.ndarray
    """int64, of the pool, ascending."""
    target: np.ndarray
    """int64, the one of highest cosine; of equal ones that of the first set by name, then of the smallest image_id."""
    cosine: np.ndarray
    """float64; 1 for the same bytes."""
    agreement: np.ndarray
    """float64; NaN where the kind has no second look."""


def nearest_oracle(targets: Targets, kind: Kind, pool: Pool, threshold: float) -> Near:
    """Return what `nearest` does, as its definition reads: each picture with each."""
    look, found = second_look(kind), []
    for position in range(len(pool.ids)):
        best = None
        for target in range(len(targets.ids)):
            pair = pool.codes[position][None], targets.codes[target][None]
            cosine, agreement = float(best_cosines(*pair)[0]), np.nan
            if look:
                agreement = float(look(pool.details[position][None], targets.details[target][None])[0])
            near = cosine >= threshold and (look is None or agreement >= (kind.agreement_bound or 0))
            if pool.ids[position] == targets.ids[target]:
                near, cosine, agreement = True, 1.0, 1.0 if look else np.nan
            key = (-cosine, targets.first[target], target)
            if near and (best is None or key < best[0]):
                best = (key, position, target, cosine, agreement)
        if best is not None:
            found.append(best[1:])
    columns = [np.array(column) for column in zip(*found, strict=True)] if found else [np.zeros(0)] * 4
    types = (np.int64, np.int64, np.float64, np.float64)
    return Near(*(column.astype(kind_) for column, kind_ in zip(columns, types, strict=True)))


def nearest(targets: Targets, kind: Kind, pool: Pool, threshold: float, *, device: str = "cpu") -> Near:
    """Return the pictures of the pool that are near one of a set's, each with the nearest.

    threshold: a cosine of three digits. Exhaustive; a device proposes, integers decide. Raises MissingExtraError without faiss.
    """
    picture, target, cosine = _candidates(targets, kind, pool.codes, threshold, device)
    agreement = np.full(len(picture), np.nan)
    place = np.searchsorted(targets.ids, pool.ids) % max(1, len(targets.ids))
    same = np.flatnonzero(targets.ids[place] == pool.ids) if len(targets.ids) else np.zeros(0, np.int64)
    kept = ~np.isin(picture, same)  # the same bytes are the nearest there can be
    order = np.lexsort((target[kept], targets.first[target[kept]], -cosine[kept], picture[kept]))
    picture, target, cosine = (column[kept][order] for column in (picture, target, cosine))
    chosen, agreement = _agreed(targets, kind, picture, target, pool.details)
    whole = 1.0 if kind.detail_bytes else np.nan
    columns = (
        np.concatenate([picture[chosen], same]), np.concatenate([target[chosen], place[same]]),
        np.concatenate([cosine[chosen], np.ones(len(same))]), np.concatenate([agreement, np.full(len(same), whole)]),
    )  # fmt: skip
    order = np.argsort(columns[0], kind="stable")
    return Near(*(column[order] for column in columns))


def _candidates(
    targets: Targets, kind: Kind, codes_NVD: np.ndarray, threshold: float, device: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs whose codes are near: picture, target, and cosine, the best over the views; each pair once."""
    asked = codes_NVD[:, : kind.query_views]
    asking, view = np.nonzero(distinct_views(asked))
    queries = np.ascontiguousarray(asked[asking, view])
    picture, target, cosine = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    step = max(1, _BLOCK_BYTES // (4 * kind.views * kind.dimension))
    for start in range(0, len(targets.ids), step):
        block = targets.codes[start : start + step]
        owner, of_owner = np.nonzero(distinct_views(block))
        for query, hit, value in Database(block[owner, of_owner], device=device).near(queries, threshold):
            picture.append(asking[query])
            target.append(start + owner[hit])
            cosine.append(value)
    found = [np.concatenate(parts) for parts in (picture, target, cosine)]
    order = np.lexsort((-found[2], found[1], found[0]))
    found = [column[order] for column in found]
    new = np.ones(len(order), bool)
    new[1:] = (found[0][1:] != found[0][:-1]) | (found[1][1:] != found[1][:-1])
    return found[0][new], found[1][new], found[2][new]


def _agreed(
    targets: Targets, kind: Kind, picture: np.ndarray, target: np.ndarray, details: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pair of each picture whose second look agrees, by position, and its agreement.

    Pairs are in their order of preference. A second look is dear: the second choices are asked only where the first fail.
    """
    starts = np.flatnonzero(np.diff(picture, prepend=-1))
    look = second_look(kind)
    if look is None:
        return starts, np.full(len(starts), np.nan)
    ends = np.append(starts[1:], len(picture))
    chosen, agreements = [np.zeros(0, np.int64)], [np.zeros(0)]
    while len(starts):
        found = look(details[picture[starts]], targets.details[target[starts]])
        agrees = found >= (kind.agreement_bound or 0)
        chosen.append(starts[agrees])
        agreements.append(found[agrees])
        starts, ends = starts[~agrees] + 1, ends[~agrees]
        left = starts < ends
        starts, ends = starts[left], ends[left]
    whole = np.concatenate(chosen)
    order = np.argsort(whole)
    return whole[order], np.concatenate(agreements)[order]


def names_of(near: Near, targets: Targets) -> Sequence[str]:
    """Return the set's name of each near picture."""
    return [targets.names[number] for number in targets.first[near.target]]
