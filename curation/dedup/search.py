"""The search by cells in one process: what stage `neighbours` does on Spark, for pictures that fit in memory."""

# N pictures, V views, D dimensions, M vectors, C cells

from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.dedup.cells import Cells, Visits
from curation.dedup.exact import checked, distinct_views, pair_cosines
from curation.dedup.neighbours import Database, Pairs, distinct


@dataclass(frozen=True)
class Visiting:
    """How vectors choose the cells they visit."""

    cells: Cells
    mode: str = "probe"
    """probe, bound, or exhaustive, which wants one cell."""
    probe: int = 4
    floor: float = 0.92
    """Least cosine of a near pair."""

    def as_note(self) -> dict[str, Any]:
        """Return what decides the visits beside the centroids, for a record."""
        deciding: dict[str, dict[str, Any]] = {
            "probe": {"probe": self.probe},
            "bound": {"floor": self.floor},
            "exhaustive": {},
        }
        return {"mode": self.mode} | deciding[self.mode]

    def visits(self, codes_MD: np.ndarray) -> Visits:
        """Return homes and visits of int8 vectors."""
        if self.mode == "bound":
            return self.cells.bounded(codes_MD, self.floor)
        return self.cells.probed(codes_MD, self.probe)


def near_pairs_by_cells(
    codes_NVD: np.ndarray, visiting: Visiting, *, query_views: int | None = None, device: str = "cpu"
) -> tuple[Pairs, int]:
    """Return the near pairs of pictures of which some views meet in a cell, and how many vectors were compared.

    codes_NVD: int8. query_views: so many leading views visit; all by default. Raises as `curation.dedup.neighbours.near_pairs`.
    """
    first, second, compared = met_by_cells(codes_NVD, visiting, query_views=query_views, device=device)
    return Pairs(first, second, pair_cosines(codes_NVD, first, second, query_views=query_views)), compared


def met_by_cells(
    codes_NVD: np.ndarray, visiting: Visiting, *, query_views: int | None = None, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the pairs of `near_pairs_by_cells` by position, first < second, both int64 (E,), and how many vectors were compared."""
    codes = checked(codes_NVD)
    picture, view = np.nonzero(distinct_views(codes))
    vectors = np.ascontiguousarray(codes[picture, view])
    visits = visiting.visits(vectors)
    visitor = np.repeat(np.arange(len(vectors)), np.diff(visits.offsets))
    asks = view[visitor] < (query_views or codes.shape[1])
    visitor, visited = visitor[asks], visits.cells[asks]
    home_order, visitor_order = np.argsort(visits.home, kind="stable"), np.argsort(visited, kind="stable")
    numbers = np.arange(len(visiting.cells) + 1)
    home_ends = np.searchsorted(visits.home[home_order], numbers)
    visitor_ends = np.searchsorted(visited[visitor_order], numbers)
    met, compared = [np.zeros(0, np.int64)], 0
    for cell in range(len(visiting.cells)):
        home = home_order[home_ends[cell] : home_ends[cell + 1]]
        asking = visitor[visitor_order[visitor_ends[cell] : visitor_ends[cell + 1]]]
        compared += len(home) * len(asking)
        one_of, other_of = picture[asking], picture[home]
        for query, hit in Database(vectors[home], device=device).met(vectors[asking], visiting.floor):
            one, other = one_of[query], other_of[hit]
            met.append(distinct(np.minimum(one, other) * len(codes) + np.maximum(one, other)))
    first, second = np.divmod(distinct(np.concatenate(met)), max(1, len(codes)))
    differ = first != second
    return first[differ], second[differ], compared
