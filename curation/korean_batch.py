"""The pieces of many Korean runs at once: what `Lattice.pieces` finds, in arrays. A step of `match`, mode `korean`.

All stretches of all runs are looked up first. Then the best scores to the end are found for the last places of all runs together,
then for those one syllable before, and so on; last, the best paths are followed from the starts. The number of numpy's calls
depends on the longest run alone.
"""

# R runs, W stretches, E edges of them, P places (one more in a run than its syllables), S states (tags and starts), K kinds, T known edges

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from curation.errors import InputError
from curation.korean_lattice import (
    FIRST_SYLLABLE,
    LAST_SYLLABLE,
    LONGEST_SHAPE,
    MAX_PIECE,
    MAX_UNKNOWN,
    NOUN,
    Lattice,
    Piece,
    final_of,
)

MAX_SYLLABLES = 24  # of a run; longer ones are rare, and each would cost all others its places
MAX_RUNS = 512  # looked at together: what is made of them stays in a core's cache
RANK_BITS = 8  # a score and the rank of the edge that gives it share a number
MAX_RANK = (1 << RANK_BITS) - 1
Ints = npt.NDArray[np.int32]


class LatticeTables:
    """A lattice's weights as arrays."""

    def __init__(self, lattice: Lattice) -> None:
        """Raises InputError where the model's weights would not fit: a path's score and a rank are 32 bits together."""
        self.lattice = lattice
        edges = [edge for kind in lattice.kinds for edge in kind.edges]
        self.num_edges_K = np.array([len(kind.edges) for kind in lattice.kinds], np.int32)
        self.first_edge_K = (np.cumsum(self.num_edges_K) - self.num_edges_K).astype(np.int32)
        self.has_noun_K = np.array([bool(k.edges) and k.edges[0][0] == NOUN for k in lattice.kinds])
        self.is_other_K = np.array([kind.is_other for kind in lattice.kinds])
        self.tag_T = np.array([tag for tag, _, _, _ in edges], np.int32)
        self.weight_T = np.array([weight for _, weight, _, _ in edges], np.int32)
        self.final_T4 = np.array([(*(final or (0, 0, 0)), 0) for _, _, _, final in edges], np.int32)
        self.row_T, rows = _rows(lattice)
        self.rows_S = rows << RANK_BITS
        self.end_S = np.array(lattice.end, np.int32)
        most = (
            np.abs(self.weight_T).max()
            + np.abs(self.final_T4).max()
            + np.abs(rows).max()
            + np.abs(self.end_S).max()
        )
        if int(most) * (MAX_SYLLABLES + 1) >= 1 << (31 - RANK_BITS):
            raise InputError(f"the Korean model's weights are too large: {most} a piece")
        self.final_C = np.array(
            [final_of(chr(c)) for c in range(FIRST_SYLLABLE, LAST_SYLLABLE + 1)], np.int32
        )
        self.noun_2C = np.array([_by_syllable(lattice.first, one) for one in ("", "1")], np.int32)
        self.noun_last_2C = np.array([_by_syllable(lattice.last, one) for one in ("", "1")], np.int32)
        shapes = [lattice.shape[f"0x{size}"] for size in range(1, LONGEST_SHAPE + 1)]
        self.shape_L = np.array([0, *shapes], np.int32)
        self.ambiguous_L = np.array(lattice.ambiguous, np.int32)

    def pieces(self, runs: Sequence[tuple[str, str]]) -> list[list[Piece]]:
        """Return `Lattice.pieces` of each run; a run is its syllables and what stands before it (D, A or _)."""
        found: list[list[Piece]] = [[] for _ in runs]
        short = [n for n, (run, _) in enumerate(runs) if len(run) <= MAX_SYLLABLES]
        for start in range(0, len(short), MAX_RUNS):
            chosen = short[start : start + MAX_RUNS]
            for n, pieces in zip(chosen, _Part(self, [runs[n] for n in chosen]).pieces(), strict=True):
                found[n] = pieces
        for n, (run, before) in enumerate(runs):
            if len(run) > MAX_SYLLABLES:
                found[n] = self.lattice.pieces(run, before)
        return found


