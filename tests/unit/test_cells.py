"""Cells: the same on any machine and in any batches, and with `bound` nobody near is missed, whatever the centroids."""

from pathlib import Path

import numpy as np
import pytest
from codes import clustered
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation.dedup import cells as cells_module
from curation.dedup.cells import Cells, Visits, fitted, load, number_of_cells, one_cell
from curation.dedup.exact import is_near
from curation.errors import InputError
from curation.ids import coins

CODES = st.integers(-127, 127)


def visited(visits: Visits) -> list[list[int]]:
    bounds = zip(visits.offsets[:-1], visits.offsets[1:], strict=True)
    return [visits.cells[begin:end].tolist() for begin, end in bounds]


def made(num: int, dimension: int = 12, num_cells: int = 9) -> tuple[np.ndarray, Cells]:
    codes = clustered(num, 1, dimension, 120)[:, 0]
    return codes, fitted(codes, coins(map(str, range(num)), 0, "cells"), num_cells)


def nearest_oracle(codes: np.ndarray, cells: Cells) -> list[list[int]]:
    """Return all cells of each vector from the nearest, by squares of exact fractions; ties by number."""
    centroids = cells.codes_CD.astype(object)
    squared = (centroids * centroids).sum(axis=1)
    order = []
    for vector in codes.astype(object):
        dots = centroids @ vector
        # cosine ~ dot / |c|; with the sign, dot^2 / |c|^2 has the same order
        keys = [
            (-(1 if d >= 0 else -1) * d * d / n, c)
            for c, (d, n) in enumerate(zip(dots, squared, strict=True))
        ]
        order.append([c for _, c in sorted(keys)])
    return order


def test_the_nearest_cells_are_those_of_exact_arithmetic() -> None:
    codes, cells = made(200)
    wanted = nearest_oracle(codes, cells)
    for probe in (1, 3, 9, 50):
        found = cells.probed(codes, probe)
        assert visited(found) == [order[:probe] for order in wanted]
        assert found.home.tolist() == [order[0] for order in wanted]


@given(
    hnp.arrays(np.int8, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=CODES),
    hnp.arrays(np.int8, (5, 4), elements=CODES),
    st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]),
)
@settings(deadline=None, max_examples=100)
def test_bound_visits_the_home_of_everybody_near_whatever_the_centroids(
    codes: np.ndarray, centroids: np.ndarray, threshold: float
) -> None:
    codes = codes[codes.any(axis=1)]
    centroids = centroids[:, : codes.shape[1]]
    centroids = centroids[centroids.any(axis=1)]
    assume(len(codes) and len(centroids))
    assert_complete(codes, Cells(centroids), threshold)


@pytest.mark.parametrize("threshold", [0.8, 0.92, 0.95, 0.98])
def test_bound_visits_the_home_of_everybody_near_among_clusters(threshold: float) -> None:
    codes, good = made(300)
    others = codes[::60]
    doubled = np.concatenate([good.codes_CD, good.codes_CD[::-1], -others])
    for cells in (good, Cells(others), Cells(doubled), Cells(clustered(20, 1, 12, 250)[:, 0])):
        assert_complete(codes, cells, threshold)


def assert_complete(codes: np.ndarray, cells: Cells, threshold: float) -> None:
    visits = cells.bounded(codes, threshold)
    exact = codes.astype(np.int64)
    squared = np.square(exact).sum(axis=1)
    near = is_near(exact @ exact.T, squared[:, None] * squared[None], np.int64(round(threshold * 1000)))
    for row, cells_of_row in enumerate(visited(visits)):
        assert set(visits.home[near[row]].tolist()) <= set(cells_of_row)


def test_bound_leaves_cells_out() -> None:
    codes, cells = made(300)
    found = cells.bounded(codes, 0.98)
    assert len(found.cells) < 0.7 * len(codes) * len(cells)
    assert (found.home == cells.probed(codes, 1).home).all()


@pytest.mark.parametrize("held", [1, 20, 1 << 20])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    codes, cells = made(100)
    wanted = [visited(cells.probed(codes, 3)), visited(cells.bounded(codes, 0.9))]
    monkeypatch.setattr(cells_module, "_SCORES", held)
    again = made(100)[1]
    assert again.sha256 == cells.sha256
    assert [visited(cells.probed(codes, 3)), visited(cells.bounded(codes, 0.9))] == wanted
    single = [visited(cells.probed(codes[i : i + 1], 3))[0] for i in range(100)]
    assert single == wanted[0]


def test_the_centroids_are_near_their_vectors_and_no_cell_is_empty() -> None:
    codes, cells = made(700, num_cells=30)
    start = Cells(codes[np.sort(np.argsort(coins(map(str, range(700)), 0, "cells"))[:30])])

    def mean_cosine(of: Cells) -> float:
        unit = of.codes_CD / np.linalg.norm(of.codes_CD.astype(float), axis=1)[:, None]
        vectors = codes / np.linalg.norm(codes.astype(float), axis=1)[:, None]
        return float((vectors @ unit.T).max(axis=1).mean())

    assert len(cells) == 30
    assert mean_cosine(cells) > mean_cosine(start) + 0.01
    assert np.bincount(cells.probed(codes, 1).home, minlength=30).min() > 0


def test_many_copies_of_few_vectors_still_make_centroids() -> None:
    codes = np.tile(clustered(3, 1, 8, 200)[:, 0], (50, 1))
    cells = fitted(codes, coins(map(str, range(150)), 0, "cells"), 10)
    assert len(cells) == 10
    assert_complete(codes, cells, 0.95)


@pytest.mark.parametrize(
    ("vectors", "rows", "sampled", "wanted"),
    [
        (0, 4_000, 0, 1),
        (1, 4_000, 1, 1),
        (4_000, 4_000, 64, 1),
        (4_001, 4_000, 64, 2),
        (10, 1, 3, 3),
        (10, 1, 0, 1),
    ],
)
def test_few_vectors_have_few_cells(vectors: int, rows: int, sampled: int, wanted: int) -> None:
    assert number_of_cells(vectors, rows, sampled) == wanted
    sample = clustered(sampled, 1, 5, 100)[:, 0]
    assert len(fitted(sample, np.arange(sampled), wanted)) == wanted


def test_one_cell_is_everybodys_home() -> None:
    codes, _ = made(20)
    cells = one_cell(12)
    for visits in (cells.probed(codes, 4), cells.bounded(codes, 0.95)):
        assert visited(visits) == [[0]] * 20
    assert visited(cells.probed(codes[:0], 4)) == visited(cells.bounded(codes[:0], 0.9)) == []


def test_saved_centroids_come_back_and_others_are_refused(tmp_path: Path) -> None:
    _, cells = made(100)
    cells.save(tmp_path / "centroids.npy")
    assert load(tmp_path / "centroids.npy", cells.sha256).codes_CD.tobytes() == cells.codes_CD.tobytes()
    with pytest.raises(InputError, match="the record says 00"):
        load(tmp_path / "centroids.npy", "00")
    (tmp_path / "junk.npy").write_bytes(b"junk")
    np.save(tmp_path / "real.npy", np.full((2, 3), np.nan))
    np.save(tmp_path / "flat.npy", np.ones(3, np.int8))
    np.save(tmp_path / "zero.npy", np.zeros((2, 3), np.int8))
    for name in ("junk", "real", "flat", "zero", "absent"):
        with pytest.raises(InputError):
            load(tmp_path / f"{name}.npy")
