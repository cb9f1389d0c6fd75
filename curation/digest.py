"""The order-free digest of a table without Spark: the same number as `curation.spark.stage.measure` gives. Used by `curate verify`.

A row's hash is Spark's `xxhash64` over its columns, each followed by whether it is null: xxHash64 of a value, seeded by the hash of
what stands before it, from 42; a null leaves the hash as it is, a list is its elements one after the other. Integers, reals and
flags are hashed in numpy, a column at a time; so are texts and bytes of one length, others one by one.
"""

# N rows

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curation.ids import SPARK_XXHASH64_SEED, TWO_TO_MINUS_53, coin_prefix
from curation.xxh64 import Hashes, hash_keys, hash_words, keys_of


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


def coins_of(keys: pa.StringArray, seed: int, purpose: str) -> npt.NDArray[np.float64]:
    """Return the coins of keys, float64 (N,); `curation.ids.coin` is the oracle. Fast where the keys have one length."""
    prefix = coin_prefix(seed, purpose).encode()
    seeds_N = np.full(len(keys), SPARK_XXHASH64_SEED, np.uint64)
    keys_NL = keys_of(keys)
    if keys_NL is None:
        whole = pc.binary_join_element_wise(prefix, keys.cast(pa.binary()), b"")
        hashes_N = _hash_texts(whole, seeds_N)
    else:
        before = np.broadcast_to(np.frombuffer(prefix, np.uint8), (len(keys), len(prefix)))
        hashes_N = hash_keys(np.concatenate([before, keys_NL], axis=1), seeds_N)
    return (hashes_N >> np.uint64(11)).astype(np.float64) * TWO_TO_MINUS_53


def row_hashes(batch: pa.RecordBatch, columns: Sequence[str]) -> Hashes:
    """Return the hash of each row over these columns, uint64 (N,)."""
    hashes_N = np.full(batch.num_rows, SPARK_XXHASH64_SEED, np.uint64)
    for name in columns:
        column = batch.column(name)
        null_N = column.is_null().to_numpy(zero_copy_only=False)
        if column.null_count:
            valid_N = np.flatnonzero(~null_N)
            hashes_N[valid_N] = _hash_values(column.take(pa.array(valid_N)), hashes_N[valid_N])
        else:
            hashes_N = _hash_values(column, hashes_N)
        hashes_N = hash_words(null_N.astype(np.uint64), hashes_N, 4)
    return hashes_N


def _hash_values(values: pa.Array, seeds_N: Hashes) -> Hashes:
    """Return the hash of each value, seeded by its own seed. Values have no null."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _hash_texts(values, seeds_N)
    if pa.types.is_list(kind):
        return _hash_lists(values, seeds_N)
    if pa.types.is_boolean(kind):
        return hash_words(values.to_numpy(zero_copy_only=False).astype(np.uint64), seeds_N, 4)
    if pa.types.is_int32(kind):
        return hash_words(values.to_numpy().view(np.uint32).astype(np.uint64), seeds_N, 4)
    if pa.types.is_int64(kind):
        return hash_words(values.to_numpy().view(np.uint64), seeds_N, 8)
    if pa.types.is_float64(kind):
        return hash_words(_java_bits(values.to_numpy()), seeds_N, 8)
    raise TypeError(f"no table of ours has a column of {kind}")


def _hash_texts(values: pa.StringArray | pa.BinaryArray, seeds_N: Hashes) -> Hashes:
    keys_NL = keys_of(values)
    if keys_NL is not None:
        return hash_keys(keys_NL, seeds_N)
    texts = values.cast(pa.binary()).to_pylist()
    return np.fromiter(map(xxhash.xxh64_intdigest, texts, seeds_N.tolist()), np.uint64, len(texts))


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