def _rows(lattice: Lattice) -> tuple[Ints, Ints]:
    """Return of each edge its row (T,), and the rows (rows, S): what is added after each state. The first rows are the tags'."""
    rows = [np.array(row, np.int32) for row in lattice.bigram]
    of_edge = []
    for kind in lattice.kinds:
        for tag, _, after_tag, _ in kind.edges:
            of_edge.append(len(rows) if after_tag else tag)
            if after_tag:
                row = rows[tag].copy()
                row[list(after_tag)] += np.array(list(after_tag.values()), np.int32)
                rows.append(row)
    return np.array(of_edge, np.int32), np.stack(rows)


def _by_syllable(weights: dict[str, int], one: str) -> list[int]:
    return [weights.get(chr(code) + one, 0) for code in range(FIRST_SYLLABLE, LAST_SYLLABLE + 1)]


@lru_cache(maxsize=MAX_SYLLABLES)
def _spans(size: int) -> tuple[list[tuple[int, int]], npt.NDArray[np.int32]]:
    """Return where the stretches of a run of that size start and stop, as pairs and as (stretches, 2)."""
    found = [
        (start, stop) for start in range(size) for stop in range(start + 1, min(size, start + MAX_PIECE) + 1)
    ]
    return found, np.array(found, np.int32)


