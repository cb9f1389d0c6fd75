"""Rows of the search: pictures to vectors, and the search of a task, which gets them by unit.

A row is a vector that is at home in a cell, or one that visits it. Rows come together by unit: a cell, or a pair of blocks of one
that is too large for a task. A task holds those at home in a unit and streams its visitors past them.
"""

# N vectors, V views, D dimensions

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.exact import distinct_views
from curation.dedup.neighbours import Database, distinct
from curation.schemas import TABLES

HOME, OLD_HOME, VISITOR, OLD_VISITOR = range(4)  # roles of a row; of an earlier index are the old ones
UNIT_KEY = ("cell", "home_block", "visitor_block")
_WAITING = 8_192  # visitors that are compared at once


def _schema(table: str, *names: str) -> pa.Schema:
    return pa.schema([TABLES[table].field(name).remove_metadata() for name in names])


VIEW = _schema("vectors", "image_id", "view", "code")
PAIR = _schema("edges", "image_id_a", "image_id_b")


def unpacked(batch: pa.RecordBatch, views: int, dimension: int) -> np.ndarray:
    """Return the codes of a batch of descriptors, int8 (N, V, D)."""
    return as_codes(batch.column("codes"), views * dimension).reshape(-1, views, dimension)


def as_codes(column: pa.Array, width: int) -> np.ndarray:
    """Return a column of int8 codes of one width, int8 (N, width), without a copy where it can be."""
    if not len(column):
        return np.zeros((0, width), np.int8)
    fixed = column.cast(pa.binary(width)) if not pa.types.is_fixed_size_binary(column.type) else column
    return np.frombuffer(fixed.buffers()[1], np.int8)[fixed.offset * width :][: len(fixed) * width].reshape(
        -1, width
    )


def packed(codes_ND: np.ndarray) -> pa.Array:
    """Return int8 vectors as a column of bytes."""
    num, width = codes_ND.shape
    offsets = np.arange(num + 1, dtype=np.int32) * width
    return pa.BinaryArray.from_buffers(
        pa.binary(), num, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(codes_ND))]
    )


def view_rows(batch: pa.RecordBatch, views: int, dimension: int) -> tuple[pa.RecordBatch, np.ndarray]:
    """Return (image_id, view, code) of a batch's vectors, and the same codes as int8 (N, D)."""
    codes = unpacked(batch, views, dimension)
    picture, view = np.nonzero(distinct_views(codes))
    vectors = np.ascontiguousarray(codes[picture, view])
    columns = [
        batch.column("image_id").take(pa.array(picture)), pa.array(view.astype(np.int32)), packed(vectors),
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=VIEW), vectors


def split(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches in pieces of at most so many rows."""
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


class Units:
    """The search of a task: units one after the other, in each those at home first, then the visitors."""

    def __init__(self, dimension: int, floor: float, device: str) -> None:
        self.dimension, self.floor, self.device = dimension, floor, device
        self._unit: tuple[int, ...] = ()
        self._start()

    def _start(self) -> None:
        self._rows: dict[int, list[pa.RecordBatch]] = {role: [] for role in range(4)}
        self._databases: dict[int, tuple[pa.Array, Database] | None] = {}
        self._waiting = 0

    def search(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield pairs near at the floor; batches (cell, home_block, visitor_block, role, image_id, code) are sorted by all but the last two."""
        for batch in batches:
            for unit, role, rows in _runs(batch):
                if unit != self._unit:
                    yield from self._meet()
                    self._start()
                    self._unit = unit
                self._rows[role].append(rows)
                self._waiting += rows.num_rows if role >= VISITOR else 0
                if self._waiting >= _WAITING:
                    yield from self._meet()
        yield from self._meet()

    def _meet(self) -> Iterator[pa.RecordBatch]:
        """Compare the waiting visitors with those at home."""
        for role, homes in ((VISITOR, (HOME, OLD_HOME)), (OLD_VISITOR, (HOME,))):
            if self._rows[role]:
                ids, codes = _gathered(self._rows[role], self.dimension)
                self._rows[role] = []
                for home in homes:
                    database = self._database(home)
                    if database:
                        for query, hit in database[1].met(codes, self.floor):
                            yield from pairs_of(ids, query, database[0], hit)
        self._waiting = 0

    def _database(self, role: int) -> tuple[pa.Array, Database] | None:
        if role not in self._databases:
            rows = self._rows[role]
            self._databases[role] = None
            if rows:
                ids, codes = _gathered(rows, self.dimension)
                self._databases[role] = ids, Database(codes, device=self.device)
            self._rows[role] = []
        return self._databases[role]


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[tuple[int, ...], int, pa.RecordBatch]]:
    """Yield the stretches of a batch of one unit and role."""
    keys = np.stack([batch.column(name).to_numpy() for name in (*UNIT_KEY, "role")], axis=1)
    starts = np.flatnonzero(np.r_[len(keys) > 0, (keys[1:] != keys[:-1]).any(axis=1)]).tolist()
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        *unit, role = keys[start].tolist()
        yield tuple(unit), role, batch.slice(start, stop - start)


def _gathered(rows: list[pa.RecordBatch], dimension: int) -> tuple[pa.Array, np.ndarray]:
    """Return the ids, as text of a dictionary, and codes int8 (N, D) of some batches."""
    ids = pa.chunked_array([part.column("image_id") for part in rows]).combine_chunks().dictionary_encode()
    return ids, np.concatenate([as_codes(part.column("code"), dimension) for part in rows])


def pairs_of(left: pa.Array, query: np.ndarray, right: pa.Array, hit: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield pairs of pictures, smaller id first, each once; none of a picture with itself."""
    num_right = max(1, len(right.dictionary))
    met = left.indices.to_numpy()[query].astype(np.int64) * num_right + right.indices.to_numpy()[hit]
    one, other = np.divmod(distinct(met), num_right)
    a, b = left.dictionary.take(pa.array(one)), right.dictionary.take(pa.array(other))
    differ = pc.not_equal(a, b)
    a, b = a.filter(differ), b.filter(differ)
    if len(a):
        first = pc.less(a, b)
        columns = [pc.if_else(first, a, b), pc.if_else(first, b, a)]
        yield pa.RecordBatch.from_arrays(columns, schema=PAIR)
