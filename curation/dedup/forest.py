"""Connected components of edges that come in parts: a parent a vertex is all that is held, however many edges there are.

Union-find on arrays. A parent is a lesser vertex of the same component, or the vertex itself: so the label of a component is its
least vertex, and hangs on no order of the edges.
"""

from collections.abc import Iterator

import numpy as np

_AT_ONCE = 1 << 21  # edges, of which some 60 bytes each are held beside the parents


class Forest:
    """Trees over the vertices 0 to N - 1, 4 bytes each where N is below 2^31, else 8."""

    def __init__(self, num: int) -> None:
        """Hold `num` vertices without an edge."""
        self._parent = np.arange(num, dtype=parent_type(num))

    def tie(self, first: np.ndarray, second: np.ndarray) -> None:
        """Make one component of those of each edge's ends, integers (E,) both."""
        for start in range(0, len(first), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._tie(self._roots(first[part]), self._roots(second[part]))

    def labels(self) -> Iterator[np.ndarray]:
        """Yield the least vertex of each one's component, of all vertices in order, a part at a time."""
        for start in range(0, len(self._parent), _AT_ONCE):
            yield self._roots(np.arange(start, min(start + _AT_ONCE, len(self._parent))))

    def _tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Hook each root to the least one beside it, and again with what that leaves apart: a chain takes few rounds."""
        parent = self._parent
        while (open_ := a != b).any():
            low, high = np.minimum(a, b)[open_], np.maximum(a, b)[open_]
            np.minimum.at(parent, high, low)
            self._flatten(high)
            a, b = parent[low], parent[high]

    def _flatten(self, hooked: np.ndarray) -> None:
        """Lead each of these, which were roots, straight to its root: all that lies between them is among them."""
        parent = self._parent
        up = parent[hooked]
        while ((higher := parent[up]) != up).any():
            parent[hooked] = up = higher

    def _roots(self, vertices: np.ndarray) -> np.ndarray:
        """Return the roots of vertices, which then lead straight there."""
        parent = self._parent
        up: np.ndarray = parent[vertices]
        deep = np.flatnonzero(parent[up] != up)
        while len(deep):
            up[deep] = parent[up[deep]]
            deep = deep[parent[up[deep]] != up[deep]]
        parent[vertices] = up
        return up


def parent_type(num: int) -> type[np.signedinteger]:
    """Return the dtype of a forest of so many vertices."""
    return np.int32 if num < 1 << 31 else np.int64


def least_labels(first: np.ndarray, second: np.ndarray, num: int) -> np.ndarray:
    """Return the least number in each one's connected component, int64 (N,), of pairs of numbers below N."""
    forest = Forest(num)
    forest.tie(first, second)
    return np.concatenate([np.empty(0, np.int64), *forest.labels()])
