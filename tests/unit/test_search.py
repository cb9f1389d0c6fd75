"""The search by cells against all pairs: complete where it says so, never wrong, and the same for any batches and units."""

import numpy as np
import pyarrow as pa
import pytest
from codes import clustered

from curation.config_dedup import NeighboursSection
from curation.dedup import layout as layout_module
from curation.dedup import rows as rows_module
from curation.dedup.cells import Cells, fitted, one_cell
from curation.dedup.cost import as_text, expected_comparisons, refuse_too_many, seconds
from curation.dedup.faiss_package import load_faiss
from curation.dedup.layout import Layout, Residents, cut
from curation.dedup.neighbours import Pairs, near_pairs_oracle
from curation.dedup.rows import (
    HOME,
    OLD_HOME,
    OLD_VISITOR,
    UNIT_KEY,
    VISITOR,
    Units,
    as_codes,
    packed,
    view_rows,
)  # fmt: skip
from curation.dedup.search import Visiting, near_pairs_by_cells
from curation.errors import ConfigError
from curation.ids import coins

VIEWS, DIMENSION = 3, 12
ROW = pa.schema(
    [*(pa.field(name, pa.int32()) for name in (*UNIT_KEY, "role")), pa.field("image_id", pa.string()), pa.field("code", pa.binary())]
)  # fmt: skip
KEY = [(name, "ascending") for name in (*UNIT_KEY, "role")]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A busy machine's threads wait for each other far longer than these searches take."""
    load_faiss().omp_set_num_threads(1)


def pictures(num: int) -> np.ndarray:
    """Return codes (num, 3, 12) of which some views are zero or repeated."""
    codes = clustered(num, VIEWS, DIMENSION, 90).copy()
    codes[::5, 1] = codes[::5, 0]
    codes[::7, 2] = 0
    codes[3::50] = 0
    return codes


def cells_of(codes: np.ndarray, number: int) -> Cells:
    vectors = codes[codes.any(axis=2)]
    return fitted(vectors, coins(map(str, range(len(vectors))), 0, "cells"), number)


def as_set(pairs: Pairs) -> set[tuple[int, int, float]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.cosine.tolist(), strict=True))


@pytest.mark.parametrize("floor", [0.8, 0.88])
def test_bound_and_exhaustive_find_every_pair_and_probe_no_wrong_one(floor: float) -> None:
    codes = pictures(150)
    wanted = as_set(near_pairs_oracle(codes, floor))
    assert len(wanted) >= 50
    cells = cells_of(codes, 12)
    bad = Cells(np.array([[1] + [0] * 11, [-1] + [0] * 11, [0] * 11 + [-127]], np.int8))
    for some in (cells, bad):
        assert as_set(near_pairs_by_cells(codes, Visiting(some, "bound", floor=floor))[0]) == wanted
    whole = Visiting(one_cell(DIMENSION), "exhaustive", floor=floor)
    assert as_set(near_pairs_by_cells(codes, whole)[0]) == wanted
    found = [near_pairs_by_cells(codes, Visiting(cells, "probe", p, floor)) for p in (1, 2, 4, 12)]
    sizes = [len(pairs) for pairs, _ in found]
    assert all(as_set(pairs) <= wanted for pairs, _ in found)
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(wanted) > sizes[0]
    assert [compared for _, compared in found] == sorted(compared for _, compared in found)


def test_query_views_are_enough_where_the_others_are_their_mirrors() -> None:
    half = pictures(80)
    signs = np.where(np.arange(DIMENSION) % 2, -1, 1).astype(np.int8)
    codes = np.concatenate([half, half * signs], axis=1)
    wanted = as_set(near_pairs_oracle(codes, 0.85))
    visiting = Visiting(cells_of(codes, 6), "bound", floor=0.85)
    found, compared = near_pairs_by_cells(codes, visiting, query_views=VIEWS)
    assert as_set(found) == wanted
    assert compared < 0.6 * near_pairs_by_cells(codes, visiting)[1]


