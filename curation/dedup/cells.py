"""Cells: where a vector is at home, and which cells it visits to be compared with who lives there.

Spherical k-means in whole numbers on a sample gives the centroids, int8 codes as the vectors are: the same on any machine, in any
number of threads, and frozen: their sha256 travels with all that was found with them. A vector is at home in the cell of the
centroid of highest cosine. Mode `probe`: it visits the p cells of highest cosine. Mode `bound`: every cell that can hold a vector
near it. Ties go to the smaller cell. SemDeDup and NeMo Curator visit the home alone, which is p = 1.

Proof of `bound`, with unit vectors: y at home in j has y.(c_i - c_j) <= 0. A near x = cos(a) y + sin(a) w, with w of length 1,
orthogonal to y, cos(a) >= t > 0, so x.(c_i - c_j) <= sin(a) |c_i - c_j| <= sqrt(1 - t^2) |c_i - c_j|. Cells j for which this
does not hold of x and its home i have nobody near x, whatever the centroids. (The bound by distances, sqrt(2 - 2t), is weaker.)
"""

# N vectors, C cells, D dimensions, P cells visited

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from curation.dedup.exact import checked
from curation.errors import InputError

ROUNDS = 10  # of k-means: more change the recall by less than the choice of the sample does
SLACK = 1e-5  # cosines are float32 from exact products, wrong by less than 5e-7; `bound` visits what is this close to its limit
_UNIT = 1 << 12  # length of the whole-numbered vectors that are added up to a centroid
_SCORES = 1 << 18  # cosines held at once: what a core's cache holds


@dataclass(frozen=True)
class Visits:
    """Where some vectors are at home, and what they visit."""

    home: np.ndarray
    """int32 (N,)."""
    offsets: np.ndarray
    """int64 (N + 1,), where each vector's visits begin."""
    cells: np.ndarray
    """int32, the visited cells, the home among them: from the nearest (`probe`) or by number (`bound`)."""


