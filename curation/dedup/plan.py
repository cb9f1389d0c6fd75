"""What a search for near-duplicates costs, before anything is computed: comparisons, bytes shuffled, memory a task, hours.

`curate dedup plan` asks it. Seconds come from `curation.dedup.cost` and from `Rates`, each of which can be given. How many near pairs
there are is not known before: they, and the second look at them, are counted where somebody says how many a picture has.
"""

# N vectors, C cells, D dimensions

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from curation.dedup import cost
from curation.dedup.cells import ROUNDS, number_of_cells
from curation.dedup.faiss_package import load_faiss
from curation.dedup.layout import HELD_BYTES, Residents, cut
from curation.dedup.neighbours import Database
from curation.errors import require

IMBALANCE = 1.3  # comparisons over those of cells of one size; 1.2 to 1.3 on the 159,142 vectors of 15,957 real pictures
ROWS_PER_CELL = tuple(
    round(1_000 * 2 ** (step / 2)) for step in range(21)
)  # that are tried: 1,000 to a million
LEAST_ROWS = {"cpu": 1_000, "cuda": 16_000}  # below, the calls cost more than the products
_PAIR_BYTES = 150  # of a shuffled pair: two ids and its values
_PAIR_SHUFFLES = 3  # of a pair: to the descriptor of either picture, to its place in the table
_ROW_OVERHEAD = 92  # bytes of a shuffled row beside its code: the id, the unit, the role
_TASK_BASE = 250 << 20  # bytes: Python with numpy, Arrow and faiss
_PROPOSALS = 1 << 18  # pairs that a task decides at once, each with two codes as int8 and as int32
_WAITING = 8_192  # visitors that a task holds
_PROBE_ROWS, _PROBE_QUERIES = 4_096, 8_192  # of `measured_products`


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How fast things go, each a core or a GPU."""

    products: float | None = None
    """Multiplications a second of the search; `cost.PRODUCTS_PER_SECOND` of the device where it is not given."""
    placing_products: float = cost.PRODUCTS_PER_SECOND["cpu"]
    """The same of finding a vector's cells, always on cores. Measured: 0.7e10 to 1.9e10 a core second."""
    kmeans_products: float = 5e9
    """The same of the k-means, in the driver, on one core. Measured: 4e9 to 6e9 a core second."""
    shuffled_bytes: float = 4e7
    """Bytes a second and core of a shuffle. Measured: 3e7 to 5e7 a core second for 149-byte rows, local disk, no network."""
    pictures: float | None = 300.0
    """Pictures a second and core of the decode and the descriptor, which `builtin` must do; None: not counted."""
    looks: float = cost.LOOKS_PER_SECOND
    """Second looks a second and core."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A search that is planned."""

    pictures: int
    views: int
    query_views: int
    dimension: int
    detail_bytes: int = 0
    mode: str = "probe"
    probe: int = 4
    rows_per_cell: int = 2_000
    sample_per_cell: int = 64
    audit: int = 1_000
    cores: int = 1
    gpus: int = 0
    """With any, they search; cores do the rest."""
    distinct: float = 1.0
    """Of the views, those that are neither zero nor equal to another of their picture."""
    imbalance: float = IMBALANCE
    bound_share: float | None = None
    """Of all comparisons, those that `bound` makes, by a sample; all of them at the most."""
    pairs: float | None = None
    """Near pairs a picture; None: not known, not counted."""
    rates: Rates = Rates()

    @property
    def near_pairs(self) -> float:
        """Near pairs, as far as they are known."""
        return self.pictures * (self.pairs or 0.0)

    @property
    def vectors(self) -> int:
        """Vectors that are searched."""
        return round(self.pictures * self.views * self.distinct)

    @property
    def queries(self) -> int:
        """Vectors that ask."""
        return round(self.pictures * self.query_views * self.distinct)

    @property
    def device(self) -> str:
        """What searches."""
        return "cuda" if self.gpus else "cpu"

    @property
    def cells(self) -> int:
        """Cells; one holds all in mode `exhaustive`."""
        return (
            1
            if self.mode == "exhaustive"
            else number_of_cells(self.vectors, self.rows_per_cell, self.vectors)
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a search takes."""

    cells: int
    comparisons: dict[str, float]
    """Of vectors, by step: kmeans, placing, search, audit."""
    seconds: dict[str, float]
    """By step: embed, the same four, look, and shuffle."""
    shuffled_bytes: float
    task_bytes: int
    """Of a task of the search, about; on a GPU, its host memory."""
    at_most: bool
    """Mode `bound` without a sample: no less is known than that it is not more than all with all."""

    @property
    def hours(self) -> float:
        """All steps, one after the other."""
        return sum(self.seconds.values()) / 3600


def priced(question: Question) -> Cost:
    """Return what a search takes. Raises ConfigError for numbers that no search has."""
    q = question
    for name in ("views", "query_views", "dimension", "probe", "rows_per_cell", "sample_per_cell", "cores"):
        require(getattr(q, name) >= 1, name, getattr(q, name), "1 or more")
    require(q.pictures >= 0 and q.gpus >= 0, "pictures and gpus", (q.pictures, q.gpus), "0 or more")
    require(q.pairs is None or q.pairs >= 0, "pairs_per_picture", q.pairs, "0 or more")
    require(q.query_views <= q.views, "query_views", q.query_views, f"at most views, {q.views}")
    several = q.cells > 1
    comparisons = {
        "kmeans": float(min(q.sample_per_cell * q.cells, q.vectors)) * q.cells * ROUNDS if several else 0.0,
        "placing": float(q.vectors) * q.cells if several else 0.0,
        "search": _searched(q),
        "audit": float(min(q.audit, q.pictures)) * q.query_views * q.vectors,
    }
    shuffled = _shuffled(q)
    products = {name: number * q.dimension for name, number in comparisons.items()}
    searching = (q.rates.products or cost.PRODUCTS_PER_SECOND[q.device]) * (q.gpus or q.cores)
    seconds = {
        "embed": q.pictures / q.rates.pictures / q.cores if q.rates.pictures else 0.0,
        "kmeans": products["kmeans"] / q.rates.kmeans_products,
        "placing": products["placing"] / q.rates.placing_products / q.cores,
        "search": products["search"] / searching,
        "audit": products["audit"] / searching,
        "look": q.near_pairs / q.rates.looks / q.cores if q.detail_bytes else 0.0,
        "shuffle": shuffled / q.rates.shuffled_bytes / q.cores,
    }
    return Cost(
        cells=q.cells, comparisons=comparisons, seconds=seconds, shuffled_bytes=shuffled, task_bytes=_task_bytes(q),
        at_most=q.mode == "bound" and q.bound_share is None and several,
    )  # fmt: skip


def _searched(q: Question) -> float:
    """Return the comparisons of the search itself."""
    everything = float(q.vectors) * q.queries
    if q.cells == 1:
        return everything / 2
    if q.mode == "bound":
        return everything * (1.0 if q.bound_share is None else q.bound_share)
    return min(everything, everything / q.cells * min(q.probe, q.cells) * q.imbalance)


def _visits(q: Question) -> float:
    """Return the cells that a query visits, on average."""
    if q.mode == "probe":
        return float(min(q.probe, q.cells))
    return q.cells * (1.0 if q.bound_share is None else q.bound_share / q.imbalance)


def _shuffled(q: Question) -> float:
    """Return the bytes of the shuffles: vectors to their cells, rows to their units, descriptors to near pairs, twice."""
    if not q.pictures:
        return 0.0
    row = q.dimension + _ROW_OVERHEAD
    home = max(1, q.vectors // q.cells)
    come = max(1, round(q.queries * _visits(q) / q.cells))
    one = Residents(*(np.array([number]) for number in (0, home, 0, come, 0)))
    units = cut(one, dimension=q.dimension, one_cell=q.cells == 1, device=q.device)
    descriptor = q.views * q.dimension + q.detail_bytes
    described = q.pictures * (descriptor + _ROW_OVERHEAD)
    met = q.near_pairs * (descriptor + _PAIR_SHUFFLES * _PAIR_BYTES)
    return float(q.vectors * row + units.rows * q.cells * row + 2 * described + met)


def _task_bytes(q: Question) -> int:
    """Return about what a task of the search holds: who is at home as codes, as float32 and in faiss; visitors; proposed pairs."""
    home = min(q.vectors / q.cells * q.imbalance, HELD_BYTES[q.device] / (4 * q.dimension))
    return round(_TASK_BASE + (home * 9 + _WAITING * 5 + _PROPOSALS * 10) * q.dimension)


def suggested_rows(question: Question) -> int:
    """Return the rows a cell with which the search takes least, of `ROWS_PER_CELL`, in mode `probe`.

    Small cells make the search short, and finding a vector's cells long: with N vectors these cost about p * rows * N and N^2 / rows.
    """
    tried = [
        replace(question, mode="probe", rows_per_cell=rows)
        for rows in ROWS_PER_CELL
        if rows >= LEAST_ROWS[question.device]
    ]
    return min(tried, key=lambda one: (priced(one).hours, one.rows_per_cell)).rows_per_cell


def refusals(found: Cost, *, max_hours: float | None, max_comparisons: float | None) -> Iterator[str]:
    """Yield why a budget forbids a search."""
    if max_hours is not None and found.hours > max_hours:
        yield f"it takes about {found.hours:.3g} hours, and --max-hours is {max_hours:g}"
    search = found.comparisons["search"]
    if max_comparisons is not None and search > max_comparisons:
        yield f"the search makes about {search:.2g} comparisons, and max_comparisons is {max_comparisons:.2g}"


def measured_products(dimension: int, *, seconds: float = 1.0) -> float:
    """Return the multiplications a second of this machine's search on one core, the best of several goes.

    It searches 8,192 made-up vectors in a cell of 4,096 again and again. Raises MissingExtraError without faiss.
    """
    load_faiss().omp_set_num_threads(1)
    made = (
        np.arange((_PROBE_ROWS + _PROBE_QUERIES) * dimension, dtype=np.int64) * 2_654_435_761 % 65_521 % 251
        - 125
    )
    codes = made.astype(np.int8).reshape(-1, dimension)
    database = Database(codes[:_PROBE_ROWS])
    best, started = np.inf, time.perf_counter()
    while np.isinf(best) or time.perf_counter() - started < seconds:
        go = time.perf_counter()
        for _ in database.met(codes[_PROBE_ROWS:], 0.999):
            pass
        best = min(best, time.perf_counter() - go)
    return _PROBE_ROWS * _PROBE_QUERIES * dimension / best