@pytest.mark.parametrize("num", [0, 1, 2, 5])
@pytest.mark.parametrize("mode", ["probe", "bound", "exhaustive"])
def test_tiny_inputs(num: int, mode: str) -> None:
    codes = pictures(5)[:num]
    cells = cells_of(codes, 10) if num > 2 and mode != "exhaustive" else one_cell(DIMENSION)
    found, _ = near_pairs_by_cells(codes, Visiting(cells, mode, 4, 0.5))
    assert as_set(found) <= as_set(near_pairs_oracle(codes, 0.5))


def rows_by_hand(codes: np.ndarray, old: np.ndarray, visiting: Visiting, units: Layout) -> pa.Table:
    """Return the rows of the search as Spark makes them, blocks by position instead of by hash."""
    named = pa.record_batch(
        {"image_id": [f"{i:03d}" for i in range(len(codes))], "codes": packed(codes.reshape(len(codes), -1))}
    )
    views, vectors = view_rows(named, VIEWS, DIMENSION)
    visits = visiting.visits(vectors)
    found = []
    for row, (image_id, code) in enumerate(
        zip(views["image_id"].to_pylist(), views["code"].to_pylist(), strict=True)
    ):
        picture = int(image_id)
        home_roles = {"role": OLD_HOME if old[picture] else HOME, "image_id": image_id, "code": code}
        visit_roles = home_roles | {"role": OLD_VISITOR if old[picture] else VISITOR}
        for cell in {int(visits.home[row])}:
            homes, visitors = units.blocks.get(cell, (1, 1))
            own = picture % homes
            found += [
                home_roles | {"cell": cell, "home_block": own, "visitor_block": block}
                for block in range(own + 1 if units.triangle else visitors)
            ]
        for cell in visits.cells[visits.offsets[row] : visits.offsets[row + 1]].tolist():
            homes, visitors = units.blocks.get(cell, (1, 1))
            own = picture % visitors
            found += [
                visit_roles | {"cell": cell, "home_block": block, "visitor_block": own}
                for block in range(own if units.triangle else 0, homes)
            ]
    assert len(found) == units.rows or not units.blocks or units.triangle
    return pa.Table.from_pylist(found, schema=ROW).sort_by(KEY)


def residents_of(codes: np.ndarray, old: np.ndarray, visiting: Visiting) -> Residents:
    named = pa.record_batch(
        {"image_id": [str(i) for i in range(len(codes))], "codes": packed(codes.reshape(len(codes), -1))}
    )
    views, vectors = view_rows(named, VIEWS, DIMENSION)
    visits = visiting.visits(vectors)
    is_old = old[np.array(views["image_id"].to_pylist(), int)]
    visitor_old = np.repeat(is_old, np.diff(visits.offsets))
    num = len(visiting.cells)
    counts = [
        np.bincount(x, minlength=num)
        for x in (
            visits.home[~is_old],
            visits.home[is_old],
            visits.cells[~visitor_old],
            visits.cells[visitor_old],
        )
    ]
    return Residents(np.arange(num), *counts)


@pytest.mark.parametrize("cells", [1, 8])
@pytest.mark.parametrize("work", [1e12, 900, 300])
@pytest.mark.parametrize("batch", [5, 100_000])
def test_units_of_any_size_in_any_batches_find_the_same(
    monkeypatch: pytest.MonkeyPatch, cells: int, work: float, batch: int
) -> None:
    monkeypatch.setitem(layout_module.UNIT_COMPARISONS, "cpu", work)
    monkeypatch.setitem(layout_module.HELD_BYTES, "cpu", int(work) * 4)
    monkeypatch.setattr(rows_module, "_WAITING", 50)
    codes = pictures(60)
    visiting = Visiting(cells_of(codes, cells), "probe", 3, 0.9)
    new = np.zeros(60, bool)
    units = cut(residents_of(codes, new, visiting), dimension=DIMENSION, one_cell=cells == 1, device="cpu")
    assert bool(units.blocks) == (work < 1e12)
    rows = rows_by_hand(codes, new, visiting, units)
    met = {
        (a, b)
        for part in Units(DIMENSION, 0.9, "cpu").search(iter(rows.to_batches(max_chunksize=batch)))
        for a, b in zip(*part.to_pydict().values(), strict=True)
    }
    wanted, compared = near_pairs_by_cells(codes, visiting)
    assert {(int(a), int(b)) for a, b in met} == {(a, b) for a, b, _ in as_set(wanted)}
    assert units.comparisons <= compared
    if cells > 1:
        assert units.comparisons == compared