class _Part:
    """Some runs, looked at together."""

    def __init__(self, tables: LatticeTables, runs: Sequence[tuple[str, str]]) -> None:
        self._tables = tables
        self._sizes_R = np.array([len(run) for run, _ in runs], np.int32)
        self._offsets_R = np.cumsum(self._sizes_R) - self._sizes_R  # of the runs' syllables
        self._places_R = self._offsets_R + np.arange(len(runs))  # of the runs' places
        starts = tables.lattice.starts
        self._states_R = np.array([starts[before] for _, before in runs], np.int64)
        self._collect([run for run, _ in runs])

    def _collect(self, runs: Sequence[str]) -> None:
        """Make the edges of all runs, in order of their run, start and stop; an unknown noun before what is known."""
        tables = self._tables
        kind_of = tables.lattice.kind_of.get
        kinds_W = np.array([kind_of(run[i:j], 0) for run in runs for i, j in _spans(len(run))[0]], np.int32)
        spans_W2 = np.concatenate([_spans(len(run))[1] for run in runs])
        run_W = np.repeat(np.arange(len(runs)), [len(_spans(len(run))[0]) for run in runs])
        start_W, stop_W = spans_W2[:, 0], spans_W2[:, 1]
        codes = np.frombuffer("".join(runs).encode("utf-32-le"), np.uint32).astype(np.int64) - FIRST_SYLLABLE
        first_W, last_W = codes[self._offsets_R[run_W] + start_W], codes[self._offsets_R[run_W] + stop_W - 1]
        free_W = (stop_W - start_W == 1) | ((start_W == 0) & (stop_W <= MAX_UNKNOWN))
        unknown_W = free_W & ~tables.has_noun_K[kinds_W]
        num_W = tables.num_edges_K[kinds_W] + unknown_W
        word_E = np.repeat(np.arange(len(kinds_W)), num_W)
        within_E = np.arange(len(word_E)) - np.repeat(np.cumsum(num_W) - num_W, num_W)
        unknown_E = unknown_W[word_E] & (within_E == 0)
        known_E = tables.first_edge_K[kinds_W[word_E]] + within_E - unknown_W[word_E]
        known_E[unknown_E] = 0
        # The final consonant before a stretch; 3, which adds nothing, at the start of a run.
        before_W = np.where(start_W > 0, tables.final_C[codes[self._offsets_R[run_W] + start_W - 1]], 3)
        weight_E = tables.weight_T[known_E] + tables.final_T4[known_E, before_W[word_E]]
        noun_W = self._unknown(first_W, last_W, stop_W - start_W, tables.is_other_K[kinds_W])
        self._weight_E = np.where(unknown_E, noun_W[word_E], weight_E)
        self._tag_E = np.where(unknown_E, NOUN, tables.tag_T[known_E])
        self._row_E = np.where(unknown_E, NOUN, tables.row_T[known_E])
        place_W = self._places_R[run_W]
        self._from_E = (place_W + start_W)[word_E]
        self._to_E = (place_W + stop_W)[word_E]
        self._left_E = (self._sizes_R[run_W] - start_W)[
            word_E
        ]  # syllables from its start to the end of the run

    def _unknown(
        self,
        first_W: npt.NDArray[np.int64],
        last_W: npt.NDArray[np.int64],
        size_W: Ints,
        other_W: npt.NDArray[np.bool_],
    ) -> Ints:
        """Return the weight that each stretch would have as a noun that nobody knows."""
        tables = self._tables
        one_W = (size_W == 1).astype(np.int64)
        shape_W = np.minimum(size_W, LONGEST_SHAPE)
        found: Ints = (
            tables.shape_L[shape_W] + tables.noun_2C[one_W, first_W] + tables.noun_last_2C[one_W, last_W]
        )
        return found + tables.ambiguous_L[shape_W] * other_W

    def pieces(self) -> list[list[Piece]]:
        """Return the pieces of each run, in their order."""
        num_places = int(self._sizes_R.sum()) + len(self._sizes_R)
        rank_P, first_P = self._score(num_places)
        found: list[list[Piece]] = [[] for _ in self._sizes_R]
        alive_R = np.arange(len(self._sizes_R))
        place_R, state_R = self._places_R.copy(), self._states_R.copy()
        while len(alive_R):
            edge_R = first_P[place_R] + rank_P[place_R, state_R]
            place_R, state_R = self._to_E[edge_R], self._tag_E[edge_R].astype(np.int64)
            start_R = self._from_E[edge_R] - self._places_R[alive_R]
            stop_R = place_R - self._places_R[alive_R]
            rows = zip(alive_R.tolist(), start_R.tolist(), stop_R.tolist(), state_R.tolist(), strict=True)
            for run, start, stop, tag in rows:
                found[run].append((start, stop, tag))
            going = stop_R < self._sizes_R[alive_R]
            alive_R, place_R, state_R = alive_R[going], place_R[going], state_R[going]
        return found

    def _score(self, num_places: int) -> tuple[Ints, Ints]:
        """Return which edge of a place is the best first one after each state (P, S), and the first edge of each place (P,)."""
        tables = self._tables
        changes = np.flatnonzero(np.diff(self._from_E, prepend=-1))
        first_P = np.zeros(num_places, np.int32)
        first_P[self._from_E[changes]] = changes
        rank_E = (np.arange(len(self._from_E)) - first_P[self._from_E]).astype(np.int32)
        score_PS = np.empty((num_places, len(tables.end_S)), np.int32)
        score_PS[self._places_R + self._sizes_R] = tables.end_S
        rank_PS = np.zeros_like(score_PS)
        order = np.argsort(self._left_E, kind="stable")
        bounds = np.searchsorted(self._left_E[order], np.arange(1, int(self._left_E.max(initial=0)) + 2))
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            edges = order[start:stop]
            to_end = self._weight_E[edges] + score_PS[self._to_E[edges], self._tag_E[edges]]
            total_ES = tables.rows_S[self._row_E[edges]]
            total_ES += ((to_end << RANK_BITS) | (MAX_RANK - rank_E[edges]))[:, None]
            places = self._from_E[edges]
            segments = np.flatnonzero(np.diff(places, prepend=-1))
            best_PS = np.maximum.reduceat(total_ES, segments, axis=0)
            score_PS[places[segments]] = best_PS >> RANK_BITS
            rank_PS[places[segments]] = MAX_RANK - (best_PS & MAX_RANK)
        return rank_PS, first_P
