"""Near pairs of pictures: faiss proposes, integers decide, so that the pairs are the same on any machine and in any order.

A pair is near where some view of the one and some view of the other have dot > 0 and dot^2 * 10^6 >= (1000 t)^2 * n1 * n2, with
dot and the squared lengths n of the int8 codes as int64: with at most 128 dimensions both sides stay below 2^62. Its cosine is
the largest dot / sqrt(n1 * n2) over the views, a float64 that follows from the integers by two correctly rounded operations.
The search is exhaustive, tile by tile over blocks of pictures: each tile is a task of its own.
"""

# N pictures, V views, Q query views, D dimensions, E pairs

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata as distributions
from types import ModuleType

import numpy as np

from curation.errors import ConfigError, InputError, MissingExtraError

GUARD = 0.01  # faiss proposes pairs down to this far below the threshold; float32 errs by less than 1e-5
BLOCK = 4_096  # pictures a side of a tile
MAX_DIMENSION = 128
_QUERIES = 1_024  # query vectors a call of faiss
_PROPOSALS = 1 << 18  # proposed pairs decided at once: bounds the memory


@dataclass(frozen=True)
class Pairs:
    """Near pairs of pictures by position, first < second, sorted, each once."""

    first: np.ndarray
    """int64 (E,)."""
    second: np.ndarray
    """int64 (E,)."""
    cosine: np.ndarray
    """float64 (E,), best over the views."""

    def __len__(self) -> int:
        return len(self.first)


def near_pairs_oracle(codes_NVD: np.ndarray, threshold: float) -> Pairs:
    """Return the near pairs, by comparing all views of all pictures in int64: what `near_pairs` must find."""
    codes = _checked(codes_NVD).astype(np.int64)
    squared = np.square(codes).sum(axis=2)
    found = []
    for first in range(len(codes)):
        for second in range(first + 1, len(codes)):
            dot = codes[first] @ codes[second].T
            lengths = squared[first][:, None] * squared[second][None]
            near = _is_near(dot, lengths, threshold)
            if near.any():
                found.append((first, second, (dot[near] / np.sqrt(lengths[near].astype(np.float64))).max()))
    return _pairs(found)


def near_pairs(codes_NVD: np.ndarray, threshold: float, *, query_views: int | None = None) -> Pairs:
    """Return the near pairs of pictures.

    codes_NVD: int8 (N, V, D), D at most 128; a zero vector is near to nothing.
    query_views: so many leading views are enough on one side, `curation.dedup.descriptors.Kind.query_views`; all by default.
    Raises InputError for codes of another type or shape, MissingExtraError without faiss.
    """
    codes = _checked(codes_NVD)
    parts = [
        near_pairs_of_tile(codes, tile, threshold, query_views=query_views) for tile in tiles(len(codes))
    ]
    return merged(parts)


def tiles(num_pictures: int, block: int = BLOCK) -> list[tuple[int, int, int, int]]:
    """Return the tiles of the upper triangle: rows start, stop, columns start, stop; every pair lies in just one."""
    starts = range(0, num_pictures, block)
    return [
        (row, min(row + block, num_pictures), column, min(column + block, num_pictures))
        for row in starts
        for column in starts
        if column >= row
    ]


def near_pairs_of_tile(
    codes_NVD: np.ndarray,
    tile: tuple[int, int, int, int],
    threshold: float,
    *,
    query_views: int | None = None,
) -> Pairs:
    """Return the near pairs of the pictures of two blocks; codes may be a mapped file."""
    faiss = load_faiss()
    row, row_stop, column, column_stop = tile
    views, dimension = codes_NVD.shape[1:]
    asked = query_views or views
    queries = np.ascontiguousarray(codes_NVD[row:row_stop, :asked]).reshape(-1, dimension)
    database = np.ascontiguousarray(codes_NVD[column:column_stop]).reshape(-1, dimension)
    index = faiss.IndexFlatIP(dimension)
    index.add(_unit(database))
    parts = []
    for start in range(0, len(queries), _QUERIES):
        limits, _, hits = index.range_search(_unit(queries[start : start + _QUERIES]), threshold - GUARD)
        asking = start + np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))
        for part in range(0, len(hits), _PROPOSALS):
            query, hit = asking[part : part + _PROPOSALS], hits[part : part + _PROPOSALS]
            first, second = row + query // asked, column + hit // views
            once = first < second
            best = _decided(queries[query[once]], database[hit[once]], threshold)
            parts.append(_best(first[once], second[once], best))
    return merged(parts)


