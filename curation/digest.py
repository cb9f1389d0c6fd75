"""The order-free digest of a table without Spark: the same number as `curation.spark.stage.measure` gives. Used by `curate verify`.

A row's hash is Spark's `xxhash64` over its columns, each followed by whether it is null: xxHash64 of a value, seeded by the hash of
what stands before it, from 42; a null leaves the hash as it is, a list is its elements one after the other. Integers, reals and
flags are hashed in numpy, a column at a time; texts and bytes one by one.
"""

# N rows

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from curation.ids import SPARK_XXHASH64_SEED

Hashes = npt.NDArray[np.uint64]
# xxHash64's primes. https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_LOW = np.uint64(0xFFFFFFFF)


def table_digest(batches: Iterable[pa.RecordBatch], columns: Sequence[str]) -> tuple[int, str]:
    """Return the rows and the digest of a table: the sum of its rows' hashes as signed numbers, in decimal.

    columns: those that the digest covers, in the order of the schema. Raises TypeError for a type that no table of ours has.
    """
    rows = total = 0
    for batch in batches:
        signed = row_hashes(batch, columns).view(np.int64)
        rows += batch.num_rows
        total += (int((signed >> 32).sum()) << 32) + int((signed & 0xFFFFFFFF).sum())
    return rows, str(total)


def row_hashes(batch: pa.RecordBatch, columns: Sequence[str]) -> Hashes:
    """Return the hash of each row over these columns, uint64 (N,)."""
    hashes_N = np.full(batch.num_rows, SPARK_XXHASH64_SEED, np.uint64)
    for name in columns:
        column = batch.column(name)
        null_N = column.is_null().to_numpy(zero_copy_only=False)
        valid_N = np.flatnonzero(~null_N)
        hashes_N[valid_N] = _hash_values(column.take(pa.array(valid_N)), hashes_N[valid_N])
        hashes_N = _hash_words(null_N.astype(np.uint64), hashes_N, 4)
    return hashes_N


def _hash_values(values: pa.Array, seeds_N: Hashes) -> Hashes:
    """Return the hash of each value, seeded by its own seed. Values have no null."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = values.cast(pa.binary()).to_pylist()
        hashed = map(xxhash.xxh64_intdigest, texts, seeds_N.tolist())
        return np.fromiter(hashed, np.uint64, len(texts))
    if pa.types.is_list(kind):
        return _hash_lists(values, seeds_N)
    if pa.types.is_boolean(kind):
        return _hash_words(values.to_numpy(zero_copy_only=False).astype(np.uint64), seeds_N, 4)
    if pa.types.is_int32(kind):
        return _hash_words(values.to_numpy().view(np.uint32).astype(np.uint64), seeds_N, 4)
    if pa.types.is_int64(kind):
        return _hash_words(values.to_numpy().view(np.uint64), seeds_N, 8)
    if pa.types.is_float64(kind):
        return _hash_words(_java_bits(values.to_numpy()), seeds_N, 8)
    raise TypeError(f"no table of ours has a column of {kind}")


def _java_bits(values: npt.NDArray[np.float64]) -> Hashes:
    """Return a real's bits as Spark hashes them: -0 is 0, and there is one NaN."""
    one = np.where(np.isnan(values), np.nan, np.where(values == 0, 0.0, values))
    bits = one.view(np.uint64)
    return np.where(np.isnan(values), np.uint64(0x7FF8000000000000), bits)


def _hash_lists(values: pa.ListArray, seeds_N: Hashes) -> Hashes:
    """Return the hash of each list: its k-th element is seeded by the hash of those before it."""
    lengths = values.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    flat = values.flatten()
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    hashes_N = seeds_N.copy()
    for k in range(int(lengths.max(initial=0))):
        active = np.flatnonzero(lengths > k)
        hashes_N[active] = _hash_values(flat.take(pa.array(starts[active] + k)), hashes_N[active])
    return hashes_N


def _hash_words(words_N: Hashes, seeds_N: Hashes, size: int) -> Hashes:
    """Return xxHash64 of each word of 4 or 8 bytes, seeded by its own seed. All sums and products wrap at 2^64."""
    with np.errstate(over="ignore"):
        hash_N = seeds_N + _P5 + np.uint64(size)
        if size == 8:
            hash_N ^= _rotate(words_N * _P2, 31) * _P1
            hash_N = _rotate(hash_N, 27) * _P1 + _P4
        else:
            hash_N ^= (words_N & _LOW) * _P1
            hash_N = _rotate(hash_N, 23) * _P2 + _P3
        hash_N = (hash_N ^ (hash_N >> np.uint64(33))) * _P2
        hash_N = (hash_N ^ (hash_N >> np.uint64(29))) * _P3
        return hash_N ^ (hash_N >> np.uint64(32))


def _rotate(words: Hashes, bits: int) -> Hashes:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
