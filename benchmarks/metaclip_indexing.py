"""MetaCLIP's indexing way, in our own words: what `benchmarks/balance.py` races against.

Its repository (facebookresearch/MetaCLIP, metaclip/indexing and metaclip/metaclip1/indexing) goes over shards of texts in four
scripts, each reading what the one before wrote:

index    for each text of a shard, in Python, [entry, text] for each of its entries; the list of them as uint32 (M, 2), saved
count    np.unique of the first column with counts, shard by shard, added up in uint64
balance  count of each match's entry, raised to t where it is below; one random number a match; the unique texts of the matches
         that win; saved as positions within the shard
report   the counts sorted, their cumulative sums, uncapped and capped at three t, drawn

Ours differs from theirs in what the race needs, each in its favour or neutral: entry ids come from the table matches rather than
from their automaton (whose time `benchmarks/match.py` measures), both languages stand in one list of entries with a t each, the
shards are spread over two processes (theirs are told a range of shards by hand), and matplotlib draws without seaborn.
"""

from collections.abc import Iterator
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

TEXTS_A_SHARD = 10_000  # of their tar files
Counts = npt.NDArray[np.uint64]
Index = npt.NDArray[np.uint32]


def build_index(lists: list[list[int]]) -> Index:
    """Return [entry, text] for every match of a shard, uint32 (M, 2)."""
    index: list[list[int]] = []
    for text, entry_ids in enumerate(lists):
        index.extend([[entry, text] for entry in entry_ids])
    return np.array(index, dtype=np.uint32).reshape(-1, 2)


def add_counts(total: Counts, index: Index) -> None:
    """Add a shard's matches to the counts of all entries, in place."""
    entry_ids, counts = np.unique(index[:, 0], return_counts=True)
    total[entry_ids] += counts.astype(np.uint64)


def balance(counts: Counts, t: npt.NDArray[np.float64], index: Index, random: Any) -> npt.NDArray[np.uint32]:
    """Return the texts of a shard that are kept: those of which any match wins its toss. t: of each entry."""
    entry_ids = index[:, 0]
    match_counts = counts[entry_ids].astype(np.float64)
    match_t = t[entry_ids]
    below = match_counts < match_t
    match_counts[below] = match_t[below]
    selected = random.random_sample((index.shape[0],)) < match_t / match_counts
    return np.sort(np.unique(index[:, 1][selected]))


class Shards:
    """Their four steps over the files of the table matches, spread over processes."""

    def __init__(
        self, matches: Path, folder: Path, starts: dict[str, int], num_entries: int, processes: int
    ) -> None:
        self.files = sorted(matches.glob("*.parquet"))
        self.folder, self.starts, self.num_entries = folder, starts, num_entries
        self.pool = get_context("fork").Pool(processes)

    def index(self) -> int:
        """Write every shard's index; return the number of matches."""
        jobs = [(file, self.folder / file.stem, self.starts) for file in self.files]
        return sum(self.pool.starmap(_index_file, jobs, chunksize=1))

    def count(self) -> Counts:
        """Return the counts of all entries, uint64 (E,)."""
        jobs = [(self.folder / file.stem, self.num_entries) for file in self.files]
        counts = sum(
            self.pool.starmap(_count_folder, jobs, chunksize=1), np.zeros(self.num_entries, np.uint64)
        )
        np.save(self.folder / "entry_count.npy", counts)
        return counts

    def balance(self, t: npt.NDArray[np.float64]) -> int:
        """Write every shard's kept texts; return how many there are."""
        jobs = [
            (n, self.folder / file.stem, self.folder / "entry_count.npy", t)
            for n, file in enumerate(self.files)
        ]
        return sum(self.pool.starmap(_balance_folder, jobs, chunksize=1))

    def report(self, ts: list[float]) -> None:
        """Draw the cumulative counts, as they are and capped at each t."""
        import matplotlib as mpl

        mpl.use("Agg")
        import matplotlib.pyplot as plt

        counts = np.sort(np.load(self.folder / "entry_count.npy"))
        figure, axes = plt.subplots(figsize=(12, 8), dpi=200)
        for t in [np.inf, *ts]:
            capped = np.minimum(counts.astype(np.float64), t)
            y = np.cumsum(capped).tolist()
            axes.plot(list(range(len(y))), y, linewidth=4)
        figure.savefig(self.folder / "count_cumsum_bal.png")
        plt.close(figure)

    def close(self) -> None:
        """End the processes."""
        self.pool.close()
        self.pool.join()


def _shards(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*_inverted.npy"))


def _index_file(file: Path, folder: Path, starts: dict[str, int]) -> int:
    folder.mkdir(parents=True)
    matches = 0
    with pq.ParquetFile(file) as parquet:
        batches = parquet.iter_batches(TEXTS_A_SHARD, columns=["lang", "entry_ids"])
        for number, batch in enumerate(batches):
            lengths = np.diff(batch.column("entry_ids").offsets.to_numpy())
            firsts = np.array([starts[lang] for lang in batch.column("lang").to_pylist()])
            flat = (batch.column("entry_ids").flatten().to_numpy() + np.repeat(firsts, lengths)).tolist()
            ends = np.concatenate([[0], np.cumsum(lengths)]).tolist()
            index = build_index([flat[begin:end] for begin, end in pairwise(ends)])
            np.save(folder / f"{number:06d}_inverted.npy", index)
            matches += index.shape[0]
    return matches


def _count_folder(folder: Path, num_entries: int) -> Counts:
    total = np.zeros(num_entries, dtype=np.uint64)
    for shard in _shards(folder):
        add_counts(total, np.load(shard, mmap_mode="r"))
    return total


def _balance_folder(seed: int, folder: Path, counts: Path, t: npt.NDArray[np.float64]) -> int:
    random = np.random.RandomState(seed)  # noqa: TID251 - their generator, whose speed is raced
    entry_count, kept = np.load(counts), 0
    for shard in _shards(folder):
        texts = balance(entry_count, t, np.load(shard, mmap_mode="r"), random)
        np.save(shard.with_name(shard.name.replace("_inverted", "_subset")), texts)
        kept += texts.size
    return kept