def merged(parts: Sequence[Pairs]) -> Pairs:
    """Return all pairs of some searches, sorted, each once with its best cosine."""
    if not parts:
        return _pairs([])
    return _best(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.cosine for part in parts]),
    )


def _decided(left_ED: np.ndarray, right_ED: np.ndarray, threshold: float) -> np.ndarray:
    """Return the cosines of proposed vectors, float64 (E,), 0 where the integers say they are not near."""
    left, right = left_ED.astype(np.int32), right_ED.astype(np.int32)
    dot = np.einsum("ed,ed->e", left, right).astype(np.int64)
    lengths = np.einsum("ed,ed->e", left, left).astype(np.int64) * np.einsum("ed,ed->e", right, right)
    near = _is_near(dot, lengths, threshold)
    return np.where(near, dot / np.sqrt(np.maximum(lengths, 1).astype(np.float64)), 0.0)


def _is_near(dot: np.ndarray, lengths: np.ndarray, threshold: float) -> np.ndarray:
    """Return where cosine >= threshold, in int64; lengths are products of two squared lengths."""
    thousandths = round(threshold * 1000)
    near: np.ndarray = (dot > 0) & (dot * dot * 1_000_000 >= thousandths * thousandths * lengths)
    return near


def _best(first: np.ndarray, second: np.ndarray, cosine: np.ndarray) -> Pairs:
    """Return each pair once with its largest cosine; pairs of cosine 0 are left out."""
    near = cosine > 0
    first, second, cosine = first[near].astype(np.int64), second[near].astype(np.int64), cosine[near]
    order = np.lexsort((-cosine, second, first))
    first, second, cosine = first[order], second[order], cosine[order]
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Pairs(first[new], second[new], cosine[new])


def _pairs(found: Sequence[tuple[int, int, float]]) -> Pairs:
    first, second, cosine = zip(*found, strict=True) if found else ((), (), ())
    return Pairs(np.array(first, np.int64), np.array(second, np.int64), np.array(cosine, np.float64))


def _unit(codes: np.ndarray) -> np.ndarray:
    """Return float32 vectors of length 1; zero stays zero."""
    vectors = codes.astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1))
    return vectors


def _checked(codes_NVD: np.ndarray) -> np.ndarray:
    if codes_NVD.dtype != np.int8 or codes_NVD.ndim != 3 or not 1 <= codes_NVD.shape[2] <= MAX_DIMENSION:
        raise InputError(
            f"codes are {codes_NVD.dtype} {codes_NVD.shape}; int8 (pictures, views, dimensions) with 1 to "
            f"{MAX_DIMENSION} dimensions are wanted"
        )
    return codes_NVD


def load_faiss() -> ModuleType:
    """Import faiss.

    Raises MissingExtraError where it is not installed, and ConfigError where both its distributions are.
    """
    faiss_version()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SWIG's own deprecations
        import faiss
    module: ModuleType = faiss
    return module


def faiss_version() -> str:
    """Return distribution and version of the installed faiss. Raises as `load_faiss` does."""
    found = {name: version for name in ("faiss-cpu", "faiss-gpu") if (version := _installed(name))}
    if len(found) == 2:
        raise ConfigError(
            "faiss-cpu and faiss-gpu are both installed; they write the same folder 'faiss', so which of them runs, and "
            "whether it is whole, is chance: run 'pip uninstall faiss-cpu faiss-gpu', then install one of them"
        )
    if not found:
        raise MissingExtraError(
            "the search for near-duplicates needs faiss: pip install 'bicurate[cpu]', or 'bicurate[gpu]' for CUDA 12"
        )
    return " ".join(next(iter(found.items())))


def _installed(name: str) -> str | None:
    try:
        return distributions.version(name)
    except distributions.PackageNotFoundError:
        return None
