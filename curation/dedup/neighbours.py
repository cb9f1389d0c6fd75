"""Near pairs of vectors: a device proposes, integers decide (`curation.dedup.exact`), so that it matters to nobody which device.

faiss proposes pairs down to a guard below the threshold, and what is a guard above it needs no integers. A GPU has no range
search: there, the 64 nearest of each query, and queries whose last neighbour is still above it ("saturated") again: the 2,048
nearest, then all. A CPU takes faiss's range search at once, measured 2 to 4 times as fast as its 64 nearest; the way of a GPU
runs there too, and is tested there.
"""

# N pictures, V views, Q query views, D dimensions, M vectors of a database, E pairs

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from curation.dedup.exact import checked, cosines, decided
from curation.dedup.faiss_package import load_faiss, resources

# How close to the threshold integers decide. float32 errs by less than 2e-4, in any order of addition (2^-24 for each of at most
# 1,040 dimensions, and as much for the two lengths), a GPU's TF32 by less than 2e-3.
GUARDS = {"cpu": 0.001, "cuda": 0.01}
NEAREST = (64, 2_048)  # neighbours asked of a GPU, which gives 2,048 at the most; then it is all
BLOCK = 4_096  # pictures a side of a tile
_QUERIES = 4_096  # query vectors a call of faiss: with 1,024 its range search takes four times as long
_ROWS = 8_192  # of a database that are searched at once, on a CPU
_PROPOSALS = 1 << 18  # proposed pairs decided at once: bounds the memory
Way = Literal["range", "nearest"]


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
    """Return the near pairs, by comparing all views of all pictures in whole numbers: what any search must find."""
    codes = checked(codes_NVD).astype(np.int64)
    squared = np.square(codes).sum(axis=2)
    found = []
    for first in range(len(codes)):
        for second in range(first + 1, len(codes)):
            dots = (codes[first] @ codes[second].T).ravel()
            lengths = (squared[first][:, None] * squared[second][None]).ravel()
            best = cosines(dots, lengths).max()
            if any(map(functools.partial(_is_near_oracle, threshold), dots.tolist(), lengths.tolist())):
                found.append((first, second, best))
    return _pairs(found)


def _is_near_oracle(threshold: float, dot: int, lengths: int) -> bool:
    return dot > 0 and dot**2 * 10**6 >= round(threshold * 1000) ** 2 * lengths


def near_pairs(
    codes_NVD: np.ndarray, threshold: float, *, query_views: int | None = None, device: str = "cpu"
) -> Pairs:
    """Return the near pairs of pictures, by comparing all with all.

    codes_NVD: int8 (N, V, D), D at most 1,040; a zero vector is near to nothing.
    query_views: so many leading views are enough on one side, a kind's `query_views`; all by default.
    device: cpu, or cuda with or without a number. Raises InputError for codes of another type or shape, MissingExtraError
    without faiss, ConfigError where faiss has no such device.
    """
    codes = checked(codes_NVD)
    parts = [
        near_pairs_of_tile(codes, tile, threshold, query_views=query_views, device=device)
        for tile in tiles(len(codes))
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
    device: str = "cpu",
) -> Pairs:
    """Return the near pairs of the pictures of two blocks; codes may be a mapped file."""
    row, row_stop, column, column_stop = tile
    views, dimension = codes_NVD.shape[1:]
    asked = query_views or views
    queries = np.ascontiguousarray(codes_NVD[row:row_stop, :asked]).reshape(-1, dimension)
    database = Database(codes_NVD[column:column_stop].reshape(-1, dimension), device=device)
    parts = []
    for query, hit, cosine in database.near(queries, threshold):
        first, second = row + query // asked, column + hit // views
        once = first < second
        parts.append(_best(first[once], second[once], cosine[once]))
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


def distinct(keys: np.ndarray) -> np.ndarray:
    """Return what `np.unique` does of whole numbers from 0 up, measured 2 to 8 times as fast: sorted, where numpy hashes."""
    ordered = np.sort(keys)
    new: np.ndarray = ordered[np.flatnonzero(np.diff(ordered, prepend=-1))]
    return new


class Database:
    """Vectors that queries are compared with, on a device: those at home in a cell."""

    def __init__(self, codes_MD: np.ndarray, *, device: str = "cpu", way: Way | None = None) -> None:
        """Take int8 codes. way: range search or nearest neighbours; what suits the device by default."""
        self.codes_MD = np.ascontiguousarray(codes_MD)
        self.way: Way = way or ("range" if device == "cpu" else "nearest")
        self._device = device
        if device != "cpu":
            resources(device)  # refused here, not at the first query

    @functools.cached_property
    def _blocks(self) -> list[Any]:
        """The vectors on the CPU, in blocks: what a search of one returns is bounded, however many are near each other."""
        starts = range(0, len(self.codes_MD), _ROWS)
        return [_flat_index(self.codes_MD[start : start + _ROWS]) for start in starts]

    @functools.cached_property
    def _whole(self) -> Any:
        """All of them on the device."""
        index = _flat_index(self.codes_MD)
        if self._device == "cpu":
            return index
        gpu = resources(self._device)
        return load_faiss().index_cpu_to_gpu(gpu.handle, gpu.number, index)

    def near(
        self, queries_ND: np.ndarray, threshold: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the near vectors of the queries: query int64 (E,), hit int64 (E,), cosine float64 (E,); E is bounded."""
        for query, hit in self.met(queries_ND, threshold):
            yield query, hit, decided(queries_ND[query], self.codes_MD[hit], threshold)

    def met(self, queries_ND: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what `near` does without the cosines, which most have no use for: many times as fast where many are near."""
        if not len(queries_ND) or not len(self.codes_MD):
            return
        guard = GUARDS[self._device.partition(":")[0]]
        for rows in np.array_split(np.arange(len(queries_ND)), -(-len(queries_ND) // _QUERIES)):
            for query, hit, value in self._proposed(_unit(queries_ND[rows]), threshold - guard):
                for start in range(0, len(hit), _PROPOSALS):
                    part = slice(start, start + _PROPOSALS)
                    asking, found = rows[query[part]], hit[part]
                    near = value[part] >= threshold + guard
                    unsure = np.flatnonzero(~near)
                    pair = queries_ND[asking[unsure]], self.codes_MD[found[unsure]]
                    near[unsure] = decided(*pair, threshold) > 0
                    yield asking[near], found[near]

    def _proposed(
        self, queries: np.ndarray, radius: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield all pairs of unit vectors above a cosine: query int64, hit int64, cosine float32, about."""
        if self.way == "range":
            yield from self._above(queries, radius)
            return
        left = np.arange(len(queries))
        for nearest in NEAREST:
            width = min(nearest, len(self.codes_MD))
            values, hits = self._whole.search(queries[left], width)
            whole = (values[:, -1] <= radius) | (width == len(self.codes_MD))
            rows, places = np.nonzero((values > radius) & whole[:, None])
            yield left[rows], hits[rows, places], values[rows, places]
            left = left[~whole]
            if not len(left):
                return
        for rows, found, values in self._above(queries[left], radius):
            yield left[rows], found, values

    def _above(
        self, queries: np.ndarray, radius: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield what `_proposed` does of all that there is, by the CPU."""
        for number, block in enumerate(self._blocks):
            limits, values, hits = block.range_search(queries, radius)
            query = np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64)))
            yield query, number * _ROWS + hits, values


def _flat_index(codes: np.ndarray) -> Any:
    index = load_faiss().IndexFlatIP(codes.shape[1])
    index.add(_unit(codes))
    return index


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
