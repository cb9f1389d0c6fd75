"""The search for near pictures: what it finds, what it compares, and how its time grows.

    python benchmarks/dedup.py FILE.npy [--sample 2000] [--floor 0.92] [--out benchmarks/results/dedup.json]

FILE.npy is what `enlarged.py` writes. In one process, one thread, times in CPU seconds (a shared machine's clock says little):

recall    mode `probe` with p = 1, 2, 4, 8 beside `exhaustive`: a sample of pictures by coin compared with all of them, as the stage's
          audit does. exhaustive's own time follows from the sample's: it is linear in the queries
single    the way of SemDeDup and NeMo Curator: one's own cell alone, in cells so large that as many vectors are compared as with p
growth    10^4 to 10^6 vectors at 1,000, 2,000 and 4,000 rows a cell, p = 4, at the kind's floor and at 0.95: k-means, placing and search, and
          exact cosines of the pairs found; the exponents by least squares, of all, of what comes before the cosines, and of the pairs
gpu       comparisons a second of a cell on a GPU, as a share of what the card does in a plain matrix product; skipped without one
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, versions

from curation.config_dedup import NeighboursSection
from curation.dedup.cells import Cells, fitted, number_of_cells
from curation.dedup.exact import distinct_views, pair_cosines
from curation.dedup.faiss_package import gpus, load_faiss
from curation.dedup.kinds import kind_of
from curation.dedup.neighbours import Database, Pairs
from curation.dedup.recall import measured
from curation.dedup.search import Visiting, met_by_cells
from curation.ids import coins

REPOSITORY = Path(__file__).resolve().parents[1]
SETTINGS = NeighboursSection()
PROBES = (1, 2, 4, 8)
GROWTH = (10_000, 31_623, 100_000, 316_228, 1_000_000)
ROWS_PER_CELL = (1_000, 2_000, 4_000)
FLOORS = (kind_of("builtin").floor, 0.95)
QUICK = 100_000  # vectors, up to which a search takes a few seconds
ROUNDS = 3  # of quick ones; the best counts


@dataclass(frozen=True)
class Pool:
    """Described pictures."""

    codes: np.ndarray
    """int8 (N, V, D)."""
    sources: np.ndarray
    """int64 (N,), which picture of the site each is or is a copy of."""
    query_views: int
    floor: float

    def of_about(self, vectors: int) -> "Pool":
        """Return pictures of so many vectors, by coin: all copies of a picture or none, so that a picture has as many near ones."""
        luck = coins(map(str, range(int(self.sources.max()) + 1)), 0, "growth")[self.sources]
        order = np.argsort(luck, kind="stable")
        ends = np.cumsum(distinct_views(self.codes).sum(axis=1)[order])
        chosen = np.sort(order[: int(np.searchsorted(ends, vectors)) + 1])
        return Pool(self.codes[chosen], self.sources[chosen], self.query_views, self.floor)


def main() -> None:
    """Run the benchmark and write its results as it goes."""
    arguments = _arguments()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # numpy reads it when it is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    load_faiss().omp_set_num_threads(1)
    note = json.loads(arguments.file.with_suffix(".json").read_text())
    codes, sources = np.load(arguments.file), np.load(arguments.file.with_suffix(".sources.npy"))
    pool = Pool(codes, sources, note["query_views"], arguments.floor)
    results: dict[str, Any] = {
        "machine": machine(), "versions": versions("numpy", "faiss-cpu", "faiss-gpu"), "pool": note, "floor": pool.floor,
        "rows_per_cell": SETTINGS.rows_per_cell, "sample_per_cell": SETTINGS.sample_per_cell, "threads": 1,
    }  # fmt: skip
    if arguments.parts and arguments.out.is_file():
        results = json.loads(arguments.out.read_text()) | results
    parts: dict[str, Callable[[], Iterator[Any]]] = {
        "growth": lambda: growth(pool, arguments.floors, results.get("growth", [])),
        "gpu": lambda: iter([gpu(pool)]),
        "recall": lambda: recall(pool.of_about(arguments.vectors), arguments.sample),
    }
    for name in arguments.parts or parts:
        for found in parts[name]():
            results[name] = found
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--sample", type=int, default=2_000, help="pictures that are compared with all")
    parser.add_argument(
        "--vectors", type=int, default=1_000_000, help="that the recall is measured on, about"
    )
    parser.add_argument("--floors", type=float, nargs="+", default=FLOORS, help="of the growth")
    parser.add_argument("--floor", type=float, default=kind_of("builtin").floor)
    parser.add_argument("--parts", nargs="+", choices=("growth", "gpu", "recall"), help="all by default")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/results/dedup.json")
    return parser.parse_args()


def cells_of(pool: Pool, rows_per_cell: int) -> Cells:
    """Return the centroids that the stage would choose, from a sample by coin."""
    picture, view = np.nonzero(distinct_views(pool.codes))
    number = number_of_cells(len(picture), rows_per_cell, len(picture))
    luck = coins((f"{p}:{v}" for p, v in zip(picture.tolist(), view.tolist(), strict=True)), 0, "cells")
    sampled = np.flatnonzero(luck < SETTINGS.sample_per_cell * number / len(picture))
    return fitted(pool.codes[picture[sampled], view[sampled]], luck[sampled], number)


def searched(pool: Pool, rows_per_cell: int, probe: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Search; return the pairs found, as numbers that `found_of` knows, and what it took."""
    began = time.process_time()
    cells = cells_of(pool, rows_per_cell)
    placing = time.process_time()
    visiting = Visiting(cells, "probe", probe, pool.floor)
    first, second, compared = met_by_cells(pool.codes, visiting, query_views=pool.query_views)
    valuing = time.process_time()
    pair_cosines(pool.codes, first, second, query_views=pool.query_views)
    ended = time.process_time()
    return first * len(pool.codes) + second, {
        "probe": probe, "rows_per_cell": rows_per_cell, "floor": pool.floor, "cells": len(cells), "comparisons": compared,
        "pairs": len(first), "kmeans_seconds": round(placing - began, 3), "search_seconds": round(valuing - placing, 3),
        "cosines_seconds": round(ended - valuing, 3), "seconds": round(ended - began, 3),
        "comparisons_per_second": round(compared / (valuing - placing)),
    }  # fmt: skip