class Cells:
    """Frozen centroids."""

    def __init__(self, codes_CD: np.ndarray) -> None:
        """Take centroids, int8 (C, D), C at least 1. Raises InputError for others, and for a zero one."""
        if codes_CD.ndim != 2 or not len(codes_CD):
            raise InputError(
                f"centroids are {codes_CD.dtype} {codes_CD.shape}; int8 (cells, dimensions) are wanted"
            )
        self.codes_CD = checked(codes_CD[:, None, :])[:, 0]
        if not codes_CD.any(axis=1).all():
            raise InputError(f"centroid {int(np.flatnonzero(~codes_CD.any(axis=1))[0])} is the zero vector")
        self._exact_DC = np.ascontiguousarray(self.codes_CD.astype(np.float32).T)
        self._lengths_C = _lengths(self.codes_CD)
        self._inverse_C = (1 / self._lengths_C).astype(np.float32)

    def __len__(self) -> int:
        return len(self.codes_CD)

    @property
    def sha256(self) -> str:
        """SHA-256 of the shape and the codes."""
        return sha256(f"int8 {self.codes_CD.shape}".encode() + self.codes_CD.tobytes()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the centroids: numpy's own format."""
        np.save(path, self.codes_CD, allow_pickle=False)

    def probed(self, codes_ND: np.ndarray, probe: int) -> Visits:
        """Return the homes and the `probe` nearest cells, all where there are fewer. A zero vector is at home in cell 0."""
        width = min(probe, len(self))
        visited = np.empty((len(codes_ND), width), np.int32)
        for rows, cosine_NC in self._cosines(codes_ND):
            for place in range(width):
                best = cosine_NC.argmax(axis=1)  # the first of equal ones
                visited[rows, place] = best
                cosine_NC[np.arange(len(best)), best] = -np.inf
        offsets = np.arange(len(codes_ND) + 1, dtype=np.int64) * width
        return Visits(visited[:, 0].copy(), offsets, visited.ravel())

    def bounded(self, codes_ND: np.ndarray, threshold: float) -> Visits:
        """Return the homes and every cell that can hold a vector of at least this cosine."""
        homes, counts, cells = [], [], []
        for _, cosine_NC in self._cosines(codes_ND):
            home = cosine_NC.argmax(axis=1)
            behind = cosine_NC[np.arange(len(home)), home][:, None] - cosine_NC
            lived_in, place = np.unique(home, return_inverse=True)
            rows, visited = np.nonzero(behind <= self._limits(lived_in, threshold)[place])
            homes.append(home)
            counts.append(np.bincount(rows, minlength=len(home)))
            cells.append(visited)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(_joined(counts), dtype=np.int64)])
        return Visits(_joined(homes).astype(np.int32), offsets, _joined(cells).astype(np.int32))

    def _limits(self, homes: np.ndarray, threshold: float) -> np.ndarray:
        """Return how far a cell's cosine may stay behind the home's, float32 (homes, C)."""
        cosine = (self._exact_DC[:, homes].T @ self._exact_DC).astype(np.float64)
        cosine /= self._lengths_C[homes, None] * self._lengths_C
        apart = np.sqrt(np.maximum(2 - 2 * cosine, 0))
        limits: np.ndarray = (np.sqrt(max(0.0, 1 - threshold**2)) * apart + SLACK).astype(np.float32)
        return limits

    def _cosines(self, codes_ND: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of the vectors with their cosines to all centroids, float32 (N, C): the same on any machine.

        The products are exact, the two multiplications after them are correctly rounded.
        """
        step = max(1, _SCORES // len(self))
        for start in range(0, len(codes_ND), step):
            rows = slice(start, min(start + step, len(codes_ND)))
            inverse_N = (1 / _lengths(codes_ND[rows])).astype(np.float32)
            cosine_NC = codes_ND[rows].astype(np.float32) @ self._exact_DC
            cosine_NC *= self._inverse_C
            cosine_NC *= inverse_N[:, None]
            yield rows, cosine_NC


def number_of_cells(num_vectors: int, rows_per_cell: int, num_sampled: int) -> int:
    """Return how many cells there should be: one for few vectors, and never more than are sampled."""
    return max(1, min(-(-num_vectors // rows_per_cell), num_sampled))


def fitted(sample_ND: np.ndarray, order_N: np.ndarray, num_cells: int, *, rounds: int = ROUNDS) -> Cells:
    """Return the centroids of a sample by spherical k-means in whole numbers.

    sample_ND: int8, without zero vectors, in an order that follows from their ids: ties are broken by it.
    order_N: which vectors the centroids begin as, those of its smallest values: coins.
    A cell that nobody is at home in takes the vector that is farthest from its own centroid.
    """
    if num_cells <= 1 or not len(sample_ND):
        return one_cell(sample_ND.shape[1])
    scaled_ND = np.rint(sample_ND / _lengths(sample_ND)[:, None] * _UNIT).astype(np.int64)
    cells = Cells(sample_ND[np.sort(np.argsort(order_N, kind="stable")[:num_cells])])
    for _ in range(rounds):
        home, cosine = _homes(cells, sample_ND)
        sums_CD = _sums(scaled_ND, home, num_cells)
        lost = np.flatnonzero(~sums_CD.any(axis=1))
        sums_CD[lost] = scaled_ND[np.argsort(cosine, kind="stable")[: len(lost)]]
        moved = Cells(_as_codes(sums_CD))
        if np.array_equal(moved.codes_CD, cells.codes_CD):
            break
        cells = moved
    return cells


def one_cell(dimension: int) -> Cells:
    """Return the one cell that everybody is at home in."""
    codes = np.zeros((1, dimension), np.int8)
    codes[0, 0] = 127
    return Cells(codes)


def load(path: Path, sha256: str | None = None) -> Cells:
    """Read centroids. Raises InputError where the file holds none, or others than those of the given sha256."""
    try:
        cells = Cells(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no centroids: {error}") from error
    if sha256 is not None and cells.sha256 != sha256:
        raise InputError(f"{path} holds centroids of sha256 {cells.sha256}, the record says {sha256}")
    return cells


def _homes(cells: Cells, codes_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each vector's cell and its cosine."""
    home, cosine = np.zeros(len(codes_ND), np.int64), np.zeros(len(codes_ND), np.float32)
    for rows, cosine_NC in cells._cosines(codes_ND):  # noqa: SLF001  # a function of this file
        home[rows] = cosine_NC.argmax(axis=1)
        cosine[rows] = cosine_NC.max(axis=1)
    return home, cosine


def _sums(vectors_ND: np.ndarray, home: np.ndarray, num_cells: int) -> np.ndarray:
    """Return the sum of each cell's vectors, int64 (C, D)."""
    sums_CD = np.zeros((num_cells, vectors_ND.shape[1]), np.int64)
    order = np.argsort(home, kind="stable")
    lived_in, starts = np.unique(home[order], return_index=True)
    sums_CD[lived_in] = np.add.reduceat(vectors_ND[order], starts, axis=0)
    return sums_CD


def _as_codes(sums_CD: np.ndarray) -> np.ndarray:
    """Return int8 codes in the direction of integer vectors, the largest entry being 127."""
    largest = np.abs(sums_CD).max(axis=1, keepdims=True)
    codes: np.ndarray = np.rint(sums_CD * 127 / largest).astype(np.int8)
    return codes


def _lengths(codes_ND: np.ndarray) -> np.ndarray:
    """Return the lengths of int8 vectors, float64 (N,), 1 for zero vectors: correctly rounded roots of integers."""
    squared = np.einsum("nd,nd->n", codes_ND, codes_ND, dtype=np.int32)
    lengths: np.ndarray = np.sqrt(np.maximum(squared, 1).astype(np.float64))
    return lengths


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
