"""Entries that stand between boundaries, found without an automaton: spans of words, looked up by their hashes, in numpy.

In MetaCLIP 1's mode an entry is found where a text's words between two spaces are the entry, and most entries of the other
modes are such too: they begin at a boundary of the text and end at one. A batch of texts is one array of code points. The hash
of a span, the sum of (point + 1) B^place mod 2^64 from its start on, comes from one running sum over the array for any span.
From each place where an entry may start, the span to the first place where one may end is looked up in a table of the entries'
hashes, then to the second, for as long as some entry goes on beyond it. What the table answers is compared character by
character, so that a hash decides nothing. Entries are of MAX_LENGTH characters at most, so there are no more steps than that from
a start, whatever the text; where no entry goes on there is one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curation.automaton import Hits
from curation.errors import CurationError
from curation.modes import BREAK, GAP, HANGUL, Batch, Points, Reading, boundaries

# N characters of a batch, W places to start at, E entries, K keys of the table, H hits
Longs = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

BASES = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
)  # odd; the first that tells all entries apart
MIX = np.uint64(0xD6E8FEB86659FD93)  # odd: spreads a hash over its high bits
VALUE_BITS = 26  # of a slot: the entry's number + 1, and a flag; the other 38 are of the hash
MORE = 1  # flag: some entry goes on beyond this span
MAX_ENTRIES = (1 << (VALUE_BITS - 1)) - 1
MAX_LENGTH = (
    128  # characters of an entry, which bounds the steps from a start, so that any text takes linear time
)
FILL_ENTRIES = 1 << 16  # hashed at once, which bounds what is held meanwhile
KEPT_POWERS = 1 << 18  # of the base, kept from batch to batch


class SpanTable:
    """Finds entries that begin and end at boundaries, in a batch of texts."""

    def __init__(self, entries: Sequence[str], reading: Reading, *, bases: Sequence[int] = BASES) -> None:
        """entries: one at least, none empty or longer than MAX_LENGTH, all different, without BLANKS, as the mode reads them."""
        if len(entries) > MAX_ENTRIES:
            raise CurationError(f"{len(entries)} entries are too many for the span table: {MAX_ENTRIES}")
        for base in bases:
            self._powers = _Powers(base)
            self._begins_in_gap = False
            if self._fill(entries, reading):
                return
        raise CurationError("no base of the span table tells all entries apart")

    def find(self, batch: Batch) -> Hits:
        """Return every hit in the batch, in no promised order; an entry that occurs twice in a text is there twice."""
        points_N = batch.points
        starts_W, first_end_W, ends = self._places(batch)
        sums, inverse = self._powers.sums(points_N)
        found: list[tuple[Longs, Longs, Longs]] = []
        start, end, before, scale = starts_W, first_end_W, sums[starts_W], inverse[starts_W]
        while len(start):
            stop = ends[end]
            value = self._look_up((sums[stop] - before) * scale)
            hit = np.flatnonzero(value > MORE)
            found.append((start[hit], stop[hit], (value[hit] >> 1) - 1))
            goes_on = np.flatnonzero(((value & MORE) != 0) & (end + 1 < len(ends)))
            start, end, before, scale = start[goes_on], end[goes_on] + 1, before[goes_on], scale[goes_on]
        start, stop, entry = (
            (np.concatenate(part) for part in zip(*found, strict=True)) if found else _NOTHING
        )
        same = self._same(points_N, start, stop, entry)
        breaks = np.flatnonzero(points_N == ord(BREAK))
        return np.searchsorted(breaks, start[same]), entry[same]

    def _places(self, batch: Batch) -> tuple[Longs, Longs, Longs]:
        """Return where spans may start (W,), for each the number of its first end (W,), and all places to end at."""
        kinds_N = batch.kinds
        gap_N = kinds_N == GAP
        if self._begins_in_gap or (kinds_N == HANGUL).any():
            may_start, may_end = boundaries(kinds_N)
            starts, ends = np.flatnonzero(may_start[:-1]), np.flatnonzero(may_end)
            if not self._begins_in_gap:
                starts = starts[~gap_N[starts]]
            return starts, np.searchsorted(ends, starts, side="right"), ends
        gaps = np.flatnonzero(gap_N)
        ends = np.append(gaps, len(kinds_N))
        starts = np.concatenate([[0], gaps + 1])
        number = np.flatnonzero(ends > starts)  # a start with an end at once is before a gap
        return starts[number], number, ends

    def _fill(self, entries: Sequence[str], reading: Reading) -> bool:
        """Fill the table with entries; return whether each of them is told from all others."""
        hashed = [
            self._hash(reading.entries(entries[start : start + FILL_ENTRIES]))
            for start in range(0, len(entries), FILL_ENTRIES)
        ]
        points, lengths, hashes, begun = (list(part) for part in zip(*hashed, strict=True))
        self._points, self._lengths = np.concatenate(points), np.concatenate(lengths)
        self._starts = np.cumsum(self._lengths, dtype=np.int32) - self._lengths
        hashes_E = np.concatenate(hashes)
        self._insert(hashes_E, np.unique(np.concatenate(begun)))
        return bool((self._look_up(hashes_E) >> 1 == np.arange(1, len(hashes_E) + 1)).all())

    def _hash(self, batch: Batch) -> tuple[Points, npt.NDArray[np.int32], Hashes, Hashes]:
        """Return entries' characters one after the other, their lengths, their hashes, and those of what they begin with."""
        points_N, kinds_N = batch.points, batch.kinds
        is_break = points_N == ord(BREAK)
        breaks = np.flatnonzero(is_break)
        starts, stops = np.concatenate([[0], breaks + 1]), np.append(breaks, len(points_N))
        self._begins_in_gap |= bool((kinds_N[starts] == GAP).any())
        sums = self._powers.sums_of_each(points_N, starts, stops - starts)
        _, may_end = boundaries(kinds_N)
        inner = np.flatnonzero(may_end)
        owner = np.searchsorted(breaks, inner)
        inside = (inner > starts[owner]) & (inner < stops[owner])
        inner, owner = inner[inside], owner[inside]
        lengths = (stops - starts).astype(np.int32)
        return (
            points_N[~is_break],
            lengths,
            sums[stops] - sums[starts],
            np.unique(sums[inner] - sums[starts[owner]]),
        )

    def _insert(self, hashes_E: Hashes, begun: Hashes) -> None:
        """Make the table of entries and of what some entry only begins with."""
        bits = max(int(2 * (len(hashes_E) + len(begun))).bit_length(), 4)  # a quarter to a half of it is full
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._slots = np.zeros(1 << bits, np.uint64)
        number = np.arange(1, len(hashes_E) + 1, dtype=np.uint64) << np.uint64(1)
        slot_E = self._put(hashes_E, number)
        entry = self._look_up(begun) >> 1
        self._slots[slot_E[entry[entry > 0] - 1]] |= np.uint64(MORE)
        rest = begun[entry == 0]
        self._put(rest, np.full(len(rest), MORE, np.uint64))

    def _put(self, hashes_K: Hashes, values_K: npt.NDArray[np.uint64]) -> Longs:
        """Put values into free slots, the next where one is taken; return the slots."""
        mixed, slot_K = self._mixed(hashes_K)
        words = (mixed << np.uint64(VALUE_BITS)) | values_K
        waiting = np.arange(len(words))
        while len(waiting):
            slot = slot_K[waiting]
            free = self._slots[slot] == 0
            self._slots[slot[free]] = words[waiting[free]]  # of several for one slot, the last has it
            waiting = waiting[self._slots[slot] != words[waiting]]
            slot_K[waiting] = (slot_K[waiting] + 1) & self._mask
        return slot_K

    def _mixed(self, hashes: Hashes) -> tuple[Hashes, Longs]:
        mixed = (hashes ^ (hashes >> np.uint64(32))) * MIX
        return mixed, (mixed >> self._shift).astype(np.int64)

    def _look_up(self, hashes: Hashes) -> Longs:
        """Return the value of each hash, 0 where it has none."""
        tag, slot = self._mixed(hashes)
        tag <<= np.uint64(VALUE_BITS)
        word = self._slots[slot]
        value = word ^ tag  # small where the tags are equal
        other = value >> np.uint64(VALUE_BITS) != 0
        value[other] = 0
        asking = np.flatnonzero(other & (word != 0))
        while len(asking):
            slot[asking] = (slot[asking] + 1) & self._mask
            word = self._slots[slot[asking]]
            found = word ^ tag[asking]
            equal = found >> np.uint64(VALUE_BITS) == 0
            value[asking[equal]] = found[equal]
            asking = asking[~equal & (word != 0)]
        return value.view(np.int64)

    def _same(self, points_N: Points, start: Longs, stop: Longs, entry: Longs) -> Longs:
        """Return which hits hold their entry, character by character."""
        length = self._lengths[entry]
        alike = np.flatnonzero(length == stop - start)
        length = length[alike]
        if not len(alike):
            return alike
        ends = np.cumsum(length)
        inside = np.arange(ends[-1])
        here = np.repeat(start[alike] - ends + length, length) + inside
        there = np.repeat(self._starts[entry[alike]] - ends + length, length) + inside
        equal = points_N[here] == self._points[there]
        if equal.all():
            return alike
        return alike[np.logical_and.reduceat(equal, ends - length)]


