"""Cells to units of the search: what a task holds and compares is bounded, however large a cell is.

A cell that is too large is cut into blocks of those at home and blocks of visitors, by their pictures' hashes; each pair of blocks
is a unit, and every visitor meets everybody at home in one of them. Where one cell holds all, two blocks of pictures meet once.
"""

# C cells

from dataclasses import dataclass

import numpy as np

HELD_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}  # float32 of those at home in a unit, which a task holds
UNIT_COMPARISONS = {"cpu": 4e9, "cuda": 4e12}  # of a unit: some 20 seconds of a core at 81 dimensions


@dataclass(frozen=True)
class Residents:
    """Vectors of each cell, all int64 (C,). Of earlier indexes are the old ones, which are not compared with each other."""

    cell: np.ndarray
    home: np.ndarray
    old_home: np.ndarray
    visitors: np.ndarray
    old_visitors: np.ndarray


@dataclass(frozen=True)
class Layout:
    """How cells are cut into units of the search."""

    blocks: dict[int, tuple[int, int]]
    """Of the cells that are more than a unit: blocks of those at home, and of visitors."""
    triangle: bool
    """One cell holds all, and every pair of its blocks meets in one unit instead of two."""
    comparisons: int
    """Of vectors, over all units."""
    rows: int
    """Of the search, over all units: each vector once for every unit that it is at home in or visits."""


def cut(residents: Residents, *, dimension: int, one_cell: bool, device: str) -> Layout:
    """Return the layout. one_cell: there is one, which all visit. device: cpu or cuda."""
    blocks: dict[int, tuple[int, int]] = {}
    comparisons = rows = 0
    columns = (residents.cell, residents.home, residents.old_home, residents.visitors, residents.old_visitors)
    for cell, home, old_home, visitors, old_visitors in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        here, come = home + old_home, visitors + old_visitors
        compared = visitors * here + old_visitors * home
        homes = -(-here * 4 * dimension // HELD_BYTES[device]) or 1
        units = max(homes, -int(-compared // UNIT_COMPARISONS[device]))
        visits = min(-(-units // homes), max(1, come))
        if one_cell and units > 1:
            homes = visits = max(homes, int(np.ceil(np.sqrt(2 * units))))
        if (homes, visits) != (1, 1):
            blocks[cell] = homes, visits
        part, whole = (homes + 1, 2 * homes) if one_cell else (1, 1)
        comparisons += compared * part // whole
        rows += (here * visits + come * homes) * part // whole
    return Layout(blocks, one_cell, comparisons, rows)
