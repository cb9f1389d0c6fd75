"""Identity and chance: ids are hashes of contents, and every random choice is a hash of an id.

`coin` gives the same bits in Python and in a Spark column (`curation.spark.columns.coin`): xxHash64 with
seed 42 is what Spark's `xxhash64` computes of a string.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curation.text import nfc

SPARK_XXHASH64_SEED = 42  # the fixed seed of Spark's xxhash64 expression
TWO_TO_MINUS_53 = 2.0**-53  # 53 random bits fill a float64's mantissa
# What urlsplit and urlunsplit would give back as it is.
_CANONICAL = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:@_~%!$&'()*+,;=\[\]-]+(?:[/?][^#\t\n\r]*(?<!\?))?")


def canonical_url(url: str) -> str:
    """Return the absolute address without its fragment, scheme and host in lower case.

    User info keeps its case. Raises ValueError where `urllib.parse` cannot split the address.
    """
    if _CANONICAL.fullmatch(url):
        return url
    return _canonical_by_parts(url)


def _canonical_by_parts(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme.lower(), user + at + host.lower(), parts.path, parts.query, ""))


def pair_id(url: str, text: str) -> str:
    r"""Return the first 32 hex digits of SHA-256 over "v1\0" + canonical url + "\0" + NFC(text), in UTF-8.

    Raises UnicodeEncodeError for a lone surrogate: such a pair is dropped before it gets an id.
    """
    key = f"v1\0{canonical_url(url)}\0{nfc(text)}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def pair_ids(urls: pa.StringArray, texts: Sequence[str]) -> pa.StringArray:
    """Return the ids of pairs whose addresses are canonical already; `pair_id` is the oracle. Lengths are equal."""
    normal = pa.array([nfc(text) for text in texts], pa.string())
    keys = pc.binary_join_element_wise("v1", urls, normal, "\0")
    ends = np.frombuffer(keys.buffers()[1], dtype=np.int32)[: len(keys) + 1].tolist()
    data = keys.buffers()[2].to_pybytes() if len(keys) else b""
    sha256 = hashlib.sha256
    digests = b"".join([sha256(data[begin:end]).digest() for begin, end in pairwise(ends)])
    heads = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)[:, :16]
    offsets = pa.array(np.arange(len(keys) + 1, dtype=np.int32) * 32)
    hex_digits = pa.py_buffer(heads.tobytes().hex().encode())
    return pa.StringArray.from_buffers(len(keys), offsets.buffers()[1], hex_digits)


def image_id(body: bytes) -> str:
    """Return SHA-256 of the bytes as fetched, 64 hex digits."""
    return hashlib.sha256(body).hexdigest()


def coin_prefix(seed: int, purpose: str) -> str:
    """Return what stands before the key in the hashed text, so that seeds and purposes never share a coin."""
    return f"{purpose}\0{seed}\0"


def coin(key: str, seed: int, purpose: str) -> float:
    """Return the coin of a key: uniform in [0, 1), a function of (key, seed, purpose) alone."""
    digest = xxhash.xxh64_intdigest((coin_prefix(seed, purpose) + key).encode(), seed=SPARK_XXHASH64_SEED)
    return (digest >> 11) * TWO_TO_MINUS_53


def coins(keys: Iterable[str], seed: int, purpose: str) -> np.ndarray:
    """Return the coins of keys, float64 (N,); `coin` is the oracle."""
    prefix = coin_prefix(seed, purpose)
    digests = [xxhash.xxh64_intdigest((prefix + key).encode(), seed=SPARK_XXHASH64_SEED) for key in keys]
    return (np.array(digests, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * TWO_TO_MINUS_53


def bucket(hex_id: str, num_buckets: int) -> int:
    """Return which of `num_buckets` equal ranges of ids a hex id falls in, by its first eight digits."""
    return int(hex_id[:8], 16) * num_buckets >> 32


def digest_of(parts: Sequence[str]) -> str:
    """Return SHA-256 over texts with their lengths, so that no two sequences share a digest by concatenation."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(f"{len(data)}:".encode())
        state.update(data)
    return state.hexdigest()