def recall(pool: Pool, size: int) -> Iterator[dict[str, Any]]:
    """Yield the modes compared on all pictures: after each search what there is."""
    sample = np.sort(np.argsort(coins(map(str, range(len(pool.codes))), 0, "audit"))[:size])
    truth, seconds = exhaustive_of(pool, sample)
    whole = {
        "mode": "exhaustive", "pictures": len(pool.codes), "vectors": int(distinct_views(pool.codes).sum()), "sampled_pictures": len(sample), "near_pairs_of_the_sample": len(truth),
        "sample_seconds": round(seconds, 1), "seconds_of_all_estimated": round(seconds * len(pool.codes) / len(sample) / 2),
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    singles: list[dict[str, Any]] = []
    both = {"exhaustive": whole, "probe": rows, "single_cell": singles}
    for probe in PROBES:
        pairs, took = searched(pool, SETTINGS.rows_per_cell, probe)
        rows.append(took | {"recall": found_of(pairs, truth, len(pool.codes), pool.floor)})
        _say(rows[-1])
        yield both
        if probe == 1:
            continue
        singles.append(same_comparisons(pool, took["comparisons"], truth) | {"as_many_as_probe": probe})
        _say(singles[-1])
        yield both


def exhaustive_of(pool: Pool, sample: np.ndarray) -> tuple[Pairs, float]:
    """Return every near pair of a sampled picture, sampled one first, and the CPU seconds it took."""
    began = time.process_time()
    views, dimension = pool.codes.shape[1:]
    queries = np.ascontiguousarray(pool.codes[sample, : pool.query_views]).reshape(-1, dimension)
    first, second = [], []
    for start in range(0, len(pool.codes), 4_096):
        block = np.ascontiguousarray(pool.codes[start : start + 4_096])
        for query, hit in Database(block.reshape(-1, dimension)).met(queries, pool.floor):
            met = np.unique(query // pool.query_views * len(block) + hit // views)
            first.append(sample[met // len(block)])
            second.append(start + met % len(block))
    one, other = np.concatenate(first), np.concatenate(second)
    differ = one != other
    one, other = one[differ], other[differ]
    cosine = pair_cosines(pool.codes, one, other, query_views=pool.query_views)
    return Pairs(one, other, cosine), time.process_time() - began


def found_of(known: np.ndarray, truth: Pairs, num: int, floor: float) -> list[dict[str, Any]]:
    """Return the recall by band of cosine."""
    asked = np.minimum(truth.first, truth.second) * num + np.maximum(truth.first, truth.second)
    return measured(truth.first, truth.cosine, np.isin(asked, known), floor)


def same_comparisons(pool: Pool, comparisons: int, truth: Pairs) -> dict[str, Any]:
    """Search one's own cell alone, in cells as large as make as many comparisons: the size is corrected once."""
    picture = int(distinct_views(pool.codes).sum())
    asking = int(distinct_views(pool.codes)[:, : pool.query_views].sum())
    rows = comparisons / asking
    for _ in range(2):
        pairs, took = searched(pool, min(picture, round(rows)), 1)
        rows *= comparisons / took["comparisons"]
        if abs(took["comparisons"] / comparisons - 1) < 0.1:
            break
    return took | {"recall": found_of(pairs, truth, len(pool.codes), pool.floor)}


def growth(
    pool: Pool, floors: Sequence[float], known: list[dict[str, Any]]
) -> Iterator[list[dict[str, Any]]]:
    """Yield times by number of vectors for each floor and size of cells, and their exponents: after each size of cells what there is.

    known: what was measured before; that of other floors stays.
    """
    parts = [pool.of_about(wanted) for wanted in GROWTH]
    found = [one for one in known if one["floor"] not in floors]
    for floor in floors:
        for rows in ROWS_PER_CELL:
            found.append(_growth([replace(part, floor=floor) for part in parts], rows))
            yield found


def _growth(parts: list[Pool], rows_per_cell: int) -> dict[str, Any]:
    rows = []
    for part in parts:
        vectors = int(distinct_views(part.codes).sum())
        rounds = ROUNDS if vectors < 1.1 * QUICK else 1
        found = [searched(part, rows_per_cell, SETTINGS.probe)[1] for _ in range(rounds)]
        best = min(found, key=lambda took: took["seconds"])
        rows.append({"vectors": vectors, "pictures": len(part.codes)} | best)
        _say(rows[-1])
    vectors = np.log10([row["vectors"] for row in rows])
    grown = {
        "exponent": [row["seconds"] for row in rows],
        "exponent_before_cosines": [row["seconds"] - row["cosines_seconds"] for row in rows],
        "exponent_of_comparisons": [row["comparisons"] for row in rows],
        "exponent_of_pairs": [row["pairs"] for row in rows],
    }
    fits = {name: round(float(np.polyfit(vectors, np.log10(grown[name]), 1)[0]), 3) for name in grown}
    return {"rows_per_cell": rows_per_cell, "floor": parts[0].floor} | fits | {"rows": rows}


def gpu(pool: Pool) -> dict[str, Any]:
    """Return comparisons a second on a GPU beside the card's plain float32 matrix product."""
    if not gpus():
        return {"skipped": "faiss sees no GPU here"}
    try:
        import torch
    except ImportError:
        return {"skipped": "torch, which measures the card's matrix rate, is not installed"}
    if not torch.cuda.is_available():
        return {
            "skipped": "torch sees no GPU here: a build for CUDA is needed to measure the card's matrix rate"
        }
    vectors = np.ascontiguousarray(pool.codes.reshape(-1, pool.codes.shape[2])[:500_000])
    home, asking = Database(vectors[:250_000], device="cuda"), vectors[-65_536:]
    seconds = min(
        _timed(lambda: sum(len(hit) for _, hit in home.met(asking, pool.floor))) for _ in range(ROUNDS)
    )
    one = torch.randn(8_192, 8_192, device="cuda")

    def product() -> None:
        torch.mm(one, one)
        torch.cuda.synchronize()

    product()
    rate = 8_192**3 / min(_timed(product) for _ in range(ROUNDS))
    per_second = len(asking) * len(home.codes_MD) / seconds
    return {
        "card": torch.cuda.get_device_name(), "comparisons_per_second": round(per_second),
        "products_per_second": round(per_second * vectors.shape[1]), "matrix_products_per_second": round(rate),
        "share_of_the_matrix_rate": round(per_second * vectors.shape[1] / rate, 4),
    }  # fmt: skip


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _say(row: dict[str, Any]) -> None:
    bands = [f"{band['low_cosine']}: {band['recall']}" for band in row.get("recall", [])]
    print(
        json.dumps({key: value for key, value in row.items() if key != "recall"}),
        *bands,
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main()