_NOTHING = (np.empty(0, np.int64),) * 3


class _Powers:
    """Powers of the base and of its inverse mod 2^64, as far as they were asked for."""

    def __init__(self, base: int) -> None:
        self._base = base
        self._inverse_base = pow(base, -1, 1 << 64)
        self._powers = self._inverse = np.ones(1, np.uint64)

    def sums(self, points_N: Points) -> tuple[Hashes, Hashes]:
        """Return the running sums of a batch (N + 1,) and what brings a difference of two to its start (N + 1,)."""
        size = len(points_N) + 1
        powers, inverse = self._powers, self._inverse
        if len(powers) < size:
            powers, inverse = (_series(base, size) for base in (self._base, self._inverse_base))
            if size <= KEPT_POWERS:
                self._powers, self._inverse = powers, inverse
        return _running((points_N + np.uint64(1)) * powers[: size - 1]), inverse

    def sums_of_each(self, points_N: Points, starts: Longs, lengths: Longs) -> Hashes:
        """Return the running sums (N + 1,) with powers that begin anew at each start: differences need no scale."""
        place = np.arange(len(points_N)) - np.repeat(starts, lengths + 1)[: len(points_N)]
        powers = _series(self._base, int(lengths.max()) + 1)
        return _running((points_N + np.uint64(1)) * powers[place])


def _series(base: int, size: int) -> Hashes:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _running(terms: Hashes) -> Hashes:
    sums = np.zeros(len(terms) + 1, np.uint64)
    np.cumsum(terms, out=sums[1:])
    return sums
