"""Step "count" over batches: sums of each entry's matches and weights, in numpy. `curation.spark.count` hands out the rows.

A task holds two sums an entry; what travels between tasks is these, never a row a match.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.schemas import TABLES

Longs = npt.NDArray[np.int64]
ONE = 1 << 20  # the weight of a row that stands for itself, in units of `curation.balance.WEIGHT_UNIT`
SUMS = pa.schema([field.remove_metadata() for field in TABLES["counts"]])


class EntrySums:
    """Sums by language and entry: of rows, and of their weights. Whole numbers, so that no order matters."""

    def __init__(self) -> None:
        self._totals: dict[str, Longs] = {}  # by language, int64 (2, E so far): count and weight

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows: lang, entry_ids and, where they do not stand for themselves alone, weight."""
        weighted = "weight" in batch.schema.names
        for lang in batch.column("lang").unique().to_pylist():
            own = batch.filter(pc.equal(batch.column("lang"), lang))
            ids = own.column("entry_ids").flatten().to_numpy(zero_copy_only=False)
            total = self._totals[lang] = _grown(self._totals.get(lang), int(ids.max(initial=-1)) + 1)
            counts = np.bincount(ids, minlength=total.shape[1])
            total[0] += counts
            if weighted:
                lengths = pc.list_value_length(own.column("entry_ids")).to_numpy(zero_copy_only=False)
                np.add.at(total[1], ids, np.repeat(own.column("weight").to_numpy(), lengths))
            else:
                total[1] += counts * ONE

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the sums of the entries that occur, as SUMS."""
        for lang, total in self._totals.items():
            found = np.flatnonzero(total[0])
            columns = [pa.repeat(lang, found.size), found.astype(np.int32), total[0][found], total[1][found]]
            yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=SUMS)


def _grown(total: Longs | None, size: int) -> Longs:
    """Return the sums with room for so many entries, and for more if there was too little: copies stay few."""
    if total is not None and total.shape[1] >= size:
        return total
    grown = np.zeros((2, max(size, 2 * total.shape[1] if total is not None else 1)), dtype=np.int64)
    if total is not None:
        grown[:, : total.shape[1]] = total
    return grown
