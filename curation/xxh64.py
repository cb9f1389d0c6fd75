"""xxHash64 in numpy, of many keys at once, each with a seed of its own. The package `xxhash` is the oracle.

Keys of one length only, as ids are: a step of the hash is then a few operations on whole columns.
https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

# N keys, L bytes each

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_LOW = np.uint64(0xFFFFFFFF)
STRIPE, WORD = 32, 8  # bytes


def hash_words(words_N: Hashes, seeds_N: Hashes, size: int) -> Hashes:
    """Return xxHash64 of each word of 4 or 8 bytes, seeded by its own seed. All sums and products wrap at 2^64."""
    with np.errstate(over="ignore"):
        hash_N = seeds_N + _P5 + np.uint64(size)
        return _avalanche(_word(hash_N, words_N) if size == WORD else _half(hash_N, words_N))


def hash_keys(keys_NL: Bytes, seeds_N: Hashes) -> Hashes:
    """Return xxHash64 of each key of L bytes, seeded by its own seed, uint64 (N,)."""
    num_keys, length = keys_NL.shape
    padded = np.zeros((num_keys, -(-length // WORD) * WORD), dtype=np.uint8)
    padded[:, :length] = keys_NL
    words = padded.view("<u8").T
    stripes = length // STRIPE * (STRIPE // WORD)
    whole = length // WORD
    with np.errstate(over="ignore"):
        hash_N = _stripes(words[:stripes], seeds_N) if stripes else seeds_N + _P5
        hash_N = hash_N + np.uint64(length)
        for place in range(stripes, whole):
            hash_N = _word(hash_N, words[place])
        done = whole * WORD
        if length - done >= WORD // 2:
            hash_N = _half(hash_N, words[whole])
            done += WORD // 2
        for place in range(done, length):
            hash_N = _rotate(hash_N ^ padded[:, place] * _P5, 11) * _P1
        return _avalanche(hash_N)


def keys_of(texts: pa.StringArray) -> Bytes | None:
    """Return the UTF-8 bytes of texts that are all of one length, uint8 (N, L), else None. Texts have no null."""
    ends = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset :][: len(texts) + 1]
    lengths = np.diff(ends)
    if not lengths.size or (lengths != lengths[0]).any():
        return None
    data = texts.buffers()[2]
    if data is None:
        return np.empty((len(texts), 0), dtype=np.uint8)
    return np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]].reshape(len(texts), -1)


def _stripes(words: Hashes, seeds_N: Hashes) -> Hashes:
    lanes: list[Hashes] = [seeds_N + _P1 + _P2, seeds_N + _P2, seeds_N, seeds_N - _P1]
    for place in range(words.shape[0]):
        lane = place % len(lanes)
        lanes[lane] = _rotate(lanes[lane] + words[place] * _P2, 31) * _P1
    first, second, third, fourth = lanes
    hash_N = _rotate(first, 1) + _rotate(second, 7) + _rotate(third, 12) + _rotate(fourth, 18)
    for lane_N in lanes:
        hash_N = (hash_N ^ _rotate(lane_N * _P2, 31) * _P1) * _P1 + _P4
    return hash_N


def _word(hash_N: Hashes, word_N: Hashes) -> Hashes:
    return _rotate(hash_N ^ _rotate(word_N * _P2, 31) * _P1, 27) * _P1 + _P4


def _half(hash_N: Hashes, word_N: Hashes) -> Hashes:
    return _rotate(hash_N ^ (word_N & _LOW) * _P1, 23) * _P2 + _P3


def _avalanche(hash_N: Hashes) -> Hashes:
    hash_N = (hash_N ^ (hash_N >> np.uint64(33))) * _P2
    hash_N = (hash_N ^ (hash_N >> np.uint64(29))) * _P3
    return hash_N ^ (hash_N >> np.uint64(32))


def _rotate(words: Hashes, bits: int) -> Hashes:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