@pytest.mark.parametrize("cells", [1, 8])
def test_old_pictures_are_not_compared_with_each_other_and_new_ones_with_all(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setitem(layout_module.UNIT_COMPARISONS, "cpu", 2_000)
    codes = pictures(60)
    old = np.arange(60) % 3 > 0
    visiting = Visiting(cells_of(codes, cells), "probe", 2, 0.9)
    units = cut(residents_of(codes, old, visiting), dimension=DIMENSION, one_cell=cells == 1, device="cpu")
    rows = rows_by_hand(codes, old, visiting, units)
    met = {
        (int(a), int(b))
        for part in Units(DIMENSION, 0.9, "cpu").search(iter(rows.to_batches(max_chunksize=17)))
        for a, b in zip(*part.to_pydict().values(), strict=True)
    }
    wanted, compared = near_pairs_by_cells(codes, visiting)
    assert met == {(a, b) for a, b, _ in as_set(wanted) if not (old[a] and old[b])}
    assert units.comparisons < compared


def test_a_large_cell_is_cut_so_that_no_unit_is_over_the_bound() -> None:
    one, none = np.array([2_000_000]), np.array([0])
    for whole in (True, False):
        units = cut(
            Residents(np.array([7]), one, none, one, none), dimension=512, one_cell=whole, device="cpu"
        )
        homes, visits = units.blocks[7]
        assert 2_000_000 / homes * 512 * 4 <= layout_module.HELD_BYTES["cpu"]
        assert (2_000_000 / homes) * (2_000_000 / visits) <= layout_module.UNIT_COMPARISONS["cpu"]
        assert units.comparisons >= 2e12


def test_codes_come_back_from_any_column_and_slice() -> None:
    codes = clustered(9, 1, 5, 200)[:, 0]
    column = packed(codes)
    for one in (column, column.cast(pa.binary(5))):
        assert as_codes(one, 5).tolist() == codes.tolist()
        assert as_codes(one.slice(3, 4), 5).tolist() == codes[3:7].tolist()
    assert as_codes(pa.array([], pa.binary()), 5).shape == (0, 5)
    with pytest.raises(pa.ArrowInvalid):
        as_codes(pa.array([b"12345", b"1234"]), 5)


def test_the_estimate_is_near_the_count_and_too_much_is_refused() -> None:
    codes = pictures(400)
    visiting = Visiting(cells_of(codes, 10), "bound", floor=0.9)
    vectors = codes[codes.any(axis=2)]
    estimate = expected_comparisons(visiting.visits(vectors[::4]), 10, len(vectors), len(vectors))
    _, counted = near_pairs_by_cells(codes, visiting)
    assert 0.8 * counted < estimate < 1.4 * counted
    assert expected_comparisons(visiting.visits(vectors[:0]), 10, 0, 0) == 0
    with pytest.raises(ConfigError, match="max_comparisons is 1e"):
        refuse_too_many(2e14, NeighboursSection())
    refuse_too_many(1e14, NeighboursSection())
    assert seconds(1e12, 81, "cpu", 2) == pytest.approx(seconds(1e12, 81, "cpu", 1) / 2)
    assert [as_text(t) for t in (0, 60, 600, 86_400)] == ["1 s", "60 s", "10 min", "24 h"]
